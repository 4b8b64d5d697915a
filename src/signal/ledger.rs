//! A sequential test with its own history, and with what is needed to explain
//! it.

use super::Shape;
use crate::{
    baseline::Baseline,
    halves::{join, split},
    record::Finding,
    score::Score,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The score and the baseline of one signal of one entity.
#[derive(Debug, Default)]
pub struct Ledger {
    score: Score,
    baseline: Baseline,
    /// Bad trials (upper half) and all trials (lower half) since the score left
    /// zero.
    counts: AtomicU64,
    /// The second of the first of them.
    since: AtomicU32,
    /// How many different ones the bad trials are of since the score left zero,
    /// where a signal tells them apart: it counts and forgets them itself. (It
    /// stands here because the room behind `since` would be lost: 16 octets of a
    /// connector.)
    pub(super) distinct: AtomicU32,
}

/// What is kept of a ledger across a restart.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Image {
    score: u64,
    committed: u64,
    pending: u64,
    bad: u32,
    of: u32,
    since: u32,
}

impl Ledger {
    /// The share of bad trials that is usual.
    pub fn usual(&self, shape: &Shape) -> f32 {
        self.baseline.usual(shape.prior)
    }

    /// One whole trial under `cap`; gives the score after it.
    pub fn trial(&self, shape: &Shape, bad: bool, cap: f32, now: Timestamp) -> f32 {
        self.weighted(shape, bad, 1.0, cap, now)
    }

    /// The same with so many times its weight.
    pub fn weighted(&self, shape: &Shape, bad: bool, times: f32, cap: f32, now: Timestamp) -> f32 {
        if !bad && self.is_at_rest() {
            self.pend(false, 1.0);
            return 0.0;
        }
        let delta = times * shape.weight(bad, self.usual(shape));
        self.weigh(shape, bad, 1.0, delta, cap, now)
    }

    /// One trial that adds `delta` nats under `cap`, and counts as `share` of
    /// one in the history. Counts are kept while the score is above zero;
    /// threads that leave and reach zero at the same moment may miscount what
    /// is shown, never the score.
    pub fn weigh(
        &self,
        shape: &Shape,
        bad: bool,
        share: f32,
        delta: f32,
        cap: f32,
        now: Timestamp,
    ) -> f32 {
        self.baseline.pend(bad, share);
        let (before, after) = self.score.add(delta, shape.halflife_s, cap, now);
        if after > 0.0 {
            if self.counts.fetch_add(join(bad.into(), 1), Relaxed) == 0 {
                self.since.store(now.as_seconds(), Relaxed);
            }
        } else if before > 0.0 {
            self.forget_counts();
        }
        after
    }

    /// Adds `delta` nats without a trial.
    pub fn add(&self, shape: &Shape, delta: f32, now: Timestamp) {
        let (before, after) = self.score.add(delta, shape.halflife_s, shape.strong_cap, now);
        if after <= 0.0 && before > 0.0 {
            self.forget_counts();
        }
    }

    /// So many whole good trials under `cap`.
    pub fn good_trials(&self, shape: &Shape, count: u32, cap: f32, now: Timestamp) {
        if self.is_at_rest() {
            self.pend(false, count as f32);
            return;
        }
        for _ in 0..count {
            self.trial(shape, false, cap, now);
        }
    }

    /// Whether the score is zero, so that good trials count in the history only.
    /// So are most scores of most connectors.
    fn is_at_rest(&self) -> bool {
        self.score.is_zero()
    }

    /// Counts `share` trials in the history only.
    pub fn pend(&self, bad: bool, share: f32) {
        self.baseline.pend(bad, share);
    }

    /// The score at `now`.
    pub fn score(&self, shape: &Shape, now: Timestamp) -> f32 {
        self.score.get(shape.halflife_s, now)
    }

    /// Fills in what the score says.
    pub fn describe(&self, shape: &Shape, found: Finding) -> Finding {
        let (bad, of) = split(self.counts.load(Relaxed));
        Finding {
            bad,
            of,
            distinct: self.distinct.load(Relaxed),
            usual: self.usual(shape),
            since: Timestamp::from_seconds(self.since.load(Relaxed).into()),
            ..found
        }
    }

    /// Evidence starts again from zero.
    pub fn reset(&self) {
        self.score.reset();
        self.forget_counts();
    }

    /// Keeps so much of the evidence, 0 to 1.
    pub fn keep(&self, share: f32) {
        self.score.keep(share);
    }

    /// Ends a day: see [`Baseline::commit`].
    pub fn commit(&self, days: u32, share: f32) {
        self.baseline.commit(days, share);
    }

    /// What came today is usual: see [`Baseline::declare`].
    pub fn declare(&self, shape: &Shape) {
        self.baseline.declare(shape.prior);
    }

    /// Without evidence, with the same usual share.
    pub fn afresh(&self) -> Self {
        Self { baseline: self.baseline.afresh(), ..Self::default() }
    }

    /// What is kept of it.
    pub fn image(&self) -> Image {
        let (committed, pending) = self.baseline.words();
        let (bad, of) = split(self.counts.load(Relaxed));
        Image {
            score: self.score.word(),
            committed,
            pending,
            bad,
            of,
            since: self.since.load(Relaxed),
        }
    }

    /// The ledger of an image; of different ones it knows none.
    pub fn of_image(image: &Image) -> Self {
        Self {
            distinct: AtomicU32::default(),
            score: Score::of_word(image.score),
            baseline: Baseline::of_words(image.committed, image.pending),
            counts: join(image.bad, image.of).into(),
            since: image.since.into(),
        }
    }

    fn forget_counts(&self) {
        self.counts.store(0, Relaxed);
    }
}
