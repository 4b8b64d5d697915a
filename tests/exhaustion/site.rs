//! A site with connectors that must not be pushed out, and what they send meanwhile.

use connguard::{
    connector::{ConnectorKey, Entity, Identities, Profile},
    directory::{Named, Params, Terms},
    domain::DomainSet,
    engine::{Blocked, Engine, Session, Settings},
    message::{Fate, Message, Recipient, Sender},
    record::{Actor, Trust},
    timestamp::Timestamp,
    trail::Trail,
    verdict::{Mode, Verdict},
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// Noon of some day.
const START: Timestamp = Timestamp::from_seconds(20_600 * 86_400 + 43_200);
const DAY: Duration = Duration::from_secs(86_400);
/// Clients and logins of a flood have numbers from here on.
pub(crate) const OTHERS: u32 = 2_000_000;
/// How many of each sort are held.
const HELD: u32 = 20;

/// Octets of memory that are neither files nor shared.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The client with this number; 16,777,216 of them stand in 10.0.0.0/8.
pub(crate) fn client(number: u32) -> Identities {
    let client = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
    Identities { client: Some(client), ..Identities::default() }
}

/// The client of the connector `lists`, which forwards mail of everybody.
pub(crate) fn lists() -> Identities {
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    Identities { client: Some(client), ..Identities::default() }
}

fn key(number: u32) -> ConnectorKey {
    let address = client(number).client.unwrap();
    ConnectorKey::Client(address.into())
}

/// See the head of this module.
pub(crate) struct Site {
    pub(crate) engine: Arc<Engine>,
    pub(crate) now: Timestamp,
    /// Queue files of the mail log.
    pub(crate) trail: Trail,
    /// Connectors with three days of mail have the numbers below.
    known: u32,
    /// How many of these send where one could not fill a table alone.
    pub(crate) busy: u32,
    /// The next message of a flood.
    pub(crate) mail: Mail,
}

/// What a message shows.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) queue_id: Option<String>,
    pub(crate) helo: String,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            sender: "somebody@example.org".into(),
            recipients: vec!["somebody@remote.test".into()],
            queue_id: None,
            helo: "client.example.org".into(),
        }
    }
}

impl Site {
    /// With so many places for connectors, of which half are long known.
    pub(crate) fn new(cap: u32) -> Self {
        let engine = Arc::new(Engine::new(settings(), cap as usize, START));
        let trail = Trail::with_room_for(cap as usize / 5);
        let busy = (cap / 125_000).max(1);
        let mut site =
            Self { engine, now: START, trail, known: cap / 2, busy, mail: Mail::default() };
        // A fifth each day: newcomers have a quarter of all places.
        let group = site.known.div_ceil(5);
        for day in 0..7 {
            site.now = START.plus(DAY * day);
            for number in day.saturating_sub(2) * group..((day + 1) * group).min(site.known) {
                assert_eq!(site.send(&client(number)), Verdict::Pass);
            }
        }
        site.now = START.plus(DAY * 7);
        for number in site.known..site.known + 3 * HELD {
            site.send(&client(number));
            site.hold(number);
        }
        site
    }

    /// A third of those behind the known ones are restricted, trusted, in grace.
    fn hold(&self, number: u32) {
        let (entity, now, by) = (Entity::from(key(number)), self.now, Actor::Daemon);
        let reason = "a test".to_owned();
        if (number - self.known) % 3 == 1 {
            let until = now.plus(DAY * 30);
            self.engine.trust(&entity, Trust { since: now, until, by, reason }).unwrap();
            return;
        }
        let blocked = Blocked { entity: entity.clone(), action: None, span: None, reason };
        self.engine.block(blocked, by.clone(), now).unwrap();
        if (number - self.known) % 3 == 2 {
            self.engine.unblock(&entity, "a test", Some(DAY * 30), by, now).unwrap();
        }
    }

    /// Time passes, with what the daemon does once a second.
    pub(crate) fn pass(&mut self, seconds: f64) {
        let before = self.now.as_seconds();
        self.now = self.now.plus(Duration::from_secs_f64(seconds));
        if self.now.as_seconds() / 10 != before / 10 {
            self.engine.sweep(self.now);
            self.engine.notices().take();
        }
    }

    /// One message of a client, as [`Site::mail`] says.
    pub(crate) fn send(&self, identities: &Identities) -> Verdict {
        let mail = &self.mail;
        let mut session = Session::default();
        session.identify(identities.clone());
        session.greet(&mail.helo);
        let sender = Sender::Address { address: &mail.sender, qualified: true };
        let mut transaction = self.engine.begin(&mut session, &sender);
        for address in &mail.recipients {
            let recipient = Recipient { address, transport: Some("smtp"), fate: Fate::Accepted };
            let answer =
                self.engine.at_recipient(&mut session, &mut transaction, &recipient, self.now);
            if answer != Verdict::Pass {
                return answer;
            }
        }
        let message = Message {
            sender,
            queue_id: mail.queue_id.as_deref(),
            message_id: Some("1@example.org"),
            from: std::slice::from_ref(&mail.sender),
            spam: Some(false),
            report: false,
            size: None,
            host: None,
        };
        self.engine.at_end(&mut session, transaction, &message, self.now)
    }

    /// Others are answered as before: who is long known, restricted, trusted, in grace.
    pub(crate) fn assert_mail_flows(&mut self) {
        let flood = std::mem::take(&mut self.mail);
        let answer = |number: u32| self.send(&client(number));
        assert_eq!(answer(0), Verdict::Pass, "a long-known connector");
        assert!(matches!(answer(self.known), Verdict::Refuse(_)), "a restricted one");
        assert_eq!(answer(self.known + 1), Verdict::Pass, "a trusted one");
        assert_eq!(answer(self.known + 2), Verdict::Pass, "one in grace");
        self.mail = flood;
    }

    /// None of those that are worth keeping was pushed out.
    pub(crate) fn assert_all_are_there(&self) {
        for number in 0..self.known + 3 * HELD {
            assert!(self.engine.roster().get(&key(number)).is_some(), "client {number}");
        }
        let table = self.engine.table();
        for number in (self.known..self.known + 3 * HELD).step_by(3) {
            let entity = |number| Entity::from(key(number));
            assert!(table.in_force(&entity(number), self.now).is_some());
            assert!(table.trust(&entity(number + 1), self.now).is_some());
            assert!(table.grace(&entity(number + 2), self.now).is_some());
        }
    }
}

fn settings() -> Settings {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let terms = Terms { mode: Mode::Enforce, registered, ..Terms::default() };
    // Only watched, so that all of a flood gets through to where it is counted.
    let observed =
        Terms { mode: Mode::Observe, profile: Some(Profile::Forwarder), ..terms.clone() };
    Settings::with_directory(Params {
        connectors: vec![Named {
            name: "lists".into(),
            clients: vec!["192.0.2.1/32".parse().unwrap()],
            certificate: None,
            digests: Vec::new(),
            logins: Vec::new(),
            terms: Arc::new(observed),
        }],
        discovered: Arc::new(terms),
        relay_networks: vec!["0.0.0.0/0".parse().unwrap()],
        discover: true,
        ..Params::default()
    })
}
