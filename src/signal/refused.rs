//! R1 and R2: recipients are refused. One trial a recipient, when its first
//! delivery result comes; R1 asks whether most are refused, R2 whether many
//! are, which is weak evidence.
//!
//! A message of n recipients weighs min(n, 5) in all: one message to a stale
//! list must not decide. Its results are taken together, in whatever order they
//! come, or two refusals in front of eight deliveries would count more than
//! behind them: a refusal counts at once as far as it would if all the others
//! were delivered, and the rest follows with the last result, or after ten
//! minutes.
//!
//! A recipient that Postfix itself refuses as unknown is a bad trial at once, of
//! R1 only, at the most 5 a message, and none if the connector wrote to it or
//! tried it before. Where no delivery results come, every accepted recipient is a
//! good trial instead, so that these refusals have something to be compared with.

use super::{Alternative, Ledger, Prior, Shape, ledger};
use crate::{model::Model, pending::Results, timestamp::Timestamp};
use serde::{Deserialize, Serialize};

/// The constants of R1.
pub const MOST: Shape = Shape {
    prior: Prior { bad: 1.0, total: 20.0 },
    floor: 0.30,
    times_usual: 1.5,
    p0_max: 0.6,
    p1: Alternative { least: 0.75, above: 0.25, times: f32::INFINITY, most: 0.95 },
    halflife_s: 24.0 * 3600.0,
    weak_cap: super::WEAK_CAP,
    strong_cap: super::STRONG_CAP,
    on: true,
};

/// The constants of R2. (With twice the own share as p0, who bounces a tenth of
/// its mail anyway was noticed late.)
pub const MANY: Shape = Shape {
    floor: 0.20,
    times_usual: 1.75,
    p1: Alternative { least: 0.40, above: 0.20, times: f32::INFINITY, most: 0.90 },
    strong_cap: super::WEAK_CAP,
    ..MOST
};

/// Recipients that a message weighs at the most.
pub const A_MESSAGE: u32 = 5;

/// What delivery results tell of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Whether the recipient whose result has come was refused; nothing where
    /// only the wait is over.
    pub this: Option<bool>,
    /// Recipients of the message.
    pub of: u32,
    /// What they have had so far, this one included.
    pub so_far: Results,
    /// When it came.
    pub stage: Stage,
}

/// How far the results of a message are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Others are waited for.
    Waiting,
    /// Nothing is waited for any more.
    Complete,
    /// It was complete before: this came late, and counts by itself.
    Late,
}

impl Told {
    /// What a recipient weighs.
    fn share(&self, most: u32) -> f32 {
        self.of.clamp(1, most.max(1)) as f32 / self.of.max(1) as f32
    }

    /// What it adds to a score, in nats.
    fn delta(&self, shape: &Shape, usual: f32, share: f32) -> f32 {
        let weight = |refused| share * shape.weight(refused, usual);
        let bad = |refused: u32| refused as f32 * weight(true);
        let good = |delivered: u32| delivered as f32 * weight(false);
        // What is certain whatever becomes of the others.
        let certain =
            |refused: u32| (bad(refused) + good(self.of.saturating_sub(refused))).max(0.0);
        let Results { refused, delivered } = self.so_far;
        let before = refused.saturating_sub(u32::from(self.this == Some(true)));
        let step = certain(refused) - certain(before);
        match self.stage {
            Stage::Waiting => step,
            Stage::Complete => step + bad(refused) + good(delivered) - certain(refused),
            Stage::Late => self.this.map_or(0.0, weight),
        }
    }
}

/// Both tests.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// R1.
    pub(super) most: Ledger,
    /// R2.
    pub(super) many: Ledger,
}

/// What is kept of both across a restart.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Image {
    most: ledger::Image,
    many: ledger::Image,
}

impl Refused {
    /// A first delivery result, or the end of the wait for the others.
    pub(super) fn result(&self, told: &Told, model: &Model, now: Timestamp) {
        let share = told.share(model.refusals_a_message);
        for (ledger, shape) in
            [(&self.most, &model.most_refused), (&self.many, &model.many_refused)]
        {
            let delta = told.delta(shape, ledger.usual(shape), share);
            match told.this {
                Some(refused) => {
                    ledger.weigh(shape, refused, share, delta, shape.strong_cap, now);
                }
                None => ledger.add(shape, delta, now),
            }
        }
    }

