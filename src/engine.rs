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

mod deliveries;
mod end;
mod judging;
mod memory;
mod notice;
mod operate;
mod session;
mod settings;
mod usual;

use deliveries::Owner;
use end::End;
pub use memory::{Filters, Memory, Recalled};
pub use notice::{Notice, Notices};
pub use operate::{BlockError, Blocked, Moves, TrustError};
use operate::{ENFORCED_NOW, keys_of};
use session::{MAX_LOOKED_AT, Settled};
pub use session::{Session, Transaction};
pub use settings::{Directions, HoldLimit, ReplyText, ReplyTextError, RestrictionTerms, Settings};
pub use usual::NormalError;

use crate::{
    connector::ConnectorKey,
    directory::{Resolution, Terms},
    fingerprint::Fingerprints,
    judge::{self, Judgement},
    known::Known,
    message::{Direction, Fate, Message, Recipient},
    pending::Pending,
    record::{CaseId, Finding},
    restriction::{InForce, Table},
    roster::Roster,
    signal::Context,
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Action, Class, Mode, Reply, Scope, Throttle, Verdict},
};
use arc_swap::ArcSwap;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
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
    fingerprints: Fingerprints,
    /// Whom connectors wrote to.
    known: Known,
    /// Messages whose fate is not yet known.
    pending: Pending<Owner>,
    /// Whether delivery results are coming.
    feedback: AtomicBool,
    /// Until this second the memory of recipients means nothing: it was lost.
    muted_until: AtomicU32,
    /// Taken for changes by hand, by the clock and by a reload, of which one
    /// must not undo half of another. No message ever waits for it.
    by_hand: Mutex<()>,
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
            fingerprints: Fingerprints::random(),
            known: Known::default(),
            pending: Pending::default(),
            feedback: AtomicBool::new(false),
            muted_until: AtomicU32::new(0),
            by_hand: Mutex::new(()),
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
        self.settle(session);
        Transaction::default()
    }

    /// Settles who the session is under the present settings. In the midst of a
    /// transaction too: what a reload moved to another name holds at once.
    fn settle(&self, session: &mut Session) {
        let current = self.settings.load();
        let settled = session.settled.as_ref();
        if !settled.is_some_and(|settled| Arc::ptr_eq(&settled.settings, &current)) {
            let resolution = current.directory.resolve(&session.identities);
            let settings = Arc::clone(&current);
            session.settled = Some(Arc::new(Settled { settings, resolution }));
        }
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
                self.settle(session);
                let Some(settled) = session.settled().cloned() else {
                    return Verdict::Pass;
                };
                let direction = settled.settings.directions.of(recipient);
                if let Some(reply) = self.refusal(&settled, session, transaction, direction, now) {
                    return Verdict::Refuse(reply);
                }
                session.accepted = true;
                transaction.accept(direction);
                if direction == Direction::Relayed && transaction.recipients.len() < MAX_LOOKED_AT {
                    transaction.recipients.push(self.fingerprints.of_recipient(recipient.address));
                }
            }
        }
        Verdict::Pass
    }

    /// The answer to a message at its end.
    pub fn at_end(
        &self,
        session: &mut Session,
        transaction: Transaction,
        message: &Message<'_>,
        now: Timestamp,
    ) -> Verdict {
        let recipients = transaction.relayed.saturating_add(transaction.inbound);
        self.settle(session);
        let verdict = match session.settled() {
            Some(settled) => {
                let client = session.identities.client;
                End { engine: self, settled, client, transaction: &transaction, message, now }
                    .verdict()
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

    /// Under which circumstances `key` is judged.
    pub fn context<'a>(
        &self,
        settings: &'a Settings,
        key: &ConnectorKey,
        terms: &Terms,
        now: Timestamp,
    ) -> Context<'a> {
        Context {
            model: &settings.model,
            profile: terms.profile(key),
            usual: terms.usual,
            feedback: self.feedback.load(Relaxed),
            muted: self.muted_until.load(Relaxed) > now.as_seconds(),
            now,
        }
    }

    /// What the scores of a connector say, the largest first.
    pub fn findings(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) -> Vec<Finding> {
        let settings = self.settings.load();
        tally.findings(&self.context(&settings, key, settings.directory.terms(key), now))
    }

    /// Whether a connector is suspicious at `now`. What it was taken for at its last
    /// message does not last: scores fade while it is silent.
    pub fn is_suspicious(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) -> bool {
        let settings = self.settings.load();
        let context = self.context(&settings, key, settings.directory.terms(key), now);
        tally.judgement() == Judgement::Suspicious
            && judge::fuse(&tally.scores(&context)) >= context.model.normal_again
    }

    /// The answer where something in us failed: a restricted entity stays
    /// refused or held, everybody else passes. At a recipient, `Hold` means
    /// that the message is held at its end.
    pub fn fallback(&self, session: &Session, now: Timestamp) -> Verdict {
        let mut session = session.clone();
        self.settle(&mut session);
        let Some(settled) = session.settled() else {
            return Verdict::Pass;
        };
        let Held::Refused(held) = self.held(settled, now) else {
            return Verdict::Pass;
        };
        let case = held.restriction.case;
        match held.action(now) {
            Action::Hold => Verdict::Hold(hold_reason(case)),
            // Never final where we are not sure of ourselves.
            Action::Tempfail | Action::Reject => {
                let text = settled.settings.restriction.reply.of(case);
                Verdict::Refuse(Reply::new(Class::Tempfail, &text))
            }
        }
    }

    /// Whether a recipient is refused before it is accepted, and how.
    fn refusal(
        &self,
        settled: &Settled,
        session: &mut Session,
        transaction: &Transaction,
        direction: Direction,
        now: Timestamp,
    ) -> Option<Reply> {
        let Settled { settings, resolution } = settled;
        let relayed = direction == Direction::Relayed;
        let (class, text) = match self.held(settled, now) {
            Held::Refused(held) if relayed || held.restriction.scope == Scope::All => {
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
                if self.is_exempt(resolution, now) {
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
                    let throttle = self.throttle(settings, counted, terms, &tally, now);
                    (throttle == Throttle::Tempfail).then_some(THROTTLE_TEXT)
                };
                let text = text.filter(|_| terms.mode == Mode::Enforce)?;
                let attempts = if over { tally.over_limit() } else { tally.throttled() };
                attempts.refuse(1, now);
                (Class::Tempfail, text.to_owned())
            }
        };
        self.counters.refused.fetch_add(1, Relaxed);
        self.count(resolution, |tally| &tally.counters.refused, 1);
        session.refusals = session.refusals.saturating_add(1);
        let only_refused = !session.accepted && session.refusals > REFUSALS_BEFORE_DISCONNECT;
        Some(Reply::new(if only_refused { Class::Disconnect } else { class }, &text))
    }

    /// What the session meets. The mode that counts is that of the entity that
    /// is restricted: a connector in observe mode is no way out for it. A mark,
    /// or a restriction that observe mode keeps from refusing, means nothing to
    /// a connector in enforce mode: it is a neighbour's, or from before the mode
    /// changed, and must not keep the connector from being judged.
    fn held(&self, settled: &Settled, now: Timestamp) -> Held {
        let Settled { settings, resolution } = settled;
        if resolution.trusted || self.table.is_empty() {
            return Held::Nothing;
        }
        let mut idle = Held::Nothing;
        for entity in &resolution.enforced {
            let Some(held) = self.table.in_force(entity, now) else { continue };
            if settings.directory.refuses(&held.restriction) {
                return Held::Refused(held);
            }
            if matches!(idle, Held::Nothing) && resolution.terms.mode == Mode::Observe {
                idle = Held::Idle(held);
            }
        }
        idle
    }

    /// What mail of a connector meets at present because it is suspicious.
    fn throttle(
        &self,
        settings: &Settings,
        key: &ConnectorKey,
        terms: &Terms,
        tally: &Tally,
        now: Timestamp,
    ) -> Throttle {
        let may = settings.throttle && terms.mode == Mode::Enforce;
        // Many clients that have nothing to do with one another.
        if !may || *key == ConnectorKey::Overflow || tally.judgement() == Judgement::Normal {
            return Throttle::Off;
        }
        let throttle = terms.throttle(key);
        let waits =
            throttle != Throttle::Off && tally.must_wait(&self.context(settings, key, terms, now));
        if waits { throttle } else { Throttle::Off }
    }

    fn is_exempt(&self, resolution: &Resolution, now: Timestamp) -> bool {
        let trusted = |entity| self.table.trust(entity, now).is_some();
        resolution.trusted || !self.table.is_empty() && resolution.exempting.iter().any(trusted)
    }

    fn tell_of_limit(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) {
        if tally.limit_notice_is_due(now) {
            let (messages, recipients) =
                (tally.messages.estimate(now), tally.recipients.estimate(now));
            self.notices.push(Notice::LimitReached(key.clone(), messages, recipients));
        }
    }

    fn count(&self, resolution: &Resolution, counter: impl Fn(&Tally) -> &AtomicU64, by: u32) {
        let tally = resolution.counted.as_ref().and_then(|key| self.roster.get(key));
        if let Some(tally) = tally {
            counter(&tally).fetch_add(by.into(), Relaxed);
        }
    }

    fn count_unknown(&self, resolution: &Resolution, transaction: &Transaction) {
        if transaction.unknown > 0 {
            self.count(resolution, |tally| &tally.counters.unknown_recipients, transaction.unknown);
        }
    }
}

/// What a session meets.
enum Held {
    /// Nothing.
    Nothing,
    /// A mark, or a restriction that refuses nothing at present.
    Idle(InForce),
    /// A restriction that refuses.
    Refused(InForce),
}

/// Why a message is in the hold queue, for the log of Postfix.
fn hold_reason(case: CaseId) -> String {
    format!("connguard: suspended relay client, case {case}")
}

/// What a client reads that reached a hard limit.
const LIMIT_TEXT: &str =
    "Hourly limit of this client reached, try again later or contact your postmaster";

/// What a client reads that is slowed down.
const THROTTLE_TEXT: &str = "Too much unusual mail from this client, slowed down: try again later or contact your postmaster";

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
