//! R1 and R2: recipients are refused. One trial a recipient, when its first
//! delivery result comes; R1 asks whether most are refused, R2 whether many
//! are, which is weak evidence.
//!
//! A message of n recipients weighs min(n, 5) in all: one message to a stale
//! list must not decide. A recipient that Postfix itself refuses as unknown is
//! a bad trial at once, of R1 only, at the most 5 a message. Where no delivery
//! results come, every accepted recipient is a good trial instead, so that
//! these refusals have something to be compared with.

use super::{Alternative, Ledger, Prior, Shape, ledger};
use crate::{model::Model, timestamp::Timestamp};
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

/// The constants of R2.
pub const MANY: Shape = Shape {
    floor: 0.20,
    times_usual: 2.0,
    p1: Alternative { least: 0.40, above: 0.20, times: f32::INFINITY, most: 0.90 },
    strong_cap: super::WEAK_CAP,
    ..MOST
};

/// Recipients that a message weighs at the most.
pub const A_MESSAGE: u32 = 5;

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
    /// The first result of one of the `of` recipients of a message.
    pub(super) fn result(&self, refused: bool, of: u32, model: &Model, now: Timestamp) {
        let share = of.clamp(1, model.refusals_a_message) as f32 / of.max(1) as f32;
        for (ledger, shape) in
            [(&self.most, &model.most_refused), (&self.many, &model.many_refused)]
        {
            let delta = share * shape.weight(refused, ledger.usual(shape));
            ledger.weigh(shape, refused, share, delta, shape.strong_cap, now);
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
