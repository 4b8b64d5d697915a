//! The engine: every message, from whatever source, takes the same calls.
//!
//!   begin -> at_recipient ... -> at_end | at_abandon
//!
//! `at_recipient` makes no trial; `at_end` is trial, judgement and admission
//! in one call, so that the message that tips the scale is itself refused. The
//! engine does no I/O, never waits, never reads a clock, and can't fail.
//!
//! What we refused is no evidence: the attempts of a restricted or marked
//! entity are counted apart, and nothing is learned from them.

mod end;
mod notice;
mod operate;
mod session;
mod settings;

use end::End;
pub use notice::{Notice, Notices};
use operate::keys_of;
pub use operate::{BlockError, Blocked, Lifted, Moves, TrustError};
use session::Settled;
pub use session::{Session, Transaction};
pub use settings::{Directions, HoldLimit, ReplyText, ReplyTextError, RestrictionTerms, Settings};

use crate::{
    connector::{ConnectorKey, Entity},
    directory::{Resolution, Terms},
    message::{Direction, Fate, Message, Recipient},
    record::CaseId,
    restriction::{InForce, Table},
    roster::Roster,
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Action, Class, Mode, Reply, Scope, Verdict},
};
use arc_swap::ArcSwap;
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Refusals in a session without an accepted recipient, after which it is
/// ended: a client that only retries must not occupy an smtpd process.
const REFUSALS_BEFORE_DISCONNECT: u32 = 8;
/// Totals of the whole daemon since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that passed, in whatever direction.
    pub messages: AtomicU64,
    /// Their accepted recipients.
    pub recipients: AtomicU64,
    /// Recipients that were refused; of a message that was refused at its
    /// end, each accepted one counts.
    pub refused: AtomicU64,
    /// Recipients that would have been refused in enforce mode.
    pub would_refuse: AtomicU64,
    /// Messages that went to the hold queue.
    pub held: AtomicU64,
    /// Messages relayed for clients that have no relay rights as far as the
    /// configuration knows: a sign that it lacks inbound domains or relay
    /// networks.
    pub unattributed: AtomicU64,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    settings: ArcSwap<Settings>,
    table: Arc<Table>,
    roster: Roster,
    counters: Counters,
    notices: Notices,
    hasher: RandomState,
}

