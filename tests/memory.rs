//! What a discovered connector costs in memory: its key, its place in the map,
//! its tally, and for a login the networks that it uses. Measured as what the
//! kernel gave to the process, so that it includes what the allocator wastes.
//! In a program of its own, so that no other test disturbs the figure.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are worth knowing")]

use connguard::{
    connector::Identities,
    directory::{Params, Terms},
    domain::DomainSet,
    engine::{Engine, Session, Settings},
    message::{Fate, Message, Recipient, Sender},
    timestamp::Timestamp,
    verdict::Verdict,
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

const CONNECTORS: u32 = 20_000;
const DAYS: u64 = 8;
const MOST: usize = 1536;
const START: Timestamp = Timestamp::from_seconds(20_600 * 86_400 + 43_200);

/// Octets of memory that are neither files nor shared.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

fn engine() -> Engine {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let settings = Settings::with_directory(Params {
        discovered: Arc::new(Terms { registered, ..Terms::default() }),
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        discover: true,
        ..Params::default()
    });
    Engine::new(settings, 1_000_000, START)
}

fn client(number: u32) -> Identities {
    let client = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
    Identities { client: Some(client), ..Identities::default() }
}

fn login(number: u32) -> Identities {
    let login = format!("firstname.lastname{number}@example.org");
    Identities { login: Some(login.into()), ..client(number) }
}

fn send(engine: &Engine, identities: Identities, now: Timestamp) {
    let mut session = Session::default();
    session.identify(identities);
    let sender = Sender::Address { address: "somebody@example.org", qualified: true };
    let mut transaction = engine.begin(&mut session, &sender);
    let recipient =
        Recipient { address: "somebody@remote.test", transport: None, fate: Fate::Accepted };
    let verdict = engine.at_recipient(&mut session, &mut transaction, &recipient, now);
    assert_eq!(verdict, Verdict::Pass);
    let message = Message {
        sender,
        queue_id: Some("4Abc"),
        message_id: None,
        from: &["somebody@example.org".into()],
        spam: Some(false),
        report: false,
        size: None,
        host: None,
    };
    assert_eq!(engine.at_end(&mut session, transaction, &message, now), Verdict::Pass);
}

/// Octets of each of so many connectors after a week of ordinary mail.
fn measure(identities: impl Fn(u32) -> Identities) -> usize {
    let engine = engine();
    // What all connectors share.
    send(&engine, identities(CONNECTORS), START);
    let before = resident();
    for day in 0..DAYS {
        let now = START.plus(Duration::from_secs(day * 86_400));
        (0..CONNECTORS).for_each(|number| send(&engine, identities(number), now));
    }
    let after = resident();
    assert_eq!(engine.roster().len(), CONNECTORS as usize + 1);
    let each = (after - before) / CONNECTORS as usize;
    // Not to be freed before, nor to be reused by the next one.
    std::mem::forget(engine);
    each
}

#[test]
fn a_discovered_connector_costs_little() {
    let (client, login) = (measure(client), measure(login));
    println!("a client: {client} octets, a login with its networks: {login} octets");
    assert!(client <= MOST, "a client: {client} octets");
    assert!(login <= MOST, "a login with its networks: {login} octets");
}
