//! The sequential tests that a single sender of a connector has like the connector
//! itself: all but the networks of clients and the volume, which mean nothing
//! without a history.

use super::{
    Context, Domains, Ledger, Life, Observation, Refused, Shape, Told, domains, ledger, plain,
    refused,
};
use crate::{
    judge::Scores,
    record::{Finding, SignalName},
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The tests of one entity.
#[derive(Debug, Default)]
pub struct Trials {
    unregistered: Domains,
    foreign: Domains,
    refused: Refused,
    unknown: Ledger,
    plain: plain::Ledgers,
}

/// What is kept of them across a restart.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Image {
    unregistered: domains::Image,
    foreign: domains::Image,
    refused: refused::Image,
    unknown: ledger::Image,
    plain: plain::Image,
}

impl Trials {
    /// Tests of somebody without evidence, for whom the same is usual.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self {
            unregistered: self.unregistered.afresh(),
            foreign: self.foreign.afresh(),
            refused: self.refused.afresh(),
            unknown: self.unknown.afresh(),
            plain: self.plain.afresh(),
        }
    }

    /// One message: all its trials. Says whether any of them was bad.
    pub fn observe(&self, seen: &Observation, life: Life, context: &Context<'_>) -> bool {
        let Context { model, now, .. } = context;
        let domains = |domains: &Domains, shape: &Shape, origin| {
            let shape = shape.for_senders_of(context.profile);
            domains.trial(&shape, model, origin, life.learning, *now)
        };
        let mut bad = domains(&self.unregistered, &model.unregistered, seen.sender);
        bad |= domains(&self.foreign, &model.foreign, seen.from);
        self.accepted(seen.recipients, context);
        bad |= self.plain.observe(seen, life, context);
        bad
    }

    /// Recipients of one message that Postfix refused as unknown.
    pub fn unknown(&self, recipients: u32, context: &Context<'_>) {
        let shape = &context.model.unknown_recipients;
        for _ in 0..recipients.min(context.model.refusals_a_message) {
            self.unknown.trial(shape, true, shape.strong_cap, context.now);
        }
    }

    /// Recipients of a message that Postfix accepted.
    pub fn accepted(&self, recipients: u32, context: &Context<'_>) {
        let shape = &context.model.unknown_recipients;
        let count = recipients.min(context.model.refusals_a_message);
        self.unknown.good_trials(shape, count, shape.strong_cap, context.now);
    }

    /// What delivery results tell of a message.
    pub fn result(&self, told: &Told, context: &Context<'_>) {
        self.refused.result(told, context.model, context.now);
    }

    /// Their scores; those of other signals are 0.
    pub fn scores(&self, context: &Context<'_>) -> Scores {
        use SignalName::{
            ForeignFrom, ManyRefused, MostRefused, UnknownRecipients, UnregisteredSender,
        };
        let Context { model, now, .. } = context;
        self.plain
            .add_to(Scores::default(), model, *now)
            .with(UnregisteredSender, self.unregistered.score(&model.unregistered, *now))
            .with(ForeignFrom, self.foreign.score(&model.foreign, *now))
            .with(MostRefused, self.refused.most.score(&model.most_refused, *now))
            .with(ManyRefused, self.refused.many.score(&model.many_refused, *now))
            .with(UnknownRecipients, self.unknown.score(&model.unknown_recipients, *now))
    }

    /// Fills in what the score of its signal says; of other signals nothing.
    pub fn describe(&self, found: Finding, context: &Context<'_>) -> Finding {
        let model = context.model;
        match found.signal {
            SignalName::UnregisteredSender => {
                self.unregistered.describe(&model.unregistered, found)
            }
            SignalName::ForeignFrom => self.foreign.describe(&model.foreign, found),
            SignalName::MostRefused => self.refused.most.describe(&model.most_refused, found),
            SignalName::ManyRefused => self.refused.many.describe(&model.many_refused, found),
            SignalName::UnknownRecipients => {
                self.unknown.describe(&model.unknown_recipients, found)
            }
            SignalName::UnknownCrowds | SignalName::SpamVerdict => {
                self.plain.describe(model, found)
            }
            SignalName::NewNetworks | SignalName::ShiftedNetworks | SignalName::Volume => found,
        }
    }

    /// What is to be shown of every signal, in the order of [`SignalName::ALL`].
    pub fn findings(&self, context: &Context<'_>) -> [Finding; SignalName::ALL.len()] {
        let scores = self.scores(context);
        SignalName::ALL.map(|signal| {
            let (score, limit) = (scores.of(signal), context.model.compromised);
            self.describe(Finding { signal, score, limit, ..Finding::default() }, context)
        })
    }

    /// Evidence starts again from zero.
    pub fn reset(&self) {
        self.unregistered.reset();
        self.foreign.reset();
        self.refused.reset();
        self.unknown.reset();
        self.plain.reset();
    }

    /// Keeps so much of the evidence, 0 to 1.
    pub fn keep(&self, share: f32) {
        self.unregistered.ledger.keep(share);
        self.foreign.ledger.keep(share);
        self.refused.keep(share);
        self.unknown.keep(share);
        self.plain.keep(share);
    }

    /// These domains are own ones now: where one of them was held against the
    /// entity, that evidence starts again from zero.
    pub fn forgive_domains(&self, hashes: &HashSet<u32>) {
        for domains in [&self.unregistered, &self.foreign] {
            if domains.has_any_of(hashes) {
                domains.reset();
            }
        }
    }

    /// What a declared forwarder forwards in its first week is usual, however
    /// little it is.
    pub(super) fn declare_domains(&self, context: &Context<'_>) {
        self.unregistered.ledger.declare(&context.model.unregistered);
        self.foreign.ledger.declare(&context.model.foreign);
    }

    /// Ends a day: see [`crate::baseline::Baseline::commit`].
    pub(super) fn commit(&self, days: u32, share: f32) {
        self.refused.commit(days, share);
        self.unknown.commit(days, share);
        self.plain.commit(days, share);
        self.unregistered.ledger.commit(days, share);
        self.foreign.ledger.commit(days, share);
    }

    /// What it sends now is usual: see [`Ledger::declare`].
    pub(super) fn declare(&self, context: &Context<'_>) {
        let model = context.model;
        self.declare_domains(context);
        self.refused.declare(model);
        self.unknown.declare(&model.unknown_recipients);
        self.plain.declare(model);
    }

    pub(super) fn image(&self) -> Image {
        Image {
            unregistered: self.unregistered.image(),
            foreign: self.foreign.image(),
            refused: self.refused.image(),
            unknown: self.unknown.image(),
            plain: self.plain.image(),
        }
    }

    pub(super) fn of_image(image: &Image) -> Self {
        Self {
            unregistered: Domains::of_image(&image.unregistered),
            foreign: Domains::of_image(&image.foreign),
            refused: Refused::of_image(&image.refused),
            unknown: Ledger::of_image(&image.unknown),
            plain: plain::Ledgers::of_image(&image.plain),
        }
    }
}
