//! The lines of a segment, as the head of [`super`] describes them.

use crate::{
    record::{Event, Live, Record},
    text::clean_json,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    io::{self, Write},
    num::NonZero,
    thread,
};

/// The newest format that is understood, and the one that is written.
pub(super) const VERSION: u32 = 1;

/// A head is never longer, in bytes.
pub(super) const HEAD_BYTES: u64 = 1024;

/// What reaches a disk together, in bytes; or several of these.
const PAGE: usize = 4096;

/// What is shorter is read by one core, in bytes.
const LEAST_PIECE: usize = 1 << 20;
/// More cores than that only wait for the memory.
const MOST_READERS: usize = 8;

/// The first line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Head {
    /// The version of the format.
    pub(super) connguard_journal: u32,
    /// The number in the file's name.
    pub(super) segment: u64,
    /// When the segment was begun.
    pub(super) created: Timestamp,
    /// Every change up to this number is in the live lines.
    pub(super) seq: u64,
    /// The number of the next case.
    pub(super) next_case: u64,
    /// How many live lines follow.
    pub(super) live: usize,
}

/// The other lines, for writing.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line<'a> {
    /// What is in force for one entity.
    Live(&'a Live),
    /// A change.
    Change(&'a Record),
}

/// The other lines, as they are read.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Live(Box<Live>),
    Change(Box<Record>),
}

/// What could be read of a segment.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// The first line, unless it is damaged.
    pub(super) head: Option<Head>,
    /// Live lines.
    pub(super) live: Vec<Live>,
    /// Changes.
    pub(super) records: Vec<Record>,
    /// The numbers of bad lines that have good ones behind them, from 1.
    pub(super) bad: Vec<usize>,
    /// Bytes after the last good line.
    pub(super) torn: usize,
    /// Changes that [`doubt`](Self::doubt) left out.
    pub(super) left_out: usize,
    /// The first bad line of the last batch, if there is one.
    broken: Option<Broken>,
}

/// The first bad line of a batch.
#[derive(Debug)]
struct Broken {
    /// The number of the line.
    line: usize,
    /// Bytes before it.
    at: usize,
    /// Good changes before it.
    records: usize,
    /// It, or one behind it, has a page that never reached the disk.
    has_zeros: bool,
}

impl Segment {
    /// Whether nothing of the snapshot is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.live == self.live.len())
    }

    /// Whether something is missing that a crash does not explain.
    pub(super) fn is_damaged(&self) -> bool {
        !self.bad.is_empty() || !self.is_whole()
    }
}

/// The version of a segment that is too new.
#[derive(Debug)]
pub(super) struct Newer(pub(super) u32);

/// Appends `value` to `out` as one line, the first of its batch.
pub(super) fn write_line(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    put(out, &clean_json(&json))
}

/// The same for a line that is not the first of its batch.
pub(super) fn write_next_line(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    put(out, &format!("{} ", clean_json(&json)))
}

fn put(out: &mut Vec<u8>, json: &str) -> io::Result<()> {
    write!(out, "{:08x} ", crc32c::crc32c(json.as_bytes()))?;
    out.extend_from_slice(json.as_bytes());
    out.push(b'\n');
    Ok(())
}

/// Reads a segment, leaving out what is bad.
pub(super) fn parse(bytes: &[u8]) -> Result<Segment, Newer> {
    let mut segment = Segment::default();
    let mut bad = Vec::new();
    let (mut torn, mut at) = (0, 0);
    for (index, (line, entry)) in decoded(bytes).into_iter().flatten().enumerate() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let good = if index == 0 { segment.first_line(text)? } else { segment.take(text, entry) };
        if !good {
            let records = segment.records.len();
            let new = Broken { line: index + 1, at, records, has_zeros: false };
            segment.broken.get_or_insert(new).has_zeros |= has_missing_page(line, at, bytes.len());
            bad.push(index + 1);
            torn += line.len();
        }
        // A crash cuts off before the line feed. A bad line that has one was
        // whole once: that is damage, wherever it stands.
        if !good && line.ends_with(b"\n") {
            segment.bad.append(&mut bad);
            torn = 0;
        }
        if good || segment.two_in_one(text) {
            // A line that was rescued from a bad one leaves that one bad.
            segment.bad.append(&mut bad);
            torn = 0;
        }
        at += line.len();
    }
    segment.torn = torn;
    Ok(segment)
}

/// Whether a page of a line that begins `at` this byte was never written: its zeros go on
/// to its end.
fn has_missing_page(line: &[u8], at: usize, length: usize) -> bool {
    let ends = |behind: usize| behind.is_multiple_of(PAGE) || behind == length;
    line.iter().zip(at + 1..).any(|(byte, behind)| *byte == 0 && ends(behind))
}

