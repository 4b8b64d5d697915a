//! R1 and R2: recipients are refused by the servers that they are delivered to.
//! One trial a recipient, when its first deciding result comes; R1 asks whether
//! most are refused, R2 whether many are, which is weak evidence.
//!
//! A message of n recipients weighs min(n, 5) in all: one message to a stale
//! list must not decide. Its results are taken together, in whatever order they
//! come, or two refusals in front of eight deliveries would count more than
//! behind them. With b and g, the weights of a bad and of a good trial (g < 0),
//! R refused and D delivered recipients among n so far, it has added
//!
//!   while results are waited for    max(0, b R + g (n - R))
//!   with the last, or after the wait    b R + g D
//!
//! so a refusal counts at once as far as it would if all the others were
//! delivered. What comes later than that (a retry after greylisting) follows by
//! itself: a delivery counts g, a refusal only as far as it lifts max(0, b R +
//! g D). Seen alone, a message so ends at max(0, b R + g D), in whatever order and
//! however late its results came, and never above b R.
//!
//! A refusal that may be about this host instead of the mail counts as the share
//! of a recipient that `provider.rs` gives it, in R and in what is usual.

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
    /// What that counts if it was refused, 0 to 1.
    pub weight: f32,
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
    /// It was complete before: this came late.
    Late,
}

impl Told {
    /// What a recipient weighs.
    fn share(&self, most: u32) -> f32 {
        self.of.clamp(1, most.max(1)) as f32 / self.of.max(1) as f32
    }

    /// What it adds to a score, in nats.
    fn delta(&self, shape: &Shape, usual: f32, share: f32) -> f32 {
        let (bad, good) = (share * shape.weight(true, usual), share * shape.weight(false, usual));
        let Results { refused, delivered } = self.so_far;
        let before = match self.this {
            Some(true) => (refused - self.weight).max(0.0),
            _ => refused,
        };
        // What is certain whatever becomes of the others.
        let certain =
            |refused: f32| (bad * refused + good * (self.of as f32 - refused).max(0.0)).max(0.0);
        let known = |refused: f32| bad * refused + good * delivered as f32;
        match self.stage {
            Stage::Waiting => certain(refused) - certain(before),
            Stage::Complete => known(refused) - certain(before),
            Stage::Late => match self.this {
                Some(true) => known(refused).max(0.0) - known(before).max(0.0),
                Some(false) => good,
                None => 0.0,
            },
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
    /// A deciding delivery result, or the end of the wait for the others.
    pub(super) fn result(&self, told: &Told, model: &Model, now: Timestamp) {
        let share = told.share(model.refusals_a_message);
        for (ledger, shape) in
            [(&self.most, &model.most_refused), (&self.many, &model.many_refused)]
        {
            let delta = told.delta(shape, ledger.usual(shape), share);
            match told.this {
                Some(refused) => {
                    let share = if refused { share * told.weight } else { share };
                    ledger.weigh(shape, refused, share, delta, shape.strong_cap, now);
                }
                None => ledger.add(shape, delta, now),
            }
        }
    }

    /// Evidence starts again from zero.
    pub(super) fn reset(&self) {
        self.most.reset();
        self.many.reset();
    }

    /// See [`Ledger::keep`].
    pub(super) fn keep(&self, share: f32) {
        self.most.keep(share);
        self.many.keep(share);
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

    /// See [`Ledger::afresh`].
    pub(super) fn afresh(&self) -> Self {
        Self { most: self.most.afresh(), many: self.many.afresh() }
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

    fn told(this: bool, of: u32, so_far: Results, stage: Stage) -> Told {
        Told { this: Some(this), weight: 1.0, of, so_far, stage }
    }

    /// R1 and R2 after a message whose recipients have these results.
    fn after(refused: &Refused, results: &[bool]) -> (f32, f32) {
        let model = Model::default();
        let of = u32::try_from(results.len()).unwrap_or(0);
        let mut so_far = Results::default();
        for (at_result, is_refused) in results.iter().enumerate() {
            if *is_refused {
                so_far.refused += 1.0;
            } else {
                so_far.delivered += 1;
            }
            let last = at_result + 1 == results.len();
            let stage = if last { Stage::Complete } else { Stage::Waiting };
            refused.result(&told(*is_refused, of, so_far, stage), &model, at(0));
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
        for count in 1..=9_u8 {
            let so_far = Results { refused: count.into(), delivered: 0 };
            refused.result(&told(true, 10, so_far, Stage::Waiting), &model, at(0));
        }
        let score = refused.most.score(&model.most_refused, at(0));
        assert!(score > 3.0, "{score}");
    }

    #[test]
    fn two_late_refusals_of_a_message_are_as_little_as_two_early_ones() {
        let (model, refused) = (Model::default(), Refused::default());
        let score = || refused.most.score(&model.most_refused, at(0));
        // Eight delivered, two greylisted, which ends the wait.
        let eight = Results { refused: 0.0, delivered: 8 };
        let wait_is_over =
            Told { this: None, weight: 1.0, of: 10, so_far: eight, stage: Stage::Complete };
        refused.result(&wait_is_over, &model, at(0));
        for late in 1..=2_u8 {
            let so_far = Results { refused: late.into(), ..eight };
            refused.result(&told(true, 10, so_far, Stage::Late), &model, at(0));
            assert_eq!(score(), 0.0);
        }
        // Of a message on its own the retry decides.
        let alone = Results { refused: 1.0, delivered: 0 };
        refused.result(&told(true, 1, alone, Stage::Late), &model, at(0));
        assert!((score() - 2.5_f32.ln()).abs() < 1e-4, "{}", score());
    }

    #[test]
    fn a_refusal_that_may_be_about_us_counts_in_part() {
        let model = Model::default();
        let score = |weight: f32| {
            let refused = Refused::default();
            for stage in [Stage::Complete, Stage::Late, Stage::Waiting] {
                let so_far = Results { refused: weight, delivered: 0 };
                refused.result(&Told { weight, ..told(true, 1, so_far, stage) }, &model, at(0));
            }
            refused.most.score(&model.most_refused, at(0))
        };
        assert_eq!(score(0.0), 0.0);
        assert!(0.0 < score(0.5) && score(0.5) < score(1.0));
    }
}
