//! Requests that belong together: of one session of a client, and of one message in it.
//!
//! A session is known by its client's address and port; where Postfix does not know the
//! port, each message is a session of its own. Postfix gives all requests of a message
//! the same `instance`. What of a message is asked twice in a row (by two lists of
//! restrictions, or again after a lost connection) is the same question.
//!
//! A client's port can come again: a session that was silent for [`SILENT`] is over, and
//! what follows is another one. Who a session is comes with each request anyway.

use super::{request::Request, request::Stage, shared::Shared};
use crate::{
    arrivals::{Arrivals, At},
    connector::{CertificateName, Identities, fold_login},
    engine::{Session, Transaction},
    fault,
    message::{Fate, Message, Recipient, Sender},
    timestamp::Timestamp,
    verdict::Verdict,
};
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// A session in which nothing was asked for so long is over.
const SILENT: Duration = Duration::from_secs(3600);
/// Sessions remembered at the most; beyond it the one that was asked for longest ago
/// goes.
const MOST: usize = 20_000;

/// Sessions and their messages. One thread has it.
pub(super) struct Judge {
    shared: Arc<Shared>,
    places: HashMap<Box<str>, At, RandomState>,
    /// The one asked for last is the newest.
    talks: Arrivals<(), Talk>,
}

/// A session.
struct Talk {
    key: Box<str>,
    last: Timestamp,
    session: Session,
    /// A pass that no message has used yet.
    pass: bool,
    helo: String,
    /// The message of which was asked last.
    instance: String,
    transaction: Option<Transaction>,
    /// It is an alert of our own: nobody's mail.
    ours: bool,
    /// The last recipient, and what was said to it.
    asked: Option<(String, Verdict)>,
}

impl Judge {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, places: HashMap::default(), talks: Arrivals::default() }
    }

    /// The answer to a request. Where something in us fails, who is restricted stays
    /// refused and everybody else passes.
    pub(super) fn answer(&mut self, request: &Request<'_>) -> Verdict {
        if let Ok(verdict) = catch_unwind(AssertUnwindSafe(|| self.ask(request))) {
            return verdict;
        }
        let shared = &self.shared;
        let fallback = || {
            let mut session = Session::default();
            session.identify(identities(shared, request));
            shared.engine.begin(&mut session, &sender(request));
            shared.engine.fallback(&session, shared.now())
        };
        catch_unwind(AssertUnwindSafe(fallback)).unwrap_or(Verdict::Pass)
    }

    fn ask(&mut self, request: &Request<'_>) -> Verdict {
        if request.stage == Stage::Other {
            return Verdict::Pass;
        }
        let now = self.shared.now();
        // Whatever fails behind this costs this message only.
        let mut talk = self.take(request, now);
        fault::point("policy request");
        let shared = &*self.shared;
        talk.meet(shared, request, now);
        let verdict = match request.stage {
            Stage::Recipient => talk.recipient(shared, request, now),
            _ => talk.end(shared, request, now),
        };
        self.put(talk);
        verdict
    }

    fn take(&mut self, request: &Request<'_>, now: Timestamp) -> Talk {
        let key = key(request);
        let known = self.places.remove(&*key).and_then(|at| self.talks.remove(at));
        match known {
            Some(talk) if now.since(talk.last) <= SILENT => Talk { last: now, ..talk },
            Some(talk) => {
                self.give_up(&talk);
                Talk::new(key, now)
            }
            None => Talk::new(key, now),
        }
    }

    fn put(&mut self, talk: Talk) {
        if self.places.len() >= MOST
            && let Some(oldest) = self.talks.oldest().and_then(|at| self.talks.remove(at))
        {
            self.places.remove(&oldest.key);
            self.give_up(&oldest);
        }
        let key = talk.key.clone();
        let at = self.talks.push((), talk);
        self.places.insert(key, at);
    }

    /// The message in hand never reaches its end.
    fn give_up(&self, talk: &Talk) {
        if let Some(transaction) = &talk.transaction {
            self.shared.engine.at_abandon(&talk.session, transaction, talk.last);
        }
    }
}

impl Talk {
    fn new(key: Box<str>, now: Timestamp) -> Self {
        Self {
            key,
            last: now,
            session: Session::default(),
            pass: false,
            helo: String::new(),
            instance: String::new(),
            transaction: None,
            ours: false,
            asked: None,
        }
    }

