//! The bytes of segments without a disk, for the fuzz target of the journal.

use super::{
    format::{self, Head, Line, VERSION},
    recovery,
};
use crate::{
    record::{Record, Snapshot},
    timestamp::Timestamp,
};
use std::io;

/// What was read of segments.
#[derive(Debug)]
pub struct Read {
    /// What they say together.
    pub snapshot: Snapshot,
    /// Lines that are good, but for heads.
    pub good: usize,
    /// Whether something is missing that a crash does not explain.
    pub damaged: bool,
}

/// Reads segments, the newest first, as a start does; nothing where a later version
/// wrote the newest.
pub fn read(segments: &[&[u8]]) -> Option<Read> {
    let (mut parts, mut good, mut damaged) = (Vec::new(), 0, false);
    for bytes in segments {
        let Ok(mut segment) = format::parse(bytes) else {
            if parts.is_empty() {
                return None;
            }
            continue;
        };
        if parts.is_empty() {
            segment.doubt(bytes.len());
        }
        good += segment.live.len() + segment.records.len();
        damaged |= segment.is_damaged();
        let whole = segment.is_whole();
        parts.push(segment);
        if whole {
            break;
        }
    }
    Some(Read { snapshot: recovery::merge(parts), good, damaged })
}

/// A segment with this snapshot and these changes.
///
/// # Errors
/// Where something can't be encoded.
pub fn write(snapshot: &Snapshot, records: &[Record]) -> io::Result<Vec<u8>> {
    let head = Head {
        connguard_journal: VERSION,
        segment: 1,
        created: Timestamp::default(),
        seq: snapshot.seq,
        next_case: snapshot.next_case,
        live: snapshot.live.len(),
    };
    let mut bytes = Vec::new();
    format::write_line(&mut bytes, &head)?;
    let live = snapshot.live.iter().map(Line::Live);
    for line in live.chain(records.iter().map(Line::Change)) {
        format::write_line(&mut bytes, &line)?;
    }
    Ok(bytes)
}

/// A line with this JSON and the checksum that belongs to it.
pub fn seal(json: &[u8]) -> Vec<u8> {
    [format!("{:08x} ", crc32c::crc32c(json)).as_bytes(), json, b"\n"].concat()
}
