//! The thread that saves.

use super::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(20);

/// Collects one connector more each time, and tells each time that it does.
fn growing(told: mpsc::Sender<u64>) -> impl FnMut() -> Growing + Send + 'static {
    let mut count = 0;
    move || {
        count += 1;
        // Nobody may listen any more.
        let _ = told.send(count);
        Saved {
            key: KEY,
            connectors: connectors(count).into_iter(),
            filters: filters(10),
            messages: std::iter::empty(),
            place: None,
            saved_at: at(count),
            muted_until: None,
        }
    }
}

type Growing =
    Saved<std::vec::IntoIter<(ConnectorKey, Learned)>, Filters, std::iter::Empty<Waiting>>;

#[test]
fn it_saves_once_a_period() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), SCHEMA);
    let (told, collected) = mpsc::channel();
    let handle = spawn(store, Duration::from_millis(1), None, growing(told)).unwrap();
    for expected in 1..=3 {
        assert_eq!(collected.recv_timeout(DEADLINE), Ok(expected));
    }
    // The third is collected: the second is on disk.
    assert!(load(&Store::open(folder.path(), SCHEMA)).connectors.len() >= 2);
    assert!(handle.healthy());
    let status = handle.status();
    assert!(status.saved_at >= Some(at(2)), "{status:?}");
    assert_eq!(status.path, folder.path().join("history"));
}

#[test]
fn it_saves_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), SCHEMA);
    let (told, collected) = mpsc::channel();
    let handle = spawn(store, NEVER, Some(at(0)), growing(told)).unwrap();
    let before = handle.status();
    assert!(before.healthy && before.saved_at == Some(at(0)), "{before:?}");
    handle.stop().unwrap();
    handle.stop().unwrap();
    assert_eq!(handle.status().saved_at, Some(at(1)));
    assert_eq!(handle.status().written.connectors, 1);
    drop(handle);
    assert_eq!(collected.iter().collect::<Vec<_>>(), [1]);
    assert!(load(&Store::open(folder.path(), SCHEMA)).connectors == connectors(1));
}

#[test]
fn it_saves_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (told, collected) = mpsc::channel();
    let store = Store::open(folder.path(), SCHEMA);
    let handle = spawn(store, NEVER, None, growing(told)).unwrap();
    for expected in 1..=2 {
        handle.save_soon();
        assert_eq!(collected.recv_timeout(DEADLINE), Ok(expected));
    }
    // The second is collected: the first is on disk.
    assert_eq!(load(&Store::open(folder.path(), SCHEMA)).connectors.len(), 1);
    handle.stop().unwrap();
    handle.save_soon();
    assert_eq!(collected.iter().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_failed_last_save_is_told_to_who_stops() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("history/in the way")).unwrap();
    let store = Store::open(folder.path(), SCHEMA);
    let handle = spawn(store, NEVER, None, growing(mpsc::channel().0)).unwrap();
    let error = handle.stop().unwrap_err().to_string();
    let expected = format!("history is not saved: {}/history: ", folder.path().display());
    assert!(error.starts_with(&expected), "{error}");
    assert!(!handle.healthy());
}

#[test]
fn a_panic_costs_one_save() {
    let folder = tempfile::tempdir().unwrap();
    let panics = Arc::new(AtomicBool::new(true));
    let (told, collected) = mpsc::channel();
    let mut count = 0;
    let collect = {
        let panics = Arc::clone(&panics);
        move || {
            count += 1;
            let panicking = panics.load(SeqCst);
            told.send(count).unwrap();
            let mut all = connectors(600).into_iter();
            // With blocks of this one already written.
            let connectors = std::iter::from_fn(move || {
                assert!(!panicking || all.len() > 10, "a fault of our own");
                all.next()
            });
            Saved {
                key: KEY,
                connectors,
                filters: filters(1),
                messages: std::iter::empty::<Waiting>(),
                place: None,
                saved_at: at(1),
                muted_until: None,
            }
        }
    };
    let store = Store::open(folder.path(), SCHEMA);
    let handle = spawn(store, Duration::from_millis(1), None, collect).unwrap();
    assert_eq!(collected.recv_timeout(DEADLINE), Ok(1));
    assert_eq!(collected.recv_timeout(DEADLINE), Ok(2));
    assert!(!handle.healthy());
    assert!(!names(folder.path()).contains(&"history".to_owned()));
    panics.store(false, SeqCst);
    handle.stop().unwrap();
    assert!(handle.healthy());
    assert_eq!(names(folder.path()), ["history"]);
}

/// As the daemon does it: what is learned meanwhile is not locked up.
#[test]
fn connectors_are_collected_one_by_one_from_a_map_in_use() {
    type Map = dashmap::DashMap<ConnectorKey, Arc<AtomicU64>>;
    let map: Arc<Map> = Arc::default();
    for (key, _) in connectors(500) {
        map.insert(key, Arc::default());
    }
    let collect = {
        let map = Arc::clone(&map);
        move || {
            let keys: Vec<ConnectorKey> = map.iter().map(|entry| entry.key().clone()).collect();
            let map = Arc::clone(&map);
            let connectors = keys.into_iter().filter_map(move |key| {
                let found = map.get(&key).map(|entry| Arc::clone(entry.value()))?;
                // Whoever holds a lock here would wait for itself.
                map.insert(key.clone(), Arc::clone(&found));
                Some((key, found.load(SeqCst)))
            });
            Saved {
                key: KEY,
                connectors,
                filters: (),
                messages: std::iter::empty::<()>(),
                place: None,
                saved_at: at(1),
                muted_until: None,
            }
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let handle = spawn(Store::open(folder.path(), SCHEMA), NEVER, None, collect).unwrap();
    handle.stop().unwrap();
    let loaded: Loaded<u64, (), ()> = Store::open(folder.path(), SCHEMA).load();
    assert_eq!(loaded.connectors.len(), 500);
}
