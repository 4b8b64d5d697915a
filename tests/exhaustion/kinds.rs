//! What comes in floods.

use crate::site::{OTHERS, Site, client, lists};
use connguard::{
    case::{MOST_FULL, Material, Seen},
    connector::{ConnectorKey, Entity, Identities},
    engine::{Blocked, Feedback},
    queued,
    record::{Actor, Sample},
    verdict::Verdict,
};
use std::{net::IpAddr, time::Duration};

/// One kind of flood.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How many come with one step.
    pub(crate) at_once: u32,
    /// Octets that each of these may leave for good.
    pub(crate) stays: u64,
    /// Sends some.
    pub(crate) step: fn(&mut Site, u32),
    /// What must be so at the end of a flood of so many.
    pub(crate) check: fn(&Site, u32),
}

/// What a restricted entity takes, with what is in memory of its case.
const RESTRICTED: u64 = 3584;

/// All of them.
pub(crate) const KINDS: [Kind; 9] = [
    Kind {
        name: "client addresses",
        at_once: 1,
        step: clients,
        stays: 0,
        check: roster_is_bounded,
    },
    Kind { name: "logins", at_once: 1, step: logins, stays: 0, check: roster_is_bounded },
    Kind { name: "senders", at_once: 1, step: senders, stays: 0, check: nothing },
    Kind { name: "sender domains", at_once: 1, step: domains, stays: 0, check: nothing },
    Kind {
        name: "recipients, 1,000 a message",
        at_once: 1000,
        step: recipients,
        stays: 0,
        check: nothing,
    },
    Kind {
        name: "attempts of the restricted",
        at_once: 1,
        step: attempts,
        stays: 0,
        check: nothing,
    },
    Kind {
        name: "restrictions, one for 10",
        at_once: 10,
        step: cases,
        stays: RESTRICTED,
        check: cases_are_there,
    },
    Kind {
        name: "messages without a result",
        at_once: 1,
        step: unended,
        stays: 0,
        check: queue_is_bounded,
    },
    Kind {
        name: "queue files in the log",
        at_once: 1,
        step: files,
        stays: 0,
        check: trail_is_bounded,
    },
];

/// All numbers below four million, in another order.
fn scattered(number: u32) -> u32 {
    let number = u64::from(number) * 2_654_435_761 % 4_000_000;
    number.try_into().unwrap()
}

fn nothing(_: &Site, _: u32) {}

fn clients(site: &mut Site, number: u32) {
    assert_eq!(site.send(&client(OTHERS + scattered(number))), Verdict::Pass);
}

fn logins(site: &mut Site, number: u32) {
    let login = format!("firstname.lastname{number}@example.org");
    let from = client(OTHERS + number % 1000);
    let answer = site.send(&Identities { login: Some(login.into()), ..from });
    assert_eq!(answer, Verdict::Pass);
}

fn roster_is_bounded(site: &Site, coming: u32) {
    // The cap is a third of a flood; networks have a quarter of it more, and the
    // configured one is beside it.
    let most = coming as usize / 3 * 5 / 4 + 1;
    assert!(site.engine.roster().len() <= most, "{}", site.engine.roster().len());
}

fn senders(site: &mut Site, number: u32) {
    site.mail.sender = format!("user{number}@example.org");
    site.mail.helo = format!("host{number}.example.org");
    assert_eq!(site.send(&lists()), Verdict::Pass);
}

fn domains(site: &mut Site, number: u32) {
    site.mail.sender = format!("offer@made-up-{number}.test");
    assert_eq!(site.send(&lists()), Verdict::Pass);
}

fn recipients(site: &mut Site, number: u32) {
    let numbers = number * 1000..(number + 1) * 1000;
    site.mail.recipients =
        numbers.map(|number| format!("user{number}@domain{}.test", number % 30_011)).collect();
    assert_eq!(site.send(&lists()), Verdict::Pass);
}

/// Of a thousand clients, each of which is restricted as soon as the judgement says so.
fn attempts(site: &mut Site, number: u32) {
    site.mail.sender = format!("offer{number}@made-up-{number}.test");
    site.mail.recipients = vec![format!("user{number}@remote.test")];
    site.send(&client(OTHERS + number % 1000));
}

/// As large as texts of 100 octets make them, of restricted entities; each is written
/// before the next hundred come. (The disk is no part of this: see `cases/`.)
fn cases(site: &mut Site, number: u32) {
    let book = site.engine.cases();
    let entity = Entity::from(ConnectorKey::Login(format!("u{number}@a.test").into()));
    let blocked = Blocked { entity, action: None, span: None, reason: "a test".into() };
    let (held, _) = site.engine.block(blocked, Actor::Daemon, site.now).unwrap();
    let text = |kind: &str, number: u32| format!("{kind}{number}{}", "x".repeat(90));
    let mut material = Material { since: site.now, ..Material::default() };
    for number in 0..20 {
        let domains = [(text("d", number).into(), 3)];
        let sender = text("s", number);
        let seen = Seen {
            sender: &sender,
            sender_domain: &text("m", number),
            client: client(number).client,
            helo: &text("h", number),
            recipient_domains: &domains,
            relayed: 3,
            inbound: 0,
            bad: true,
            changes: &[],
        };
        material.note(&seen, site.now);
        material.keep(Sample {
            at: site.now,
            queue_id: Some(text("q", number).into()),
            message_id: Some(text("i", number).into()),
            sender: sender.as_str().into(),
            from: Some(sender.as_str().into()),
            recipients: 3,
            passed: true,
        });
    }
    book.collect(held.restriction.case, material);
    if number.is_multiple_of(100) {
        while !book.take_changed(Duration::ZERO).0.is_empty() {}
    }
}

fn cases_are_there(site: &Site, _: u32) {
    let full = site.engine.cases().all().into_iter();
    let full = full.filter(|file| !file.material.samples.is_empty()).count();
    assert!(full <= MOST_FULL + 200, "{full}");
}

/// Of several connectors, since each has a share only.
fn unended(site: &mut Site, number: u32) {
    site.engine.set_feedback(Feedback::Coming);
    site.mail.queue_id = Some(format!("4Zk{number:010X}"));
    site.send(&client(number % site.busy + 1));
    // Who reads the log takes in what was left.
    if number.is_multiple_of(500) {
        site.engine.queued().take_in();
    }
}

fn queue_is_bounded(site: &Site, _: u32) {
    assert!(site.engine.queued().len() <= queued::MOST);
    // As the head of `pending.rs` says.
    assert!(site.engine.waiting().count() <= 100_000);
}

fn files(site: &mut Site, number: u32) {
    let from = IpAddr::from([192, 0, 2, 1]);
    let before = format!("4Zk{:010X}", number / 2);
    let original = number.is_multiple_of(2).then_some(before.as_str());
    let queue_id = site.trail.came(&format!("4Zk{number:010X}"), Some(from), original, site.now);
    // Every other one ends.
    if number.is_multiple_of(2) {
        site.trail.removed(&queue_id, site.now);
    }
}

fn trail_is_bounded(site: &Site, coming: u32) {
    assert!(site.trail.len() <= coming as usize / 15 + 1, "{}", site.trail.len());
}
