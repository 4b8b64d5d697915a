//! Evidence that comes without a message at its end: delivery results, and
//! transactions that were given up. Nobody waits for it; it may restrict.

use super::{Engine, Session, Transaction, judging::Judging, narrow::SentBy};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Resolution,
    known,
    message::{Delivery, Outcome, Provider},
    pending::{Feedback, Heard, Landed, News, Report, Results, Sharer},
    senders::{Trial, Who},
    signal::{Context, Origin, Stage, Told},
    tally::{Evidence, Tally},
    timestamp::Timestamp,
};
use std::sync::{
    Arc,
    atomic::Ordering::{Relaxed, SeqCst},
};

/// Whose message it was.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The key under which it was counted.
    pub(super) key: ConnectorKey,
    pub(super) tally: Arc<Tally>,
    /// How often its evidence had started again when the message passed.
    pub(super) resets: u32,
    /// Its sender, where senders are told apart. (Not known after a restart: then
    /// the results are the connector's alone.)
    pub(super) by: Option<SentBy>,
}

/// Who answered for a recipient.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// A keyed hash of its name.
    provider: u64,
    /// It was a refusal that may be about this host.
    may_mean_us: bool,
}

impl Sharer for Owner {
    fn share(&self) -> u64 {
        self.tally.id()
    }
}

impl Owner {
    /// The owner of a message that passes now.
    pub(super) fn of(key: &ConnectorKey, tally: &Arc<Tally>) -> Self {
        Self {
            key: key.clone(),
            tally: Arc::clone(tally),
            resets: tally.counters.resets.load(SeqCst),
            by: None,
        }
    }
}

impl Engine {
    /// Says what is known of delivery results; nobody knows anything at a start.
    /// While nobody reads a log, no message is waited for: when that begins, all
    /// are forgotten.
    pub fn set_feedback(&self, feedback: Feedback) {
        let before = self.feedback.swap(feedback as u8, Relaxed);
        if before != Feedback::Off as u8 && feedback == Feedback::Off {
            self.take_in_deliveries();
            for owner in self.pending.clear() {
                owner.tally.landed();
            }
        }
    }

    /// What is known of delivery results.
    pub fn feedback(&self) -> Feedback {
        match self.feedback.load(Relaxed) {
            0 => Feedback::Off,
            1 => Feedback::Watching,
            _ => Feedback::Coming,
        }
    }

    /// What became of a recipient of a message that was accepted. Says whether
    /// it is one of the messages that are known here, which a log of another
    /// host never tells of. What is told a second time, of an earlier message
    /// with the same queue id, or of a recipient that the client did not choose,
    /// makes no trial.
    pub fn on_delivery(&self, delivery: &Delivery<'_>, now: Timestamp) -> bool {
        let Delivery { queue_id, outcome, by, logged, .. } = *delivery;
        self.take_in_deliveries();
        let recipient = self.fingerprints.of_recipient(delivery.recipient);
        let by = by.map(|by| self.answer(&by, outcome));
        let weight = self.weight(queue_id, by, now);
        let report = Report { recipient, outcome, weight, logged };
        match self.pending.result(queue_id, &report, now) {
            Heard::Unknown => return false,
            Heard::Nothing => {}
            Heard::News(news) => self.hear(&news, &report, by, now),
        }
        true
    }

    /// Whether a message with this queue id passed here, and results of it may
    /// still come.
    pub fn awaits(&self, queue_id: &str) -> bool {
        self.take_in_deliveries();
        self.pending.owner(queue_id).is_some()
    }

    /// Whether that message passed for this recipient, in any spelling.
    pub fn awaits_result_of(&self, queue_id: &str, recipient: &str) -> bool {
        self.take_in_deliveries();
        self.pending.lists(queue_id, self.fingerprints.of_recipient(recipient))
    }

