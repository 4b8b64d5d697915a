//! One engine with settings of its own, given what a log tells through the very
//! calls that live mail takes, in the order of its time.
//!
//! What is refused or held here was not, when the log was written: it counts as
//! what would not have been sent, and its delivery results are dropped. Who is
//! slowed down would have sent its mail again later: the log can't show that, so
//! deferred mail is gone here.

mod watch;

pub use watch::{Case, NearMiss, Outcomes, Slowed, Suspicion};

use super::mail::{Abandoned, Answer, End, Mail, Provider, Sink, Who};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Resolution,
    engine::{Engine, Memory, Session, Settings, Transaction},
    message::{Delivery, Fate, Message, Recipient, Sender},
    pending::Feedback,
    restriction::InForce,
    timestamp::Timestamp,
    verdict::Verdict,
};
use foldhash::fast::RandomState;
use std::{borrow::Cow, collections::HashMap, sync::Arc};
use watch::{Lost, Watch};

/// Under which everything is hashed where nothing is kept: the same logs give
/// the same result whenever they are replayed.
const KEY: [u8; 16] = *b"connguard replay";

/// What a lane is told.
#[derive(Clone, Debug)]
pub struct Params {
    /// For the engine.
    pub settings: Settings,
    /// Cap of the connectors held in memory.
    pub max_connectors: usize,
    /// Appended to logins without a realm.
    pub login_realm: Option<Arc<str>>,
    /// What it learns is kept: everything is hashed under a secret of its own.
    pub is_kept: bool,
}

/// See the head of this module.
#[derive(Debug)]
pub struct Lane {
    engine: Arc<Engine>,
    settings: Arc<Settings>,
    realm: Option<Arc<str>>,
    /// The host whose queue ids are written without its name.
    first_host: Option<Arc<str>>,
    /// Senders of the last time, and their places by what their sessions showed.
    known: Vec<Known>,
    places: HashMap<Arc<Who>, usize, RandomState>,
    watch: Watch,
}

/// A sender as the engine knows it. Most come again and again, and with each of
/// their results.
#[derive(Debug)]
struct Known {
    /// One for all of its messages: a new one for each took 3 of 100 instructions, to
    /// settle who it is and for its buffers. Lent out while a message is looked at.
    session: Option<Box<Session>>,
    resolution: Arc<Resolution>,
}

/// Senders that are remembered.
const MOST_KNOWN: usize = 4096;

/// What became of recipients at RCPT.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    accepted: u32,
    refused: u32,
}

impl Lane {
    /// A lane whose log begins at `now`.
    pub fn new(params: Params, now: Timestamp) -> Self {
        let mut engine = Engine::new(params.settings, params.max_connectors, now);
        if !params.is_kept {
            // Nothing was lost: what this mutes is long over.
            let memory = Memory { key: KEY, filters: None, muted_until: None };
            engine.recall(Some(memory), [], Timestamp::default());
        }
        engine.set_feedback(Feedback::Coming);
        // To remember it took 3 of 100 instructions, and a third of the memory.
        engine.forgo_queue();
        let watch = Watch::new(params.max_connectors, now);
        let settings = engine.settings();
        let engine = Arc::new(engine);
        Self {
            engine,
            settings,
            realm: params.login_realm,
            first_host: None,
            known: Vec::new(),
            places: HashMap::default(),
            watch,
        }
    }

    /// The engine, with what it learned.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The log ended at `now`: what came of it.
    pub fn outcomes(&mut self, now: Timestamp) -> Outcomes {
        self.pass_time(now);
        self.watch.collect(&self.engine, now);
        self.watch.outcomes()
    }

    fn pass_time(&mut self, now: Timestamp) {
        self.watch.pass_time(&self.engine, now);
    }

