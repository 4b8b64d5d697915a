//! The end of a message: what holds for it already, then trial, judgement and
//! admission in one call.

use super::{
    Engine, Held, LIMIT_TEXT, Notice, Session, Settled, THROTTLE_TEXT, Transaction, action_of,
    deliveries::Owner, hold_reason, judging::Judging, narrow::SentBy, over_limit,
};
use crate::{
    case,
    connector::{ConnectorKey, Entity, Profile, parent_network},
    domain,
    judge::Judgement,
    known::{self, Found},
    message::{Message, Sender},
    pending::{Accepted, Feedback, Recipients},
    record::Sample,
    restriction::{Attempts, InForce},
    senders::{Trial, Who},
    signal::{Context, Observation, Origin},
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Action, Class, Mode, Reply, Scope, Throttle, Verdict},
};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// What a message counts against the limit of the hold queue, in octets,
/// whose client did not declare its size.
const UNDECLARED_SIZE: u64 = 100_000;
/// Longest text kept of what a client chose, in octets.
const SAMPLE_TEXT: usize = 256;

/// One message at its end.
pub(super) struct End<'a> {
    pub(super) engine: &'a Engine,
    pub(super) session: &'a Session,
    pub(super) settled: &'a Settled,
    pub(super) client: Option<std::net::IpAddr>,
    pub(super) transaction: &'a Transaction,
    pub(super) message: &'a Message<'a>,
    pub(super) now: Timestamp,
}

/// What counts a message.
pub(super) struct Counted<'a> {
    pub(super) key: ConnectorKey,
    pub(super) tally: Arc<Tally>,
    pub(super) context: Context<'a>,
    /// What the domain of its sender is.
    origin: Origin,
    /// Its sender, where senders are told apart.
    who: Option<Who<'a>>,
    /// Whether the connector had that sender before.
    met: Found,
}

/// What of a message its connector had before, as far as it was looked for: it is
/// not looked for again when the message passes.
#[derive(Default)]
pub(super) struct Met {
    /// Whether it wrote to a recipient ever, and within the last hour, of the first
    /// ones.
    recipients: [(Found, Found); 16],
    /// Whether it showed its traits.
    pub(super) traits: [Found; 4],
}

