#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use crate::storage::memory::Memory;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + second)
}

fn entry(id: &str, channels: &[Channel]) -> Entry {
    Entry {
        alert: Alert {
            id: id.into(),
            kind: AlertKind::Restricted,
            at: at(0),
            entity: None,
            case: Some(CaseId(1)),
            in_reply_to: None,
            subject: format!("subject of {id}"),
            text: "text".into(),
            data: Value::Null,
        },
        covers: Vec::new(),
        troubles: Vec::new(),
        channels: channels.iter().map(|channel| Sent::waiting(*channel)).collect(),
    }
}

fn sent(id: &str, channel: Channel, result: Result<(), &str>) -> Outcome {
    Outcome { id: id.into(), channel, result: result.map_err(str::to_owned), at: at(5) }
}

fn states(outbox: &Outbox) -> Vec<String> {
    let state = |sent: &Sent| format!("{}={}", sent.channel, sent.state);
    let states = |entry: &Entry| entry.channels.iter().map(state).collect::<Vec<_>>().join(" ");
    outbox.entries().map(|entry| format!("{} {}", entry.alert.id, states(entry))).collect()
}

#[test]
fn what_was_sent_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path(), at(0));
    outbox.append(entry("a", &[Channel::Mail, Channel::Webhook]), at(0));
    outbox.append(entry("b", &[Channel::Mail]), at(0));
    outbox.done(&sent("a", Channel::Mail, Ok(())), at(5));
    outbox.done(&sent("b", Channel::Mail, Err("410 Gone")), at(5));
    outbox.note_silent("client:127.0.0.8".into(), at(0), at(5));
    drop(outbox);

    let path = folder.path().join("alerts");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // A crash in the midst of a line.
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"0123abcd {\"alert\":{\"al").unwrap();
    let mut outbox = Outbox::open(folder.path(), at(60));
    assert_eq!(states(&outbox), ["a mail=sent webhook=waiting", "b mail=failed"]);
    assert_eq!(outbox.silent("client:127.0.0.8"), Some(at(0)));
    outbox.append(entry("c", &[]), at(60));
    drop(outbox);
    let outbox = Outbox::open(folder.path(), at(0).plus(KEPT_UP));
    let expected = ["a mail=sent webhook=failed", "b mail=failed", "c "];
    assert_eq!(states(&outbox), expected, "after a day it is given up");
}

/// A thousand texts would take tens of megabytes.
#[test]
fn what_nobody_will_send_any_more_keeps_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path(), at(0));
    outbox.append(entry("logged", &[]), at(0));
    outbox.append(entry("told", &[Channel::Mail, Channel::Webhook]), at(0));
    let texts = |outbox: &Outbox| -> Vec<String> {
        outbox.entries().map(|entry| entry.alert.text.clone()).collect()
    };
    assert_eq!(texts(&outbox), ["", "text"]);
    outbox.done(&sent("told", Channel::Mail, Ok(())), at(5));
    assert_eq!(texts(&outbox), ["", "text"]);
    outbox.done(&sent("told", Channel::Webhook, Err("410 Gone")), at(5));
    assert_eq!(texts(&outbox), ["", ""]);
}

#[test]
fn only_the_newest_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path(), at(0));
    // Without a sync for each.
    outbox.file = None;
    let dropped: usize =
        (0..MOST + 3).map(|n| outbox.append(entry(&n.to_string(), &[]), at(0)).len()).sum();
    assert_eq!((dropped, outbox.entries().count()), (3, MOST));
    outbox.rewrite(at(0));
    let outbox = Outbox::open(folder.path(), at(0));
    assert_eq!(outbox.entries().next().unwrap().alert.id, "3");
}