    /// Calls `look` with the session of a sender and with who that is.
    fn in_session(
        &mut self,
        who: &Arc<Who>,
        look: impl FnOnce(&mut Self, &mut Session, &Resolution),
    ) {
        let place = self.place(who);
        let Some(known) = self.known.get_mut(place) else { return };
        let resolution = Arc::clone(&known.resolution);
        let mut session = known.session.take().unwrap_or_default();
        look(self, &mut session, &resolution);
        if let Some(known) = self.known.get_mut(place) {
            known.session = Some(session);
        }
    }

    /// The place of a sender among those that are known.
    fn place(&mut self, who: &Arc<Who>) -> usize {
        if let Some(place) = self.places.get(who) {
            return *place;
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
            self.places.clear();
        }
        let identities = who.identities(self.realm.as_deref());
        let resolution = Arc::new(self.settings.directory.resolve(&identities));
        let mut session = Box::<Session>::default();
        session.identify(identities);
        let place = self.known.len();
        self.known.push(Known { session: Some(session), resolution });
        self.places.insert(Arc::clone(who), place);
        place
    }

    /// Recipients that were refused when the log was written: by Postfix as
    /// unknown, or by a milter, as attempts.
    fn refused(
        &mut self,
        (session, sender): (&mut Session, &Sender<'_>),
        transaction: &mut Transaction,
        (unknown, attempts): (&[Box<str>], &[Box<str>]),
        now: Timestamp,
    ) -> u32 {
        let mut refused = 0;
        for address in attempts {
            // It never was part of a message: nothing of it stays.
            let mut apart = self.engine.begin(session, sender);
            let recipient = Recipient { address, transport: None, fate: Fate::Accepted };
            let verdict = self.engine.at_recipient(session, &mut apart, &recipient, now);
            refused += u32::from(verdict != Verdict::Pass);
        }
        for address in unknown {
            let recipient = Recipient { address, transport: None, fate: Fate::Unknown };
            // It makes no answer.
            let _ = self.engine.at_recipient(session, transaction, &recipient, now);
        }
        refused
    }

    fn ask(&self, session: &mut Session, transaction: &mut Transaction, mail: &Mail) -> Asked {
        let mut asked = Asked::default();
        for one in &mail.recipients {
            let transport = one.transport.as_deref();
            let recipient = Recipient { address: &one.address, transport, fate: Fate::Accepted };
            match self.engine.at_recipient(session, transaction, &recipient, mail.at) {
                Verdict::Pass => asked.accepted += 1,
                Verdict::Refuse(_) | Verdict::Hold(_) => asked.refused += 1,
            }
        }
        asked
    }

    /// Counts what was kept back of a message: for a restriction, or because it
    /// is slowed down.
    fn keep_back(&mut self, resolution: &Resolution, lost: Lost, now: Timestamp) {
        match (self.in_force(resolution, now), &resolution.counted) {
            (Some(held), _) => self.watch.refused(&held.restriction, lost),
            (None, Some(key)) => self.watch.slowed(key, lost),
            (None, None) => {}
        }
    }

    /// The restriction that mail of a session meets.
    fn in_force(&self, resolution: &Resolution, now: Timestamp) -> Option<InForce> {
        if self.engine.table().is_empty() {
            return None;
        }
        let held = |entity| self.engine.table().in_force(entity, now);
        let organization = Entity::Organization(Arc::clone(&resolution.terms.organization));
        let mut held =
            resolution.enforced.iter().chain(std::iter::once(&organization)).filter_map(held);
        held.find(|held| self.settings.directory.refuses(&held.restriction))
    }

    fn note_peak(&mut self, key: Option<&ConnectorKey>, now: Timestamp) {
        if let Some(key) = key {
            self.watch.note_peak(&self.engine, &self.settings, key, now);
        }
    }

    /// Queue ids are a host's own: those of others than the first are written
    /// with its name.
    fn queue_id<'a>(&mut self, host: &Arc<str>, queue_id: &'a str) -> Cow<'a, str> {
        let first = self.first_host.get_or_insert_with(|| Arc::clone(host));
        if *first == *host {
            Cow::Borrowed(queue_id)
        } else {
            Cow::Owned(format!("{host}/{queue_id}"))
        }
    }
}

