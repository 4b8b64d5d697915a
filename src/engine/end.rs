//! The end of a message: what holds for it already, then trial, judgement and
//! admission in one call.

use super::{
    ENFORCED_NOW, Engine, Held, LIMIT_TEXT, Notice, Settled, Transaction, hold_reason, keys_of,
    over_limit,
};
use crate::{
    connector::{ConnectorKey, Entity},
    judge::{self, Judgement},
    message::{Message, Sender},
    record::{Actor, Restriction, Sample},
    restriction::{Attempts, InForce},
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Action, Class, Mode, Reply, Scope, Verdict},
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// How long a mark lasts.
const MARK: Duration = Duration::from_secs(24 * 3600);
/// What a message counts against the limit of the hold queue, in octets,
/// whose client did not declare its size.
const UNDECLARED_SIZE: u64 = 100_000;
/// Longest text kept of what a client chose, in octets.
const SAMPLE_TEXT: usize = 256;

/// One message at its end.
pub(super) struct End<'a> {
    pub(super) engine: &'a Engine,
    pub(super) settled: &'a Settled,
    pub(super) transaction: &'a Transaction,
    pub(super) message: &'a Message<'a>,
    pub(super) now: Timestamp,
}

/// What a sender is to the signal of unregistered senders.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// `<>`: neither registered nor unregistered.
    Null,
    /// Registered, or nobody said what is.
    Own,
    /// Not registered; a hash of its domain.
    Odd(u32),
}

