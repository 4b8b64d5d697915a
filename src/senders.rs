//! Which senders of one connector the evidence speaks against.
//!
//! A sender is judged by the tests that its connector has too, apart from those of
//! networks and volume, with what is usual for the connector: it has no history of
//! its own. Scores begin at zero, where good messages change nothing, so that only
//! who made a bad trial needs a place; it is given up when its scores are zero again
//! or have faded, and its connector's score is zero as well. There are [`MOST`] places: beyond that, the sender with the least
//! evidence goes, if it has no more than the newcomer. Made-up senders can so neither
//! fill memory nor push out who really sends bad mail.
//!
//! Suspects are senders whose own fused score reaches a level. They **explain** the
//! evidence of their connector if there are at most [`MOST_SUSPECTS`] of them, and at
//! least [`EXPLAINED`] of the bad messages since the connector's score left zero are
//! theirs. Who was made up, as far as can be seen, explains nothing: the next one is
//! made up as easily. The level is that of `suspicious` where it is asked whom to slow
//! down. Where the connector is compromised it is half of that, the level at which
//! nobody is suspicious any more: of three who share the bad mail of a connector
//! that reaches the level of `compromised`, each has about a third.

use crate::{
    connector::Profile,
    judge::{self, Judgement, Past},
    record::{Finding, Grace, Raised, SignalName},
    signal::{Context, Life, Observation, Told, Trials},
    throttle::{Bucket, Rate},
    timestamp::Timestamp,
};
use std::{collections::HashSet, sync::Arc};

/// Senders of a connector that are told apart.
pub const MOST: usize = 32;
/// So many suspects explain the evidence of their connector at the most.
pub const MOST_SUSPECTS: usize = 3;
/// This share of the bad messages is theirs.
pub const EXPLAINED: f32 = 0.8;
/// Below this fused score, in nats, there is no evidence any more.
pub const FADED: f32 = 0.25;
/// How often faded places are looked for, in seconds.
const TIDY_S: u32 = 3600;
const DAY_S: u32 = 86_400;

/// A sender, as it is known where its mail is counted.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// As [`crate::sender::fold`] gives it; never the null sender.
    pub address: &'a str,
    /// A keyed hash of it.
    pub hash: u64,
    /// Its connector had this sender before.
    pub known: bool,
    /// It is not known, and its domain is not registered.
    pub made_up: bool,
}

/// What is seen of a sender.
#[derive(Clone, Copy, Debug)]
pub enum Trial<'a> {
    /// A message, with the recipients that Postfix refused as unknown.
    Message(&'a Observation, u32),
    /// A transaction that relays nothing: recipients that Postfix refused as
    /// unknown, and accepted ones.
    Unrelayed(u32, u32),
    /// What delivery results tell of a message.
    Result(&'a Told),
}

impl Trial<'_> {
    /// Whether it is bad for whoever sent it, as far as can be seen in advance;
    /// `bad` says that its connector made a bad trial with it.
    pub fn is_bad(&self, bad: bool) -> bool {
        match self {
            Self::Message(_, unknown) => bad || *unknown > 0,
            Self::Unrelayed(unknown, _) => *unknown > 0,
            Self::Result(told) => told.this == Some(true),
        }
    }

    /// Whether the message was not bad before, as far as can be seen.
    fn is_first(&self) -> bool {
        match self {
            Self::Result(told) => told.so_far.refused <= told.weight,
            _ => true,
        }
    }
}

/// What operators forgave a sender, or else its connector.
#[derive(Clone, Debug, Default)]
pub struct Pardon {
    /// After an unblock.
    pub grace: Option<Grace>,
    /// After a restriction that was wrong.
    pub raised: Option<Raised>,
}

/// How a sender stands after a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// What it is taken for.
    pub judgement: Judgement,
    /// Its fused score.
    pub z: f32,
}

