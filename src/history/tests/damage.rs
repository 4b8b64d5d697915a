//! Files that are not whole, or not ours.

use super::*;

/// Puts `bytes` in the place of the history, and loads that.
fn load_bytes(store: &Store, bytes: &[u8]) -> Loaded<Learned, Filters, Waiting> {
    fs::write(store.path(), bytes).unwrap();
    load(store)
}

/// What was loaded may miss something, and says so then; but nothing in it may
/// be wrong.
#[track_caller]
fn nothing_wrong(loaded: &Loaded<Learned, Filters, Waiting>, given: &[(ConnectorKey, Learned)]) {
    assert!(loaded.connectors.iter().all(|it| given.contains(it)));
    assert!(loaded.filters.as_ref().is_none_or(|it| *it == filters(40)));
    assert!(loaded.messages.iter().all(|it| messages(2).contains(it)));
    assert!(loaded.place.as_ref().is_none_or(|it| it == b"inode 7"));
    assert!(loaded.key.is_none_or(|key| key == KEY));
    assert!(loaded.saved_at.is_none_or(|it| it == at(0)));
    assert_eq!(loaded.lost_filters, loaded.filters.is_none());
    assert!(!loaded.is_empty() || loaded.connectors.is_empty() && loaded.filters.is_none());
}

