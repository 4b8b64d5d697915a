//! What a message costs in the engine: `cargo bench --bench engine`.
//!
//! These machines are noisy, so compare within one run: `a mutex and a map` is
//! the naive way to count a message for its client (one lock around a map of
//! plain counters), which judges nothing.

#![allow(missing_docs, reason = "criterion's macros make public items")]

use connguard::{
    connector::Identities,
    directory::{Params, Terms},
    domain::DomainSet,
    engine::{Engine, Session, Settings},
    message::{Fate, Message, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::{
    collections::HashMap,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn engine() -> Engine {
    let mut registered = DomainSet::default();
    for name in ["example.org", ".example.net"] {
        assert!(registered.insert(name).is_ok());
    }
    let terms = Terms { mode: Mode::Enforce, registered, ..Terms::default() };
    let networks = ["10.0.0.0/8"].iter().filter_map(|text| text.parse().ok()).collect();
    let settings = Settings::with_directory(Params {
        discovered: Arc::new(terms),
        relay_networks: networks,
        discover: true,
        ..Params::default()
    });
    Engine::new(settings, 1_000_000, NOW)
}

fn client(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

fn session(number: u32) -> Session {
    let mut session = Session::default();
    session.identify(Identities { client: Some(client(number)), ..Identities::default() });
    session
}

/// One registered message with one relayed recipient, from MAIL to its end.
fn message(engine: &Engine, session: &mut Session) -> Verdict {
    let mut transaction = engine.begin(session);
    let recipient =
        Recipient { address: "user@remote.test", transport: Some("smtp"), fate: Fate::Accepted };
    let verdict = engine.at_recipient(session, &mut transaction, &recipient, NOW);
    assert_eq!(verdict, Verdict::Pass);
    let message = Message {
        sender: Sender::Address { address: "user@example.org", qualified: true },
        queue_id: Some("4Abc"),
        message_id: Some("1@example.org"),
        from: &[],
        spam: None,
        size: None,
        host: Some("mx.example.org"),
    };
    engine.at_end(session, transaction, &message, NOW)
}

/// A sequence of client numbers in no order.
fn scattered(state: &mut u32, below: u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) % below
}

fn benches(c: &mut Criterion) {
    let one = engine();
    let mut same = session(7);
    c.bench_function("message, same session", |b| b.iter(|| message(&one, black_box(&mut same))));
    c.bench_function("message, new session", |b| {
        b.iter_batched_ref(|| session(7), |new| message(&one, new), BatchSize::SmallInput);
    });

    let many = engine();
    const CLIENTS: u32 = 100_000;
    for number in 0..CLIENTS {
        message(&many, &mut session(number));
    }
    let mut state = 1;
    c.bench_function("message, new session, one of 100,000 connectors", |b| {
        b.iter_batched_ref(
            || session(scattered(&mut state, CLIENTS)),
            |new| message(&many, new),
            BatchSize::SmallInput,
        );
    });

    let naive: Mutex<HashMap<IpAddr, (u64, u64)>> = Mutex::default();
    c.bench_function("a mutex and a map, one of 100,000 clients", |b| {
        b.iter(|| {
            let mut counts = naive.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let count = counts.entry(client(scattered(&mut state, CLIENTS))).or_default();
            count.0 += 1;
            count.1 += 1;
            black_box(*count)
        });
    });
}

criterion_group!(engine_benches, benches);
criterion_main!(engine_benches);