    /// A recipient that Postfix refused as unknown.
    pub(super) fn unknown(&self, model: &Model, now: Timestamp) {
        let shape = &model.most_refused;
        self.most.trial(shape, true, shape.strong_cap, now);
        self.many.pend(true, 1.0);
    }

    /// Recipients of a message that was accepted, of which nobody will tell
    /// what became.
    pub(super) fn accepted(&self, recipients: u32, model: &Model, now: Timestamp) {
        let shape = &model.most_refused;
        let count = recipients.min(model.refusals_a_message);
        self.most.good_trials(shape, count, shape.strong_cap, now);
        self.many.pend(false, count as f32);
    }

    /// Evidence starts again from zero.
    pub(super) fn reset(&self) {
        self.most.reset();
        self.many.reset();
    }

    /// Ends a day.
    pub(super) fn commit(&self, days: u32, share: f32) {
        self.most.commit(days, share);
        self.many.commit(days, share);
    }

    /// What came today is usual.
    pub(super) fn declare(&self, model: &Model) {
        self.most.declare(&model.most_refused);
        self.many.declare(&model.many_refused);
    }

    /// What is kept of both.
    pub(super) fn image(&self) -> Image {
        Image { most: self.most.image(), many: self.many.image() }
    }

    /// Both tests of an image.
    pub(super) fn of_image(image: &Image) -> Self {
        Self { most: Ledger::of_image(&image.most), many: Ledger::of_image(&image.many) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// R1 and R2 after a message whose recipients have these results.
    fn after(refused: &Refused, results: &[bool]) -> (f32, f32) {
        let model = Model::default();
        let of = u32::try_from(results.len()).unwrap_or(0);
        let mut so_far = Results::default();
        for (at_result, is_refused) in results.iter().enumerate() {
            *(if *is_refused { &mut so_far.refused } else { &mut so_far.delivered }) += 1;
            let last = at_result + 1 == results.len();
            let stage = if last { Stage::Complete } else { Stage::Waiting };
            refused.result(&Told { this: Some(*is_refused), of, so_far, stage }, &model, at(0));
        }
        let score = |ledger: &Ledger, shape| ledger.score(shape, at(0));
        (score(&refused.most, &model.most_refused), score(&refused.many, &model.many_refused))
    }

    fn results(refused: usize, delivered: usize) -> Vec<bool> {
        let mut all = vec![true; refused];
        all.resize(refused + delivered, false);
        all
    }

    #[test]
    fn the_order_of_the_results_of_a_message_makes_no_difference() {
        for (bad, good) in [(0, 10), (1, 9), (2, 8), (4, 6), (9, 1), (10, 0), (1, 0), (0, 1)] {
            let mut order = results(bad, good);
            let sent = |order: &[bool]| {
                let refused = Refused::default();
                after(&refused, &results(8, 0));
                after(&refused, order)
            };
            let one = sent(&order);
            order.reverse();
            let other = sent(&order);
            assert!((one.0 - other.0).abs() < 1e-4, "{bad} of {}: {one:?} {other:?}", bad + good);
            assert!((one.1 - other.1).abs() < 1e-4, "{bad} of {}: {one:?} {other:?}", bad + good);
        }
    }

    #[test]
    fn two_bounces_among_ten_are_nothing() {
        assert_eq!(after(&Refused::default(), &results(2, 8)), (0.0, 0.0));
    }

    #[test]
    fn what_is_certain_counts_before_the_last_result() {
        let model = Model::default();
        let refused = Refused::default();
        for count in 1..=9 {
            let so_far = Results { refused: count, delivered: 0 };
            let told = Told { this: Some(true), of: 10, so_far, stage: Stage::Waiting };
            refused.result(&told, &model, at(0));
        }
        let score = refused.most.score(&model.most_refused, at(0));
        assert!(score > 3.0, "{score}");
    }
}
