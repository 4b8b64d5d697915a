//! Segments of the journal.
//!
//! The input is text; each line that begins with `{` is given the checksum that
//! belongs to it, others stay as they are. A line with a form feed begins an older
//! segment.

use super::site::START;
use connguard::{
    connector::Entity,
    journal::fuzz::{self, Read},
    record::{Event, Live, Record, Snapshot, Standing},
    restriction::{self, Table},
    view,
};
use std::collections::HashSet;

/// Segments, the newest first.
pub fn run(data: &[u8]) {
    let segments: Vec<Vec<u8>> = data.split(|byte| *byte == b'\x0c').map(sealed).collect();
    let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).take(3).collect();
    let Some(Read { snapshot, good, .. }) = fuzz::read(&segments) else { return };
    if good == 0 {
        assert!(snapshot.live.is_empty(), "out of nothing: {snapshot:?}");
        return;
    }
    let again = fuzz::read(&segments).map(|read| read.snapshot);
    assert_eq!(again.as_ref(), Some(&snapshot), "read twice");
    named(&snapshot, good, &segments);
    // A table has a thousand parts, so not every time.
    if snapshot.seq % 8 == 1 {
        restored(&snapshot);
    }
    rewritten(&snapshot);
}

fn sealed(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        if bare.first() == Some(&b'{') {
            bytes.extend(fuzz::seal(bare));
        } else {
            bytes.extend_from_slice(line);
        }
    }
    bytes
}

/// What is in force stands in the bytes: nobody else, and no more of it.
fn named(snapshot: &Snapshot, good: usize, segments: &[&[u8]]) {
    assert!(snapshot.live.len() <= good, "more than there are lines");
    let mut seen = HashSet::new();
    for live in &snapshot.live {
        assert!(!live.standing.is_empty(), "nothing is in force for {}", live.entity);
        assert!(seen.insert(&live.entity), "{} twice", live.entity);
        let name = format!("\"{}\"", live.entity);
        // Nearly always in just these letters.
        if segments.iter().any(|bytes| contains(bytes, name.as_bytes())) {
            continue;
        }
        assert!(names(segments).contains(&live.entity), "{} was never named", live.entity);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Every entity that a string of the bytes names.
fn names(segments: &[&[u8]]) -> HashSet<Entity> {
    let mut names = HashSet::new();
    for line in segments.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
        // Of fields that nobody knows the letters are not looked at.
        let line = String::from_utf8_lossy(line);
        for (at, _) in line.match_indices('{') {
            let mut values = serde_json::Deserializer::from_str(&line[at..]).into_iter();
            if let Some(Ok(value)) = values.next() {
                collect(&value, &mut names);
            }
        }
    }
    names
}

fn collect(value: &serde_json::Value, names: &mut HashSet<Entity>) {
    match value {
        serde_json::Value::String(text) => names.extend(text.parse::<Entity>().ok()),
        serde_json::Value::Array(all) => all.iter().for_each(|one| collect(one, names)),
        serde_json::Value::Object(all) => all.values().for_each(|one| collect(one, names)),
        _ => {}
    }
}

/// A table takes it, and gives it back; what is in force can be told.
fn restored(snapshot: &Snapshot) {
    let table = Table::default();
    table.restore(snapshot.clone());
    let sorted = |mut live: Vec<Live>| {
        live.sort_by(|a, b| a.entity.cmp(&b.entity));
        live
    };
    let back = table.snapshot();
    assert_eq!(sorted(back.live), sorted(snapshot.live.clone()), "given back");
    assert!(back.seq >= snapshot.seq && back.next_case >= snapshot.next_case);
    for listed in table.list(START) {
        let Standing { restriction, trust, .. } = &*listed.standing;
        if let Some(restriction) = restriction {
            let _ = view::why(restriction);
        }
        assert!(trust.as_ref().is_none_or(|trust| START < trust.until));
    }
    table.sweep(START);
}

/// Written as a segment and read again it is the same, as a snapshot and as changes.
fn rewritten(snapshot: &Snapshot) {
    let written = fuzz::write(snapshot, &[]).unwrap();
    let read = fuzz::read(&[&written]).unwrap();
    assert!(!read.damaged, "what was written is damaged");
    assert_eq!(read.snapshot, *snapshot, "written and read");
    let records: Vec<Record> = snapshot
        .live
        .iter()
        .filter(|live| live.seq > 0)
        .map(|live| Record {
            seq: live.seq,
            at: START,
            by: connguard::record::Actor::Daemon,
            event: Event::Inherited {
                entity: live.entity.clone(),
                from: live.entity.clone(),
                standing: live.standing.clone(),
            },
        })
        .collect();
    let replayed = restriction::replay(Snapshot::default(), records.clone());
    let written = fuzz::write(&Snapshot { next_case: 1, ..Snapshot::default() }, &records).unwrap();
    assert_eq!(fuzz::read(&[&written]).unwrap().snapshot.live, replayed.live);
}
