#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]
mod crash;
mod formats;
mod refused;

use super::*;
use crate::{
    case::{Book, MOST_TEXT},
    connector::Entity,
    storage::refusing::Refusing,
};
use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SOON: Duration = Duration::from_millis(5);

fn erp() -> Entity {
    "connector:erp".parse().unwrap()
}

/// A running keeper over an empty or a former folder.
struct Site {
    book: Arc<Book>,
    handle: Handle,
    loaded: Vec<String>,
}

fn start(state: &Path, disk: Option<Refusing>) -> Site {
    let mut store = Store::open(state);
    if let Some(disk) = disk {
        store.storage = Arc::new(disk);
    }
    let book = Arc::new(Book::default());
    let Loaded { files, newest, warnings, .. } = store.load();
    book.restore(files);
    book.skip(newest);
    let handle = keeper::spawn_with(store, Arc::clone(&book), || NOW, SOON, SOON).unwrap();
    Site { book, handle, loaded: warnings }
}

/// Waits for something that another thread does.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a deadline of a test")]
    let (deadline, now) = (Instant::now() + Duration::from_secs(60), Instant::now);
    while !is_so() {
        assert!(now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn open(book: &Book, number: u64) {
    book.begin(CaseId(number), &erp(), NOW);
}

#[test]
fn a_case_survives_a_restart_whatever_a_client_chose() {
    let state = tempfile::tempdir().unwrap();
    let site = start(state.path(), None);
    open(&site.book, 17);
    site.book.update(CaseId(17), |file| {
        file.material.helos.note("\u{1b}[31m\r\n%s \u{202e} ä\0", true);
        file.material.helos.note(&"x".repeat(998), true);
    });
    let expected = site.book.get(CaseId(17)).unwrap();
    site.handle.stop().unwrap();

    let path = state.path().join("cases/C-000017.json");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    assert!(text.starts_with("{\n  \"version\": 1,\n  \"case\": \"C-000017\","), "{text}");

    let site = start(state.path(), None);
    assert_eq!(site.loaded, [""; 0]);
    let found = site.book.get(CaseId(17)).unwrap();
    assert_eq!(found, expected);
    assert_eq!(found.material.helos.counts[1].name.len(), MOST_TEXT);
    assert_eq!(site.handle.status().files, 1);
}

#[test]
fn what_changes_is_written_without_a_stop() {
    let state = tempfile::tempdir().unwrap();
    let site = start(state.path(), None);
    for number in 1..=200 {
        open(&site.book, number);
    }
    wait("all are written", || site.handle.status().files == 200);
    let other = start(state.path(), None);
    assert_eq!(other.book.all().len(), 200);
}

#[test]
fn damage_is_set_aside_and_its_number_not_given_again() {
    let state = tempfile::tempdir().unwrap();
    let site = start(state.path(), None);
    (1..=5).for_each(|number| open(&site.book, number));
    site.handle.stop().unwrap();
    let path = |name: &str| state.path().join("cases").join(name);
    fs::write(path("C-000002.json"), b"{\"version\": 1, \"case\": \"C-0000").unwrap();
    fs::write(path("C-000003.json"), b"\xff\xfe").unwrap();
    fs::copy(path("C-000001.json"), path("C-000004.json")).unwrap();
    fs::write(path("C-000005.json"), b"{\"version\": 9, \"of\": \"tomorrow\"}").unwrap();
    fs::write(path("C-000900.json"), b"").unwrap();
    fs::write(path("C-000001.json.new"), b"half").unwrap();
    fs::write(path("notes.txt"), b"mine").unwrap();

    let site = start(state.path(), None);
    let known: Vec<u64> = site.book.all().iter().map(|file| file.case.0).collect();
    assert_eq!((known, site.book.newest()), (vec![1], Some(CaseId(900))));
    assert_eq!(site.loaded.len(), 5, "{:?}", site.loaded);
    for number in [2, 3, 4, 900] {
        assert!(path(&format!("C-{number:06}.json.damaged")).exists(), "{number}");
    }
    assert!(path("C-000005.json").exists() && path("notes.txt").exists());
    assert!(!path("C-000001.json.new").exists());
    assert!(site.handle.find(CaseId(5)).is_err());
    assert!(site.handle.find(CaseId(2)).unwrap().is_none());
}

#[test]
fn a_full_disk_loses_nothing_that_memory_has() {
    let state = tempfile::tempdir().unwrap();
    let full = Refusing::default();
    let site = start(state.path(), Some(full.clone()));
    open(&site.book, 1);
    wait("the first is written", || site.handle.status().files == 1);
    let path = state.path().join("cases/C-000001.json");
    let before = fs::read(&path).unwrap();
    full.leave_room(Some(0));
    site.book.update(CaseId(1), |file| file.refused = 7);
    (2..100).for_each(|number| open(&site.book, number));
    wait("it is told", || !site.handle.status().healthy);
    assert!(site.handle.status().error.unwrap().contains("cases: "));
    assert_eq!(fs::read(&path).unwrap(), before, "the old one is whole");
    full.leave_room(None);
    wait("all are written", || site.handle.status().files == 99);
    wait("it is well again", || site.handle.status().healthy);
    site.handle.stop().unwrap();
    let names = fs::read_dir(state.path().join("cases")).unwrap().count();
    assert_eq!(names, 99, "nothing half is left");
    assert_eq!(start(state.path(), None).book.get(CaseId(1)).unwrap().refused, 7);
}

#[test]
fn a_stop_does_not_wait_for_a_full_disk() {
    let state = tempfile::tempdir().unwrap();
    let full = Refusing::default();
    full.leave_room(Some(0));
    let site = start(state.path(), Some(full));
    (1..200).for_each(|number| open(&site.book, number));
    assert!(site.handle.stop().is_err());
}

#[test]
fn old_cases_go_and_open_ones_stay() {
    let state = tempfile::tempdir().unwrap();
    let mut store = Store::open(state.path());
    store.load();
    let ago = |days: u64| Timestamp::from_seconds(1_795_000_000 - days * 24 * 3600);
    let closed = |number: u64, closed: Option<Timestamp>| CaseFile {
        closed,
        ..CaseFile::new(CaseId(number), erp(), ago(400))
    };
    store.save(&closed(1, None)).unwrap();
    store.save(&closed(2, Some(ago(90)))).unwrap();
    store.save(&closed(3, Some(ago(89)))).unwrap();
    store.prune(NOW);
    let left = |store: &Store| store.files.keys().map(|case| case.0).collect::<Vec<_>>();
    assert_eq!(left(&store), [1, 3]);
    assert_eq!(Store::open(state.path()).load().files.len(), 2);
    // Too many: the oldest that are over.
    for number in 10..10 + MOST_FILES as u64 {
        store.files.insert(CaseId(number), Some(ago(1)));
    }
    store.prune(NOW);
    assert_eq!(left(&store)[..3], [1, 10, 11]);
    assert_eq!(store.files.len(), MOST_FILES + 1, "and one that is open");
}

#[test]
fn files_that_were_left_for_later_are_read_by_the_thread_and_by_who_asks() {
    let state = tempfile::tempdir().unwrap();
    let site = start(state.path(), None);
    for number in 1..=3 {
        open(&site.book, number);
        site.book.update(CaseId(number), |file| {
            file.restricted.insert(erp());
            file.material.external = number;
        });
    }
    let expected = site.book.get(CaseId(1)).unwrap();
    site.handle.stop().unwrap();
    fs::write(state.path().join("cases/C-000003.json"), "{").unwrap();

    let mut store = Store::open(state.path());
    let loaded = store.load_but(&[1, 2, 3].map(CaseId).into());
    assert!(loaded.files.is_empty() && loaded.warnings.is_empty());
    assert_eq!((loaded.unread.len(), loaded.newest), (3, Some(CaseId(3))));
    let book = Arc::new(Book::default());
    book.read_later(loaded.unread);
    let live = [1, 2, 3].map(|number| Arc::new(restriction(CaseId(number))));
    book.reconcile(&live);
    assert_eq!(book.open_case(&erp()), Some(CaseId(3)));
    let handle = keeper::spawn_with(store, Arc::clone(&book), || NOW, SOON, SOON).unwrap();
    assert_eq!(handle.find(CaseId(1)).unwrap(), Some(expected));
    wait("all are read", || book.is_read());
    assert_eq!(book.get(CaseId(2)).unwrap().material.external, 2);
    // The third is damaged: it begins again with what the journal says.
    assert_eq!(book.get(CaseId(3)).unwrap().steps.len(), 1);
    assert!(state.path().join("cases/C-000003.json.damaged").exists());
    handle.stop().unwrap();
    let again = start(state.path(), None);
    assert_eq!(again.book.get(CaseId(3)).unwrap().steps.len(), 1);
}

fn restriction(case: CaseId) -> crate::record::Restriction {
    crate::record::Restriction {
        entity: erp(),
        case,
        action: crate::verdict::Action::Tempfail,
        scope: crate::verdict::Scope::All,
        since: NOW,
        until: None,
        reject_from: None,
        by: crate::record::Actor::Judgement,
        reason: String::new(),
        mark: false,
        findings: Vec::new(),
        samples: Vec::new(),
        passed_messages: 0,
        passed_recipients: 0,
        keys: Vec::new(),
    }
}
