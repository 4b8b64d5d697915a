//! Signals: what is observed of an entity, most of them a sequential test.
//!
//! A signal compares two beliefs about its trials: bad ones come at the share
//! p0 that is usual for this entity, or at the share p1 of one that was taken
//! over. A trial adds the logarithm of the likelihood ratio to the score
//! (Wald's sequential probability ratio test, kept at or above 0 as in Page's
//! CUSUM):
//!
//!   bad: ln(p1 / p0)      good: ln((1 - p1) / (1 - p0))
//!   p0 = min(pmax, max(floor, m * usual))
//!   p1 = min(most, max(least, min(p0 + above, times * p0)))
//!
//! Two signals are no such test: volume ([`volume`]) compares a level with the
//! busiest hours, and the shift of networks ([`networks`]) is a flat bonus.
//!
//! A signal without memory of its own is a file with its [`Shape`] and its
//! trial, and a row in `plain.rs`; `docs/adding-a-signal.md` leads through it.

pub mod crowds;
pub mod domains;
pub mod foreign;
mod ledger;
pub mod networks;
mod plain;
pub mod refused;
pub mod spam;
#[cfg(test)]
mod tests;
mod trials;
pub mod unknown;
pub mod unregistered;
pub mod volume;

pub use ledger::Ledger;

use crate::{
    connector::Profile,
    day::Roll,
    directory::Usual,
    judge::Scores,
    model::Model,
    pending::Feedback,
    record::{Finding, SignalName, Unit},
    timestamp::Timestamp,
};
use domains::Domains;
use networks::Networks;
use plain::Plain;
use refused::Refused;
pub use refused::{Stage, Told};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
pub use trials::Trials;
use volume::Volume;

/// Cap of a score that is strong evidence, in nats: 1.5 times the level of
/// `compromised`.
pub const STRONG_CAP: f32 = 21.0;
/// Cap of a score that is weak evidence, in nats: 0.65 times the level of
/// `compromised`, and above that of `suspicious`.
pub const WEAK_CAP: f32 = 9.1;

/// Belief before anything was seen: bad trials among all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Bad trials.
    pub bad: f32,
    /// All trials.
    pub total: f32,
}

/// What is believed of an entity that was taken over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// Smallest p1.
    pub least: f32,
    /// p1 is at the most this much above p0, ...
    pub above: f32,
    /// ... and at the most this many times p0.
    pub times: f32,
    /// Largest p1.
    pub most: f32,
}

/// The constants of a sequential test; units are nats, seconds and shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Belief before anything was seen.
    pub prior: Prior,
    /// Smallest p0.
    pub floor: f32,
    /// m: p0 is this many times what is usual.
    pub times_usual: f32,
    /// Largest p0.
    pub p0_max: f32,
    /// p1.
    pub p1: Alternative,
    /// Half-life of the score in seconds.
    pub halflife_s: f32,
    /// Cap of the score while the evidence is weak: suspicious at the most.
    pub weak_cap: f32,
    /// Cap once it is strong: compromised by this signal alone.
    pub strong_cap: f32,
    /// Whether the signal counts at all. Off only to measure what it is worth.
    pub on: bool,
}

impl Shape {
    /// p0, the share of bad trials to be expected of an honest entity.
    pub fn p0(&self, usual: f32) -> f32 {
        (self.times_usual * usual).max(self.floor).min(self.p0_max)
    }

    /// p1, the share to be expected of one that was taken over.
    pub fn p1(&self, p0: f32) -> f32 {
        let Alternative { least, above, times, most } = self.p1;
        (p0 + above).min(times * p0).max(least).min(most)
    }

    /// The constants for senders of this profile: of a forwarder even all of them
    /// may be foreign.
    #[must_use]
    pub fn for_senders_of(self, profile: Profile) -> Self {
        let p0_max = if profile == Profile::Forwarder { self.p1.most } else { self.p0_max };
        Self { p0_max, ..self }
    }

    /// What a trial adds to the score of an entity with this usual share, in
    /// nats.
    pub fn weight(&self, bad: bool, usual: f32) -> f32 {
        if !self.on {
            return 0.0;
        }
        let p0 = self.p0(usual);
        let p1 = self.p1(p0);
        if bad { (p1 / p0).ln() } else { ((1.0 - p1) / (1.0 - p0)).ln() }
    }
}

/// What a domain is to the signals of sender domains.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Origin {
    /// There is none, or nothing to judge it by: no trial.
    #[default]
    Unjudged,
    /// The organization's own.
    Own,
    /// Somebody else's; a hash of it, not 0.
    Odd(u32),
}

/// What one message shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// The domain of MAIL FROM.
    pub sender: Origin,
    /// The domain of the From header.
    pub from: Origin,
    /// The client's network (/24, /48) as a hash.
    pub network: Option<u64>,
    /// Accepted relayed recipients.
    pub recipients: u32,
    /// Of these, those that this connector never wrote to.
    pub unseen: u32,
    /// Of these, those that it did not write to within the last hour.
    pub fresh: u32,
    /// What a filter before us said.
    pub spam: Option<bool>,
}

impl Observation {
    /// Whether the message speaks against its organization: its envelope or From
    /// is somebody else's, it went to a crowd, or the filter before us says spam.
    /// Nothing of what is the trade of a declared forwarder.
    pub fn is_bad(&self, life: Life, context: &Context<'_>) -> Option<bool> {
        let is_odd = |origin: Origin| matches!(origin, Origin::Odd(_));
        let foreign = is_odd(self.sender) || is_odd(self.from);
        let spam = self.spam == Some(true);
        if foreign && !spam && context.profile == Profile::Forwarder {
            return None;
        }
        Some(foreign || spam || crowds::trial(self, life, context) == Some(true))
    }
}