impl Engine {
    /// An engine for at most `max_connectors` connectors.
    pub fn new(settings: Settings, max_connectors: usize, now: Timestamp) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            table: Arc::default(),
            roster: Roster::new(max_connectors, now),
            counters: Counters::default(),
            notices: Notices::default(),
            hasher: RandomState::new(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// The restriction table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The connectors.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Totals.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What there is to tell.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Begins a transaction: settles who the session is, unless that is known
    /// under the present settings.
    pub fn begin(&self, session: &mut Session) -> Transaction {
        let current = self.settings.load();
        let settled = session.settled.as_ref();
        if !settled.is_some_and(|settled| Arc::ptr_eq(&settled.settings, &current)) {
            let resolution = current.directory.resolve(&session.identities);
            let settings = Arc::clone(&current);
            session.settled = Some(Arc::new(Settled { settings, resolution }));
        }
        Transaction::default()
    }

    /// The answer to one recipient.
    pub fn at_recipient(
        &self,
        session: &mut Session,
        transaction: &mut Transaction,
        recipient: &Recipient<'_>,
        now: Timestamp,
    ) -> Verdict {
        match recipient.fate {
            Fate::Unknown => transaction.unknown = transaction.unknown.saturating_add(1),
            Fate::Refused => {}
            Fate::Accepted => {
                let Some(settled) = session.settled().cloned() else {
                    return Verdict::Pass;
                };
                let direction = settled.settings.directions.of(recipient);
                if let Some(reply) = self.refusal(&settled, session, *transaction, direction, now) {
                    return Verdict::Refuse(reply);
                }
                session.accepted = true;
                transaction.accept(direction);
            }
        }
        Verdict::Pass
    }

    /// The answer to a message at its end.
    pub fn at_end(
        &self,
        session: &Session,
        transaction: Transaction,
        message: &Message<'_>,
        now: Timestamp,
    ) -> Verdict {
        let recipients = transaction.relayed.saturating_add(transaction.inbound);
        let verdict = match session.settled().map(Arc::as_ref) {
            Some(Settled { settings, resolution }) => {
                End { engine: self, settings, resolution, transaction, message, now }.verdict()
            }
            None => Verdict::Pass,
        };
        let count = |counter: &AtomicU64, by: u32| {
            counter.fetch_add(by.into(), Relaxed);
        };
        match &verdict {
            Verdict::Pass if session.ignored => {}
            Verdict::Pass => {
                count(&self.counters.messages, 1);
                count(&self.counters.recipients, recipients);
            }
            Verdict::Refuse(_) => count(&self.counters.refused, recipients),
            Verdict::Hold(_) => count(&self.counters.held, 1),
        }
        verdict
    }

    /// A transaction that never reached its end: Postfix refused recipients of
    /// it, or the client or another milter ended it.
    pub fn at_abandon(&self, session: &Session, transaction: Transaction) {
        if let Some(settled) = session.settled() {
            self.count_unknown(&settled.resolution, transaction);
        }
    }

    /// The answer where something in us failed: a restricted entity stays
    /// refused or held, everybody else passes. At a recipient, `Hold` means
    /// that the message is held at its end.
    pub fn fallback(&self, session: &Session, now: Timestamp) -> Verdict {
        let Some(Settled { settings, resolution }) = session.settled().map(Arc::as_ref) else {
            return Verdict::Pass;
        };
        if self.is_exempt(resolution, now) {
            return Verdict::Pass;
        }
        match self.in_force(resolution, now) {
            Some(held) if enforced(&held, &resolution.terms) => {
                let case = held.restriction.case;
                match held.action(now) {
                    Action::Hold => Verdict::Hold(hold_reason(case)),
                    // Never final where we are not sure of ourselves.
                    Action::Tempfail | Action::Reject => {
                        let text = settings.restriction.reply.of(case);
                        Verdict::Refuse(Reply::new(Class::Tempfail, &text))
                    }
                }
            }
            _ => Verdict::Pass,
        }
    }

    /// Whether a recipient is refused before it is accepted, and how.
    fn refusal(
        &self,
        settled: &Settled,
        session: &mut Session,
        transaction: Transaction,
        direction: Direction,
        now: Timestamp,
    ) -> Option<Reply> {
        let Settled { settings, resolution } = settled;
        if self.is_exempt(resolution, now) {
            return None;
        }
        let held = self.in_force(resolution, now);
        let held = held.filter(|held| enforced(held, &resolution.terms));
        let relayed = direction == Direction::Relayed;
        let (class, text) = match held {
            Some(held) if relayed || held.restriction.scope == Scope::All => {
                let class = match held.action(now) {
                    // The whole message is held, at its end.
                    Action::Hold => return None,
                    Action::Tempfail => Class::Tempfail,
                    Action::Reject => Class::Reject,
                };
                held.attempts.refuse(1, now);
                (class, settings.restriction.reply.of(held.restriction.case))
            }
            _ => {
                let counted = resolution.counted.as_ref().filter(|_| relayed)?;
                let tally = self.roster.get(counted)?;
                let over = over_limit(&tally, &resolution.terms, transaction.relayed + 1, now);
                if !over {
                    return None;
                }
                self.tell_of_limit(counted, &tally, now);
                if resolution.terms.mode == Mode::Observe || *counted == ConnectorKey::Local {
                    return None;
                }
                (Class::Tempfail, LIMIT_TEXT.to_owned())
            }
        };
        self.counters.refused.fetch_add(1, Relaxed);
        self.count(resolution, |tally| &tally.counters.refused, 1);
        session.refusals = session.refusals.saturating_add(1);
        let only_refused = !session.accepted && session.refusals > REFUSALS_BEFORE_DISCONNECT;
        Some(Reply::new(if only_refused { Class::Disconnect } else { class }, &text))
    }

    /// The first restriction or mark that the session meets. A mark means
    /// nothing to a connector in enforce mode: it was made of a neighbour, or
    /// by a transaction that began before the mode changed, and must not keep
    /// the connector from being judged.
    fn in_force(&self, resolution: &Resolution, now: Timestamp) -> Option<InForce> {
        let enforce = resolution.terms.mode == Mode::Enforce;
        resolution
            .enforced
            .iter()
            .filter_map(|entity| self.table.in_force(entity, now))
            .find(|held| !(enforce && held.restriction.mark))
    }

    fn is_exempt(&self, resolution: &Resolution, now: Timestamp) -> bool {
        resolution.trusted
            || resolution
                .counted
                .iter()
                .chain(&resolution.shown)
                .any(|key| self.table.trust(&Entity::from(key.clone()), now).is_some())
    }

    fn tell_of_limit(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) {
        if tally.limit_notice_is_due(now) {
            self.notices.push(Notice::LimitReached(key.clone()));
        }
    }

    fn count(&self, resolution: &Resolution, counter: impl Fn(&Tally) -> &AtomicU64, by: u32) {
        let tally = resolution.counted.as_ref().and_then(|key| self.roster.get(key));
        if let Some(tally) = tally {
            counter(&tally).fetch_add(by.into(), Relaxed);
        }
    }

    fn count_unknown(&self, resolution: &Resolution, transaction: Transaction) {
        if transaction.unknown > 0 {
            self.count(resolution, |tally| &tally.counters.unknown_recipients, transaction.unknown);
        }
    }

    fn hash(&self, domain: &str) -> u32 {
        // 0 stands for an empty slot.
        let [a, b, c, d, ..] = self.hasher.hash_one(domain).to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).max(1)
    }
}

/// Why a message is in the hold queue, for the log of Postfix.
fn hold_reason(case: CaseId) -> String {
    format!("connguard: suspended relay client, case {case}")
}

/// What a client reads that reached a hard limit.
const LIMIT_TEXT: &str = "Hourly limit of this client reached, try again later";

/// A restriction that refuses: no mark, and not under observe mode.
fn enforced(held: &InForce, terms: &Terms) -> bool {
    !held.restriction.mark && terms.mode == Mode::Enforce
}

fn over_limit(tally: &Tally, terms: &Terms, recipients: u32, now: Timestamp) -> bool {
    let over = |limit: Option<u32>, count: u64, more: u32| {
        limit.is_some_and(|limit| count + u64::from(more) > u64::from(limit))
    };
    let limits = &terms.limits;
    (limits.messages_per_hour.is_some()
        && over(limits.messages_per_hour, tally.messages.estimate(now), 1))
        || (limits.recipients_per_hour.is_some()
            && over(limits.recipients_per_hour, tally.recipients.estimate(now), recipients))
}
