//! A mail log without a file, for the fuzz target of log lines: from bytes to lines,
//! from lines and entries of the journal to the engine.

use super::{
    journal,
    lines::Lines,
    reader::{Moment, Reader},
};
use crate::{engine::Engine, timestamp::Timestamp};
use std::sync::Arc;

/// Who reads lines.
pub struct Log(Reader);

impl Log {
    /// Tells this engine.
    pub fn new(engine: Arc<Engine>, now: Timestamp) -> Self {
        Self(Reader::new(engine, now))
    }

    /// A line of a file.
    pub fn line(&mut self, line: &[u8], now: Timestamp) {
        self.0.line(line, Moment { now, wall: now });
    }

    /// What journalctl writes; whether it is an entry.
    pub fn entry(&mut self, line: &[u8], now: Timestamp) -> bool {
        let Some((_, Some(entry))) = journal::parse(line) else { return false };
        self.0.entry(&entry, Moment { now, wall: now });
        true
    }

    /// Lines so far, those of them that were skipped, and those at which it panicked.
    pub fn counts(&self) -> [u64; 3] {
        let counts = self.0.counts();
        [counts.lines, counts.skipped, counts.panics]
    }
}

/// The lines of a file that comes in these pieces, and what is left at its end.
pub fn lines(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut found, mut lines) = (Vec::new(), Lines::default());
    for piece in pieces {
        lines.feed(piece, &mut |line| found.push(line.to_vec()));
    }
    (found, lines.begun().to_vec())
}