    /// Takes in who asks, and whether it is about another message than before.
    fn meet(&mut self, shared: &Shared, request: &Request<'_>, now: Timestamp) {
        let engine = &shared.engine;
        if self.helo != request.helo {
            self.helo.clear();
            self.helo.push_str(&request.helo);
            self.pass |= engine.passes().redeem(&self.helo, now);
            self.session.greet(&self.helo);
        }
        let is_way_back = request
            .service()
            .is_some_and(|service| shared.params.load().ignore_daemons.contains(&service));
        if is_way_back {
            self.session.ignore();
        }
        self.session.identify(identities(shared, request));
        if self.instance == request.instance && !self.instance.is_empty() {
            return;
        }
        self.instance.clear();
        self.instance.push_str(&request.instance);
        self.asked = None;
        if let Some(transaction) = self.transaction.take() {
            if transaction.inbound > 0 || transaction.relayed > 0 {
                shared.unended.fetch_add(1, Relaxed);
            }
            engine.at_abandon(&self.session, &transaction, now);
        }
        self.ours = std::mem::take(&mut self.pass);
    }

    fn recipient(&mut self, shared: &Shared, request: &Request<'_>, now: Timestamp) -> Verdict {
        if self.ours {
            return Verdict::Pass;
        }
        if let Some((recipient, verdict)) = &self.asked
            && *recipient == request.recipient
        {
            return verdict.clone();
        }
        let engine = &shared.engine;
        let mut transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => engine.begin(&mut self.session, &sender(request)),
        };
        let recipient =
            Recipient { address: &request.recipient, transport: None, fate: Fate::Accepted };
        let verdict = engine.at_recipient(&mut self.session, &mut transaction, &recipient, now);
        self.transaction = Some(transaction);
        self.asked = Some((request.recipient.clone().into_owned(), verdict.clone()));
        verdict
    }

    fn end(&mut self, shared: &Shared, request: &Request<'_>, now: Timestamp) -> Verdict {
        if std::mem::take(&mut self.ours) {
            return Verdict::Pass;
        }
        if self.transaction.is_none() && !request.recipient.is_empty() {
            // Of its one recipient nobody asked before: it is looked at now.
            let verdict = self.recipient(shared, request, now);
            if verdict != Verdict::Pass {
                return verdict;
            }
            shared.unasked.fetch_add(1, Relaxed);
        }
        let Some(mut transaction) = self.transaction.take() else {
            shared.unasked.fetch_add(1, Relaxed);
            return Verdict::Pass;
        };
        self.asked = None;
        if request.recipient_count > 0 {
            let asked = transaction.inbound.saturating_add(transaction.relayed);
            let slipped = request.recipient_count.saturating_sub(asked);
            shared.slipped.fetch_add(slipped.into(), Relaxed);
            transaction.keep(request.recipient_count);
        }
        let queue_id = Some(&*request.queue_id).filter(|id| !id.is_empty() && *id != "NOQUEUE");
        let message = Message {
            sender: sender(request),
            queue_id,
            message_id: None,
            from: &[],
            spam: None,
            size: request.size,
            report: false,
            host: None,
        };
        shared.messages.fetch_add(1, Relaxed);
        shared.engine.at_end(&mut self.session, transaction, &message, now)
    }
}

fn key(request: &Request<'_>) -> Box<str> {
    match request.ends() {
        Some(ends) => format!("{} {}", ends.client, ends.server),
        None => format!("{:?} {}", request.client(), request.instance),
    }
    .into()
}

fn sender<'a>(request: &'a Request<'_>) -> Sender<'a> {
    match &*request.sender {
        "" => Sender::Null,
        address => Sender::Address { address, qualified: address.contains('@') },
    }
}

fn identities(shared: &Shared, request: &Request<'_>) -> Identities {
    let params = shared.params.load();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let names = given(&request.subject).zip(given(&request.issuer));
    let digests = request.digests().unwrap_or_else(|error| {
        shared.bad_digest(&error);
        None
    });
    Identities {
        client: request.client(),
        login: given(&request.login).map(|login| fold_login(&login, params.login_realm.as_deref())),
        certificate: names.map(|(subject, issuer)| CertificateName::new(&subject, &issuer)),
        digests: digests.map(Arc::new),
        local: false,
    }
}