/// Under which circumstances a message is judged.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The constants.
    pub model: &'a Model,
    /// What kind of client it is.
    pub profile: Profile,
    /// What an operator declared to be usual.
    pub usual: Usual,
    /// What is known of delivery results.
    pub feedback: Feedback,
    /// Whether the memory of recipients was lost lately, so that "never wrote
    /// to" means nothing.
    pub muted: bool,
    /// When.
    pub now: Timestamp,
}

impl<'a> Context<'a> {
    /// Circumstances in which nothing is special: nobody declared anything, and
    /// nobody knows delivery results.
    pub fn new(model: &'a Model, profile: Profile, now: Timestamp) -> Self {
        Self { model, profile, usual: Usual::default(), feedback: Feedback::Off, muted: false, now }
    }
}

/// What of the connector's own life matters to a trial.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Life {
    /// It is known for a week.
    pub is_old: bool,
    /// Its volume counts from younger weeks too.
    pub is_young: bool,
    /// A declared forwarder in its first week: foreign senders are counted,
    /// and not held against it.
    pub learning: bool,
    /// An operator declared its mail to be usual: volume and shape are learned
    /// and not held against it.
    pub settling: bool,
}

/// All signals of one connector.
#[derive(Debug, Default)]
pub struct Signals {
    trials: Trials,
    networks: Networks,
    /// Volume.
    pub volume: Volume,
}

impl Signals {
    /// One message: all its trials. Says whether any of them was bad.
    pub fn observe(&self, seen: &Observation, life: Life, context: &Context<'_>) -> bool {
        let mut bad = self.trials.observe(seen, life, context);
        if let (Profile::Login, Some(network)) = (context.profile, seen.network) {
            bad |= self.networks.trial(network, seen, life, context);
        }
        self.volume.arrive(seen, context);
        bad
    }

    /// The tests that its senders have too.
    pub fn trials(&self) -> &Trials {
        &self.trials
    }

    /// A message passed: what it brings is part of its history.
    pub fn pass(&self, seen: &Observation, context: &Context<'_>) {
        self.volume.pass(seen, context);
    }

    /// All scores.
    pub fn scores(&self, life: Life, context: &Context<'_>) -> Scores {
        let Context { model, now, .. } = context;
        let mut scores = self.trials.scores(context);
        if context.profile == Profile::Login {
            let messages = self.volume.level(Unit::Messages, *now);
            scores = scores
                .with(SignalName::NewNetworks, self.networks.score(&model.networks, *now))
                .with(
                    SignalName::ShiftedNetworks,
                    self.networks.shift(messages, life.is_old, model, *now),
                );
        }
        if !life.settling && !context.muted {
            scores = scores.with(SignalName::Volume, self.volume.score(context).0);
        }
        scores
    }

    /// What is to be shown of every signal, in the order of
    /// [`SignalName::ALL`].
    pub fn findings(&self, life: Life, context: &Context<'_>) -> [Finding; SignalName::ALL.len()] {
        let Context { model, now, .. } = context;
        let scores = self.scores(life, context);
        SignalName::ALL.map(|signal| {
            let found = Finding {
                signal,
                score: scores.of(signal),
                limit: model.compromised,
                ..Finding::default()
            };
            match signal {
                SignalName::NewNetworks => self.networks.describe(&model.networks, found),
                SignalName::ShiftedNetworks => {
                    let messages = self.volume.level(Unit::Messages, *now);
                    self.networks.describe_shift(messages, *now, found)
                }
                SignalName::Volume => self.volume.describe(context, found),
                _ => self.trials.describe(found, context),
            }
        })
    }

    /// Evidence starts again from zero.
    pub fn reset(&self) {
        self.trials.reset();
        self.networks.reset();
        self.volume.reset();
    }

    /// See [`Trials::forgive_domains`].
    pub fn forgive_domains(&self, hashes: &HashSet<u32>) {
        self.trials.forgive_domains(hashes);
    }

    /// Ends a day: see [`crate::baseline::Baseline::commit`] and
    /// [`Volume::commit`].
    pub fn commit(&self, roll: &Roll, life: Life, context: &Context<'_>) {
        if life.learning && !roll.restricted {
            self.trials.declare_domains(context);
        }
        self.trials.commit(roll.days, roll.share);
        self.networks.commit(roll.days, roll.share);
        self.volume.commit(roll, life, context);
    }

    /// What it sends now is usual: see [`Ledger::declare`] and
    /// [`Volume::declare`].
    pub fn declare(&self, context: &Context<'_>) {
        self.trials.declare(context);
        self.networks.declare(&context.model.networks);
        self.volume.declare(context);
    }

    /// What is kept of them across a restart.
    pub fn image(&self) -> Image {
        let (trials, networks) = (self.trials.image(), self.networks.image());
        Image { trials, networks, volume: self.volume.image() }
    }

    /// The signals of an image.
    pub fn of_image(image: &Image) -> Self {
        Self {
            trials: Trials::of_image(&image.trials),
            networks: Networks::of_image(&image.networks),
            volume: Volume::of_image(&image.volume),
        }
    }
}

/// What is kept of all signals across a restart.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Image {
    trials: trials::Image,
    networks: networks::Image,
    volume: volume::Image,
}

/// A count that decays, as a whole number to be shown.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are not negative, and a cast stops at the largest number"
)]
fn whole(count: f32) -> u32 {
    count.round() as u32
}
