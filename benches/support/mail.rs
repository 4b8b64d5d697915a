//! Engines, the sessions of their clients, and mail.

use super::NOW;
use connguard::{
    connector::Identities,
    directory::{Params, Terms, Usual},
    domain::DomainSet,
    engine::{Engine, Memory, Session, Settings, Transaction},
    message::{Delivery, Fate, Message, Outcome, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Under which everything is hashed, in every run the same.
const KEY: [u8; 16] = *b"connguard bench.";

/// An engine as it is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// How many connectors are going to come.
    pub(crate) connectors: u32,
    /// No volume is too much.
    pub(crate) any_volume: bool,
    /// Who is suspicious is slowed down.
    pub(crate) throttle: bool,
}

impl Wanted {
    /// One whose connectors do nothing unusual.
    pub(crate) const fn of(connectors: u32) -> Self {
        Self { connectors, any_volume: true, throttle: true }
    }

    pub(crate) fn engine(self) -> Engine {
        let mut registered = DomainSet::default();
        for name in ["example.org", ".example.net"] {
            assert!(registered.insert(name).is_ok());
        }
        let most = self.any_volume.then_some(u32::MAX);
        let usual = Usual { messages_per_hour: most, recipients_per_hour: most };
        let terms = Terms { mode: Mode::Enforce, registered, usual, ..Terms::default() };
        let networks = ["10.0.0.0/8"].iter().filter_map(|text| text.parse().ok()).collect();
        let settings = Settings {
            throttle: self.throttle,
            ..Settings::with_directory(Params {
                discovered: Arc::new(terms),
                relay_networks: networks,
                discover: true,
                ..Params::default()
            })
        };
        // Newcomers get a quarter of it.
        let cap = usize::try_from(self.connectors).unwrap() * 4 + 1000;
        let mut engine = Engine::new(settings, cap, NOW);
        // Nothing was lost: what this mutes is long over.
        let memory = Memory { key: KEY, filters: None, muted_until: None };
        engine.recall(Some(memory), [], Timestamp::default());
        engine
    }
}

/// An engine that knows so many connectors, each by one message.
pub(crate) fn knowing(connectors: u32) -> Engine {
    let engine = Wanted::of(connectors).engine();
    let mail = Mail::new(1);
    for number in 0..connectors {
        mail.send(&engine, &mut session(number));
    }
    assert_eq!(engine.roster().len(), usize::try_from(connectors).unwrap());
    engine
}

pub(crate) fn client(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

/// A session of a relay client.
pub(crate) fn session(number: u32) -> Session {
    let mut session = Session::default();
    session.identify(Identities { client: Some(client(number)), ..Identities::default() });
    session
}

/// A session of somebody who logged in.
pub(crate) fn login() -> Session {
    let mut session = Session::default();
    session.identify(Identities {
        client: Some(client(7)),
        login: Some("alice@example.org".into()),
        ..Identities::default()
    });
    session
}

/// Numbers in no order, the same in every run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scattered(u32);

impl Scattered {
    pub(crate) const fn new(seed: u32) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The lower bits of such a sequence have a short period.
        u32::try_from((u64::from(self.0) * u64::from(below)) >> 32).unwrap()
    }
}

/// A message as it is sent, whose addresses may change from one to the next.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    recipients: Vec<String>,
    pub(crate) from: Vec<String>,
    queue_id: String,
    sent: u64,
}

const SENDER: Sender<'static> = Sender::Address { address: "user@example.org", qualified: true };

impl Mail {
    pub(crate) fn new(recipients: usize) -> Self {
        let recipients = (0..recipients).map(|n| format!("user{n}@remote.test")).collect();
        Self { recipients, from: Vec::new(), queue_id: "4Abc".into(), sent: 0 }
    }

    /// With another first recipient each time.
    pub(crate) fn readdressed(&mut self) -> &Self {
        self.sent += 1;
        if let Some(recipient) = self.recipients.first_mut() {
            recipient.clear();
            assert!(write!(recipient, "user{}@remote.test", self.sent).is_ok());
        }
        self
    }

    /// With another queue id each time.
    pub(crate) fn queued(&mut self) -> &Self {
        self.sent += 1;
        self.queue_id.clear();
        assert!(write!(self.queue_id, "4Abc{}", self.sent).is_ok());
        self
    }

    /// From MAIL to its end.
    pub(crate) fn send(&self, engine: &Engine, session: &mut Session) -> Verdict {
        let mut transaction = self.begin(engine, session);
        assert_eq!(self.ask(engine, session, &mut transaction), Verdict::Pass);
        let verdict = self.end(engine, session, transaction);
        assert_eq!(verdict, Verdict::Pass);
        verdict
    }

    /// From MAIL to a recipient that is refused.
    pub(crate) fn be_refused(&self, engine: &Engine, session: &mut Session) -> Verdict {
        let mut transaction = self.begin(engine, session);
        let verdict = self.ask(engine, session, &mut transaction);
        assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
        engine.at_abandon(session, &transaction, NOW);
        verdict
    }

    pub(crate) fn begin(&self, engine: &Engine, session: &mut Session) -> Transaction {
        engine.begin(session, &SENDER)
    }

    /// Asks for each recipient until one is refused.
    pub(crate) fn ask(
        &self,
        engine: &Engine,
        session: &mut Session,
        transaction: &mut Transaction,
    ) -> Verdict {
        for address in &self.recipients {
            let recipient = Recipient { address, transport: Some("smtp"), fate: Fate::Accepted };
            let verdict = engine.at_recipient(session, transaction, &recipient, NOW);
            if verdict != Verdict::Pass {
                return verdict;
            }
        }
        Verdict::Pass
    }

    pub(crate) fn end(
        &self,
        engine: &Engine,
        session: &mut Session,
        transaction: Transaction,
    ) -> Verdict {
        let message = Message {
            sender: SENDER,
            queue_id: Some(&self.queue_id),
            message_id: Some("1@example.org"),
            from: &self.from,
            spam: None,
            report: false,
            size: None,
            host: Some("mx.example.org"),
        };
        engine.at_end(session, transaction, &message, NOW)
    }

    /// What became of it.
    pub(crate) fn deliver(&self, engine: &Engine) {
        for recipient in &self.recipients {
            let outcome = Outcome::Delivered;
            engine.on_delivery(&Delivery::new(&self.queue_id, recipient, outcome), NOW);
        }
    }
}