fn without_exemptions(records: Vec<Record>) -> Vec<Record> {
    let mut unknown = HashSet::new();
    let mut is_known = |record: &Record| match &record.event {
        Event::Trusted { entity, .. } | Event::Untrusted { entity, .. } => {
            unknown.insert(entity.clone());
            false
        }
        Event::Lifted { entity, .. } => !unknown.contains(entity),
        Event::Usual { .. } => true,
        whole @ (Event::Restricted(_) | Event::Inherited { .. } | Event::Moved { .. }) => {
            unknown.remove(whole.entity());
            true
        }
    };
    records.into_iter().filter(|record| is_known(record)).collect()
}

/// The head at the start of a segment, where it is good.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(payload(line)?).ok()
}

impl Segment {
    /// Leaves out what can't be relied on where this is the newest segment: of its last
    /// batch, what stands behind a bad line. `length` is that of the file.
    ///
    /// Where a page is missing, a crash came before the sync, and nothing of it was
    /// told. Else it may have been told and damaged later: then only exemptions are left
    /// out, and what builds on them, since the line that is missing may have been of the
    /// same entity. All other changes tell what is in force since.
    pub(super) fn doubt(&mut self, length: usize) {
        let Some(Broken { line, at, records, has_zeros }) = self.broken.take() else { return };
        let before = self.records.len();
        if has_zeros {
            self.records.truncate(records);
            self.bad.retain(|bad| *bad < line);
            self.torn = length.saturating_sub(at);
        } else {
            let doubtful = self.records.split_off(records);
            self.records.extend(without_exemptions(doubtful));
        }
        self.left_out = before - self.records.len();
    }

    fn first_line(&mut self, text: &[u8]) -> Result<bool, Newer> {
        #[derive(Deserialize)]
        struct Version {
            connguard_journal: u32,
        }
        let Some(json) = payload(text) else {
            return Ok(false);
        };
        if let Ok(Version { connguard_journal }) = serde_json::from_slice(json)
            && VERSION < connguard_journal
        {
            return Err(Newer(connguard_journal));
        }
        self.head = serde_json::from_slice(json).ok();
        Ok(self.head.is_some())
    }

    /// Takes in what a line says, if it is good.
    fn take(&mut self, text: &[u8], entry: Option<Entry>) -> bool {
        if entry.is_some() && !text.ends_with(b" ") {
            // Another batch: whatever is bad before it was on the disk once.
            self.broken = None;
        }
        match entry {
            Some(Entry::Live(live)) => self.live.push(*live),
            Some(Entry::Change(record)) => self.records.push(*record),
            None => return false,
        }
        true
    }

    fn line(&mut self, text: &[u8]) -> bool {
        self.take(text, entry(text))
    }

    /// Reads what is good of a bad line in which a line feed was overwritten,
    /// so that it is two lines.
    fn two_in_one(&mut self, text: &[u8]) -> bool {
        let begins = |window: &[u8]| {
            window
                .split_at_checked(8)
                .is_some_and(|(sum, rest)| rest == b" {" && sum.iter().all(u8::is_ascii_hexdigit))
        };
        let mut found = false;
        for (at, window) in text.windows(10).enumerate().skip(1) {
            if begins(window) {
                let (first, second) = text.split_at(at);
                found |= first.split_last().is_some_and(|(_, it)| self.line(it));
                found |= self.line(second);
            }
        }
        found
    }
}

/// All lines with what they say, in pieces one after the other. Each core reads a
/// piece: a hundred thousand restrictions are most of what a start has to do.
fn decoded(bytes: &[u8]) -> Vec<Vec<(&[u8], Option<Entry>)>> {
    let decode = |piece| {
        let lines = <[u8]>::split_inclusive(piece, |byte| *byte == b'\n');
        let text = |line| <[u8]>::strip_suffix(line, b"\n").unwrap_or(line);
        lines.map(|line| (line, entry(text(line)))).collect()
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_READERS);
    if bytes.len() < LEAST_PIECE || cores == 1 {
        return vec![decode(bytes)];
    }
    thread::scope(|scope| {
        let readers: Vec<_> = pieces(bytes, bytes.len().div_ceil(cores))
            .into_iter()
            .map(|piece| (piece, scope.spawn(move || decode(piece))))
            .collect();
        // A reader that panics did so on a line that would do it again here.
        readers.into_iter().map(|(piece, it)| it.join().unwrap_or_else(|_| decode(piece))).collect()
    })
}

/// Cuts after the first line end from each `length` on.
fn pieces(mut bytes: &[u8], length: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (_, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (piece, rest) =
            bytes.split_at_checked(bytes.len() - rest.len() + end).unwrap_or((bytes, &[]));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// What a line says, if it is whole.
fn entry(text: &[u8]) -> Option<Entry> {
    serde_json::from_slice(payload(text)?).ok()
}

/// The JSON of a line whose checksum is right.
fn payload(line: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == crc32c::crc32c(json)).then_some(json)
}
