//! Threads that begin at once, mail that they send, and a watch over them.

use connguard::{
    connector::{ConnectorKey, Entity, Identities},
    directory::{Named, Params, Terms, Usual},
    domain::DomainSet,
    engine::{Blocked, Engine, Session, Settings},
    message::{Delivery, Fate, Message, Outcome, Recipient, Sender},
    record::{Actor, Finding, SignalName},
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use std::{
    net::Ipv4Addr,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

pub(crate) const THREADS: u64 = 4;
pub(crate) const DAY: u64 = 86_400;
/// Noon.
pub(crate) const START: Timestamp = Timestamp::from_seconds(20_600 * DAY + DAY / 2);
/// Odd messages that pass before the next one tips the scale, one by one.
pub(crate) const ENOUGH: u64 = 4;

pub(crate) fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// Runs `test`, which must come to its end: a deadlock fails instead of
/// hanging.
pub(crate) fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let body = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if end.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("no end after a minute: a deadlock");
    }
    if let Err(panic) = body.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `work` in so many threads that begin at the same moment; gives what
/// they return.
pub(crate) fn at_once<T: Send>(threads: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let begin = Barrier::new(usize::try_from(threads).unwrap());
    let (begin, work) = (&begin, &work);
    thread::scope(|scope| {
        let run = |number| {
            scope.spawn(move || {
                begin.wait();
                work(number)
            })
        };
        let all: Vec<_> = (0..threads).map(run).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub(crate) fn settings(mode: Mode, usual: Option<u32>, named: bool) -> Settings {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let usual = Usual { messages_per_hour: usual, recipients_per_hour: usual };
    let terms = Arc::new(Terms { registered, mode, usual, ..Terms::default() });
    let erp = Named {
        name: "erp".into(),
        clients: Vec::new(),
        certificate: None,
        digests: Vec::new(),
        logins: vec![login(0)],
        terms: Arc::clone(&terms),
    };
    Settings::with_directory(Params {
        connectors: if named { vec![erp] } else { Vec::new() },
        discovered: terms,
        discover: true,
        ..Params::default()
    })
}

pub(crate) fn engine(usual: Option<u32>) -> Engine {
    Engine::new(settings(Mode::Enforce, usual, false), 1000, START)
}

pub(crate) fn login(number: u64) -> Arc<str> {
    format!("user{number}@example.org").into()
}

pub(crate) fn entity(number: u64) -> Entity {
    ConnectorKey::Login(login(number)).into()
}

pub(crate) fn tally(engine: &Engine, number: u64) -> Arc<Tally> {
    let key = engine.settings().directory.current(entity(number).as_connector().unwrap());
    engine.roster().get(&key).unwrap()
}

pub(crate) fn finding(engine: &Engine, number: u64, signal: SignalName, now: Timestamp) -> Finding {
    let key = entity(number).as_connector().unwrap().clone();
    let mut findings = engine.findings(&key, &tally(engine, number), now).into_iter();
    findings.find(|found| found.signal == signal).unwrap()
}

/// A message of login `login`.
pub(crate) struct Mail<'a> {
    pub(crate) login: u64,
    pub(crate) sender: &'a str,
    pub(crate) queue_id: &'a str,
    pub(crate) to: &'a [String],
    pub(crate) now: Timestamp,
}

/// What the client saw.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Messages.
    pub(crate) passed: u64,
    /// Recipients.
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) held: u64,
}

impl Mail<'_> {
    pub(crate) fn send(&self, engine: &Engine) -> Seen {
        let mut session = Session::default();
        session.identify(Identities {
            client: Some(Ipv4Addr::new(127, 0, 0, 1).into()),
            login: Some(login(self.login)),
            ..Identities::default()
        });
        let sender = Sender::Address { address: self.sender, qualified: true };
        let mut transaction = engine.begin(&mut session, &sender);
        let (mut seen, mut accepted) = (Seen::default(), 0);
        for address in self.to {
            let recipient = Recipient { address, transport: None, fate: Fate::Accepted };
            match engine.at_recipient(&mut session, &mut transaction, &recipient, self.now) {
                Verdict::Pass => accepted += 1,
                _ => seen.refused += 1,
            }
        }
        if accepted == 0 {
            engine.at_abandon(&session, &transaction, self.now);
            return seen;
        }
        let message = Message {
            sender,
            queue_id: Some(self.queue_id),
            message_id: None,
            from: &[],
            spam: Some(false),
            report: false,
            size: None,
            host: None,
        };
        match engine.at_end(&mut session, transaction, &message, self.now) {
            Verdict::Pass => (seen.passed, seen.accepted) = (1, accepted),
            Verdict::Refuse(_) => seen.refused += accepted,
            Verdict::Hold(_) => seen.held = 1,
        }
        seen
    }
}

pub(crate) fn sum(all: impl IntoIterator<Item = Seen>) -> Seen {
    all.into_iter().fold(Seen::default(), |sum, next| Seen {
        passed: sum.passed + next.passed,
        accepted: sum.accepted + next.accepted,
        refused: sum.refused + next.refused,
        held: sum.held + next.held,
    })
}

pub(crate) fn deliver(
    engine: &Engine,
    queue_id: &str,
    recipient: &str,
    outcome: Outcome,
    now: Timestamp,
) {
    engine.on_delivery(&Delivery::new(queue_id, recipient, outcome), now);
}

pub(crate) fn one_recipient() -> Vec<String> {
    vec!["somebody@remote.test".into()]
}

pub(crate) fn anna() -> Actor {
    Actor::Operator("anna".into())
}

pub(crate) fn block(number: u64) -> Blocked {
    Blocked { entity: entity(number), action: None, span: None, reason: "by hand".into() }
}
