#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

//! What is told of incidents, by a clock of the tests; and what channels make of
//! receivers that fail.

mod channels;
mod incidents;
mod servers;

use super::{herald::Herald, *};
use crate::{
    case::AlertKind,
    connector::{ConnectorKey, Entity, Identities},
    directory::{self, Terms},
    domain::DomainSet,
    engine::{Blocked, Session, Settings},
    judge::Judgement,
    message::{Fate, Message as Mail_, Recipient, Sender as From_},
    record::{Actor, Snapshot},
    verdict::{Mode, Verdict},
};
use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};
use tempfile::TempDir;

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A condition that is to come true does so within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A site whose clock the test moves.
struct Site {
    folder: TempDir,
    engine: Arc<Engine>,
    herald: Herald,
    messages: Receiver<Message>,
    params: Params,
    millis: Arc<AtomicU64>,
}

fn engine(now: Timestamp) -> Arc<Engine> {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let terms = Terms { registered, mode: Mode::Enforce, ..Terms::default() };
    let settings = Settings::with_directory(directory::Params {
        discovered: Arc::new(terms),
        relay_networks: vec!["127.0.0.0/8".parse().unwrap()],
        discover: true,
        ..directory::Params::default()
    });
    Arc::new(Engine::new(Settings { throttle: false, ..settings }, 2000, now))
}

fn quiet() -> Params {
    Params { new_connectors: false, host: "mx.example.org".into(), ..Params::default() }
}

impl Site {
    fn new(params: Params) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let millis = Arc::new(AtomicU64::new(START.as_millis()));
        let engine = engine(START);
        let (herald, messages) = herald(&params, &engine, &folder, &millis);
        Self { folder, engine, herald, messages, params, millis }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(SeqCst))
    }

    /// Lets time go by, with a look each second.
    fn pass(&mut self, span: Duration) {
        for _ in 0..span.as_secs() {
            self.millis.fetch_add(1000, SeqCst);
            self.engine.sweep(self.now());
            self.look();
        }
    }

    fn look(&mut self) {
        let now = self.now();
        let notices = self.engine.notices().take().0;
        self.herald.take(Message::Notices(notices), now);
        for message in self.messages.try_iter() {
            self.herald.take(message, now);
        }
        self.herald.look(now);
    }

    /// Looks until this holds, while time stands still.
    fn until(&mut self, what: &str, holds: impl Fn(&Herald) -> bool) {
        self.until_in(Duration::ZERO, what, holds);
    }

    /// Looks until this holds, while time goes by in steps.
    fn until_in(&mut self, step: Duration, what: &str, holds: impl Fn(&Herald) -> bool) {
        for _ in 0..PATIENCE.as_millis() / 2 {
            self.look();
            if holds(&self.herald) {
                return;
            }
            self.millis.fetch_add(step.as_millis().try_into().unwrap(), SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("{what}: {:?}", self.herald.status());
    }

    /// The process ends at once, and begins again later.
    fn restart(&mut self, later: Duration) {
        self.restart_forgetting(later, |_| {});
    }

    /// The same, where the files of cases are changed by `lose`.
    fn restart_forgetting(&mut self, later: Duration, lose: impl Fn(&mut crate::case::CaseFile)) {
        let cases = self.engine.cases().all();
        let mut cases: Vec<_> = cases.iter().map(|case| (**case).clone()).collect();
        cases.iter_mut().for_each(lose);
        let snapshot: Snapshot = self.engine.table().snapshot();
        self.millis.fetch_add(later.as_millis().try_into().unwrap(), SeqCst);
        self.engine = engine(self.now());
        self.engine.cases().restore(cases);
        self.engine.restore(snapshot, self.now());
        let (herald, messages) = herald(&self.params, &self.engine, &self.folder, &self.millis);
        (self.herald, self.messages) = (herald, messages);
    }

    /// A message of `client`; says whether it passed.
    fn send(&self, client: &str, sender: &str) -> bool {
        let mut session = Session::default();
        session.identify(Identities {
            client: Some(client.parse().unwrap()),
            ..Identities::default()
        });
        let sender = From_::Address { address: sender, qualified: true };
        let mut transaction = self.engine.begin(&mut session, &sender);
        let address = "b@example.net";
        let recipient = Recipient { address, transport: Some("smtp"), fate: Fate::Accepted };
        let now = self.now();
        let engine = &self.engine;
        let verdict = engine.at_recipient(&mut session, &mut transaction, &recipient, now);
        if verdict != Verdict::Pass {
            return false;
        }
        let message = Mail_ {
            sender,
            queue_id: Some("4Xyz1"),
            message_id: None,
            from: &[],
            spam: None,
            size: None,
            report: false,
            host: None,
        };
        engine.at_end(&mut session, transaction, &message, now) == Verdict::Pass
    }

    /// Sends spam until the connector is suspicious.
    fn suspect(&self, client: &str) {
        let key: ConnectorKey = format!("client:{client}").parse().unwrap();
        for n in 0..20 {
            assert!(self.send(client, &format!("a@spam{n}.example")), "message {n} was refused");
            let tally = self.engine.roster().get(&key).unwrap();
            if tally.judgement() == Judgement::Suspicious {
                return;
            }
        }
        panic!("20 messages were not suspicious");
    }

    /// Sends spam until it is refused.
    fn take_over(&self, client: &str) {
        let refused = (100..130).any(|n| !self.send(client, &format!("a@spam{n}.example")));
        assert!(refused, "30 messages passed");
    }

    fn block(&self, entity: &str, span: Option<Duration>) {
        let entity = entity.parse().unwrap();
        let blocked = Blocked { entity, action: None, span, reason: "test".into() };
        let by = Actor::Operator("root".into());
        self.engine.block(blocked, by, self.now()).unwrap();
    }

    fn unblock(&self, entity: &str) {
        let entity: Entity = entity.parse().unwrap();
        let by = Actor::Operator("root".into());
        self.engine.unblock(&entity, "mended", None, by, self.now()).unwrap();
    }

    /// Kinds of what was told, oldest first.
    fn told(&self) -> Vec<AlertKind> {
        self.herald.list().iter().rev().map(|alert| alert.kind).collect()
    }

    /// What became of each alert, oldest first.
    fn states(&self) -> Vec<String> {
        let channel = |sent: &Sent| format!("{} {}", sent.channel, sent.state);
        let states =
            |alert: &Listed| alert.channels.iter().map(channel).collect::<Vec<_>>().join(", ");
        self.herald.list().iter().rev().map(states).collect()
    }
}

fn herald(
    params: &Params,
    engine: &Arc<Engine>,
    folder: &TempDir,
    millis: &Arc<AtomicU64>,
) -> (Herald, Receiver<Message>) {
    let millis = Arc::clone(millis);
    let now = Arc::new(move || Timestamp::from_millis(millis.load(SeqCst)));
    let (sender, messages) = channel();
    let engine = Arc::clone(engine);
    let herald = Herald::start(params.clone(), engine, folder.path(), Duration::ZERO, now, &sender);
    (herald.unwrap(), messages)
}

fn client(n: u32) -> String {
    format!("client:{}", Ipv4Addr::from(0x7f00_0100 + n))
}