    fn answer(&self, by: &Provider<'_>, outcome: Outcome) -> Answer {
        let may_mean_us = by.may_mean_us && outcome == Outcome::Refused;
        Answer { provider: self.fingerprints.of_text(by.name), may_mean_us }
    }

    /// What a refusal counts.
    fn weight(&self, queue_id: &str, by: Option<Answer>, now: Timestamp) -> f32 {
        let by = by.filter(|by| by.may_mean_us);
        let of = |by: Answer| {
            let owner = self.pending.owner(queue_id)?;
            Some(self.providers.weight(by.provider, owner.tally.id(), now))
        };
        by.and_then(of).unwrap_or(1.0)
    }

    /// Postfix has removed the queue file of a message: what is not known of it
    /// by now will not be told, and its id is free for another one. `logged` is when
    /// that was logged, in engine time, where known: another message may have the
    /// id by now.
    pub fn forget_delivery(&self, queue_id: &str, logged: Option<Timestamp>, now: Timestamp) {
        self.take_in_deliveries();
        if let Some(landed) = self.pending.forget(queue_id, logged) {
            self.land(landed, now);
        }
    }

    fn hear(&self, news: &News<Owner>, report: &Report, by: Option<Answer>, now: Timestamp) {
        if news.landed() {
            news.owner.tally.landed();
        }
        let stage = match (news.on_time, news.last) {
            (false, _) => Stage::Late,
            (true, false) => Stage::Waiting,
            (true, true) => Stage::Complete,
        };
        let this = match report.outcome {
            // Whom Postfix added, as `always_bcc` does, the client did not choose.
            _ if !news.listed => None,
            Outcome::Delivered => Some(false),
            Outcome::Refused => Some(true),
            Outcome::Deferred => None,
        };
        if let (Some(_), Some(by)) = (this, by) {
            self.providers.note(by.provider, news.owner.tally.id(), by.may_mean_us, now);
        }
        if this == Some(true) {
            let note = |evidence: &mut Evidence| evidence.material.timeline.note(0, 1, now);
            news.owner.tally.with_evidence(note);
        }
        // What counts nothing is no trial.
        let this = this.filter(|refused| !refused || report.weight > 0.0);
        if this.is_some() || stage == Stage::Complete {
            let told =
                Told { this, weight: report.weight, of: news.of, so_far: news.so_far, stage };
            self.tell(&news.owner, &told, now);
        }
    }

    /// A message stops to count as in flight without its last result.
    fn land(&self, landed: Landed<Owner>, now: Timestamp) {
        let Landed { owner, of, so_far } = landed;
        owner.tally.landed();
        if so_far != Results::default() {
            let told = Told { this: None, weight: 1.0, of, so_far, stage: Stage::Complete };
            self.tell(&owner, &told, now);
        }
    }

    /// Judges by what delivery results tell.
    fn tell(&self, owner: &Owner, told: &Told, now: Timestamp) {
        let Owner { key, tally, resets, by } = owner;
        // Mail from before a restriction, an unblock, a trust: dealt with.
        if *resets == tally.counters.resets.load(SeqCst) {
            let who = |_: &Context<'_>| by.as_ref().map(|by| self.who_sent(by));
            self.judge_apart(key, tally, now, who, || Trial::Result(told));
        }
    }

    /// A transaction that never reached its end: Postfix refused recipients of
    /// it, or the client or another milter ended it.
    pub fn at_abandon(&self, session: &Session, transaction: &Transaction, now: Timestamp) {
        let Some(settled) = session.settled() else {
            return;
        };
        self.count_unknown(&settled.resolution, transaction);
        self.judge_unrelayed(session, &settled.resolution, transaction, 0, now);
    }

