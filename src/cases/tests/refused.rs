//! A disk that refuses for a moment, and files that are not ours to replace.

use super::*;
use crate::storage::{memory::Call, refusing::ALWAYS};

/// A restricted case on disk, of which the next start reads the file late.
fn one_case(state: &Path) -> CaseFile {
    let site = start(state, None);
    open(&site.book, 1);
    site.book.update(CaseId(1), |file| {
        file.restricted.insert(erp());
        file.material.external = 7;
    });
    let kept = site.book.get(CaseId(1)).unwrap();
    site.handle.stop().unwrap();
    kept
}

/// A start that reads no file before it runs.
fn start_late(state: &Path, disk: &Refusing) -> Site {
    let mut store = Store::open_on(Arc::new(disk.clone()), state);
    let loaded = store.load_but(&[CaseId(1)].into());
    let book = Arc::new(Book::default());
    book.skip(loaded.newest);
    book.read_later(loaded.unread);
    book.reconcile(&[Arc::new(restriction(CaseId(1)))]);
    let handle = keeper::spawn_with(store, Arc::clone(&book), || NOW, SOON, SOON).unwrap();
    Site { book, handle, loaded: loaded.warnings }
}

fn path(state: &Path) -> PathBuf {
    state.join("cases/C-000001.json")
}

#[test]
fn a_file_that_is_refused_for_a_moment_is_read_later_and_not_replaced() {
    let state = tempfile::tempdir().unwrap();
    let kept = one_case(state.path());
    let bytes = fs::read(path(state.path())).unwrap();
    let disk = Refusing::default();
    disk.refuse(&[Call::Open], 3);
    let site = start_late(state.path(), &disk);
    wait("it is read", || site.book.is_read());
    assert_eq!(site.book.get(CaseId(1)).unwrap().material, kept.material);
    wait("it is well again", || site.handle.status().healthy);
    site.handle.stop().unwrap();
    assert_eq!(fs::read(path(state.path())).unwrap(), bytes);
    assert!(!path(state.path()).with_extension("json.old").exists());
}

#[test]
fn a_file_that_is_refused_is_told_and_then_kept_aside() {
    let state = tempfile::tempdir().unwrap();
    one_case(state.path());
    let bytes = fs::read(path(state.path())).unwrap();
    let disk = Refusing::default();
    disk.refuse(&[Call::Open], ALWAYS);
    let site = start_late(state.path(), &disk);
    // Alerts wait for it, so not for ever.
    wait("it is given up", || site.book.is_read());
    wait("what is known of it is written", || path(state.path()).exists());
    site.handle.stop().unwrap();
    assert_eq!(fs::read(path(state.path()).with_extension("json.old")).unwrap(), bytes);
    disk.refuse(&[], 0);
    let again = start(state.path(), None);
    assert_eq!(again.loaded, [""; 0]);
    assert!(again.book.get(CaseId(1)).unwrap().restricted.contains(&erp()));
}

#[test]
fn a_stop_does_not_wait_for_a_file_that_is_refused() {
    let state = tempfile::tempdir().unwrap();
    one_case(state.path());
    let bytes = fs::read(path(state.path())).unwrap();
    let disk = Refusing::default();
    disk.refuse(&[Call::Open], 2);
    let mut store = Store::open_on(Arc::new(disk.clone()), state.path());
    let loaded = store.load_but(&[CaseId(1)].into());
    let book = Arc::new(Book::default());
    book.read_later(loaded.unread);
    book.reconcile(&[Arc::new(restriction(CaseId(1)))]);
    let long = Duration::from_secs(3600);
    let handle = keeper::spawn_with(store, Arc::clone(&book), || NOW, long, long).unwrap();
    wait("it is refused", || !handle.status().healthy);
    let told = handle.status().error.unwrap();
    assert!(told.contains("C-000001.json") && told.contains("refused"), "{told}");
    book.update(CaseId(1), |file| file.refused += 1);
    let told = handle.stop().unwrap_err().to_string();
    assert!(told.contains("C-000001.json"), "{told}");
    assert_eq!(fs::read(path(state.path())).unwrap(), bytes);
}

#[test]
fn a_folder_that_is_refused_for_a_moment_costs_no_file() {
    let state = tempfile::tempdir().unwrap();
    let kept = one_case(state.path());
    let disk = Refusing::default();
    disk.refuse(&[Call::List], 1);
    let site = start_late(state.path(), &disk);
    assert!(site.loaded[0].contains("cases: List refused"), "{:?}", site.loaded);
    wait("it is read", || site.book.is_read());
    assert_eq!(site.book.get(CaseId(1)).unwrap().material, kept.material);
    // A new case whose number is that of a file that nobody knows of.
    site.handle.stop().unwrap();
    let mut store = Store::open(state.path());
    let before = fs::read(path(state.path())).unwrap();
    store.save(&CaseFile::new(CaseId(1), erp(), NOW)).unwrap();
    assert_eq!(fs::read(path(state.path()).with_extension("json.old")).unwrap(), before);
}

#[test]
fn a_file_of_another_version_is_kept_when_its_case_goes_on() {
    let state = tempfile::tempdir().unwrap();
    one_case(state.path());
    let newer = "{\"version\": 9, \"of\": \"tomorrow\"}";
    fs::write(path(state.path()), newer).unwrap();
    let site = start_late(state.path(), &Refusing::default());
    wait("it is looked at", || site.book.is_read());
    wait("what is known of it is written", || path(state.path()).exists());
    site.handle.stop().unwrap();
    let aside = path(state.path()).with_extension("json.old");
    assert_eq!(fs::read_to_string(aside).unwrap(), newer);
}

/// What a failed sync left is not known: a second one that works proves nothing.
#[test]
fn after_a_failed_sync_cases_are_written_again() {
    for call in [Call::Sync, Call::SyncFolder] {
        let state = tempfile::tempdir().unwrap();
        let disk = Refusing::default();
        let site = start(state.path(), Some(disk.clone()));
        disk.refuse(&[call], 1);
        open(&site.book, 1);
        wait("it is written", || site.handle.status().files == 1);
        wait("it is well", || site.handle.status().healthy);
        site.handle.stop().unwrap();
        assert_eq!(disk.count(Call::Create), 2, "{call:?}");
        assert_eq!(disk.count(call), 2, "{call:?}");
    }
}
