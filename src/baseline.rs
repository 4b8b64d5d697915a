//! What is usual for an entity: the share of bad trials in its own past.
//!
//! Trials of the present day are pending; at the end of the day they are
//! committed with a factor g (1 for a quiet day, one half for a day with
//! suspicion, 0 for a day with a restriction or mark), and what was committed
//! before fades with a half-life of 30 days:
//!
//!   bad   <- bad   * 2^(-days / 30) + g * pending bad
//!   total <- total * 2^(-days / 30) + g * pending total
//!   usual  = (a + bad) / (b + total)
//!
//! with a prior of a bad ones among b. Nothing is learned at once: what an
//! attacker does today becomes usual tomorrow at the earliest, and not at all
//! if it was noticed.

use crate::halves;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

const HALFLIFE_DAYS: f32 = 30.0;

/// A prior: what is believed before anything was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Bad trials.
    pub bad: f32,
    /// All trials.
    pub total: f32,
}

/// The baseline of one signal.
#[derive(Debug, Default)]
pub struct Baseline {
    /// Two f32 in one word, bad above total, so that they are of one moment.
    committed: AtomicU64,
    pending_bad: AtomicU32,
    pending_total: AtomicU32,
}

impl Baseline {
    /// Counts a trial of the present day.
    pub fn pend(&self, bad: bool) {
        self.pending_total.fetch_add(1, Relaxed);
        if bad {
            self.pending_bad.fetch_add(1, Relaxed);
        }
    }

    /// Ends a day, `days` after the last one that was ended; `share` is g.
    /// Only the thread that won the roll of the day may call this.
    pub fn commit(&self, days: u32, share: f32) {
        let pending_bad = self.pending_bad.swap(0, Relaxed) as f32;
        let pending_total = self.pending_total.swap(0, Relaxed) as f32;
        let (bad, total) = split(self.committed.load(Relaxed));
        let fade = (-(days as f32) / HALFLIFE_DAYS).exp2();
        let word = join(bad * fade + share * pending_bad, total * fade + share * pending_total);
        self.committed.store(word, Relaxed);
    }

    /// The usual share of bad trials, 0 to 1.
    pub fn usual(&self, prior: Prior) -> f32 {
        let (bad, total) = split(self.committed.load(Relaxed));
        (prior.bad + bad) / (prior.total + total)
    }
}

fn split(word: u64) -> (f32, f32) {
    let (bad, total) = halves::split(word);
    (f32::from_bits(bad), f32::from_bits(total))
}

fn join(bad: f32, total: f32) -> u64 {
    halves::join(bad.to_bits(), total.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: Prior = Prior { bad: 0.5, total: 100.0 };

    #[test]
    fn a_day_is_usual_only_once_it_is_over() {
        let baseline = Baseline::default();
        for _ in 0..100 {
            baseline.pend(true);
        }
        assert_eq!(baseline.usual(PRIOR), 0.005);
        baseline.commit(1, 1.0);
        assert_eq!(baseline.usual(PRIOR), 100.5 / 200.0);
        baseline.commit(30, 1.0);
        assert_eq!(baseline.usual(PRIOR), 50.5 / 150.0);
    }

    #[test]
    fn nothing_is_learned_from_a_day_with_a_block() {
        let baseline = Baseline::default();
        baseline.pend(true);
        baseline.commit(1, 0.0);
        assert_eq!(baseline.usual(PRIOR), 0.005);
    }
}
