//! Signals: what is observed of an entity, each a sequential test.
//!
//! A signal compares two beliefs about its trials: bad ones come at the share
//! p0 that is usual for this entity, or at the share p1 of one that was taken
//! over. A trial adds the logarithm of the likelihood ratio to the score
//! (Wald's sequential probability ratio test, kept at or above 0 as in Page's
//! CUSUM):
//!
//!   bad: ln(p1 / p0)      good: ln((1 - p1) / (1 - p0))
//!   p0 = min(pmax, max(floor, m * usual))
//!
//! **To add a signal without memory of its own**: a file here with its p1 and
//! its trial, its name in `record::SignalName`, its [`Shape`] in a constant,
//! and its score in `judge::fuse`.

pub mod unregistered;

use crate::{
    baseline::{Baseline, Prior},
    record::{Finding, SignalName},
    score::Score,
    timestamp::Timestamp,
};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The constants of a signal; units are nats, seconds and shares.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub name: SignalName,
    /// Belief before anything was seen.
    pub prior: Prior,
    /// Smallest p0.
    pub floor: f32,
    /// m: p0 is this many times what is usual.
    pub times_usual: f32,
    /// Largest p0.
    pub p0_max: f32,
    /// Half-life of the score in seconds.
    pub halflife_s: f32,
    /// Cap of the score while the evidence is weak: suspicious at the most.
    pub weak_cap: f32,
    /// Cap once it is strong: compromised by this signal alone.
    pub strong_cap: f32,
}

impl Shape {
    /// p0, the share of bad trials to be expected of an honest entity.
    pub fn p0(&self, usual: f32) -> f32 {
        (self.times_usual * usual).max(self.floor).min(self.p0_max)
    }
}

/// The weight of a trial in nats.
pub fn weight(bad: bool, p0: f32, p1: f32) -> f32 {
    if bad { (p1 / p0).ln() } else { ((1.0 - p1) / (1.0 - p0)).ln() }
}

/// The score of one signal of one entity with what is needed to explain it.
#[derive(Debug, Default)]
pub struct Ledger {
    score: Score,
    baseline: Baseline,
    /// Bad trials, all trials, and the second of the first one, since the
    /// score left zero.
    bad: AtomicU32,
    of: AtomicU32,
    since: AtomicU32,
}

/// What a trial did to a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// The score before, decayed to the present.
    pub before: f32,
    /// The score after.
    pub after: f32,
}

impl Ledger {
    /// The share of bad trials that is usual.
    pub fn usual(&self, shape: &Shape) -> f32 {
        self.baseline.usual(shape.prior)
    }

    /// One trial of `delta` nats under `cap`. Counts are kept while the score
    /// is above zero; threads that leave and reach zero at the same moment
    /// may miscount what is shown, never the score.
    pub fn trial(&self, shape: &Shape, bad: bool, delta: f32, cap: f32, now: Timestamp) -> Moved {
        self.baseline.pend(bad);
        let (before, after) = self.score.add(delta, shape.halflife_s, cap, now);
        if after <= 0.0 {
            self.forget_counts();
        } else {
            if self.of.fetch_add(1, Relaxed) == 0 {
                self.since.store(now.as_seconds(), Relaxed);
            }
            if bad {
                self.bad.fetch_add(1, Relaxed);
            }
        }
        Moved { before, after }
    }

    /// The score at `now`.
    pub fn score(&self, shape: &Shape, now: Timestamp) -> f32 {
        self.score.get(shape.halflife_s, now)
    }

    /// The score made readable; nothing while it is zero.
    pub fn finding(
        &self,
        shape: &Shape,
        distinct: u32,
        limit: f32,
        now: Timestamp,
    ) -> Option<Finding> {
        let score = self.score(shape, now);
        (score > 0.0).then(|| Finding {
            signal: shape.name,
            score,
            limit,
            bad: self.bad.load(Relaxed),
            of: self.of.load(Relaxed),
            distinct,
            usual: self.usual(shape),
            since: Timestamp::from_seconds(self.since.load(Relaxed).into()),
        })
    }

    /// Evidence starts again from zero.
    pub fn reset(&self) {
        self.score.reset();
        self.forget_counts();
    }

    /// Ends a day: see [`Baseline::commit`].
    pub fn commit(&self, days: u32, share: f32) {
        self.baseline.commit(days, share);
    }

    fn forget_counts(&self) {
        self.bad.store(0, Relaxed);
        self.of.store(0, Relaxed);
    }
}
