//! What a message costs in the engine: `cargo bench --bench engine`.
//!
//! These machines are noisy, so compare within one run: `a mutex and a map` is
//! the naive way to count a message for its client (one lock around a map of
//! plain counters), which judges nothing.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use connguard::{
    connector::Identities,
    directory::{Params, Terms, Usual},
    domain::DomainSet,
    engine::{Engine, Feedback, Session, Settings},
    message::{Delivery, Fate, Message, Outcome, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::{
    collections::HashMap,
    fmt::Write,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// An engine in which no volume is too much if `usual` is declared.
fn engine(usual: Option<u32>) -> Engine {
    let mut registered = DomainSet::default();
    for name in ["example.org", ".example.net"] {
        assert!(registered.insert(name).is_ok());
    }
    let usual = Usual { messages_per_hour: usual, recipients_per_hour: usual };
    let terms = Terms { mode: Mode::Enforce, registered, usual, ..Terms::default() };
    let networks = ["10.0.0.0/8"].iter().filter_map(|text| text.parse().ok()).collect();
    let settings = Settings::with_directory(Params {
        discovered: Arc::new(terms),
        relay_networks: networks,
        discover: true,
        ..Params::default()
    });
    Engine::new(settings, 1_000_000, NOW)
}

fn ordinary() -> Engine {
    engine(Some(u32::MAX))
}

fn client(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

fn session(number: u32) -> Session {
    let mut session = Session::default();
    session.identify(Identities { client: Some(client(number)), ..Identities::default() });
    session
}

fn login() -> Session {
    let mut session = Session::default();
    session.identify(Identities {
        client: Some(client(7)),
        login: Some("alice@example.org".into()),
        ..Identities::default()
    });
    session
}

/// A message as it is sent, whose addresses may change from one to the next.
struct Mail {
    recipients: Vec<String>,
    from: Vec<String>,
    queue_id: String,
    sent: u64,
}

impl Mail {
    fn new(recipients: usize) -> Self {
        let recipients = (0..recipients).map(|n| format!("user{n}@remote.test")).collect();
        Self { recipients, from: Vec::new(), queue_id: "4Abc".into(), sent: 0 }
    }

    /// With another first recipient each time.
    fn readdressed(&mut self) -> &Self {
        self.sent += 1;
        if let Some(recipient) = self.recipients.first_mut() {
            recipient.clear();
            assert!(write!(recipient, "user{}@remote.test", self.sent).is_ok());
        }
        self
    }

    /// With another queue id.
    fn queued(&mut self) -> &Self {
        self.sent += 1;
        self.queue_id.clear();
        assert!(write!(self.queue_id, "4Abc{}", self.sent).is_ok());
        self
    }

    /// From MAIL to its end.
    fn send(&self, engine: &Engine, session: &mut Session) -> Verdict {
        let sender = Sender::Address { address: "user@example.org", qualified: true };
        let mut transaction = engine.begin(session, &sender);
        for address in &self.recipients {
            let recipient = Recipient { address, transport: Some("smtp"), fate: Fate::Accepted };
            let verdict = engine.at_recipient(session, &mut transaction, &recipient, NOW);
            assert_eq!(verdict, Verdict::Pass);
        }
        let message = Message {
            sender,
            queue_id: Some(&self.queue_id),
            message_id: Some("1@example.org"),
            from: &self.from,
            spam: None,
            report: false,
            size: None,
            host: Some("mx.example.org"),
        };
        let verdict = engine.at_end(session, transaction, &message, NOW);
        assert_eq!(verdict, Verdict::Pass);
        verdict
    }

    /// What became of it.
    fn deliver(&self, engine: &Engine) {
        for recipient in &self.recipients {
            let outcome = Outcome::Delivered;
            engine.on_delivery(&Delivery::new(&self.queue_id, recipient, outcome), NOW);
        }
    }
}

/// A sequence of client numbers in no order.
fn scattered(state: &mut u32, below: u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) % below
}

fn messages(c: &mut Criterion) {
    let one = ordinary();
    let (mut same, mut mail) = (session(7), Mail::new(1));
    c.bench_function("relay, known recipient", |b| {
        b.iter(|| mail.send(&one, black_box(&mut same)))
    });
    c.bench_function("relay, new recipient", |b| {
        b.iter(|| mail.readdressed().send(&one, black_box(&mut same)));
    });
    let ten = Mail::new(10);
    c.bench_function("relay, 10 known recipients", |b| {
        b.iter(|| ten.send(&one, black_box(&mut same)));
    });

    let mut alice = login();
    let mut with_from = Mail::new(1);
    with_from.from = vec!["Alice@Example.org".into()];
    c.bench_function("login with network and From", |b| {
        b.iter(|| with_from.send(&one, black_box(&mut alice)));
    });
    c.bench_function("login with network and From, new recipient", |b| {
        b.iter(|| with_from.readdressed().send(&one, black_box(&mut alice)));
    });
    c.bench_function("relay, new session", |b| {
        b.iter_batched_ref(|| session(7), |new| mail.send(&one, new), BatchSize::SmallInput);
    });
}

fn feedback(c: &mut Criterion) {
    let fed = ordinary();
    fed.set_feedback(Feedback::Coming);
    let (mut same, mut mail) = (session(7), Mail::new(1));
    c.bench_function("relay with feedback, and its delivery result", |b| {
        b.iter(|| {
            mail.queued().send(&fed, black_box(&mut same));
            mail.deliver(&fed);
        });
    });
    // More than usual, so that it is suspicious; no throttle keeps it back.
    let loud = engine(None);
    loud.set_feedback(Feedback::Coming);
    c.bench_function("suspicious relay with feedback, and its delivery result", |b| {
        b.iter(|| {
            mail.queued().send(&loud, black_box(&mut same));
            mail.deliver(&loud);
        });
    });
}

fn many(c: &mut Criterion) {
    let many = ordinary();
    let mail = Mail::new(1);
    const CLIENTS: u32 = 100_000;
    for number in 0..CLIENTS {
        mail.send(&many, &mut session(number));
    }
    let mut state = 1;
    c.bench_function("relay, new session, one of 100,000 connectors", |b| {
        b.iter_batched_ref(
            || session(scattered(&mut state, CLIENTS)),
            |new| mail.send(&many, new),
            BatchSize::SmallInput,
        );
    });

    let naive: Mutex<HashMap<IpAddr, (u64, u64)>> = Mutex::default();
    for (name, clients) in [("one client", 1), ("one of 100,000 clients", CLIENTS)] {
        c.bench_function(&format!("a mutex and a map, {name}"), |b| {
            b.iter(|| {
                let mut counts = naive.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let client = black_box(client(scattered(&mut state, clients)));
                let count = counts.entry(client).or_default();
                count.0 += 1;
                count.1 += 1;
                black_box(*count)
            });
        });
    }
}

criterion_group!(engine_benches, messages, feedback, many);
criterion_main!(engine_benches);
