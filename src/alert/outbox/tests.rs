#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use std::os::unix::fs::PermissionsExt;

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
