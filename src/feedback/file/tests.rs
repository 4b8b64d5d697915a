#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod model;

use super::*;
use std::{
    fs::File,
    io::Write,
    os::unix::fs::{FileExt, PermissionsExt},
};
use tempfile::TempDir;

fn at_second(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + second)
}

/// A folder with a log, and somebody who follows it.
struct World {
    folder: TempDir,
    follower: Follower,
    now: u64,
}

impl World {
    fn new(before: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mail.log"), before).unwrap();
        let follower = Follower::begin(&folder.path().join("mail.log"), at_second(0));
        Self { folder, follower, now: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn restart(&mut self) {
        let bytes = postcard::to_stdvec(&self.follower.place()).unwrap();
        let place: Place = postcard::from_bytes(&bytes).unwrap();
        self.follower = Follower::resume(&place, at_second(self.now));
    }

    fn poll(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut line = |line: &[u8]| found.push(String::from_utf8(line.to_vec()).unwrap());
        while self.follower.poll(at_second(self.now), &mut line) > 0 {}
        found
    }

    #[track_caller]
    fn reads(&mut self, expected: &[&str]) {
        assert_eq!(self.poll(), expected);
    }
}

#[test]
fn a_first_start_begins_at_the_last_line_end() {
    let mut world = World::new("old\nhalf of a ");
    world.reads(&[]);
    world.append("mail.log", "line\nnew\n");
    world.reads(&["half of a line", "new"]);
    world.append("mail.log", "ne");
    world.reads(&[]);
    world.append("mail.log", "xt\n");
    world.reads(&["next"]);
    world.reads(&[]);
}

#[test]
fn a_file_that_is_not_there_yet_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let follower = Follower::begin(&folder.path().join("mail.log"), at_second(0));
    let mut world = World { folder, follower, now: 3 };
    world.reads(&[]);
    let (since, error) = world.follower.trouble().unwrap();
    assert_eq!((since, error.kind()), (at_second(0), io::ErrorKind::NotFound));
    world.restart();
    world.append("mail.log", "one\n");
    world.reads(&["one"]);
    assert!(world.follower.trouble().is_none());
}

#[test]
fn a_log_that_is_rotated_while_it_is_behind_loses_nothing() {
    let mut world = World::new("");
    // More than one look reads.
    let line = format!("{}\n", "x".repeat(1023));
    let much = line.repeat(10 * 1024);
    let mut lines = 0;
    for file in 0..10 {
        world.append("mail.log", &much);
        world.follower.poll(at_second(0), &mut |_| lines += 1);
        world.rename("mail.log", &format!("mail.log.{file}"));
        world.append("mail.log", "");
    }
    assert_eq!(lines + world.poll().len(), 10 * 10 * 1024);
    assert_eq!(world.follower.take_news(), Vec::<String>::new());
}

#[test]
fn a_renamed_file_is_read_while_it_is_still_written_to() {
    let mut world = World::new("");
    world.append("mail.log", "1\n");
    world.rename("mail.log", "mail.log.1");
    world.append("mail.log.1", "2\nhal");
    world.append("mail.log", "4\n");
    world.reads(&["1", "2", "4"]);
    world.append("mail.log.1", "f\n");
    world.append("mail.log", "5\n");
    world.reads(&["half", "5"]);
    // Compressed and removed: what was written to it last is still there.
    world.append("mail.log.1", "late\n");
    fs::remove_file(world.path("mail.log.1")).unwrap();
    world.reads(&["late"]);
    world.now += 121;
    world.reads(&[]);
    assert!(world.follower.old.is_empty());
    world.append("mail.log", "6\n");
    world.reads(&["6"]);
}

#[test]
fn between_two_names_the_old_file_is_read_on() {
    let mut world = World::new("");
    world.rename("mail.log", "mail.log.1");
    world.append("mail.log.1", "1\n");
    world.reads(&["1"]);
    world.now += 30;
    world.reads(&[]);
    assert_eq!(world.follower.trouble().unwrap().0, at_second(0));
    world.append("mail.log", "2\n");
    world.append("mail.log.1", "late\n");
    world.reads(&["late", "2"]);
    assert!(world.follower.trouble().is_none());
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    let mut world = World::new("before\n");
    world.append("mail.log", "one\n");
    world.reads(&["one"]);
    fs::write(world.path("mail.log"), "").unwrap();
    world.reads(&[]);
    world.append("mail.log", "two\n");
    world.reads(&["two"]);
    assert_eq!(world.follower.take_news().len(), 1);
    // Between two looks, and grown beyond the old place.
    fs::write(world.path("mail.log"), "three\nand some more\nha").unwrap();
    world.reads(&["three", "and some more"]);
    // Half a line is what was read last.
    fs::write(world.path("mail.log"), "").unwrap();
    world.append("mail.log", "x");
    world.reads(&[]);
    fs::write(world.path("mail.log"), "yz\n").unwrap();
    world.reads(&["yz"]);
    // While nobody looked, by somebody who goes on at the old place.
    let file = File::options().write(true).open(world.path("mail.log")).unwrap();
    world.restart();
    file.set_len(0).unwrap();
    file.write_at(b"behind NULs\n", 3000).unwrap();
    world.reads(&["behind NULs"]);
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_a_new_one() {
    let mut world = World::new("");
    world.append("mail.log", "1\n");
    fs::remove_file(world.path("mail.log")).unwrap();
    world.append("mail.log", "2\n");
    world.reads(&["1", "2"]);
    // While nobody looked; it may well get the same inode.
    world.restart();
    fs::remove_file(world.path("mail.log")).unwrap();
    world.append("mail.log", "3, which is longer\n");
    world.restart();
    world.reads(&["3, which is longer"]);
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let mut world = World::new("before\n");
    world.append("mail.log", "1\nhal");
    world.reads(&["1"]);
    world.restart();
    world.append("mail.log", "f\n2\n");
    world.restart();
    world.reads(&["half", "2"]);
    assert_eq!(world.follower.take_news(), Vec::<String>::new());
}

#[test]
fn a_file_that_was_rotated_while_nobody_looked_is_finished_first() {
    for name in ["mail.log.1", "mail.log-20261122", "kept"] {
        let mut world = World::new("before\n");
        world.append("mail.log", "1\n");
        world.reads(&["1"]);
        world.append("mail.log", "2\n");
        world.rename("mail.log", name);
        world.append("mail.log", "4\n");
        world.append(name, "3\n");
        world.restart();
        world.reads(&["2", "3", "4"]);
        world.restart();
        world.append(name, "late\n");
        world.append("mail.log", "5\n");
        world.reads(&["late", "5"]);
        assert_eq!(world.follower.take_news(), Vec::<String>::new());
    }
}

#[test]
fn an_old_file_that_is_gone_is_told() {
    let mut world = World::new("before\n");
    world.append("mail.log", "1\n");
    world.reads(&["1"]);
    world.append("mail.log", "2\n");
    // As gzip does: another file.
    fs::write(world.path("mail.log.1.gz"), "compressed").unwrap();
    world.append("new", "3\n");
    let place = world.follower.place();
    world.rename("new", "mail.log");
    world.follower = Follower::begin(&world.path("nowhere"), at_second(0));
    world.follower = Follower::resume(&place, at_second(0));
    world.reads(&["3"]);
    let news = world.follower.take_news();
    assert!(news[0].contains("gone or compressed"), "{news:?}");
}

#[test]
fn what_is_no_file_is_not_followed() {
    let world = World::new("");
    fs::create_dir(world.path("folder")).unwrap();
    for path in [world.path("folder"), "/dev/null".into(), world.path("mail.log/x")] {
        let follower = Follower::begin(&path, at_second(0));
        assert!(follower.trouble().is_some(), "{path:?}");
    }
}

#[test]
fn a_file_that_may_not_be_read_at_first_is_read_from_its_end() {
    let mut world = World::new("old\n");
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(world.path("mail.log"), mode(0)).unwrap();
    if open(&world.path("mail.log")).is_ok() {
        // Root may read everything.
        return;
    }
    world.follower = Follower::begin(&world.path("mail.log"), at_second(0));
    world.reads(&[]);
    fs::set_permissions(world.path("mail.log"), mode(0o600)).unwrap();
    world.reads(&[]);
    world.append("mail.log", "new\n");
    world.reads(&["new"]);
}
