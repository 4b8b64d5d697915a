//! Histories of every format so far: the newest opens as a whole and is the same when
//! it is saved again; those of other contents are told of and kept.
//!
//! `tests/fixtures/README.md` says what to do when a test fails. The journal and the
//! cases have theirs beside them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use connguard::{
    connector::Identities,
    daemon::HISTORY_SCHEMA,
    directory::{Params, Terms},
    domain::DomainSet,
    engine::{self, Engine, Feedback, Session, Settings},
    history::{Loaded, Saved, Store},
    message::{Fate, Message, Recipient, Sender},
    tally,
    timestamp::Timestamp,
    verdict::Mode,
};
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);
const KEY: [u8; 16] = *b"sixteen of them!";

/// The newest fixture.
fn newest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("history-1-{HISTORY_SCHEMA}.gz"))
}

/// An engine that saw some mail on two days: some of it new, some of it bad.
fn engine() -> Engine {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let terms = Arc::new(Terms { mode: Mode::Enforce, registered, ..Terms::default() });
    let settings = Settings::with_directory(Params {
        discovered: terms,
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        discover: true,
        ..Params::default()
    });
    let mut engine = Engine::new(settings, 100, START);
    let memory = engine::Memory { key: KEY, filters: Some(engine.filters()), muted_until: None };
    engine.recall(Some(memory), [], START);
    engine.set_feedback(Feedback::Coming);
    for number in 0..40 {
        let now = START.plus(Duration::from_secs(3600) * number);
        send(&engine, number, now);
        engine.sweep(now);
    }
    engine
}

fn send(engine: &Engine, number: u32, now: Timestamp) {
    let mut session = Session::default();
    session.identify(Identities {
        client: Some("10.0.0.8".parse().unwrap()),
        login: Some("erp".into()),
        ..Identities::default()
    });
    session.greet("erp.example.org");
    let domain = if number % 10 == 9 { "elsewhere.test" } else { "example.org" };
    let address = format!("alice@{domain}");
    let sender = Sender::Address { address: &address, qualified: true };
    let mut transaction = engine.begin(&mut session, &sender);
    let to = format!("friend{}@remote.test", number % 7);
    let recipient = Recipient { address: &to, transport: Some("smtp"), fate: Fate::Accepted };
    engine.at_recipient(&mut session, &mut transaction, &recipient, now);
    let (queue_id, from) = (format!("4Zk1aQ{number:08}z"), [address.clone()]);
    let message = Message {
        sender,
        queue_id: Some(&queue_id),
        message_id: Some("1@example.org"),
        from: &from,
        spam: None,
        report: false,
        size: Some(2000),
        host: Some("mx.example.org"),
    };
    engine.at_end(&mut session, transaction, &message, now);
}

type History = Loaded<tally::Image, engine::Filters, engine::Waiting>;

fn write_fixture() {
    let engine = Arc::new(engine());
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), HISTORY_SCHEMA);
    let saved = Saved {
        key: engine.key(),
        connectors: engine.histories(),
        filters: engine.filters(),
        messages: engine.waiting(),
        place: Some(b"a place in the mail log".to_vec()),
        saved_at: START.plus(Duration::from_secs(200_000)),
        muted_until: None,
    };
    let written = store.save(saved).unwrap();
    assert!(written.connectors > 0 && written.messages > 0, "{written:?}");
    let file = fs::File::create(newest()).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    packed.write_all(&fs::read(store.path()).unwrap()).unwrap();
    packed.finish().unwrap();
}

/// A state directory with the newest fixture.
fn unpacked() -> (tempfile::TempDir, Vec<u8>) {
    let mut bytes = Vec::new();
    let packed = fs::read(newest()).unwrap_or_else(|error| {
        panic!("{}: {error}; see tests/fixtures/README.md", newest().display())
    });
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("history"), &bytes).unwrap();
    (folder, bytes)
}

#[test]
fn the_newest_fixture_opens_and_is_the_same_when_it_is_saved_again() {
    if std::env::var_os("CONNGUARD_WRITE_FIXTURES").is_some() {
        write_fixture();
    }
    let (folder, bytes) = unpacked();
    let mut store = Store::open(folder.path(), HISTORY_SCHEMA);
    let loaded: History = store.load();
    let why = "the content of the history changed: see tests/fixtures/README.md";
    assert_eq!(loaded.losses, [""; 0], "{why}");
    assert_eq!(loaded.key, Some(KEY));
    let Loaded { connectors, messages, filters, .. } = loaded;
    let filters = filters.unwrap();

    // The engine knows what it knew.
    let mut engine = Engine::new(Settings::default(), 100, START);
    let memory = engine::Memory { key: KEY, filters: Some(filters.clone()), muted_until: None };
    let now = START.plus(Duration::from_secs(200_000));
    let recalled = engine.recall(Some(memory), connectors.clone(), now);
    assert_eq!((recalled.connectors, recalled.faults), (connectors.len(), vec![]), "{why}");

    let saved = Saved {
        key: KEY,
        connectors: connectors.into_iter(),
        filters,
        messages: messages.into_iter(),
        place: loaded.place,
        saved_at: loaded.saved_at.unwrap(),
        muted_until: loaded.muted_until,
    };
    store.save(saved).unwrap();
    assert!(fs::read(store.path()).unwrap() == bytes, "{why}");
}

#[test]
fn a_history_of_another_content_is_told_of_and_kept() {
    for schema in (1..HISTORY_SCHEMA).chain([HISTORY_SCHEMA + 1]) {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Store::open(folder.path(), schema);
        let saved = Saved {
            key: KEY,
            connectors: [("login:erp".parse().unwrap(), schema)].into_iter(),
            filters: schema,
            messages: [schema].into_iter(),
            place: None,
            saved_at: START,
            muted_until: None,
        };
        other.save(saved).unwrap();
        let bytes = fs::read(other.path()).unwrap();
        let loaded: History = Store::open(folder.path(), HISTORY_SCHEMA).load();
        assert!(loaded.is_empty() && loaded.mute(START).is_some());
        let told = format!("content {schema}; this one reads format 1, content {HISTORY_SCHEMA}");
        assert!(loaded.losses[0].contains(&told), "{:?}", loaded.losses);
        assert_eq!(fs::read(folder.path().join("history.old")).unwrap(), bytes);
    }
}
