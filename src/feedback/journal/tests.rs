#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use super::*;
use std::{fs, path::Path};
use tempfile::TempDir;

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// A stand-in for journalctl: says what it was asked for, then runs `body`.
fn stand_in(body: &str) -> (TempDir, Program) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journalctl");
    let script =
        format!("#!/bin/sh\ncd {}\necho \"$@\" >> asked\n{body}\n", folder.path().display());
    fs::write(&path, script).unwrap();
    // Not run by itself: another test that forks may have it open for writing.
    let shell = Program { path: "/bin/sh".into(), arguments: vec![path.into()] };
    (folder, shell)
}

fn asked(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("asked")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Polls until `done`, which is asked after each look.
fn poll_until(
    follower: &mut Follower,
    now: Timestamp,
    done: impl Fn(&Follower, &[Entry]) -> bool,
) -> Vec<Entry> {
    let mut found = Vec::new();
    for _ in 0..20_000 {
        follower.poll(now, &mut |entry| found.push(entry));
        if done(follower, &found) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("not done: {follower:?} {found:?}");
}

fn entry(cursor: &str, message: &str) -> String {
    format!(
        r#"{{"__CURSOR":"{cursor}","__REALTIME_TIMESTAMP":"1795000001500000","SYSLOG_IDENTIFIER":"postfix/smtp","MESSAGE":{message}}}"#
    )
}

#[test]
fn entries_are_read_and_the_cursor_is_the_place() {
    let lines = [
        entry("a;1", "\"one\""),
        "no json".to_owned(),
        entry("a;2", "[116,119,111,255]"),
        entry("a;3", "null"),
        entry("a;4", "[\"four\",\"again\"]"),
    ];
    let (folder, program) =
        stand_in(&format!("cat <<'EOF'\n{}\nEOF\nexec cat fifo", lines.join("\n")));
    nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut follower = Follower::new(program.clone(), Place::From(1_795_000_000), START);
    let found = poll_until(&mut follower, START, |_, found| found.len() == 3);
    let texts: Vec<_> = found.iter().map(|entry| &*entry.text).collect();
    assert_eq!(texts, ["one", "two\u{fffd}", "four"]);
    assert_eq!(found[0].tag, "postfix/smtp");
    assert_eq!(found[0].at, Timestamp::from_millis(1_795_000_001_500));
    assert_eq!(follower.place(), &Place::Behind("a;4".into()));
    assert_eq!(follower.take_unread(), 2);
    assert!(follower.trouble().is_none());
    let first = asked(folder.path());
    assert!(first[0].contains("--since=@1795000000") && first[0].ends_with("SYSLOG_FACILITY=2"));
    let place = follower.place().clone();
    drop(follower);
    let mut follower = Follower::new(program, place, START);
    poll_until(&mut follower, START, |_, _| asked(folder.path()).len() == 2);
    assert!(asked(folder.path())[1].contains("--after-cursor=a;4"));
}

#[test]
fn one_that_ends_is_started_again_later_and_later() {
    let (folder, program) = stand_in("echo 'No journal files were found.' >&2; exit 1");
    let mut follower = Follower::new(program, Place::From(0), START);
    poll_until(&mut follower, START, |follower, _| follower.trouble().is_some());
    let (since, why) = follower.trouble().unwrap();
    assert_eq!(since, START);
    assert!(why.contains("exit status: 1") && why.contains("No journal files"), "{why}");
    let mut now = START;
    for (starts, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        let almost = now.plus(Duration::from_millis(wait * 1000 - 1));
        follower.poll(almost, &mut |_| {});
        assert!(!follower.is_running());
        now = now.plus(Duration::from_secs(wait));
        follower.poll(now, &mut |_| {});
        poll_until(&mut follower, now, |follower, _| !follower.is_running());
        assert_eq!(asked(folder.path()).len(), starts + 2);
    }
    assert_eq!(follower.trouble().unwrap().0, START);
}

#[test]
fn an_entry_ends_the_trouble() {
    let line = entry("a;1", "\"one\"");
    let (_folder, program) = stand_in(&format!("test -e again && echo '{line}'; touch again"));
    let mut follower = Follower::new(program, Place::From(0), START);
    poll_until(&mut follower, START, |follower, _| follower.trouble().is_some());
    let later = START.plus(FIRST_WAIT);
    poll_until(&mut follower, later, |follower, found| {
        found.len() == 1 && follower.trouble().is_none()
    });
}

#[test]
fn who_may_not_read_is_told_which_group_may() {
    let hint = "Hint: You are currently not seeing messages from other users and the system.";
    for end in ["exit 1", "exec sleep 60"] {
        let (_folder, program) = stand_in(&format!("echo '{hint}' >&2; {end}"));
        let mut follower = Follower::new(program, Place::From(0), START);
        poll_until(&mut follower, START, |follower, _| follower.trouble().is_some());
        let why = follower.trouble().unwrap().1;
        assert!(why.contains("usermod -aG systemd-journal"), "{why}");
    }
}

#[test]
fn one_that_is_not_there_is_told() {
    let program = Program { path: "/nonexistent/journalctl".into(), arguments: Vec::new() };
    let mut follower = Follower::new(program, Place::From(0), START);
    assert_eq!(follower.poll(START, &mut |_| {}), 0);
    assert!(follower.trouble().unwrap().1.contains("is not there"));
}

#[test]
fn it_ends_with_its_follower() {
    let (folder, program) = stand_in("echo $$ > pid.new; mv pid.new pid; exec sleep 60");
    let mut follower = Follower::new(program, Place::From(0), START);
    let pid = folder.path().join("pid");
    poll_until(&mut follower, START, |_, _| pid.exists());
    let pid = fs::read_to_string(pid).unwrap();
    drop(follower);
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists());
}