#[test]
fn a_disk_that_fails_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut outbox = Outbox::open(&state, at(0));
    assert!(outbox.error().is_some(), "there is no such folder");
    outbox.append(entry("a", &[Channel::Mail]), at(0));
    fs::create_dir(&state).unwrap();
    outbox.tend(at(4));
    assert!(outbox.error().is_some());
    outbox.tend(at(5));
    assert_eq!(outbox.error(), None);
    assert_eq!(states(&Outbox::open(&state, at(60))), ["a mail=waiting"]);
    // Somebody removes it.
    fs::remove_dir_all(&state).unwrap();
    outbox.tend(at(60));
    assert!(outbox.error().is_some());
    fs::create_dir(&state).unwrap();
    outbox.tend(at(65));
    assert_eq!(states(&Outbox::open(&state, at(65))), ["a mail=waiting"]);
}

#[test]
fn what_digests_of_very_many_cases_cover_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path(), at(0));
    let cover = |case: usize| Cover {
        case: CaseId(case as u64),
        kind: AlertKind::StillRestricted,
        entity: "connector:erp".parse().unwrap(),
        at: at(0),
    };
    for number in 0..20 {
        let covers = (0..MOST_COVERS / 2).map(cover).collect();
        outbox.append(Entry { covers, ..entry(&number.to_string(), &[]) }, at(0));
        outbox.tend(at(0));
    }
    let covers = |outbox: &Outbox| -> Vec<usize> {
        outbox.entries().map(|entry| 2 * entry.covers.len() / MOST_COVERS).collect()
    };
    assert_eq!(covers(&outbox)[17..], [0, 1, 1]);
    let length = fs::metadata(folder.path().join("alerts")).unwrap().len();
    assert!(length < 1 << 20, "{length}");
    assert_eq!(covers(&Outbox::open(folder.path(), at(1)))[17..], [0, 1, 1]);
}

/// Tells three alerts, of which one is done, restarting in between; gives what is surely on
/// disk: those that were told, and whether the first is done.
fn three_alerts(disk: &Memory) -> (Vec<&'static str>, bool) {
    let folder = Path::new("/state");
    let _ = disk.make_folder(folder);
    let (mut told, mut is_done) = (Vec::new(), false);
    let mut outbox = Outbox::open_on(Box::new(disk.clone()), folder, at(0));
    for (id, second) in [("a", 0), ("b", 1), ("c", 2)] {
        outbox.append(entry(id, &[Channel::Mail]), at(second));
        if outbox.error().is_none() {
            told.push(id);
        }
        if id == "b" {
            outbox.done(&sent("a", Channel::Mail, Ok(())), at(second));
            is_done = outbox.error().is_none();
            outbox = Outbox::open_on(Box::new(disk.clone()), folder, at(second));
        }
    }
    (told, is_done)
}

#[test]
fn whenever_the_power_fails_nothing_that_was_written_is_sent_again() {
    let mut crashes = 0;
    for fails_at in 0.. {
        let disk = Memory::default();
        disk.fail_at(fails_at);
        let (told, is_done) = three_alerts(&disk);
        for torn in disk.tears() {
            crashes += 1;
            let left = disk.crash(torn);
            let outbox = Outbox::open_on(Box::new(left), Path::new("/state"), at(5));
            let states = states(&outbox);
            let known = |id: &&str| states.iter().any(|state| state.starts_with(*id));
            assert!(told.iter().all(known), "{fails_at} {torn:?}: {told:?}, {states:?}");
            let is_known = states.iter().any(|state| state == "a mail=sent");
            assert!(!is_done || is_known, "{fails_at} {torn:?}: {states:?}");
        }
        if !disk.is_down() {
            break;
        }
    }
    assert!(crashes > 100, "{crashes}");
}

#[test]
fn a_link_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "text").unwrap();
    for name in ["alerts", "alerts.new"] {
        symlink(&target, folder.path().join(name)).unwrap();
    }
    let mut outbox = Outbox::open(folder.path(), at(0));
    outbox.append(entry("a", &[]), at(0));
    assert_eq!(outbox.error(), None);
    assert_eq!(fs::read_to_string(&target).unwrap(), "text");
    let old = folder.path().join("alerts.old");
    assert_eq!(fs::read_link(old).unwrap(), target, "what can't be read is kept");
    assert_eq!(states(&Outbox::open(folder.path(), at(1))), ["a "]);
}
