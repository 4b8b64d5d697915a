//! What holds for a session before its message is judged: a restriction, a hard
//! limit, the throttle, an exemption; and the answer to a recipient.

use super::{Engine, Notice, Session, Transaction, organizations::action_of, session::Settled};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::{Resolution, Terms},
    judge::Judgement,
    message::Direction,
    record::CaseId,
    restriction::InForce,
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Action, Class, Mode, Throttle},
};
use std::borrow::Cow;

impl Engine {
    /// Whether a recipient is refused before it is accepted, and how: with which
    /// class of reply, and what the client reads.
    pub(super) fn refusal(
        &self,
        settled: &Settled,
        session: &Session,
        transaction: &Transaction,
        asked: &Asked<'_>,
    ) -> Option<(Class, Cow<'static, str>)> {
        let Settled { settings, resolution, .. } = settled;
        let Asked { recipient, direction, now } = *asked;
        let relayed = direction == Direction::Relayed;
        let is_met = |held: Held| match held {
            Held::Refused(held) => Some(held),
            _ => None,
        };
        let held = is_met(self.held(settled, session, relayed, now))
            .or_else(|| is_met(self.held_by_organization(settled, session, relayed, now)));
        let (class, text) = match held {
            Some(held) => {
                let class = match action_of(&held, &resolution.terms, now) {
                    // The whole message is held, at its end.
                    Action::Hold => return None,
                    Action::Tempfail => Class::Tempfail,
                    Action::Reject => Class::Reject,
                };
                held.attempts.refuse(1, now);
                let hash = self.fingerprints.of_recipient(recipient);
                self.note_attempts(settled, session, (&held, true), &[hash], now);
                (class, settings.restriction.reply.of(held.restriction.case).into())
            }
            None => {
                let counted = resolution.counted.as_ref().filter(|_| relayed)?;
                if self.is_exempt(resolution, session, now) {
                    return None;
                }
                let tally = self.roster.get(counted)?;
                let terms = &resolution.terms;
                // Who has no queue of its own is held, at the end of the message.
                let over = over_limit(&tally, terms, transaction.relayed + 1, now);
                let text = if over {
                    self.tell_of_limit(counted, &tally, now);
                    (terms.action != Action::Hold).then_some(LIMIT_TEXT)
                } else {
                    let throttle = self.throttle(settled, counted, session, &tally, now);
                    (throttle == Throttle::Tempfail).then_some(THROTTLE_TEXT)
                };
                let text = text.filter(|_| terms.mode == Mode::Enforce)?;
                let attempts = if over { tally.over_limit() } else { tally.throttled() };
                attempts.refuse(1, now);
                (Class::Tempfail, text.into())
            }
        };
        self.counters.refuse(class, 1);
        self.count(resolution, |tally| &tally.counters.refused, 1);
        Some((class, text))
    }

    /// What the session meets. The mode that counts is that of the entity that
    /// is restricted: a connector in observe mode is no way out for it. A mark,
    /// or a restriction that observe mode keeps from refusing, means nothing to
    /// a connector in enforce mode: it is a neighbour's, or from before the mode
    /// changed, and must not keep the connector from being judged.
    ///
    /// One that is for relayed mail only counts where mail is `relayed`: it must not hide
    /// another that is for all.
    pub(super) fn held(
        &self,
        settled: &Settled,
        session: &Session,
        relayed: bool,
        now: Timestamp,
    ) -> Held {
        let Settled { settings, resolution, .. } = settled;
        if resolution.trusted || self.table.is_empty() {
            return Held::Nothing;
        }
        let mut idle = Held::Nothing;
        let mut refused = |entity: &Entity| {
            let held = self.table.in_force(entity, now)?;
            if settings.directory.refuses(&held.restriction) {
                return held.restriction.scope.meets(relayed).then_some(held);
            }
            if matches!(idle, Held::Nothing) && resolution.terms.mode == Mode::Observe {
                idle = Held::Idle(held);
            }
            None
        };
        let enforced = &resolution.enforced;
        let found = enforced.iter().find_map(&mut refused);
        let found = found.or_else(|| self.of_sender(session, enforced, refused));
        found.map_or(idle, Held::Refused)
    }

    /// What mail of a sender of a connector meets at present because one of both is
    /// suspicious. Where few senders explain what the connector is suspicious for,
    /// only they are slowed down.
    pub(super) fn throttle(
        &self,
        settled: &Settled,
        key: &ConnectorKey,
        session: &Session,
        tally: &Tally,
        now: Timestamp,
    ) -> Throttle {
        let Settled { settings, resolution, .. } = settled;
        let terms = &*resolution.terms;
        let may = settings.throttle && terms.mode == Mode::Enforce;
        let is_normal = tally.judgement() == Judgement::Normal && !tally.has_slow_senders();
        // Many clients that have nothing to do with one another.
        if !may || *key == ConnectorKey::Overflow || is_normal {
            return Throttle::Off;
        }
        let throttle = terms.throttle(key);
        let waits = || {
            let context = self.context(settings, key, terms, now);
            let slowed = tally.slowed(self.hash_of(session), &context);
            slowed.waits || !slowed.explained && tally.must_wait(&context)
        };
        if throttle != Throttle::Off && waits() { throttle } else { Throttle::Off }
    }

    pub(super) fn is_exempt(
        &self,
        resolution: &Resolution,
        session: &Session,
        now: Timestamp,
    ) -> bool {
        if resolution.trusted || self.table.is_empty() {
            return resolution.trusted;
        }
        let trust = |entity: &Entity| self.table.trust(entity, now);
        let exempting = &resolution.exempting;
        exempting
            .iter()
            .find_map(trust)
            .or_else(|| self.of_sender(session, exempting, trust))
            .is_some()
    }

    pub(super) fn tell_of_limit(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) {
        if tally.limit_notice_is_due(now) {
            let (messages, recipients) =
                (tally.messages.estimate(now), tally.recipients.estimate(now));
            self.notices.push(Notice::LimitReached(key.clone(), messages, recipients));
        }
    }
}

/// A recipient that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) recipient: &'a str,
    pub(super) direction: Direction,
    pub(super) now: Timestamp,
}

/// What a session meets.
pub(super) enum Held {
    /// Nothing.
    Nothing,
    /// A mark, or a restriction that refuses nothing at present.
    Idle(InForce),
    /// A restriction that refuses.
    Refused(InForce),
}

/// Why a message is in the hold queue, for the log of Postfix.
pub(super) fn hold_reason(case: CaseId) -> String {
    format!("connguard: suspended relay client, case {case}")
}

/// What a client reads that reached a hard limit.
pub(super) const LIMIT_TEXT: &str =
    "Hourly limit of this client reached, try again later or contact your postmaster";

/// What a client reads that is slowed down.
pub(super) const THROTTLE_TEXT: &str = "Too much unusual mail from this client, slowed down: try again later or contact your postmaster";

pub(super) fn over_limit(tally: &Tally, terms: &Terms, recipients: u32, now: Timestamp) -> bool {
    let over = |limit: Option<u32>, count: u64, more: u32| {
        limit.is_some_and(|limit| count + u64::from(more) > u64::from(limit))
    };
    let limits = &terms.limits;
    (limits.messages_per_hour.is_some()
        && over(limits.messages_per_hour, tally.messages.estimate(now), 1))
        || (limits.recipients_per_hour.is_some()
            && over(limits.recipients_per_hour, tally.recipients.estimate(now), recipients))
}
