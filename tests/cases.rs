//! What a case shows of an incident, with the engine alone.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use connguard::{
    case::{CaseFile, Trait, What},
    connector::{ConnectorKey, Entity, Identities, fold_login},
    directory::{Named, Params, Terms},
    domain::DomainSet,
    engine::{Engine, Notice, Session, Settings},
    message::{Fate, Message, Recipient, Sender},
    timestamp::Timestamp,
    verdict::{Mode, Verdict},
};
use std::{sync::Arc, time::Duration};

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn day(days: u64, minutes: u64) -> Timestamp {
    START.plus(Duration::from_secs(days * 86_400 + minutes * 60))
}

/// With `erp` at these networks.
fn settings(networks: &[&str]) -> Settings {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let terms = Arc::new(Terms { registered, mode: Mode::Enforce, ..Terms::default() });
    let erp = Named {
        name: "erp".into(),
        clients: networks.iter().map(|network| network.parse().unwrap()).collect(),
        certificate: None,
        digests: Vec::new(),
        logins: vec![fold_login("erp@example.org", None)],
        terms: Arc::clone(&terms),
    };
    Settings::with_directory(Params {
        connectors: vec![erp],
        discovered: terms,
        relay_networks: vec!["192.0.2.0/24".parse().unwrap()],
        discover: true,
        ..Params::default()
    })
}

fn engine() -> Engine {
    Engine::new(settings(&["192.0.2.0/24"]), 1000, START)
}

/// A message of the connector `erp`, by default from where it always sends.
struct Mail {
    sender: String,
    client: [u8; 4],
    helo: String,
    login: bool,
    to: Vec<String>,
}

impl Mail {
    fn usual() -> Self {
        Self {
            sender: "invoice@example.org".into(),
            client: [192, 0, 2, 10],
            helo: "erp.example.org".into(),
            login: false,
            to: vec!["customer@a.test".into()],
        }
    }

    fn spam(number: u64) -> Self {
        let to = (0..3).map(|to| format!("u{number}.{to}@b{to}.test")).collect();
        let sender = format!("x{number}@odd{number}.test");
        Self { sender, to, client: [192, 0, 2, 66], helo: "ylmf-pc".into(), ..Self::usual() }
    }

    fn send(&self, engine: &Engine, now: Timestamp) -> Verdict {
        let mut session = Session::default();
        session.greet(&self.helo);
        session.identify(Identities {
            client: Some(self.client.into()),
            login: self.login.then(|| fold_login("erp@example.org", None)),
            ..Identities::default()
        });
        let sender = Sender::Address { address: &self.sender, qualified: true };
        let mut transaction = engine.begin(&mut session, &sender);
        for address in &self.to {
            let recipient = Recipient { address, transport: None, fate: Fate::Accepted };
            let verdict = engine.at_recipient(&mut session, &mut transaction, &recipient, now);
            if verdict != Verdict::Pass {
                return verdict;
            }
        }
        let message = Message {
            sender,
            queue_id: Some("4Abc"),
            message_id: Some("1@odd.test"),
            from: &[],
            spam: None,
            report: false,
            size: None,
            host: None,
        };
        engine.at_end(&mut session, transaction, &message, now)
    }
}

fn erp() -> Entity {
    ConnectorKey::Named("erp".into()).into()
}

/// The new values that were told of.
fn told_changes(engine: &Engine) -> Vec<String> {
    let of = |notice: Notice| match notice {
        Notice::Changed(_, changes) => changes,
        _ => Vec::new(),
    };
    let changes = engine.notices().take().0.into_iter().flat_map(of);
    changes.map(|change| change.value.to_string()).collect()
}

fn case(engine: &Engine) -> CaseFile {
    CaseFile::clone(&engine.cases().newest_of(&erp()).unwrap())
}

/// Spam until it is refused; gives how many messages passed.
fn attack(engine: &Engine, now: Timestamp) -> u64 {
    (0..50).find(|number| Mail::spam(*number).send(engine, now) != Verdict::Pass).unwrap()
}

fn learned() -> Engine {
    let engine = engine();
    learn(&engine);
    engine
}