/// Somebody whose own scores speak against them.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// As in [`Who`].
    pub address: Arc<str>,
    /// As in [`Who`].
    pub hash: u64,
    /// As in [`Who`].
    pub known: bool,
    /// As in [`Who`].
    pub made_up: bool,
    /// Its fused score.
    pub z: f32,
    /// Bad messages since the score of its connector left zero.
    pub bad: u32,
    /// Messages and recipients that passed since it has a place.
    pub passed: (u32, u32),
}

/// One place.
#[derive(Debug)]
struct Slot {
    address: Arc<str>,
    hash: u64,
    known: bool,
    made_up: bool,
    suspicious: bool,
    trials: Trials,
    bucket: Bucket,
    /// Second of the last warning, 0 for none.
    warned: u32,
    bad: u32,
    passed: (u32, u32),
}

impl Slot {
    fn new(who: &Who<'_>, usual: &Trials) -> Self {
        Self {
            address: who.address.into(),
            hash: who.hash,
            known: who.known,
            made_up: who.made_up,
            suspicious: false,
            trials: usual.afresh(),
            bucket: Bucket::default(),
            warned: 0,
            bad: 0,
            passed: (0, 0),
        }
    }

    fn take(&mut self, trial: &Trial<'_>, life: Life, context: &Context<'_>) -> bool {
        match trial {
            Trial::Message(seen, unknown) => {
                self.trials.unknown(*unknown, context);
                self.trials.observe(seen, life, context) || *unknown > 0
            }
            Trial::Unrelayed(unknown, accepted) => {
                self.trials.unknown(*unknown, context);
                self.trials.accepted(*accepted, context);
                *unknown > 0
            }
            Trial::Result(told) => {
                self.trials.result(told, context);
                told.this == Some(true)
            }
        }
    }

    fn z(&self, context: &Context<'_>) -> f32 {
        judge::fuse(&self.trials.scores(context))
    }

    /// See [`Senders::rate`].
    fn rate(&self, busiest: f32, context: &Context<'_>) -> Rate {
        let model = context.model;
        let others = self.trials.scores(context).with(SignalName::UnknownCrowds, 0.0);
        if context.profile == Profile::Bulk || judge::fuse(&others) >= model.normal_again {
            Rate::of(context.profile, busiest, model)
        } else {
            Rate::of(Profile::Login, busiest / 4.0, model)
        }
    }

    fn is_needed(&self, context: &Context<'_>) -> bool {
        let warned = context.now.as_seconds().saturating_sub(self.warned) < DAY_S;
        // What it is counted for must not be forgotten while it is part of a sum.
        warned || self.bad > 0 || self.z(context) >= FADED
    }

    fn suspect(&self, z: f32) -> Suspect {
        Suspect {
            address: Arc::clone(&self.address),
            hash: self.hash,
            known: self.known,
            made_up: self.made_up,
            z,
            bad: self.bad,
            passed: self.passed,
        }
    }
}

/// The senders of one connector.
#[derive(Debug, Default)]
pub struct Senders {
    slots: Vec<Slot>,
    /// Bad messages of all senders since the score of the connector left zero.
    bad: u32,
    tidied: u32,
}