#[test]
fn a_file_that_was_cut_gives_its_whole_blocks() {
    let (folder, store) = place(600, 40);
    let given = connectors(600);
    let bytes = fs::read(store.path()).unwrap();
    let blocks = blocks(&bytes);
    // Head, filters, 256 + 256 + 88 connectors, messages, place, end.
    assert_eq!(blocks.len(), 8);
    // Every byte where something is decided, some where nothing is.
    let edges: Vec<usize> = blocks.iter().map(|(from, _)| *from).collect();
    let near = |cut: &usize| edges.iter().any(|edge| edge.abs_diff(*cut) < 15);
    for cut in (0..bytes.len()).filter(|cut| near(cut) || cut.is_multiple_of(211)) {
        let loaded = load_bytes(&store, &bytes[..cut]);
        nothing_wrong(&loaded, &given);
        let whole = blocks.iter().filter(|(_, to)| *to <= cut).count();
        let count = [0, 0, 0, 256, 512, 600, 600, 600, 600][whole];
        assert!(loaded.connectors == given[..count], "cut at {cut}");
        assert_eq!(loaded.is_empty(), whole == 0, "cut at {cut}");
        assert_eq!(loaded.lost_filters, whole < 2, "cut at {cut}");
        assert_eq!(loaded.messages.is_empty(), whole < 6, "cut at {cut}");
        assert_eq!(loaded.place.is_none(), whole < 7, "cut at {cut}");
        assert!(!loaded.losses.is_empty(), "cut at {cut}");
        assert_eq!(fs::read(folder.path().join("history.damaged")).unwrap(), bytes[..cut]);
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_data() {
    let (_folder, store) = place(3, 40);
    let given = connectors(3);
    let bytes = fs::read(store.path()).unwrap();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        let loaded = load_bytes(&store, &damaged);
        nothing_wrong(&loaded, &given);
        assert!(!loaded.losses.is_empty(), "byte {place}");
    }
}

#[test]
fn a_damaged_block_costs_only_itself() {
    let (folder, store) = place(600, 40);
    let given = connectors(600);
    let bytes = fs::read(store.path()).unwrap();
    let blocks = blocks(&bytes);
    let damage = |block: usize| {
        let mut bytes = bytes.clone();
        bytes[blocks[block].1 - 1] ^= 1;
        bytes
    };

    let loaded = load_bytes(&store, &damage(3));
    assert!(loaded.connectors[..256] == given[..256] && loaded.connectors[256..] == given[512..]);
    assert!(!loaded.lost_filters);
    let path = folder.path().display();
    let sentence = format!(
        "a part of {path}/history is damaged: 256 of 600 connectors start without history; it is kept as {path}/history.damaged"
    );
    assert_eq!(loaded.losses, [sentence]);

    let loaded = load_bytes(&store, &damage(1));
    assert!(loaded.lost_filters && loaded.connectors == given);
    assert_eq!(loaded.mute(at(100)), Some(at(100 + 86_400)));
    assert!(loaded.losses[0].contains("the history of every connector was read"));
    assert!(loaded.losses[1].contains("are lost: signals"), "{:?}", loaded.losses);

    // Messages and the place cost nothing but themselves.
    let loaded = load_bytes(&store, &damage(5));
    assert!(loaded.messages.is_empty() && loaded.place.is_some());
    assert!(!loaded.lost_filters && loaded.connectors == given);
    assert!(loaded.losses[0].contains("the history of every connector was read"));
    assert!(loaded.losses[1].contains("on their way are lost"), "{:?}", loaded.losses);
    let loaded = load_bytes(&store, &damage(6));
    assert!(loaded.messages == messages(2) && loaded.place.is_none());
    assert!(!loaded.lost_filters && loaded.connectors == given);

    // Behind a wrong header nothing is found.
    let mut bytes = bytes.clone();
    bytes[blocks[3].0 + 2] ^= 1;
    let loaded = load_bytes(&store, &bytes);
    assert!(loaded.connectors == given[..256] && !loaded.lost_filters);
    let begin = format!("what follows byte {} of {path}/history is damaged: ", blocks[3].0);
    assert!(loaded.losses[0].starts_with(&begin), "{:?}", loaded.losses);
    assert!(loaded.losses[0].contains("the history of 256 connectors was read"));

    // The last damage is the one that is kept; the next save replaces only
    // the history.
    assert_eq!(fs::read(folder.path().join("history.damaged")).unwrap(), bytes);
    let mut store = store;
    store.save(saved(&given, filters(40))).unwrap();
    assert_eq!(load(&store).losses, Vec::<String>::new());
    assert_eq!(fs::read(folder.path().join("history.damaged")).unwrap(), bytes);
    assert_eq!(names(folder.path()), ["history", "history.damaged"]);
}

#[test]
fn a_missing_piece_loses_the_filters() {
    let (_folder, store) = place(2, 3 << 20);
    let bytes = fs::read(store.path()).unwrap();
    for (from, to) in &blocks(&bytes)[1..5] {
        let mut damaged = bytes.clone();
        damaged[(from + format::HEADER).midpoint(*to)] ^= 1;
        let loaded = load_bytes(&store, &damaged);
        assert!(loaded.lost_filters && loaded.filters.is_none());
        assert!(loaded.connectors == connectors(2));
    }
}

#[test]
fn another_schema_or_version_starts_empty_and_is_kept() {
    let (folder, mut store) = place(2, 40);
    let bytes = fs::read(store.path()).unwrap();
    let later = Store::open(folder.path(), SCHEMA + 1);
    let loaded = load(&later);
    assert!(loaded.is_empty() && loaded.lost_filters);
    assert_eq!(loaded.mute(at(0)), Some(at(86_400)));
    let told = &loaded.losses[0];
    assert!(told.contains("format 1, content 3; this one reads format 1, content 4"), "{told}");
    assert!(told.contains("history.old"), "{told}");
    // Going back before the first save finds everything.
    assert!(load(&store).connectors == connectors(2));

    store.save(saved(&connectors(1), filters(40))).unwrap();
    assert_eq!(fs::read(folder.path().join("history.old")).unwrap(), bytes);

    let mut newer = bytes.clone();
    newer[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let sum = crc32c::crc32c(&newer[..16]).to_le_bytes();
    newer[16..20].copy_from_slice(&sum);
    let loaded = load_bytes(&store, &newer);
    assert!(loaded.is_empty());
    assert!(loaded.losses[0].contains("format 2, content 3;"), "{:?}", loaded.losses);

    let loaded = load_bytes(&store, b"something else that somebody put there");
    assert!(loaded.is_empty());
    assert!(loaded.losses[0].contains("is no history of connguard"), "{:?}", loaded.losses);
    assert!(!names(folder.path()).contains(&"history.damaged".to_owned()));
}

/// A payload of another shape whose schema number somebody forgot to change.
#[test]
fn another_shape_under_the_same_schema_is_no_panic() {
    let (_folder, store) = place(300, 40);
    type Other = (Vec<String>, bool);
    let loaded: Loaded<Other, Vec<Other>, Other> = store.load();
    assert!(loaded.filters.is_none() && !loaded.losses.is_empty());
}

#[test]
fn a_key_of_another_version_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), SCHEMA);
    let given = connectors(5);
    store.save(saved(&given, filters(40))).unwrap();
    let mut bytes = fs::read(store.path()).unwrap();
    let (from, to) = blocks(&bytes)[2];
    let mut payload = bytes[from + format::HEADER..to].to_vec();
    let start = payload.windows(11).position(|it| it == b"login:user3").unwrap();
    payload[start..start + 5].copy_from_slice(b"phone");
    let header = format::Header::of(format::Kind::Connectors, &payload).unwrap();
    bytes[from..from + format::HEADER].copy_from_slice(&header.bytes());
    bytes[from + format::HEADER..to].copy_from_slice(&payload);
    let loaded = load_bytes(&store, &bytes);
    assert_eq!(loaded.connectors.len(), 4);
    assert!(loaded.losses[0].contains("1 of 5 connectors"), "{:?}", loaded.losses);
}

#[test]
fn a_file_that_is_none_starts_empty() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), SCHEMA);
    fs::create_dir_all(store.path().join("folder")).unwrap();
    let loaded = load(&store);
    assert!(loaded.is_empty() && loaded.lost_filters);
    assert!(loaded.losses[0].contains("history can't be read"), "{:?}", loaded.losses);
    assert!(loaded.losses[0].contains("keeping it aside failed"), "{:?}", loaded.losses);
    // Nor can it be replaced, which leaves nothing unfinished.
    store.save(saved(&connectors(1), filters(1))).unwrap_err();
    assert_eq!(names(folder.path()), ["history"]);
}

proptest! {
    // Each case syncs.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic_or_lie(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        cuts: bool,
    ) {
        let given = connectors(300);
        let (_folder, store) = place(300, 40);
        let whole = fs::read(store.path()).unwrap();
        let mut bytes = whole.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        let loaded = load_bytes(&store, &bytes);
        nothing_wrong(&loaded, &given);
        prop_assert_eq!(loaded.losses.is_empty(), bytes == whole);
    }
}