impl End<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        let Self { engine, settled, transaction, now, .. } = *self;
        let Settled { resolution, .. } = settled;
        engine.count_unknown(resolution, transaction);
        let exempt = engine.is_exempt(resolution, now);
        let held = engine.held(settled, now);
        if let Held::Refused(held) = &held
            && (transaction.relayed > 0 || held.restriction.scope == Scope::All)
        {
            return self.refuse(held);
        }
        if transaction.relayed == 0 {
            return Verdict::Pass;
        }
        let Some(key) = &resolution.counted else {
            if !exempt {
                engine.counters.unattributed.fetch_add(1, Relaxed);
            }
            return Verdict::Pass;
        };
        let (key, tally, new) = engine.roster.admit(key, now, &|entity| engine.table.holds(entity));
        if new {
            engine.notices.push(Notice::NewConnector(key.clone()));
        }
        tally.touch(now);
        let origin = self.origin();
        if exempt {
            self.pass(&tally, origin);
            return Verdict::Pass;
        }
        if let Held::Idle(held) = held {
            held.attempts.refuse(transaction.relayed.into(), now);
            self.would_refuse(&tally);
            self.pass(&tally, origin);
            return Verdict::Pass;
        }
        let over = over_limit(&tally, &resolution.terms, transaction.relayed, now);
        if over {
            engine.tell_of_limit(&key, &tally, now);
            if resolution.terms.mode == Mode::Enforce {
                return self.refuse_over_limit(&tally);
            }
        } else {
            tally.over_limit.forget_held();
        }
        self.judge(&key, &tally, origin, over)
    }

    /// Trial, judgement, admission. `over` says that a hard limit would have
    /// refused the message if it could.
    fn judge(&self, key: &ConnectorKey, tally: &Tally, origin: Origin, over: bool) -> Verdict {
        let Self { engine, settled, now, .. } = *self;
        self.trial(tally, origin);
        let entity = Entity::from(key.clone());
        let grace = engine.table.grace(&entity, now);
        let judgement = judge::judge(&tally.scores(now), tally.judgement(), grace.as_ref());
        let observe = settled.resolution.terms.mode == Mode::Observe;
        let restricts = judgement == Judgement::Compromised && *key != ConnectorKey::Overflow;
        if matches!(origin, Origin::Odd(_)) {
            tally.keep(self.sample(observe || !restricts));
        }
        if restricts {
            let held = self.restrict(entity, tally, observe);
            if !observe {
                return self.refuse(&held);
            }
            held.attempts.refuse(self.transaction.relayed.into(), now);
        } else if tally.set_judgement(judgement, now) {
            let findings = tally.findings(now);
            engine.notices.push(match judgement {
                Judgement::Compromised => Notice::OverflowCompromised(findings),
                _ => Notice::Suspicious(key.clone(), findings),
            });
        }
        // Another message of it may have tipped the scale since we looked.
        if let Held::Refused(held) = engine.held(settled, now) {
            return self.refuse(&held);
        }
        if over || restricts {
            self.would_refuse(tally);
        }
        self.pass(tally, origin);
        Verdict::Pass
    }

    /// What the sender is to the signal of unregistered senders.
    fn origin(&self) -> Origin {
        let registered = &self.settled.resolution.terms.registered;
        let Sender::Address { qualified, .. } = self.message.sender else {
            return Origin::Null;
        };
        // Postfix completes what the client left out with this host's origin.
        // And where nobody said which domains are ours, there is nothing to
        // judge by.
        if !qualified || registered.is_empty() {
            return Origin::Own;
        }
        // A domain that can't be one is nobody's.
        let domain = self.message.sender.domain().unwrap_or_default();
        let host = self.message.host.is_some_and(|host| host.eq_ignore_ascii_case(&domain));
        if host || registered.contains_folded(&domain) {
            return Origin::Own;
        }
        Origin::Odd(self.engine.hash(&domain))
    }

    /// Makes the trials of this message.
    fn trial(&self, tally: &Tally, origin: Origin) {
        match origin {
            Origin::Null => {}
            // Without registered domains the signal is off.
            Origin::Own if self.settled.resolution.terms.registered.is_empty() => {}
            Origin::Own => tally.trial(None, self.now),
            Origin::Odd(hash) => tally.trial(Some(hash), self.now),
        }
    }

    fn restrict(&self, entity: Entity, tally: &Tally, mark: bool) -> InForce {
        let Self { engine, settled, now, .. } = *self;
        let Settled { settings, resolution } = settled;
        let terms = &resolution.terms;
        let (passed_messages, passed_recipients) = tally.passed();
        let until = if mark { Some(MARK) } else { settings.restriction.expire_after };
        if !mark {
            engine.table.lift_mark(&entity, now, ENFORCED_NOW);
        }
        let keys = keys_of(&settings.directory, entity.connector());
        let (held, new) = engine.table.restrict(&entity, now, |case| Restriction {
            entity: entity.clone(),
            case,
            action: terms.action,
            scope: settings.restriction.scope,
            since: now,
            until: until.map(|span| now.plus(span)),
            reject_from: terms.reject_after.map(|span| now.plus(span)),
            by: Actor::Judgement,
            reason: String::new(),
            mark,
            findings: tally.findings(now),
            samples: tally.samples(),
            passed_messages: passed_messages.into(),
            passed_recipients: passed_recipients.into(),
            keys,
        });
        if new.is_some() {
            tally.reset(true);
        }
        held
    }

    /// The answer to the whole message of a restricted entity.
    fn refuse(&self, held: &InForce) -> Verdict {
        let Self { engine, settled, transaction, now, .. } = *self;
        let Settled { settings, resolution } = settled;
        let case = held.restriction.case;
        let action = held.action(now);
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

    /// The answer to a message that goes beyond a hard limit. Who has no queue
    /// of its own is held, as far as there is room.
    fn refuse_over_limit(&self, tally: &Tally) -> Verdict {
        let Self { settled, transaction, now, .. } = *self;
        if settled.resolution.terms.action == Action::Hold && self.hold(&tally.over_limit) {
            return Verdict::Hold("connguard: hourly limit of this relay client".into());
        }
        let recipients = transaction.relayed.saturating_add(transaction.inbound);
        tally.over_limit.refuse(recipients.into(), now);
        tally.counters.refused.fetch_add(recipients.into(), Relaxed);
        Verdict::Refuse(Reply::new(Class::Tempfail, LIMIT_TEXT))
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
        self.engine.counters.would_refuse.fetch_add(relayed, Relaxed);
    }

    fn pass(&self, tally: &Tally, origin: Origin) {
        match origin {
            Origin::Null => tally.counters.null_senders.fetch_add(1, Relaxed),
            Origin::Odd(_) => tally.counters.unregistered.fetch_add(1, Relaxed),
            Origin::Own => 0,
        };
        tally.pass(self.transaction.relayed, self.now);
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
