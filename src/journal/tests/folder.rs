//! The folder, its lock and its permissions.

use super::*;
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
fn a_folder_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = Journal::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
        assert!(error.contains("chmod go-w"), "{error}");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Journal::open(folder.path()).is_ok());
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