impl Senders {
    /// Takes in what is seen of `who`; of nobody where it has no sender. `usual` are
    /// the tests of the connector, and `bad` says that it made a bad trial.
    pub fn take(
        &mut self,
        who: Option<&Who<'_>>,
        trial: &Trial<'_>,
        bad: bool,
        usual: &Trials,
        life: Life,
        context: &Context<'_>,
    ) {
        let is_bad = trial.is_bad(bad);
        let first = u32::from(is_bad && trial.is_first());
        self.bad = self.bad.saturating_add(first);
        self.tidy(context);
        let Some(who) = who else { return };
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.hash == who.hash) {
            slot.known &= who.known;
            slot.made_up |= who.made_up;
            slot.take(trial, life, context);
            slot.bad = slot.bad.saturating_add(first);
        } else if is_bad {
            let mut slot = Slot::new(who, usual);
            slot.take(trial, life, context);
            slot.bad = first;
            self.seat(slot, context);
        }
    }

    /// Judges a sender behind its trials; nothing where it has no place.
    pub fn judge(
        &mut self,
        hash: u64,
        pardon: &Pardon,
        life: Life,
        context: &Context<'_>,
    ) -> Option<Standing> {
        let at = self.slots.iter().position(|slot| slot.hash == hash)?;
        let slot = self.slots.get_mut(at)?;
        let scores = slot.trials.scores(context);
        let was = if slot.suspicious { Judgement::Suspicious } else { Judgement::Normal };
        let (grace, raised) = (pardon.grace.as_ref(), pardon.raised.as_ref());
        let past = Past { was, learning: life.learning, grace, raised };
        let judgement = judge::judge(&scores, &past, context.model);
        let suspicious = judgement != Judgement::Normal;
        if suspicious && !slot.suspicious {
            slot.bucket.fill(context.now);
        }
        slot.suspicious = suspicious;
        let z = judge::fuse(&scores);
        if !slot.is_needed(context) {
            self.slots.swap_remove(at);
        }
        Some(Standing { judgement, z })
    }

    /// Whether a warning of this sender is due, which is after 24 hours without one;
    /// then it counts as given.
    pub fn warn(&mut self, hash: u64, now: Timestamp) -> bool {
        let now = now.as_seconds();
        let slot = self.slots.iter_mut().find(|slot| slot.hash == hash);
        let due = |slot: &&mut Slot| now.saturating_sub(slot.warned) >= DAY_S;
        slot.filter(due).map(|slot| slot.warned = now).is_some()
    }

    /// Senders whose own score is `least` or more, the largest first.
    pub fn suspects(&self, least: f32, context: &Context<'_>) -> Vec<Suspect> {
        let scored = self.slots.iter().map(|slot| (slot, slot.z(context)));
        let mut suspects: Vec<Suspect> =
            scored.filter(|(_, z)| *z >= least).map(|(slot, z)| slot.suspect(z)).collect();
        suspects.sort_by(|a, b| b.z.total_cmp(&a.z));
        suspects
    }

    /// Senders that are suspicious, and have not faded since.
    pub fn slow(&self, context: &Context<'_>) -> Vec<Suspect> {
        let slow = self.slots.iter().filter(|slot| slot.suspicious);
        let mut slow: Vec<Suspect> = slow.map(|slot| slot.suspect(slot.z(context))).collect();
        slow.retain(|suspect| suspect.z >= context.model.normal_again);
        slow
    }

    /// Whether these explain the evidence of the connector.
    pub fn are_explained_by(&self, suspects: &[Suspect]) -> bool {
        let bad: u32 = suspects.iter().fold(0, |sum, suspect| sum.saturating_add(suspect.bad));
        (1..=MOST_SUSPECTS).contains(&suspects.len())
            && bad as f32 >= EXPLAINED * self.bad as f32
            && bad > 0
    }

    /// Whether few suspicious senders that were not made up explain the evidence of
    /// the connector.
    pub fn are_explained(&self, context: &Context<'_>) -> bool {
        let mut suspects = self.suspects(context.model.suspicious, context);
        suspects.retain(|suspect| !suspect.made_up);
        self.are_explained_by(&suspects)
    }

    /// The sender with this hash.
    pub fn get(&self, hash: u64, context: &Context<'_>) -> Option<Suspect> {
        let slot = self.slots.iter().find(|slot| slot.hash == hash)?;
        Some(slot.suspect(slot.z(context)))
    }

    /// What is to be shown of every signal of a sender.
    pub fn all_findings(&self, hash: u64, context: &Context<'_>) -> Option<Vec<Finding>> {
        let slot = self.slots.iter().find(|slot| slot.hash == hash)?;
        Some(slot.trials.findings(context).to_vec())
    }

    /// What the scores of a sender say, the largest first.
    pub fn findings(&self, hash: u64, context: &Context<'_>) -> Vec<Finding> {
        let mut findings = self.all_findings(hash, context).unwrap_or_default();
        findings.retain(|finding| finding.score > 0.0);
        findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        findings
    }

    /// Whether a sender is suspicious, and so slowed down.
    pub fn is_slow(&self, hash: u64) -> bool {
        self.slots.iter().any(|slot| slot.hash == hash && slot.suspicious)
    }

    /// Whether any is.
    pub fn has_slow(&self) -> bool {
        self.slots.iter().any(|slot| slot.suspicious)
    }

    /// Whether a suspicious sender has to wait; see [`Senders::rate`].
    pub fn must_wait(&self, hash: u64, busiest: f32, context: &Context<'_>) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| {
            let has = || slot.bucket.has(slot.rate(busiest, context), context.now);
            slot.hash == hash && slot.suspicious && !has()
        })
    }

    /// How fast a sender may send while it is suspicious, and how many recipients it
    /// may have at once now, if it is; see [`Bucket::tokens`]. `busiest` is how many
    /// recipients its connector had in its busiest hour.
    ///
    /// Who is suspicious for crowds is as fast as a suspicious login that had a
    /// quarter of that: more of them prove no more, but the one program that sends most
    /// of what a smarthost relays must not wait for hours. Whom more results or domains
    /// would prove bad is as fast as the suspicious connector, or nothing would ever be
    /// proved. So is whose connector sends to crowds by trade.
    pub fn rate(
        &self,
        hash: u64,
        busiest: f32,
        context: &Context<'_>,
    ) -> Option<(Rate, Option<f32>)> {
        let slot = self.slots.iter().find(|slot| slot.hash == hash)?;
        let rate = slot.rate(busiest, context);
        Some((rate, slot.suspicious.then(|| slot.bucket.tokens(rate, context.now))))
    }

    /// A message of a sender passed.
    pub fn pass(&mut self, hash: u64, recipients: u32, busiest: f32, context: &Context<'_>) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.hash == hash) {
            let (messages, all) = slot.passed;
            slot.passed = (messages.saturating_add(1), all.saturating_add(recipients));
            if slot.suspicious {
                slot.bucket.charge(recipients, slot.rate(busiest, context), context.now);
            }
        }
    }

    /// The evidence of the connector starts again; what speaks against single
    /// senders stays, as far as there is something.
    pub fn settle(&mut self, context: &Context<'_>) {
        self.bad = 0;
        for slot in &mut self.slots {
            slot.bad = 0;
        }
        self.slots.retain(|slot| slot.is_needed(context));
    }

    /// The share of the bad messages that others than these sent, 0 to 1.
    pub fn share_without(&self, hashes: &[u64]) -> f32 {
        let theirs = self.slots.iter().filter(|slot| hashes.contains(&slot.hash));
        let theirs = theirs.fold(0_u32, |sum, slot| sum.saturating_add(slot.bad));
        if self.bad == 0 { 1.0 } else { self.bad.saturating_sub(theirs) as f32 / self.bad as f32 }
    }

    /// Evidence against this sender starts again from zero.
    pub fn forget(&mut self, hash: u64) {
        let bad = &mut self.bad;
        self.slots.retain(|slot| {
            let stays = slot.hash != hash;
            if !stays {
                *bad = bad.saturating_sub(slot.bad);
            }
            stays
        });
    }

    /// See [`Trials::forgive_domains`].
    pub fn forgive_domains(&self, hashes: &HashSet<u32>) {
        self.slots.iter().for_each(|slot| slot.trials.forgive_domains(hashes));
    }

    /// Whether nothing speaks against anybody.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Gives a place to who has none, if there is one.
    fn seat(&mut self, slot: Slot, context: &Context<'_>) {
        if self.slots.len() < MOST {
            self.slots.push(slot);
            return;
        }
        let scored = self.slots.iter_mut().map(|slot| (slot.z(context), slot));
        let least = scored.min_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((z, least)) = least
            && z <= slot.z(context)
        {
            *least = slot;
        }
    }

    /// Gives up faded places, once an hour.
    fn tidy(&mut self, context: &Context<'_>) {
        let now = context.now.as_seconds();
        if now.saturating_sub(self.tidied) >= TIDY_S {
            self.tidied = now;
            self.slots.retain(|slot| slot.is_needed(context));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{
        model::Model,
        pending::Results,
        signal::{Origin, Stage},
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    fn who(hash: u64) -> Who<'static> {
        Who { address: "bob@example.org", hash, known: true, made_up: false }
    }

    /// One recipient of a message of `hash` that was refused, or not.
    fn result(senders: &mut Senders, hash: u64, refused: bool, context: &Context<'_>) {
        let count = u8::from(refused);
        let so_far = Results { refused: count.into(), delivered: u32::from(1 - count) };
        let told = Told { this: Some(refused), weight: 1.0, of: 1, so_far, stage: Stage::Complete };
        let (trial, usual) = (Trial::Result(&told), Trials::default());
        senders.take(Some(&who(hash)), &trial, false, &usual, Life::default(), context);
    }

    fn z(senders: &Senders, hash: u64, context: &Context<'_>) -> f32 {
        senders.get(hash, context).map_or(0.0, |suspect| suspect.z)
    }

    #[test]
    fn made_up_senders_take_no_place_from_who_is_bad() {
        let model = Model::default();
        let mut senders = Senders::default();
        let context = Context::new(&model, Profile::Relay, at(0));
        (0..10).for_each(|_| result(&mut senders, 7, true, &context));
        let before = z(&senders, 7, &context);
        for made_up in 1000..2000 {
            result(&mut senders, made_up, true, &context);
        }
        assert_eq!(z(&senders, 7, &context), before);
        assert_eq!(senders.slots.len(), MOST);
        assert!(!senders.are_explained(&context), "there were a thousand others");
    }

    #[test]
    fn few_of_many_explain_the_evidence() {
        let model = Model::default();
        let mut senders = Senders::default();
        let context = Context::new(&model, Profile::Relay, at(0));
        for bad in [1, 2] {
            (0..10).for_each(|_| result(&mut senders, bad, true, &context));
        }
        (100..104).for_each(|other| result(&mut senders, other, true, &context));
        assert!(senders.are_explained(&context), "20 of 24 are theirs");
        (104..106).for_each(|other| result(&mut senders, other, true, &context));
        assert!(!senders.are_explained(&context), "20 of 26 are theirs");
        senders.settle(&context);
        assert!(!senders.are_explained(&context), "nothing bad came since");
    }

    #[test]
    fn good_mail_and_time_give_places_back() {
        let model = Model::default();
        let mut senders = Senders::default();
        let now = Context::new(&model, Profile::Relay, at(0));
        result(&mut senders, 1, true, &now);
        result(&mut senders, 2, true, &now);
        let pardon = Pardon::default();
        for _ in 0..3 {
            result(&mut senders, 1, false, &now);
            senders.judge(1, &pardon, Life::default(), &now);
        }
        assert!(senders.get(1, &now).is_some(), "it is part of the evidence yet");
        assert_eq!(senders.share_without(&[1]), 0.5);
        senders.settle(&now);
        assert!(senders.get(1, &now).is_none() && senders.get(2, &now).is_some());
        let later = Context { now: at(4 * 86_400), ..now };
        let seen = Observation { sender: Origin::Own, recipients: 1, ..Observation::default() };
        let usual = Trials::default();
        let trial = Trial::Message(&seen, 0);
        senders.take(Some(&who(3)), &trial, false, &usual, Life::default(), &later);
        senders.settle(&later);
        assert!(senders.is_empty());
    }

    #[test]
    fn a_suspicious_sender_has_tokens_of_its_own() {
        let model = Model::default();
        let mut senders = Senders::default();
        let context = Context::new(&model, Profile::Relay, at(0));
        let crowd = Observation { recipients: 10, unseen: 10, ..Observation::default() };
        for _ in 0..4 {
            let (trial, usual) = (Trial::Message(&crowd, 0), Trials::default());
            senders.take(Some(&who(1)), &trial, true, &usual, Life::default(), &context);
        }
        (0..10).for_each(|_| result(&mut senders, 2, true, &context));
        for (hash, rate) in [(1, 60.0), (2, 480.0)] {
            let standing = senders.judge(hash, &Pardon::default(), Life::default(), &context);
            assert_eq!(standing.unwrap().judgement, Judgement::Suspicious);
            assert_eq!(senders.rate(hash, 0.0, &context).unwrap().0.per_hour(), rate);
        }
        assert!(senders.warn(1, at(0)) && !senders.warn(1, at(60)) && senders.warn(1, at(86_400)));
        assert!(!senders.must_wait(1, 0.0, &context));
        senders.pass(1, 20, 0.0, &context);
        assert!(senders.must_wait(1, 0.0, &context) && !senders.must_wait(2, 0.0, &context));
        assert!(!senders.must_wait(1, 0.0, &Context { now: at(60), ..context }));
    }

    /// One of ten recipients was refused, so many by now.
    fn refused_so_far(so_far: f32) -> Told {
        let so_far = Results { refused: so_far, ..Default::default() };
        Told { this: Some(true), weight: 1.0, of: 10, so_far, stage: Stage::Waiting }
    }

    #[test]
    fn a_busy_sender_of_a_busy_connector_is_not_starved() {
        let model = Model::default();
        let mut senders = Senders::default();
        let crowd = Observation { recipients: 10, unseen: 10, ..Observation::default() };
        let relay = Context::new(&model, Profile::Relay, at(0));
        let (trial, usual) = (Trial::Message(&crowd, 0), Trials::default());
        senders.take(Some(&who(1)), &trial, true, &usual, Life::default(), &relay);
        let bulk = Context::new(&model, Profile::Bulk, at(0));
        for (busiest, context, rate) in
            [(0.0, &relay, 60.0), (4000.0, &relay, 1500.0), (4000.0, &bulk, 6000.0)]
        {
            assert_eq!(senders.rate(1, busiest, context).unwrap().0.per_hour(), rate);
        }
    }

    #[test]
    fn places_fit_their_budget() {
        assert!(size_of::<Slot>() <= 448, "{}", size_of::<Slot>());
    }

    /// A first bad recipient may weigh next to nothing; its message is counted all
    /// the same as long as it is part of the evidence against the connector.
    #[test]
    fn a_message_that_weighs_little_is_not_forgotten() {
        let (model, usual) = (Model::default(), Trials::default());
        let context = Context::new(&model, Profile::Relay, at(0));
        let life = Life::default();
        let mut senders = Senders::default();
        let who = |hash| Who { address: "bob@example.org", hash, known: true, made_up: false };
        let mut send = |hash, so_far| {
            let told = refused_so_far(so_far);
            senders.take(Some(&who(hash)), &Trial::Result(&told), false, &usual, life, &context);
            senders.judge(hash, &Pardon::default(), life, &context).unwrap();
        };
        for _ in 0..3 {
            send(1, 1.0);
            send(1, 2.0);
        }
        send(2, 1.0);
        let bad = |senders: &Senders, hash| senders.get(hash, &context).map(|it| it.bad);
        assert_eq!((bad(&senders, 1), bad(&senders, 2)), (Some(3), Some(1)));
        // What one did is none of the others'.
        assert_eq!(senders.share_without(&[1]), 0.25);
        senders.forget(1);
        assert_eq!(senders.share_without(&[2]), 0.0);
        senders.settle(&context);
        assert_eq!(senders.share_without(&[2]), 1.0);
    }
}
