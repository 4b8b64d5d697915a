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
//! if it was noticed. Only an operator can declare a day to be usual.

use crate::{halves, signal::Prior};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const HALFLIFE_DAYS: f32 = 30.0;
/// A declared day weighs at least so many times the prior.
const DECLARED: f32 = 2.0;

/// The baseline of one signal: pairs of f32 in one word each, bad above total,
/// so that both are of one moment. A trial may count as a part of one.
#[derive(Debug, Default)]
pub struct Baseline {
    committed: AtomicU64,
    pending: AtomicU64,
}

impl Baseline {
    /// Counts a trial of the present day as `share` of one.
    pub fn pend(&self, bad: bool, share: f32) {
        let _ = self.pending.fetch_update(Relaxed, Relaxed, |word| {
            let (bads, total) = split(word);
            Some(join(if bad { bads + share } else { bads }, total + share))
        });
    }

    /// Ends a day, `days` after the last one that was ended; `share` is g.
    /// Each day is to be ended once.
    pub fn commit(&self, days: u32, share: f32) {
        let (pending_bad, pending_total) = split(self.pending.swap(0, Relaxed));
        let fade = (-(days as f32) / HALFLIFE_DAYS).exp2();
        // An operator may declare the day usual at the moment in which it ends.
        let _ = self.committed.fetch_update(Relaxed, Relaxed, |word| {
            let (bad, total) = split(word);
            Some(join(bad * fade + share * pending_bad, total * fade + share * pending_total))
        });
    }

    /// What came today is usual, said somebody who knows: it is committed at
    /// once, with a weight that the prior can't outvote.
    pub fn declare(&self, prior: Prior) {
        let (_, total) = split(self.pending.load(Relaxed));
        if total > 0.0 {
            self.commit(0, (DECLARED * prior.total / total).max(1.0));
        }
    }

    /// The usual share of bad trials, 0 to 1.
    pub fn usual(&self, prior: Prior) -> f32 {
        let (bad, total) = split(self.committed.load(Relaxed));
        (prior.bad + bad) / (prior.total + total)
    }

    /// Committed trials.
    pub fn total(&self) -> f32 {
        split(self.committed.load(Relaxed)).1
    }

    /// The same share is usual, and nothing is pending.
    pub fn afresh(&self) -> Self {
        Self { committed: self.committed.load(Relaxed).into(), ..Self::default() }
    }

    /// What is kept across a restart: committed and pending.
    pub fn words(&self) -> (u64, u64) {
        (self.committed.load(Relaxed), self.pending.load(Relaxed))
    }

    /// The baseline of kept words; what can't be counts as nothing.
    pub fn of_words(committed: u64, pending: u64) -> Self {
        let sound = |word: u64| {
            let (bad, total) = split(word);
            let sound = total.is_finite() && (0.0..=total).contains(&bad);
            AtomicU64::new(if sound { word } else { 0 })
        };
        Self { committed: sound(committed), pending: sound(pending) }
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
            baseline.pend(true, 1.0);
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
        baseline.pend(true, 1.0);
        baseline.commit(1, 0.0);
        assert_eq!(baseline.usual(PRIOR), 0.005);
    }

    #[test]
    fn a_declared_day_outvotes_the_prior() {
        let baseline = Baseline::default();
        for bad in [true, true, true, false] {
            baseline.pend(bad, 1.0);
        }
        baseline.declare(PRIOR);
        assert!(baseline.usual(PRIOR) > 0.5);
        baseline.declare(PRIOR);
        assert!(baseline.usual(PRIOR) > 0.5, "and nothing happens without new trials");
    }

    #[test]
    fn damaged_words_are_nothing() {
        for word in [join(2.0, 1.0), join(f32::NAN, 1.0), join(1.0, f32::INFINITY)] {
            assert_eq!(Baseline::of_words(word, word).words(), (0, 0));
        }
        let word = join(1.0, 2.0);
        assert_eq!(Baseline::of_words(word, 0).words(), (word, 0));
    }
}
