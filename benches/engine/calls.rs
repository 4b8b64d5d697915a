//! Each call on its own, with criterion.

use super::support::mail::{Mail, Scattered, Wanted, client, knowing, login, session};
use connguard::{
    connector::ConnectorKey,
    engine::{Engine, Feedback},
    queued::{MOST, Queued},
    timestamp::Timestamp,
    verdict::Verdict,
};
use criterion::{BatchSize, Criterion};
use std::{collections::HashMap, fmt::Write, hint::black_box, net::IpAddr, sync::Mutex};

const SIZES: [u32; 4] = [1, 1000, 100_000, 1_000_000];

pub(crate) fn run() {
    let mut c = Criterion::default().configure_from_args();
    messages(&mut c);
    feedback(&mut c);
    queue(&mut c);
    for connectors in SIZES {
        let engine = knowing(connectors);
        lookup(&mut c, &engine, connectors);
        calls(&mut c, &engine, connectors);
        results(&mut c, &engine, connectors);
    }
    naive(&mut c);
    c.final_summary();
}

fn messages(c: &mut Criterion) {
    let one = Wanted::of(10).engine();
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
}

fn feedback(c: &mut Criterion) {
    let fed = Wanted::of(10).engine();
    fed.set_feedback(Feedback::Coming);
    let (mut same, mut mail) = (session(7), Mail::new(1));
    c.bench_function("relay with feedback, and its delivery result", |b| {
        b.iter(|| {
            mail.queued().send(&fed, black_box(&mut same));
            mail.deliver(&fed);
        });
    });
    // More than usual, so that it is suspicious; no throttle keeps it back.
    let loud = Wanted { any_volume: false, throttle: false, ..Wanted::of(10) }.engine();
    loud.set_feedback(Feedback::Coming);
    c.bench_function("suspicious relay with feedback, and its delivery result", |b| {
        b.iter(|| {
            mail.queued().send(&loud, black_box(&mut same));
            mail.deliver(&loud);
        });
    });
}

/// What is noted of a message that goes into a full list, and that it is taken in:
/// one of so many clients in random order, or always the same one.
fn queue(c: &mut Criterion) {
    for connectors in [1, 100_000] {
        let (queued, mut numbers) = (Queued::default(), Scattered::new(1));
        let (mut sent, mut id) = (0_u64, String::new());
        let mut enter = || {
            sent += 1;
            id.clear();
            assert!(write!(id, "4Zk1aQ{sent:08}z").is_ok());
            let key = ConnectorKey::Client(client(numbers.below(connectors)).into());
            queued.enter(&id, &key, 0, false, Timestamp::from_seconds(1_795_000_000));
        };
        (0..2 * MOST).for_each(|_| enter());
        c.bench_function(&format!("queue, {connectors} connectors"), |b| b.iter(&mut enter));
    }
}

fn lookup(c: &mut Criterion, engine: &Engine, connectors: u32) {
    let mut numbers = Scattered::new(1);
    c.bench_function(&format!("tally look-up, {connectors} connectors"), |b| {
        b.iter(|| {
            let key = ConnectorKey::Client(client(numbers.below(connectors)).into());
            black_box(engine.roster().get(&key))
        });
    });
}

/// In random order.
fn calls(c: &mut Criterion, engine: &Engine, connectors: u32) {
    let (mut numbers, mail) = (Scattered::new(1), Mail::new(1));
    let mut session = || session(numbers.below(connectors));
    c.bench_function(&format!("message in a new session, {connectors} connectors"), |b| {
        b.iter_batched_ref(&mut session, |new| mail.send(engine, new), BatchSize::SmallInput);
    });
    c.bench_function(&format!("at_recipient, {connectors} connectors"), |b| {
        let prepare = || {
            let mut session = session();
            let transaction = mail.begin(engine, &mut session);
            (session, transaction)
        };
        let ask = |(session, transaction): &mut (_, _)| mail.ask(engine, session, transaction);
        b.iter_batched_ref(prepare, ask, BatchSize::SmallInput);
    });
    c.bench_function(&format!("at_end, {connectors} connectors"), |b| {
        let prepare = || {
            let mut session = session();
            let mut transaction = mail.begin(engine, &mut session);
            assert_eq!(mail.ask(engine, &mut session, &mut transaction), Verdict::Pass);
            (session, Some(transaction))
        };
        let end = |(session, transaction): &mut (_, Option<_>)| {
            mail.end(engine, session, transaction.take().unwrap())
        };
        b.iter_batched_ref(prepare, end, BatchSize::SmallInput);
    });
}

fn results(c: &mut Criterion, engine: &Engine, connectors: u32) {
    let (mut numbers, mut mail) = (Scattered::new(1), Mail::new(1));
    engine.set_feedback(Feedback::Coming);
    c.bench_function(&format!("on_delivery, {connectors} connectors"), |b| {
        let prepare = || {
            mail.queued().send(engine, &mut session(numbers.below(connectors)));
            mail.clone()
        };
        b.iter_batched_ref(prepare, |sent| sent.deliver(engine), BatchSize::SmallInput);
    });
}

fn naive(c: &mut Criterion) {
    let naive: Mutex<HashMap<IpAddr, (u64, u64)>> = Mutex::default();
    let mut numbers = Scattered::new(1);
    for clients in [1, 100_000] {
        c.bench_function(&format!("a mutex and a map, {clients} clients"), |b| {
            b.iter(|| {
                let mut counts = naive.lock().unwrap();
                let count = counts.entry(black_box(client(numbers.below(clients)))).or_default();
                count.0 += 1;
                count.1 += 1;
                black_box(*count)
            });
        });
    }
}
