#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod crash;
mod damage;
mod faults;
mod running;

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use std::{fs, os::unix::fs::PermissionsExt};

const SCHEMA: u32 = 3;
const KEY: [u8; 16] = *b"sixteen of them!";

/// What was learned of a connector, as the test has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Learned {
    score: f32,
    words: Vec<u64>,
}

/// The shared filters, as the test has them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Filters {
    bits: Vec<u8>,
    count: u32,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn connectors(count: u64) -> Vec<(ConnectorKey, Learned)> {
    let one = |n: u64| {
        let key = match n % 3 {
            0 => format!("login:user{n}@example.org"),
            1 => format!("client:192.0.{}.{}", n / 256 % 256, n % 256),
            _ => format!("cert:erp{n}/Example%20CA%2F{n}"),
        };
        (key.parse().unwrap(), Learned { score: 0.5, words: vec![n, u64::MAX - n] })
    };
    (0..count).map(one).collect()
}

fn filters(bytes: usize) -> Filters {
    let bits = (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
    Filters { bits, count: 7 }
}

/// A message of unknown fate, as the test has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Waiting {
    queue_id: String,
    recipients: Vec<u64>,
}

fn messages(count: u64) -> Vec<Waiting> {
    let one = |n: u64| Waiting { queue_id: format!("4A{n}"), recipients: vec![n, u64::MAX - n] };
    (0..count).map(one).collect()
}

/// Two messages, and a place in the log.
fn saved<C: Clone>(
    connectors: &[(ConnectorKey, C)],
    filters: Filters,
) -> Saved<
    impl Iterator<Item = (ConnectorKey, C)> + use<'_, C>,
    Filters,
    impl Iterator<Item = Waiting>,
> {
    Saved {
        key: KEY,
        connectors: connectors.iter().cloned(),
        filters,
        messages: messages(2).into_iter(),
        place: Some(b"inode 7".to_vec()),
        saved_at: at(0),
        muted_until: Some(at(60)),
    }
}

/// A state directory with a history of `count` connectors.
fn place(count: u64, filter_bytes: usize) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), SCHEMA);
    store.save(saved(&connectors(count), filters(filter_bytes))).unwrap();
    (folder, store)
}

fn load(store: &Store) -> Loaded<Learned, Filters, Waiting> {
    store.load()
}

/// The names of the files in `folder`.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_loaded() {
    // Around the limits of blocks, and of the pieces of filters.
    for (count, filter_bytes) in
        [(0, 0), (1, 1), (256, 10), (257, (1 << 20) - 4), (1000, 1 << 20), (3, 5 << 20)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), SCHEMA);
        let given = connectors(count);
        let written = store.save(saved(&given, filters(filter_bytes))).unwrap();
        let metadata = fs::metadata(store.path()).unwrap();
        assert_eq!(written, Written { bytes: metadata.len(), connectors: count, messages: 2 });
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);

        let loaded = load(&store);
        assert_eq!(loaded.losses, Vec::<String>::new());
        assert_eq!(loaded.key, Some(KEY));
        assert!(loaded.connectors == given, "{count} connectors");
        assert!(loaded.filters == Some(filters(filter_bytes)), "{filter_bytes} bytes");
        assert_eq!((loaded.saved_at, loaded.muted_until), (Some(at(0)), Some(at(60))));
        assert_eq!(loaded.messages, messages(2));
        assert_eq!(loaded.place.as_deref(), Some(&b"inode 7"[..]));
        assert!(!loaded.lost_filters && !loaded.is_empty());
        assert_eq!(names(folder.path()), ["history"]);
    }
}

#[test]
fn messages_are_kept_in_their_order_and_asked_for_last() {
    for count in [0, 1, 256, 257, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), SCHEMA);
        let given = connectors(300);
        let asked = std::cell::Cell::new(0);
        let counted = given.iter().cloned().inspect(|_| asked.set(asked.get() + 1));
        let late = messages(count).into_iter().inspect(|_| assert_eq!(asked.get(), 300));
        let saved = Saved {
            key: KEY,
            connectors: counted,
            filters: filters(9),
            messages: late,
            place: None,
            saved_at: at(0),
            muted_until: None,
        };
        assert_eq!(store.save(saved).unwrap().messages, count);
        let loaded = load(&store);
        assert_eq!(loaded.losses, Vec::<String>::new());
        assert!(loaded.messages == messages(count), "{count} messages");
        assert_eq!(loaded.place, None);
    }
}

#[test]
fn a_first_start_loses_and_mutes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(&Store::open(folder.path(), SCHEMA));
    assert!(loaded.is_empty() && loaded.losses.is_empty());
    assert_eq!(loaded.mute(at(0)), None);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn muting_lasts_over_a_restart_and_begins_anew_with_a_loss() {
    let (_folder, store) = place(1, 10);
    let loaded = load(&store);
    assert_eq!(loaded.mute(at(59)), Some(at(60)));
    assert_eq!(loaded.mute(at(60)), None);
    let lost = Loaded { lost_filters: true, ..loaded };
    assert_eq!(lost.mute(at(59)), Some(at(59 + 86_400)));
}

#[test]
fn large_connectors_share_no_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), SCHEMA);
    let given: Vec<_> = connectors(30)
        .into_iter()
        .map(|(key, learned)| (key, Learned { words: vec![u64::MAX; 80_000], ..learned }))
        .collect();
    store.save(saved(&given, filters(0))).unwrap();
    let bytes = fs::read(store.path()).unwrap();
    let lengths = blocks(&bytes).into_iter().map(|(from, to)| to - from);
    assert!(lengths.max().unwrap() < 2 << 20);
    assert!(load(&store).connectors == given);

    // One that fits into no block is an error that leaves the old file.
    let huge = Learned { score: 0.0, words: vec![u64::MAX; 2 << 20] };
    let error = store.save(saved(&[(given[0].0.clone(), huge)], filters(0))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("more than 16 MiB"), "{error}");
    assert!(load(&store).connectors == given);
}

/// Where the blocks of a whole file begin and end.
fn blocks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = format::PRELUDE;
    while from < bytes.len() {
        let header = bytes[from..from + format::HEADER].try_into().unwrap();
        let header = format::Header::parse(&header).unwrap();
        let to = from + format::HEADER + usize::try_from(header.length).unwrap();
        found.push((from, to));
        from = to;
    }
    assert_eq!(from, bytes.len());
    found
}

proptest! {
    // Each case syncs.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_is_learned_comes_back(
        learned in prop::collection::vec(
            (".{1,20}", prop::num::f32::NORMAL, prop::collection::vec(any::<u64>(), 0..9)),
            0..600,
        ),
        bits in prop::collection::vec(any::<u8>(), 0..100),
        key: [u8; 16],
    ) {
        let given: Vec<_> = learned
            .into_iter()
            .map(|(name, score, words)| {
                (ConnectorKey::Named(name.as_str().into()), Learned { score, words })
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), SCHEMA);
        let filters = Filters { bits, count: 1 };
        store.save(Saved { key, ..saved(&given, filters.clone()) }).unwrap();
        let loaded = load(&store);
        prop_assert_eq!(loaded.losses, Vec::<String>::new());
        prop_assert_eq!(loaded.key, Some(key));
        prop_assert_eq!(loaded.connectors, given);
        prop_assert_eq!(loaded.filters, Some(filters));
    }
}
