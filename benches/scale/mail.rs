//! Engines, clients and their messages.

use connguard::{
    connector::{ConnectorKey, Identities, client_network},
    directory::{Params, Terms},
    domain::DomainSet,
    engine::{Engine, Session, Settings},
    message::{Fate, Message, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// Noon of some day.
pub(crate) const START: Timestamp = Timestamp::from_seconds(20_600 * 86_400 + 43_200);

/// Settings with these registered domains.
pub(crate) fn settings(domains: &[&str]) -> Settings {
    let mut registered = DomainSet::default();
    for name in domains {
        registered.insert(name).unwrap();
    }
    Settings::with_directory(Params {
        discovered: Arc::new(Terms { mode: Mode::Enforce, registered, ..Terms::default() }),
        relay_networks: vec!["0.0.0.0/0".parse().unwrap()],
        discover: true,
        ..Params::default()
    })
}

/// An engine with this cap.
pub(crate) fn engine(cap: u32) -> Engine {
    Engine::new(settings(&["example.org"]), cap as usize, START)
}

/// Noon of another day.
pub(crate) fn day(number: u64) -> Timestamp {
    START.plus(Duration::from_secs(number * 86_400))
}

/// The client with this number; 16,777,216 of them stand in 10.0.0.0/8.
pub(crate) fn client(number: u32) -> Identities {
    let client = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
    Identities { client: Some(client), ..Identities::default() }
}

/// The login with this number, from an address of its own.
pub(crate) fn login(number: u32) -> Identities {
    let login = format!("firstname.lastname{number}@example.org");
    Identities { login: Some(login.into()), ..client(number) }
}

/// Under which key these are counted.
pub(crate) fn key(identities: &Identities) -> ConnectorKey {
    match (&identities.login, identities.client) {
        (Some(login), _) => ConnectorKey::Login(Arc::clone(login)),
        (None, Some(client)) => ConnectorKey::Client(client_network(client)),
        (None, None) => ConnectorKey::Local,
    }
}

/// One message to one recipient, in a session of its own: begin, `at_recipient`,
/// `at_end`.
pub(crate) fn send(
    engine: &Engine,
    identities: &Identities,
    queue_id: Option<&str>,
    now: Timestamp,
) -> Verdict {
    let mut session = Session::default();
    session.identify(identities.clone());
    let sender = Sender::Address { address: "somebody@example.org", qualified: true };
    let mut transaction = engine.begin(&mut session, &sender);
    let recipient = Recipient {
        address: "somebody@remote.test",
        transport: Some("smtp"),
        fate: Fate::Accepted,
    };
    match engine.at_recipient(&mut session, &mut transaction, &recipient, now) {
        Verdict::Pass => {}
        refused => return refused,
    }
    let message = Message {
        sender,
        queue_id,
        message_id: Some("1@example.org"),
        from: &["somebody@example.org".to_owned()],
        spam: Some(false),
        report: false,
        size: None,
        host: None,
    };
    engine.at_end(&mut session, transaction, &message, now)
}

/// `count` connectors with three days of mail each, of which a sixth comes each
/// day, from the day `first` on: newcomers have a quarter of all places at the
/// most. Gives the day after the last one.
pub(crate) fn fill(engine: &Engine, count: u32, who: fn(u32) -> Identities, first: u64) -> u64 {
    const GROUPS: u32 = 6;
    const DAYS_EACH: u32 = 3;
    let group = count.div_ceil(GROUPS);
    for number in 0..GROUPS + DAYS_EACH - 1 {
        let now = day(first + u64::from(number));
        let from = (number + 1).saturating_sub(DAYS_EACH) * group;
        for number in from..((number + 1) * group).min(count) {
            assert_eq!(send(engine, &who(number), None, now), Verdict::Pass);
        }
    }
    first + u64::from(GROUPS + DAYS_EACH - 1)
}

/// Octets of memory that are neither files nor shared.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Octets of the filters that all connectors share.
pub(crate) fn filters(engine: &Engine) -> u64 {
    let filters = engine.filters();
    let images = [filters.recipients, filters.recent];
    let layers =
        images.iter().flat_map(|image| image.present.layers.iter().chain(&image.old.layers));
    layers.map(|layer| layer.bits.0.len() as u64).sum()
}

/// The queue id, unless `UNQUEUED` is set: then what is remembered of the queue of
/// Postfix is left out.
pub(crate) fn queued(id: &str) -> Option<&str> {
    std::env::var_os("UNQUEUED").is_none().then_some(id)
}
