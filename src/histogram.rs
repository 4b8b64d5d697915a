//! How long something takes, counted by classes of duration, without waiting: what many
//! threads record is summed when it is read.

use crate::stripes::Stripes;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Classes of duration: each is up to and including its bound, the last one is what is
/// longer than all of these.
const CLASSES: usize = 16;
/// Bounds in nanoseconds: 1, 2.5 and 5 of each power of ten, from 2.5 µs to 250 ms ...
const BOUNDS: [u64; CLASSES] = [
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    // ... and what is a fault.
    1_000_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram(Stripes<Counts>);

#[derive(Debug, Default)]
struct Counts {
    classes: [AtomicU64; CLASSES + 1],
    nanos: AtomicU64,
}

/// What a histogram holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Of each class its bound in seconds, and how many are in it alone; the last one
    /// has no bound ([`f64::INFINITY`]).
    pub classes: Vec<(f64, u64)>,
    /// How many were recorded.
    pub count: u64,
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let class = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(CLASSES);
        let counts = self.0.mine();
        if let Some(count) = counts.classes.get(class) {
            count.fetch_add(1, Relaxed);
        }
        counts.nanos.fetch_add(nanos, Relaxed);
    }

    /// What it holds by now.
    pub fn read(&self) -> Reading {
        let bounds = BOUNDS.iter().map(|nanos| Duration::from_nanos(*nanos).as_secs_f64());
        let classes: Vec<_> = bounds
            .chain([f64::INFINITY])
            .enumerate()
            .map(|(at, bound)| {
                let counts = self.0.iter().filter_map(|counts| counts.classes.get(at));
                (bound, counts.map(|count| count.load(Relaxed)).sum())
            })
            .collect();
        let nanos: u64 = self.0.iter().map(|counts| counts.nanos.load(Relaxed)).sum();
        let count = classes.iter().map(|(_, count)| count).sum();
        Reading { classes, count, sum: Duration::from_nanos(nanos).as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_class_up_to_its_bound() {
        let histogram = Histogram::default();
        for nanos in [0, 2_500, 2_501, 1_000_000_000, 1_000_000_001, 3_000_000_000] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let reading = histogram.read();
        let counts: Vec<u64> = reading.classes.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(reading.count, 6);
        assert!((reading.sum - 5.000_005_002).abs() < 1e-9, "{}", reading.sum);
    }
}
