//! Messages and refusals over time, in a fixed number of buckets.
//!
//! A bucket begins at a minute's length. When the time is beyond the last of
//! [`MOST`] buckets, each two become one of twice the length, as often as it takes:
//! nothing is lost but resolution, and the sums are exact.

use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Buckets of a timeline.
const MOST: usize = 48;
/// The length of a bucket at the beginning, in seconds.
const FIRST_S: u32 = 60;

/// What came in one span of time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bucket {
    /// Messages that passed.
    pub messages: u32,
    /// Recipients that connguard refused, or that their servers refused.
    pub refused: u32,
}

impl Bucket {
    fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.refused = self.refused.saturating_add(other.refused);
    }
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
    /// Counts at `now`. What is from before the first bucket counts in that one.
    pub fn note(&mut self, messages: u32, refused: u32, now: Timestamp) {
        self.add(Bucket { messages, refused }, now);
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        if other.buckets.is_empty() {
            return;
        }
        let mut later = other.clone();
        if self.buckets.is_empty() || other.start < self.start {
            std::mem::swap(self, &mut later);
        }
        for (at, bucket) in (0..).zip(&later.buckets) {
            if *bucket != Bucket::default() {
                self.add(*bucket, later.begin_of(at));
            }
        }
    }

    /// When the bucket of this number begins.
    pub fn begin_of(&self, bucket: u32) -> Timestamp {
        self.start.plus(Duration::from_secs(u64::from(self.span_s)) * bucket)
    }

    fn add(&mut self, more: Bucket, now: Timestamp) {
        if self.buckets.is_empty() || self.span_s == 0 {
            let minute = u64::from(FIRST_S) * 1000;
            self.start = Timestamp::from_millis(now.as_millis() / minute * minute);
            self.span_s = FIRST_S;
        }
        let at = loop {
            let at = now.since(self.start).as_secs() / u64::from(self.span_s);
            match usize::try_from(at) {
                Ok(at) if at < MOST => break at,
                _ if self.span_s > u32::MAX / 2 => break MOST - 1,
                _ => self.double(),
            }
        };
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, Bucket::default());
        }
        if let Some(bucket) = self.buckets.get_mut(at) {
            bucket.add(more);
        }
    }

    fn double(&mut self) {
        self.span_s = self.span_s.saturating_mul(2);
        let sum = |pair: &[Bucket]| {
            let mut sum = Bucket::default();
            pair.iter().for_each(|bucket| sum.add(*bucket));
            sum
        };
        self.buckets = self.buckets.chunks(2).map(sum).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 1_795_000_000;

    fn sums(timeline: &Timeline) -> (u64, u64) {
        timeline.buckets.iter().fold((0, 0), |(messages, refused), bucket| {
            (messages + u64::from(bucket.messages), refused + u64::from(bucket.refused))
        })
    }

    proptest! {
        #[test]
        fn sums_are_exact_whatever_the_time(
            notes in proptest::collection::vec((0_u32..100, 0_u32..100, 0_u64..400_000_000), 1..200),
            others in proptest::collection::vec((0_u32..100, 0_u32..100, 0_u64..90_000), 0..50),
        ) {
            let (mut timeline, mut other) = (Timeline::default(), Timeline::default());
            for (messages, refused, at) in &notes {
                timeline.note(*messages, *refused, Timestamp::from_seconds(START + at));
            }
            for (messages, refused, at) in &others {
                other.note(*messages, *refused, Timestamp::from_seconds(START + at));
            }
            timeline.merge(&other);
            let sum = |of: fn(&(u32, u32, u64)) -> u32| -> u64 {
                notes.iter().chain(&others).map(|note| u64::from(of(note))).sum()
            };
            prop_assert!(timeline.buckets.len() <= MOST);
            prop_assert_eq!(sums(&timeline), (sum(|note| note.0), sum(|note| note.1)));
        }
    }

    #[test]
    fn a_bucket_is_a_minute_until_they_are_full() {
        let mut timeline = Timeline::default();
        let at = |minutes: u64| Timestamp::from_seconds(START + 60 * minutes);
        for minutes in 0..48 {
            timeline.note(1, 0, at(minutes));
        }
        assert_eq!((timeline.span_s, timeline.buckets.len()), (60, 48));
        timeline.note(0, 5, at(48));
        assert_eq!((timeline.span_s, timeline.buckets.len()), (120, 25));
        assert_eq!(timeline.buckets.last(), Some(&Bucket { messages: 0, refused: 5 }));
        assert_eq!(timeline.buckets.first(), Some(&Bucket { messages: 2, refused: 0 }));
    }
}