impl Lane {
    fn take_mail(&mut self, mail: &Mail, session: &mut Session, resolution: &Resolution) {
        let now = mail.at;
        let queue_id = self.queue_id(&mail.host, &mail.queue_id);
        let sender = mail.sender();
        let mut transaction = self.engine.begin(session, &sender);
        let before = (&*mail.unknown, &*mail.attempts);
        let tried = self.refused((session, &sender), &mut transaction, before, now);
        let asked = self.ask(session, &mut transaction, mail);
        if asked.refused + tried > 0 {
            // What is left of the message is counted at its end.
            let messages = u32::from(asked.accepted == 0);
            let lost = Lost { messages, recipients: asked.refused + tried, held: false };
            self.keep_back(resolution, lost, now);
        }
        if asked.accepted == 0 {
            self.engine.at_abandon(session, &transaction, now);
        } else {
            let message = Message {
                sender,
                // Of what was refused then there are no results to wait for.
                queue_id: (mail.end != End::Refused).then_some(&*queue_id),
                message_id: mail.message_id.as_deref(),
                from: &mail.header_from,
                spam: None,
                report: false,
                size: mail.size,
                host: Some(&mail.host),
            };
            let relayed = transaction.relayed;
            match self.engine.at_end(session, transaction, &message, now) {
                Verdict::Pass => self.watch.passed(relayed),
                verdict => {
                    let held = matches!(verdict, Verdict::Hold(_));
                    let lost = Lost { messages: 1, recipients: asked.accepted, held };
                    self.keep_back(resolution, lost, now);
                }
            }
        }
        self.note_peak(resolution.counted.as_ref(), now);
    }

    fn take_abandoned(
        &mut self,
        abandoned: &Abandoned,
        session: &mut Session,
        resolution: &Resolution,
    ) {
        let now = abandoned.at;
        let sender = abandoned.sender();
        let mut transaction = self.engine.begin(session, &sender);
        let before = (&*abandoned.unknown, &*abandoned.attempts);
        let tried = self.refused((session, &sender), &mut transaction, before, now);
        if tried > 0 {
            let lost = Lost { messages: 1, recipients: tried, held: false };
            self.keep_back(resolution, lost, now);
        }
        self.engine.at_abandon(session, &transaction, now);
        self.note_peak(resolution.counted.as_ref(), now);
    }
}

impl Sink for Lane {
    fn mail(&mut self, mail: &Mail) {
        self.pass_time(mail.at);
        self.in_session(&mail.who, |lane, session, who| lane.take_mail(mail, session, who));
    }

    fn abandoned(&mut self, abandoned: &Abandoned) {
        self.pass_time(abandoned.at);
        self.in_session(&abandoned.who, |lane, session, who| {
            lane.take_abandoned(abandoned, session, who);
        });
    }

    fn answer(&mut self, answer: &Answer) {
        let now = answer.at;
        self.pass_time(now);
        let queue_id = self.queue_id(&answer.host, &answer.queue_id);
        let delivery = Delivery {
            queue_id: &queue_id,
            recipient: &answer.recipient,
            outcome: answer.outcome,
            by: answer.by.as_ref().map(Provider::as_message),
            logged: Some(now),
        };
        // Of what was refused here there is nothing to know.
        if self.engine.on_delivery(&delivery, now) {
            let place = self.place(&answer.who);
            if let Some(known) = self.known.get(place) {
                let resolution = Arc::clone(&known.resolution);
                self.note_peak(resolution.counted.as_ref(), now);
            }
        }
    }

    fn gone(&mut self, host: &Arc<str>, queue_id: &str, at: Timestamp) {
        self.pass_time(at);
        let queue_id = self.queue_id(host, queue_id);
        self.engine.forget_delivery(&queue_id, Some(at), at);
    }
}

#[cfg(test)]
mod tests;