impl End<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        let Self { engine, session, settled, transaction, now, .. } = *self;
        let Settled { settings, resolution, .. } = settled;
        let terms = &resolution.terms;
        engine.count_unknown(resolution, transaction);
        let exempt = engine.is_exempt(resolution, session, now);
        let held = engine.held(settled, session, transaction.relayed > 0, now);
        if let Held::Refused(held) = &held {
            return self.refuse(held);
        }
        let of_organization = self.held_by_organization();
        if let Held::Refused(held) = &of_organization {
            return self.refuse(held);
        }
        if transaction.relayed == 0 {
            engine.judge_unrelayed(session, resolution, transaction, transaction.inbound, now);
            return Verdict::Pass;
        }
        let Some(key) = &resolution.counted else {
            if !exempt {
                engine.counters.unattributed.add(1_u64);
            }
            return Verdict::Pass;
        };
        let (key, tally, new) = engine.roster.admit(key, now, &|entity| engine.table.holds(entity));
        if new {
            // Nobody was there to count them a moment ago.
            tally.counters.unknown_recipients.fetch_add(transaction.unknown.into(), Relaxed);
            engine.notices.push(Notice::NewConnector(key.clone()));
        }
        let context = engine.context(settings, &key, terms, now);
        let origin = self.sender();
        let (who, met) = engine.who(session, &tally, origin, &context).unzip();
        let met = met.unwrap_or_default();
        let counted = Counted { key, tally, context, origin, who, met };
        let tally = &counted.tally;
        tally.touch(&context);
        if exempt {
            // Its fate is not waited for: somebody vouches for it.
            let (seen, met) = self.observation(&counted);
            self.pass(&counted, &seen, &met);
            return Verdict::Pass;
        }
        if let (Held::Idle(held), _) | (_, Held::Idle(held)) = (held, of_organization) {
            held.attempts.refuse(transaction.relayed.into(), now);
            self.would_refuse(tally);
            self.pass_unlearned(&counted);
            return Verdict::Pass;
        }
        let over = over_limit(tally, terms, transaction.relayed, now);
        if over {
            engine.tell_of_limit(&counted.key, tally, now);
            if terms.mode == Mode::Enforce {
                return self.keep_back(
                    &counted,
                    tally.over_limit(),
                    terms.action == Action::Hold,
                    ("connguard: hourly limit of this relay client", LIMIT_TEXT),
                );
            }
        } else {
            tally.forget_over_limit(now);
        }
        let throttle = engine.throttle(settled, &counted.key, session, tally, now);
        if throttle != Throttle::Off {
            return self.keep_back(
                &counted,
                tally.throttled(),
                throttle == Throttle::Hold,
                ("connguard: too much unusual mail from this client", THROTTLE_TEXT),
            );
        }
        // What was held stays in the queue when a token lets a message through.
        if tally.judgement() == Judgement::Normal && !tally.has_slow_senders() {
            tally.forget_throttled();
        }
        self.judge(&counted, over)
    }

    /// Trial, judgement, admission. `over` says that a hard limit would have
    /// refused the message if it could.
    fn judge(&self, counted: &Counted<'_>, over: bool) -> Verdict {
        let Self { engine, session, settled, transaction, now, .. } = *self;
        let Settled { settings, resolution, .. } = settled;
        let (terms, Counted { key, tally, context, who, .. }) = (&*resolution.terms, counted);
        let (seen, mut met) = self.observation(counted);
        let (context, who) = (*context, *who);
        let judging = Judging { engine, settings, terms, key, tally, context, who };
        let context = &context;
        let unknown = engine.tried_first(tally, transaction, now);
        tally.unknown(unknown, context);
        let bad = tally.observe(&seen, context);
        engine.count_for_organization(settled, &seen, tally.life(context), context);
        let standing = judging.try_sender(&Trial::Message(&seen, unknown), bad);
        let outcome = judging.outcome();
        let observe = terms.mode == Mode::Observe;
        let changes = self.changes(counted, &seen, &mut met);
        if bad || outcome.z > 0.0 {
            let sample = (bad || outcome.z >= settings.model.normal_again)
                .then(|| self.sample(observe || !outcome.restricts));
            self.collect(counted, bad, &changes, sample);
        }
        let made = judging.act(outcome, standing);
        if let Some(held) = &made {
            if !observe {
                return self.refuse(held);
            }
            held.attempts.refuse(transaction.relayed.into(), now);
        }
        // Another message of it may have tipped the scale since we looked.
        if let Held::Refused(held) = engine.held(settled, session, true, now) {
            // Our trials may have come after the evidence was dealt with.
            match (&held.restriction.entity, who) {
                (Entity::Connector(its), _) if its == key => tally.reset(true),
                (Entity::Sender { .. }, Some(who)) => tally.forget_sender(who.hash),
                _ => {}
            }
            return self.refuse(&held);
        }
        if let Held::Refused(held) = self.held_by_organization() {
            return self.refuse(&held);
        }
        if over || made.is_some() {
            self.would_refuse(tally);
        }
        tally.weigh(outcome.z, transaction.relayed, context);
        tally.charge(transaction.relayed, context);
        if let Some(who) = who {
            tally.pass_sender(who.hash, transaction.relayed, context);
        }
        self.tell_of_change(counted, &changes);
        self.pass(counted, &seen, &met);
        self.await_fate(counted);
        Verdict::Pass
    }

    /// Takes the message into the evidence.
    fn collect(
        &self,
        counted: &Counted<'_>,
        bad: bool,
        changes: &[case::Change],
        sample: Option<Sample>,
    ) {
        let Self { engine, session, transaction, now, .. } = *self;
        let domains: Vec<(Box<str>, u32)> =
            transaction.domains.iter().map(|(name, count)| (name.into(), count)).collect();
        let seen = case::Seen {
            sender: &session.sender.folded,
            sender_domain: &session.sender.domain,
            client: self.client,
            helo: &session.helo,
            recipient_domains: &domains,
            relayed: transaction.relayed,
            inbound: transaction.inbound,
            bad,
            changes,
        };
        counted.tally.collect(&engine.evidence, |evidence| {
            evidence.material.note(&seen, now);
            if let Some(sample) = sample {
                evidence.material.keep(sample);
            }
        });
        engine.refresh_material(&counted.key, &counted.tally, now);
    }

    /// What the message shows, and what was found of each recipient.
    fn observation(&self, counted: &Counted<'_>) -> (Observation, Met) {
        let Self { engine, transaction, now, .. } = *self;
        let looked_at = &transaction.recipients;
        let known = &engine.known;
        let mut met = Met::default();
        let (mut unseen, mut fresh) = (0, 0);
        for (at, recipient) in looked_at.iter().enumerate() {
            let pair = known::pair(counted.tally.id(), *recipient);
            let (ever, lately) = (known.recipients.find(pair, now), known.recent.find(pair, now));
            unseen += usize::from(!ever.is_known());
            fresh += usize::from(!lately.is_known());
            if let Some(place) = met.recipients.get_mut(at) {
                *place = (ever, lately);
            }
        }
        let all = |found: usize| {
            // Beyond what is looked at one by one, as among those.
            let all = u64::from(transaction.relayed) * found as u64;
            let all = all / (looked_at.len() as u64).max(1);
            u32::try_from(all).unwrap_or(u32::MAX)
        };
        let seen = Observation {
            sender: counted.origin,
            from: self.from(counted),
            network: self.network(&counted.key),
            recipients: transaction.relayed,
            unseen: all(unseen),
            fresh: all(fresh),
            spam: self.message.spam,
        };
        (seen, met)
    }

    /// The client's network, where it is part of who it is.
    fn network(&self, key: &ConnectorKey) -> Option<u64> {
        if self.settled.resolution.terms.profile(key) != Profile::Login {
            return None;
        }
        let client = crate::connector::client_network(self.client?);
        Some(self.engine.fingerprints.of_network(&parent_network(client)))
    }

    /// What the sender is to the signal of unregistered senders.
    fn sender(&self) -> Origin {
        let Sender::Address { qualified, .. } = self.message.sender else {
            return Origin::Unjudged;
        };
        if self.settled.resolution.terms.registered.is_empty() {
            return Origin::Unjudged;
        }
        // Postfix completes what the client left out with this host's origin.
        if !qualified {
            return Origin::Own;
        }
        // A domain that can't be one is nobody's.
        self.registered(&self.session.sender.domain)
    }

    /// What the From header is to the signal of foreign ones.
    fn from(&self, counted: &Counted<'_>) -> Origin {
        let origins = self.session.from.iter().map(|(from, _)| {
            if self.settled.resolution.terms.registered.is_empty() {
                self.compared(from, counted)
            } else {
                self.registered(from)
            }
        });
        // One foreign address among several is enough.
        origins.fold(Origin::Unjudged, |all, next| match (all, next) {
            (Origin::Odd(_), _) | (_, Origin::Unjudged) => all,
            _ => next,
        })
    }

    /// What a domain is where some are registered.
    fn registered(&self, folded: &str) -> Origin {
        let host = self.message.host.is_some_and(|host| host.eq_ignore_ascii_case(folded));
        if host || self.settled.resolution.terms.registered.contains_folded(folded) {
            return Origin::Own;
        }
        Origin::Odd(self.engine.fingerprints.of_domain(folded))
    }

    /// What a From domain is where none is registered: own if its owner sends
    /// the envelope too, or if the connector has used it for long.
    fn compared(&self, from: &str, counted: &Counted<'_>) -> Origin {
        let from = self.owner(from);
        if counted.tally.own_domains().contains(from) {
            return Origin::Own;
        }
        match self.message.sender {
            Sender::Null => Origin::Unjudged,
            Sender::Address { qualified: false, .. } => Origin::Own,
            Sender::Address { .. } => {
                let sender = self.owner(&self.session.sender.domain);
                if sender == from { Origin::Own } else { Origin::Odd(from) }
            }
        }
    }

    /// A hash of the organizational domain.
    fn owner(&self, folded: &str) -> u32 {
        self.engine.fingerprints.of_domain(domain::organizational(folded))
    }

    /// Remembers the domains of a message, where none is registered.
    fn note_domains(&self, tally: &Tally) {
        if !self.settled.resolution.terms.registered.is_empty() {
            return;
        }
        let sender = Some(&*self.session.sender.domain).filter(|domain| !domain.is_empty());
        for folded in self.session.from.iter().map(|(from, _)| from).chain(sender) {
            tally.own_domains().note(self.owner(folded));
        }
    }

    /// What the message meets because of its organization. Without a sender it is
    /// its From that tells whose it is, or being a report to one recipient.
    fn held_by_organization(&self) -> Held {
        let Self { engine, session, settled, transaction, message, now, .. } = *self;
        let relayed = transaction.relayed > 0;
        if message.sender != Sender::Null {
            return engine.held_by_organization(settled, session, relayed, now);
        }
        let held = engine.organization_of(settled, session, relayed, now);
        if matches!(held, Held::Nothing) {
            return held;
        }
        let is_own = |(from, _)| self.registered(from) == Origin::Own;
        let all_own = !message.from.is_empty()
            && session.from.len() == message.from.len()
            && session.from.iter().all(is_own);
        if self.is_report() || all_own { Held::Nothing } else { held }
    }

    /// Whether it is a delivery report: without a sender, to one recipient, and it
    /// says so itself.
    fn is_report(&self) -> bool {
        let Self { transaction, message, .. } = *self;
        let recipients = transaction.relayed.saturating_add(transaction.inbound);
        message.report && message.sender == Sender::Null && recipients == 1
    }

    /// The answer to the whole message of a restricted entity.
    fn refuse(&self, held: &InForce) -> Verdict {
        let Self { engine, settled, transaction, now, .. } = *self;
        let Settled { settings, resolution, .. } = settled;
        let case = held.restriction.case;
        let action = action_of(held, &resolution.terms, now);
        let when = (held, held.restriction.since < now);
        engine.note_attempts(settled, self.session, when, &transaction.recipients, now);
        if action == Action::Hold && self.hold(&held.attempts) {
            return Verdict::Hold(hold_reason(case));
        }
        let recipients = transaction.relayed.saturating_add(transaction.inbound);
        held.attempts.refuse(recipients.into(), now);
        engine.count(resolution, |tally| &tally.counters.refused, recipients);
        // The answer is for all recipients. Inbound ones are not restricted:
        // the client's retry splits the message.
        let inbound = transaction.inbound > 0 && held.restriction.scope == Scope::Relayed;
        let class = match action {
            Action::Reject if !inbound => Class::Reject,
            _ => Class::Tempfail,
        };
        Verdict::Refuse(Reply::new(class, &settings.restriction.reply.of(case)))
    }

    /// The answer to a message that goes beyond a hard limit or the throttle.
    /// Who has no queue of its own is held, as far as there is room; `texts` are
    /// the reason of the hold and what the client reads.
    fn keep_back(
        &self,
        counted: &Counted<'_>,
        attempts: &Attempts,
        hold: bool,
        texts: (&str, &str),
    ) -> Verdict {
        if hold {
            let has_room = self.hold(attempts);
            self.tell_of_hold(counted, attempts, !has_room);
            if has_room {
                return Verdict::Hold(texts.0.into());
            }
        }
        let recipients = self.transaction.relayed.saturating_add(self.transaction.inbound);
        attempts.refuse(recipients.into(), self.now);
        counted.tally.counters.refused.fetch_add(recipients.into(), Relaxed);
        Verdict::Refuse(Reply::new(Class::Tempfail, texts.1))
    }

    fn tell_of_hold(&self, counted: &Counted<'_>, attempts: &Attempts, full: bool) {
        let Counted { key, tally, .. } = counted;
        if tally.hold_notice_is_due(full, self.now) {
            let messages = attempts.held_messages.load(Relaxed);
            let tell = if full { Notice::HoldFull } else { Notice::Held };
            self.engine.notices.push(tell(key.clone(), messages));
        }
    }

    /// Takes room for this message under the limits of the hold queue.
    fn hold(&self, attempts: &Attempts) -> bool {
        let limit = self.settled.settings.restriction.hold_limit;
        let size = self.message.size.unwrap_or(UNDECLARED_SIZE);
        attempts.hold(size, limit.messages, limit.bytes, self.now)
    }

    fn would_refuse(&self, tally: &Tally) {
        let relayed = self.transaction.relayed.into();
        tally.counters.would_refuse.fetch_add(relayed, Relaxed);
        self.engine.counters.would_refuse.add(self.transaction.relayed);
    }

    /// The message passes, and becomes part of the connector's history.
    fn pass(&self, counted: &Counted<'_>, seen: &Observation, met: &Met) {
        let Self { engine, transaction, now, .. } = *self;
        let Counted { tally, context, .. } = counted;
        self.count_sender(counted);
        tally.pass(seen, context);
        if let Some(who) = &counted.who {
            engine.meet(who, counted.met, tally, now);
        }
        self.note_domains(tally);
        self.remember(counted, seen, met);
        for (at, recipient) in transaction.recipients.iter().enumerate() {
            let (ever, lately) = met.recipients.get(at).copied().unwrap_or_default();
            let pair = known::pair(tally.id(), *recipient);
            engine.known.recipients.keep(pair, ever, &tally.recipients_share, now);
            engine.known.recent.keep(pair, lately, &tally.recent_share, now);
        }
    }

    /// From now on the delivery results of the message are waited for, where
    /// somebody reads a log.
    fn await_fate(&self, counted: &Counted<'_>) {
        let Self { engine, transaction, now, .. } = *self;
        // Whom a report goes to was chosen by who wrote, and who is taken for the writer:
        // by forging senders, anybody could make a connector report to addresses that
        // refuse it.
        let speaks = counted.context.feedback != Feedback::Off && !self.is_report();
        let Some(queue_id) = self.message.queue_id.filter(|_| speaks) else {
            return;
        };
        engine.counters.awaited.add(1_u64);
        counted.tally.took_off();
        let owner = Owner { by: self.sent_by(counted), ..Owner::of(&counted.key, &counted.tally) };
        let recipients = Recipients::from_slice(&transaction.recipients);
        let (queue_id, count) = (queue_id.into(), transaction.relayed);
        let accepted = Accepted { queue_id, owner, recipients, count, at: now };
        for owner in engine.pending.leave(accepted) {
            owner.tally.landed();
        }
    }

    /// Its sender, for its results.
    fn sent_by(&self, counted: &Counted<'_>) -> Option<SentBy> {
        let Who { address, known, made_up, .. } = counted.who?;
        Some(SentBy { address: address.into(), known, made_up })
    }

    /// The message passes while a mark is in force: nothing is learned.
    fn pass_unlearned(&self, counted: &Counted<'_>) {
        let tally = &counted.tally;
        self.count_sender(counted);
        tally.count(self.transaction.relayed, self.now);
    }

    fn count_sender(&self, counted: &Counted<'_>) {
        let counters = &counted.tally.counters;
        match (self.message.sender, counted.origin) {
            (Sender::Null, _) => counters.null_senders.fetch_add(1, Relaxed),
            (_, Origin::Odd(_)) => counters.unregistered.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    fn sample(&self, passed: bool) -> Sample {
        let message = self.message;
        Sample {
            at: self.now,
            queue_id: message.queue_id.map(cut),
            message_id: message.message_id.map(cut),
            sender: cut(message.sender.as_str()),
            from: message.from.first().map(|address| cut(address)),
            recipients: self.transaction.relayed,
            passed,
        }
    }
}

/// The first [`SAMPLE_TEXT`] octets of a text, cut between characters.
fn cut(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(SAMPLE_TEXT)).unwrap_or("").into()
}
