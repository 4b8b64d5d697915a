//! The folder, its lock and its permissions.

use super::*;
use crate::storage::{
    memory::Call,
    refusing::{ALWAYS, Refusing},
};
use std::os::unix::fs::PermissionsExt;

#[test]
fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("new/state");
    let daemon = Daemon::start(&state);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("lock")), 0o600);
    assert_eq!(mode(&daemon.handle.status().path), 0o600);
}

#[test]
fn a_second_daemon_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let error = Journal::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
    daemon.handle.stop().unwrap();
    assert!(Journal::open(folder.path()).is_ok());
}

#[test]
fn what_was_not_finished_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("journal-000001.tmp"), "half").unwrap();
    fs::write(folder.path().join("journal-000009.tmp"), "half").unwrap();
    let daemon = Daemon::start(folder.path());
    daemon.durable(restrict(&daemon.table, 1)).unwrap();
    assert!(!folder.path().join("journal-000009.tmp").exists());
    assert_eq!(after_crash(folder.path()).0.len(), 1);
}

#[test]
fn the_newest_segment_is_known_before_there_is_a_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    (0..3).for_each(|n| drop(daemon.durable(restrict(&daemon.table, n))));
    daemon.handle.stop().unwrap();
    let before = daemon.handle.status();
    assert_eq!(before.records, 3);
    // The disk refuses the next segment: the one before is what there is.
    let disk = Refusing::default();
    disk.refuse(&[Call::Create], ALWAYS);
    let setting = Setting { storage: Arc::new(disk), ..Setting::default() };
    let daemon = setting.start(folder.path());
    let status = daemon.handle.status();
    assert_eq!((status.path, status.records), (before.path.clone(), 3));
    assert_eq!(status.bytes, fs::metadata(before.path).unwrap().len());
}

#[test]
fn numbers_of_cases_go_on_after_a_stop_and_further_on_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    // A suspicion, of which no change tells.
    let first = daemon.table.case_for(&client(1), at(1));
    daemon.handle.stop().unwrap();
    let daemon = Daemon::start(folder.path());
    let second = daemon.table.case_for(&client(2), at(1));
    assert_eq!((first, second), (CaseId(1), CaseId(2)));
    // As it is found after a crash.
    let copy = tempfile::tempdir().unwrap();
    for name in ["journal-000002.log", "next-case"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    let daemon = Daemon::start(copy.path());
    let third = daemon.table.case_for(&client(3), at(1));
    assert!(second < third && third.0 < 2000, "{third}");
}