    /// Judges by the recipients of a transaction that relays nothing: those that
    /// Postfix refused as unknown, and those of this site that were `accepted`,
    /// beside which the others are seen.
    pub(super) fn judge_unrelayed(
        &self,
        session: &Session,
        resolution: &Resolution,
        transaction: &Transaction,
        accepted: u32,
        now: Timestamp,
    ) {
        let speaks = transaction.unknown > 0 || accepted > 0;
        let counted = resolution.counted.as_ref().filter(|_| speaks);
        // Who never relayed anything is no connector yet.
        let Some((key, tally)) = counted.and_then(|key| Some((key, self.roster.get(key)?))) else {
            return;
        };
        if !self.is_exempt(resolution, session, now) {
            let who = |context: &Context<'_>| self.who(session, &tally, Origin::Unjudged, context);
            self.judge_apart(key, &tally, now, who, || {
                Trial::Unrelayed(self.tried_first(&tally, transaction, now), accepted)
            });
        }
    }

    /// How many of the unknown recipients of a transaction the connector has
    /// never written to nor tried. Who guesses does not guess the same address
    /// again; a program that goes on writing to somebody who has left does.
    pub(super) fn tried_first(
        &self,
        tally: &Tally,
        transaction: &Transaction,
        now: Timestamp,
    ) -> u32 {
        let mut known = 0_u32;
        for recipient in &transaction.unknown_recipients {
            let pair = known::pair(tally.id(), *recipient);
            if self.known.recipients.contains(pair, now) {
                known = known.saturating_add(1);
            }
            self.known.recipients.insert(pair, &tally.recipients_share, now);
        }
        transaction.unknown.saturating_sub(known)
    }

    /// All messages that passed until now are waited for, before anybody tells or
    /// asks of them.
    pub(super) fn take_in_deliveries(&self) {
        for owner in self.pending.take_in() {
            owner.tally.landed();
        }
    }

    /// Messages whose fate counts as known since their time is over.
    pub(super) fn expire_deliveries(&self, now: Timestamp) {
        self.take_in_deliveries();
        for landed in self.pending.expire(now) {
            self.land(landed, now);
        }
    }

    /// Trials beside a message, and judgement. A connector that is restricted,
    /// marked or trusted makes none: what came before is dealt with. Nor does a
    /// sender.
    fn judge_apart<'a>(
        &self,
        key: &ConnectorKey,
        tally: &Tally,
        now: Timestamp,
        who: impl FnOnce(&Context<'_>) -> Option<Who<'a>>,
        trial: impl FnOnce() -> Trial<'a>,
    ) {
        let settings = self.settings.load();
        // It may have got a name since.
        let key = &settings.directory.current(key);
        let terms = settings.directory.terms(key);
        let context = self.context(&settings, key, terms, now);
        let who = who(&context);
        let entity = Entity::from(key.clone());
        let exempt = settings.directory.trusts(key) || self.table.trust(&entity, now).is_some();
        if exempt || self.table.in_force(&entity, now).is_some() || self.is_settled(who, key, now) {
            return;
        }
        tally.touch(&context);
        let trial = trial();
        match trial {
            Trial::Result(told) => tally.result(told, &context),
            Trial::Unrelayed(unknown, accepted) => {
                tally.unknown(unknown, &context);
                tally.accepted(accepted, &context);
            }
            Trial::Message(..) => {}
        }
        let judging =
            Judging { engine: self, settings: &settings, terms, key, tally, context, who };
        let standing = judging.try_sender(&trial, false);
        judging.act(judging.outcome(), standing);
        if self.table.in_force(&entity, now).is_some() {
            // Our trials may have come after the evidence was dealt with.
            tally.reset(true);
        }
    }

    /// Whether a sender is restricted, marked or trusted.
    fn is_settled(&self, who: Option<Who<'_>>, via: &ConnectorKey, now: Timestamp) -> bool {
        let Some(who) = who.filter(|_| self.table.has_senders()) else { return false };
        let entity = Entity::Sender { address: who.address.into(), via: via.clone() };
        self.table.in_force(&entity, now).is_some() || self.table.trust(&entity, now).is_some()
    }
}
