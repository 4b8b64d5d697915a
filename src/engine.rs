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

mod admission;
mod deliveries;
mod end;
mod incident;
mod judging;
mod memory;
mod narrow;
mod notice;
mod operate;
mod organizations;
mod queue;
mod reload;
mod session;
mod settings;
mod still_bad;
mod traits;
mod usual;

pub use crate::pending::Feedback;
use admission::{Asked, Held, LIMIT_TEXT, THROTTLE_TEXT, hold_reason, over_limit};
use deliveries::Owner;
use end::End;
pub use memory::{Filters, MUTED, Memory, Recalled, Waiting};
pub use notice::{Notice, Notices};
pub use operate::{BlockError, Blocked, TrustError, Unblocked};
use operate::{ENFORCED_NOW, keys_of};
pub use organizations::OrganizationState;
use organizations::action_of;
pub use reload::Moves;
use session::{MAX_DOMAINS, MAX_LOOKED_AT, Settled};
pub use session::{Session, Transaction};
pub use settings::{Directions, HoldLimit, ReplyText, ReplyTextError, RestrictionTerms, Settings};
pub use still_bad::StillBad;
pub use usual::NormalError;

use crate::{
    case::Book,
    connector::ConnectorKey,
    directory::{Resolution, Terms},
    domain,
    fingerprint::Fingerprints,
    handover::Handover,
    judge::{self, Judgement},
    known::Known,
    message::{Direction, Fate, Message, Recipient, Sender},
    organization::Organizations,
    passes::Passes,
    pending::Pending,
    provider::Providers,
    queued::Queued,
    record::Finding,
    restriction::Table,
    roster::Roster,
    signal::Context,
    stripes::Count,
    tally::{Budget, Tally},
    timestamp::Timestamp,
    verdict::{Action, Class, Reply, Verdict},
};
use arc_swap::ArcSwap;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// Totals of the whole daemon since its start, counted by each thread apart.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that passed, in whatever direction.
    pub messages: Count,
    /// Their accepted recipients.
    pub recipients: Count,
    /// Recipients that were refused; of a message that was refused at its
    /// end, each accepted one counts.
    pub refused: Count,
    /// Those of them that were refused for good.
    pub rejected: Count,
    /// Connectors and senders that became suspicious, each time counted.
    pub suspicions: Count,
    /// Recipients that would have been refused in enforce mode.
    pub would_refuse: Count,
    /// Messages that went to the hold queue.
    pub held: Count,
    /// Messages relayed for clients that have no relay rights as far as the
    /// configuration knows: a sign that it lacks inbound domains or relay
    /// networks.
    pub unattributed: Count,
    /// Messages whose delivery results were waited for.
    pub awaited: Count,
}