fn learn(engine: &Engine) {
    for days in 0..8 {
        for minutes in 0..5 {
            assert_eq!(Mail::usual().send(engine, day(days, minutes)), Verdict::Pass);
        }
    }
}

#[test]
fn a_case_shows_who_what_and_what_changed() {
    let engine = learned();
    let passed = attack(&engine, day(8, 0));
    for number in 0..5 {
        assert_ne!(Mail::spam(number).send(&engine, day(8, 1)), Verdict::Pass);
    }
    engine.sweep(day(8, 2));
    let case = case(&engine);
    assert_eq!((case.opened, case.first_seen), (day(8, 0), Some(day(0, 0))));
    let material = &case.material;
    assert_eq!(material.clients.counts.first().unwrap().name.as_ref(), "192.0.2.66");
    assert_eq!(material.helos.counts.first().unwrap().name.as_ref(), "ylmf-pc");
    assert_eq!(material.senders.total, passed + 1);
    assert_eq!(material.recipient_domains.total, 3 * (passed + 1));
    assert_eq!((material.external, material.local), (3 * (passed + 1), 0));
    assert_eq!(material.samples.len() as u64, passed + 1);
    let new = |what: Trait| {
        let new = material.changes.iter().filter(move |change| change.what == what);
        new.map(|change| change.value.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(new(Trait::ClientAddress), ["192.0.2.66"]);
    assert_eq!(new(Trait::HeloName), ["ylmf-pc"]);
    assert_eq!(new(Trait::UnregisteredDomain).first().unwrap(), "odd0.test");
    // Three of the message that tipped the scale, one of each that was tried since.
    assert_eq!(case.refused, 3 + 5);
    let refused: u32 = material.timeline.buckets.iter().map(|bucket| bucket.refused).sum();
    assert_eq!(refused, 3 + 5);
    let steps: Vec<What> = case.steps.iter().map(|step| step.what).collect();
    assert_eq!(steps, [What::Suspicious, What::Restricted]);
}

#[test]
fn a_young_connector_shows_nothing_new() {
    let engine = engine();
    Mail::usual().send(&engine, day(0, 0));
    attack(&engine, day(0, 5));
    assert_eq!(case(&engine).material.changes, []);
    assert_eq!(told_changes(&engine), [""; 0]);
}

#[test]
fn another_identity_of_a_host_is_told_once_a_day_and_a_travelling_login_never() {
    let engine = learned();
    told_changes(&engine);
    let moved = |last: u8| Mail { client: [192, 0, 2, last], ..Mail::usual() };
    moved(11).send(&engine, day(8, 0));
    assert_eq!(told_changes(&engine), ["192.0.2.11"]);
    moved(11).send(&engine, day(8, 1));
    moved(12).send(&engine, day(8, 2));
    assert_eq!(told_changes(&engine), [""; 0], "a second one on the same day");
    let renamed = Mail { helo: "other.example.org".into(), ..Mail::usual() };
    renamed.send(&engine, day(9, 5));
    assert_eq!(told_changes(&engine), ["other.example.org"]);
    for last in 20..40 {
        let travels = Mail { login: true, helo: format!("phone{last}"), ..moved(last) };
        travels.send(&engine, day(10 + u64::from(last), 0));
    }
    assert_eq!(told_changes(&engine), [""; 0]);
}

#[test]
fn what_a_host_was_counted_under_is_not_new_when_it_gets_a_name() {
    let engine = Engine::new(settings(&[]), 1000, START);
    learn(&engine);
    engine.reload(settings(&["192.0.2.10/32", "192.0.2.11/32"]), day(8, 0));
    assert!(engine.roster().get(erp().as_connector().unwrap()).is_some());
    told_changes(&engine);
    Mail::usual().send(&engine, day(8, 1));
    assert_eq!(told_changes(&engine), [""; 0]);
    let other = Mail { client: [192, 0, 2, 11], ..Mail::usual() };
    other.send(&engine, day(8, 2));
    assert_eq!(told_changes(&engine), ["192.0.2.11"]);
}
