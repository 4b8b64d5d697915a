//! Signals without memory of their own: a [`Ledger`] is all they keep, and a
//! message is one trial of each, or none.
//!
//! Such a signal is one row of [`PLAIN`]. Whatever happens to all signals, at a
//! message or at the end of a day, from a restart to an operator's word,
//! happens to each row alike, so that nothing of it can be forgotten. What is
//! kept across a restart has the name of its signal: a new one begins without
//! history and costs the others none.

use super::{Context, Ledger, Life, Observation, Shape, crowds, ledger, spam};
use crate::{
    judge::Scores,
    model::Model,
    record::{Finding, SignalName},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// All of them; the order means nothing.
const PLAIN: [Plain; 2] = [crowds::SIGNAL, spam::SIGNAL];

/// One signal.
pub(super) struct Plain {
    /// Its name.
    pub(super) name: SignalName,
    /// Its constants.
    pub(super) shape: fn(&Model) -> &Shape,
    /// What a message is to it: a bad trial, a good one, or none.
    pub(super) trial: fn(&Observation, Life, &Context<'_>) -> Option<bool>,
}

/// The ledgers of one connector, in the order of [`PLAIN`].
#[derive(Debug, Default)]
pub(super) struct Ledgers([Ledger; PLAIN.len()]);

/// What is kept of them across a restart, by the names of their signals.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Image(Vec<(Cow<'static, str>, ledger::Image)>);

impl Ledgers {
    /// One message; says whether any trial was bad.
    pub(super) fn observe(&self, seen: &Observation, life: Life, context: &Context<'_>) -> bool {
        let mut any = false;
        for (signal, ledger) in self.rows() {
            if let Some(bad) = (signal.trial)(seen, life, context) {
                let shape = (signal.shape)(context.model);
                ledger.trial(shape, bad, shape.strong_cap, context.now);
                any |= bad;
            }
        }
        any
    }

    /// `scores` with those of these signals.
    pub(super) fn add_to(&self, scores: Scores, model: &Model, now: Timestamp) -> Scores {
        self.rows().fold(scores, |scores, (signal, ledger)| {
            scores.with(signal.name, ledger.score((signal.shape)(model), now))
        })
    }

    /// Fills in what the score says, where the signal is one of these.
    pub(super) fn describe(&self, model: &Model, found: Finding) -> Finding {
        match self.rows().find(|(signal, _)| signal.name == found.signal) {
            Some((signal, ledger)) => ledger.describe((signal.shape)(model), found),
            None => found,
        }
    }

    /// Evidence starts again from zero.
    pub(super) fn reset(&self) {
        self.0.iter().for_each(Ledger::reset);
    }

    /// See [`Ledger::keep`].
    pub(super) fn keep(&self, share: f32) {
        self.0.iter().for_each(|ledger| ledger.keep(share));
    }

    /// Ends a day.
    pub(super) fn commit(&self, days: u32, share: f32) {
        self.0.iter().for_each(|ledger| ledger.commit(days, share));
    }

    /// What came today is usual.
    pub(super) fn declare(&self, model: &Model) {
        self.rows().for_each(|(signal, ledger)| ledger.declare((signal.shape)(model)));
    }

    /// See [`Ledger::afresh`].
    pub(super) fn afresh(&self) -> Self {
        Self(self.0.each_ref().map(Ledger::afresh))
    }

    /// What is kept of them.
    pub(super) fn image(&self) -> Image {
        let kept = self.rows().map(|(signal, ledger)| (signal.name.as_str(), ledger.image()));
        let kept = kept.filter(|(_, image)| *image != ledger::Image::default());
        Image(kept.map(|(name, image)| (name.into(), image)).collect())
    }

    /// The ledgers of an image. What it lacks begins afresh, and what is no
    /// signal any more is left out.
    pub(super) fn of_image(Image(kept): &Image) -> Self {
        Self(PLAIN.map(|signal| {
            let name = signal.name.as_str();
            let found = kept.iter().find(|(kept, _)| kept == name);
            found.map_or_else(Ledger::default, |(_, image)| Ledger::of_image(image))
        }))
    }

    fn rows(&self) -> impl Iterator<Item = (&'static Plain, &Ledger)> {
        const { &PLAIN }.iter().zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Profile;

    #[test]
    fn history_of_other_signals_is_no_obstacle() {
        let model = Model::default();
        let now = Timestamp::from_seconds(1_795_000_000);
        let context = Context::new(&model, Profile::Relay, now);
        let ledgers = Ledgers::default();
        let spam = Observation { spam: Some(true), ..Observation::default() };
        ledgers.observe(&spam, Life::default(), &context);
        let Image(mut kept) = ledgers.image();
        assert_eq!(kept.len(), 1, "nothing is kept of a signal that saw nothing");
        kept.insert(0, ("gone".into(), ledger::Image::default()));
        let again = Ledgers::of_image(&Image(kept));
        assert_eq!(again.image(), ledgers.image());
    }
}