impl Counters {
    fn refuse(&self, class: Class, recipients: u32) {
        self.refused.add(recipients);
        if class == Class::Reject {
            self.rejected.add(recipients);
        }
    }
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
    /// Who refuses everybody.
    providers: Providers,
    organizations: Organizations,
    passes: Passes,
    handover: Handover,
    queued: Queued,
    /// Whether that is remembered.
    keeps_queue: bool,
    /// Room for evidence of connectors.
    evidence: Budget,
    /// Second in which it was last looked for evidence that nobody needs.
    evidence_looked: AtomicU32,
    /// What is known of delivery results: a [`Feedback`] as a number.
    feedback: AtomicU8,
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
            providers: Providers::default(),
            organizations: Organizations::default(),
            passes: Passes::default(),
            handover: Handover::default(),
            queued: Queued::default(),
            keeps_queue: true,
            evidence: Budget::default(),
            evidence_looked: AtomicU32::new(now.as_seconds()),
            feedback: AtomicU8::new(Feedback::Off as u8),
            muted_until: AtomicU32::new(0),
            by_hand: Mutex::new(()),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Whom connectors wrote to.
    pub fn known(&self) -> &Known {
        &self.known
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

    /// How many connectors have evidence beside their scores.
    pub fn evidence_rooms(&self) -> usize {
        self.evidence.used()
    }

    /// Incidents.
    pub fn cases(&self) -> &Arc<Book> {
        self.table.cases()
    }

    /// Passes for our own alerts.
    pub fn passes(&self) -> &Passes {
        &self.passes
    }

    /// What policy requests say of sessions of the milter.
    pub fn handover(&self) -> &Handover {
        &self.handover
    }

    /// What may be in the queue of Postfix is not remembered from now on: nobody will
    /// ask for it.
    pub fn forgo_queue(&mut self) {
        self.keeps_queue = false;
    }

    /// What may be in the queue of Postfix.
    pub fn queued(&self) -> &Queued {
        &self.queued
    }

    /// Begins a transaction: settles who the session is, unless that is known
    /// under the present settings.
    pub fn begin(&self, session: &mut Session, sender: &Sender<'_>) -> Transaction {
        self.settle(session);
        session.sender.set(sender, &self.fingerprints);
        std::mem::take(&mut session.spare)
    }

    /// Settles who the session is under the present settings. In the midst of a
    /// transaction too: what a reload moved to another name holds at once.
    fn settle(&self, session: &mut Session) {
        let current = self.settings.load();
        let settled = session.settled.as_ref();
        if !settled.is_some_and(|settled| Arc::ptr_eq(&settled.settings, &current)) {
            let resolution = current.directory.resolve(&session.identities);
            let settings = Arc::clone(&current);
            let terms = &resolution.terms;
            let organization = (!terms.registered.is_empty())
                .then(|| self.organizations.counts(&terms.organization));
            session.settled = Some(Arc::new(Settled { settings, resolution, organization }));
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
        self.settle(session);
        match recipient.fate {
            Fate::Unknown => {
                transaction.unknown = transaction.unknown.saturating_add(1);
                self.look_at(recipient, &mut transaction.unknown_recipients);
            }
            Fate::Refused => {}
            Fate::Accepted => {
                return self.at_accepted(session, transaction, recipient, now);
            }
        }
        Verdict::Pass
    }

    /// The answer to a recipient that Postfix would accept.
    fn at_accepted(
        &self,
        session: &mut Session,
        transaction: &mut Transaction,
        recipient: &Recipient<'_>,
        now: Timestamp,
    ) -> Verdict {
        session.domain.clear();
        let has_domain = domain::fold_into(recipient.domain(), &mut session.domain);
        let Some(settled) = session.settled() else {
            return Verdict::Pass;
        };
        let folded = Some(session.domain.as_str()).filter(|_| has_domain);
        let direction = settled.settings.directions.of_folded(recipient, folded);
        let asked = Asked { recipient: recipient.address, direction, now };
        if let Some((class, text)) = self.refusal(settled, session, transaction, &asked) {
            return Verdict::Refuse(session.refuse(class, &text));
        }
        session.accepted = true;
        transaction.accept(direction);
        if direction == Direction::Relayed {
            self.look_at(recipient, &mut transaction.recipients);
            transaction.domains.note(&session.domain, MAX_DOMAINS);
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
        let relayed = transaction.relayed > 0;
        self.settle(session);
        session.from.clear();
        message.from.iter().for_each(|address| session.from.add_of(address));
        let verdict = match session.settled() {
            Some(settled) => {
                let client = session.identities.client;
                let (session, transaction) = (&*session, &transaction);
                End { engine: self, session, settled, client, transaction, message, now }.verdict()
            }
            None => Verdict::Pass,
        };
        let enters = relayed && verdict == Verdict::Pass || matches!(verdict, Verdict::Hold(_));
        if let Some(queue_id) = message.queue_id.filter(|_| enters && self.keeps_queue) {
            self.enter_queue(session, queue_id, verdict != Verdict::Pass, now);
        }
        match &verdict {
            Verdict::Pass if session.ignored => {}
            Verdict::Pass => {
                self.counters.messages.add(1_u64);
                self.counters.recipients.add(recipients);
            }
            Verdict::Refuse(reply) => self.counters.refuse(reply.class(), recipients),
            Verdict::Hold(_) => self.counters.held.add(1_u64),
        }
        session.spare = transaction.emptied();
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
            feedback: self.feedback(),
            muted: self.muted_until.load(Relaxed) > now.as_seconds(),
            now,
        }
    }

    /// What the scores of a connector say, the largest first.
    pub fn findings(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) -> Vec<Finding> {
        let settings = self.settings.load();
        tally.findings(&self.context(&settings, key, settings.directory.terms(key), now))
    }

    /// What a connector is taken for at `now`: a suspicion fades in those too
    /// that send nothing any more.
    pub fn judgement(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) -> Judgement {
        if tally.judgement() == Judgement::Normal {
            return Judgement::Normal;
        }
        let settings = self.settings.load();
        let context = self.context(&settings, key, settings.directory.terms(key), now);
        let faded = judge::fuse(&tally.scores(&context)) < settings.model.normal_again;
        if faded { Judgement::Normal } else { Judgement::Suspicious }
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
        let held = match self.held(settled, &session, true, now) {
            Held::Refused(held) => held,
            _ => match self.held_by_organization(settled, &session, true, now) {
                Held::Refused(held) => held,
                _ => return Verdict::Pass,
            },
        };
        let case = held.restriction.case;
        match action_of(&held, &settled.resolution.terms, now) {
            Action::Hold => Verdict::Hold(hold_reason(case)),
            // Never final where we are not sure of ourselves.
            Action::Tempfail | Action::Reject => {
                let text = settled.settings.restriction.reply.of(case);
                Verdict::Refuse(Reply::new(Class::Tempfail, &text))
            }
        }
    }

    fn look_at(&self, recipient: &Recipient<'_>, hashes: &mut Vec<u64>) {
        if hashes.len() < MAX_LOOKED_AT {
            hashes.push(self.fingerprints.of_recipient(recipient.address));
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
