//! A message takes no memory in the engine, once its session, its connector and
//! its recipients are known. Counted are all allocations of this program, so there
//! is one test in it. What is left for later (`intake.rs`) is taken in between the
//! rounds that are counted, as the housekeeping and the reader of the log do it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use connguard::{
    connector::Identities,
    directory::{Named, Params, Terms, Usual},
    domain::DomainSet,
    engine::{Engine, Feedback, Session, Settings},
    message::{Delivery, Fate, Message, Outcome, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{alloc::System, fmt::Write, sync::Arc, time::Duration};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);
/// Messages between two looks of others at what is left.
const ROUND: u64 = 500;
const ROUNDS: u64 = 8;

fn engine(registered: &[&str]) -> Engine {
    let mut domains = DomainSet::default();
    registered.iter().for_each(|name| domains.insert(name).unwrap());
    let usual = Usual { messages_per_hour: Some(u32::MAX), recipients_per_hour: Some(u32::MAX) };
    let terms =
        Arc::new(Terms { mode: Mode::Enforce, registered: domains, usual, ..Terms::default() });
    let erp = Named {
        name: "erp".into(),
        clients: vec!["10.9.0.0/24".parse().unwrap()],
        certificate: None,
        digests: Vec::new(),
        logins: Vec::new(),
        terms: Arc::clone(&terms),
    };
    let settings = Settings::with_directory(Params {
        discovered: terms,
        connectors: vec![erp],
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        discover: true,
        ..Params::default()
    });
    Engine::new(settings, 1000, START)
}

fn session(client: &str, login: Option<&str>) -> Session {
    let mut session = Session::default();
    session.identify(Identities {
        client: Some(client.parse().unwrap()),
        login: login.map(Into::into),
        ..Identities::default()
    });
    session.greet("Client.example.org");
    session.serve("mx.example.org");
    session
}

/// Mail of one session.
struct Mail {
    session: Session,
    sender: &'static str,
    from: Vec<String>,
    recipients: Vec<String>,
    queue_id: String,
    sent: u64,
}

impl Mail {
    fn new(session: Session, sender: &'static str, recipients: usize) -> Self {
        let recipients = (0..recipients).map(|n| format!("User{n}@remote{}.Test", n % 3)).collect();
        let from = vec!["Alice@Example.org".to_owned()];
        let queue_id = String::with_capacity(64);
        Self { session, sender, from, recipients, queue_id, sent: 0 }
    }

    /// With another queue id each time, from MAIL to its end.
    fn send(&mut self, engine: &Engine, now: Timestamp) {
        self.sent += 1;
        self.queue_id.clear();
        write!(self.queue_id, "4Zk1aQ{:08}z", self.sent).unwrap();
        let sender = Sender::Address { address: self.sender, qualified: true };
        let mut transaction = engine.begin(&mut self.session, &sender);
        for address in &self.recipients {
            let recipient = Recipient { address, transport: Some("smtp"), fate: Fate::Accepted };
            let verdict = engine.at_recipient(&mut self.session, &mut transaction, &recipient, now);
            assert_eq!(verdict, Verdict::Pass);
        }
        let message = Message {
            sender,
            queue_id: Some(&self.queue_id),
            message_id: Some("1@example.org"),
            from: &self.from,
            spam: None,
            report: false,
            size: Some(2000),
            host: Some("mx.example.org"),
        };
        let verdict = engine.at_end(&mut self.session, transaction, &message, now);
        assert_eq!(verdict, Verdict::Pass);
    }

    /// What became of the last messages.
    fn deliver(&mut self, engine: &Engine, messages: u64, now: Timestamp) {
        let sent = self.sent;
        for number in sent - messages + 1..=sent {
            let queue_id = format!("4Zk1aQ{number:08}z");
            for recipient in &self.recipients {
                let told = Delivery::new(&queue_id, recipient, Outcome::Delivered);
                assert!(engine.on_delivery(&told, now), "{queue_id} is waited for");
            }
            engine.queued().remove(&queue_id, None);
        }
    }
}

/// Allocations of a round of messages, after as many that were not counted.
fn count(engine: &Engine, mail: &mut Mail) -> usize {
    let mut allocations = 0;
    for round in 0..ROUNDS {
        let now = START.plus(Duration::from_secs(round));
        let region = Region::new(ALLOCATOR);
        for _ in 0..ROUND {
            mail.send(engine, now);
        }
        let change = region.change();
        if round >= ROUNDS / 2 {
            allocations += change.allocations + change.reallocations;
        }
        if engine.feedback() == Feedback::Off {
            assert!(!engine.queued().is_empty());
        } else {
            mail.deliver(engine, ROUND, now);
        }
        engine.sweep(now);
    }
    allocations
}

#[test]
fn a_message_takes_no_memory() {
    for registered in [&["example.org", ".example.net"][..], &[]] {
        for feedback in [Feedback::Off, Feedback::Coming] {
            let engine = engine(registered);
            engine.set_feedback(feedback);
            let alice = Some("alice@example.org");
            for (what, session, sender, recipients) in [
                ("relay, one recipient", session("10.0.0.1", None), "user@example.org", 1),
                ("relay, ten recipients", session("10.0.0.2", None), "user@example.org", 10),
                ("relay, mixed case", session("10.0.0.3", None), "User@Example.ORG", 1),
                ("IPv6", session("2001:db8::7", alice), "user@example.org", 2),
                ("login", session("192.0.2.1", alice), "Alice@example.org", 1),
                ("a named connector", session("10.9.0.1", None), "user@example.org", 1),
            ] {
                let found = count(&engine, &mut Mail::new(session, sender, recipients));
                let with = format!("feedback {feedback:?}, {} registered", registered.len());
                assert_eq!(found, 0, "{what}, {with}: allocations of {} messages", 4 * ROUND);
            }
        }
    }
}
