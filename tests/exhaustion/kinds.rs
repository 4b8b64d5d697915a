//! What comes in floods.

use crate::site::{OTHERS, Site, client, lists};
use connguard::{connector::Identities, engine::Feedback, queued, verdict::Verdict};
use std::net::IpAddr;

/// One kind of flood.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How many come with one step.
    pub(crate) at_once: u32,
    /// Sends some.
    pub(crate) step: fn(&mut Site, u32),
    /// What must be so at the end of a flood of so many.
    pub(crate) check: fn(&Site, u32),
}

/// All of them.
pub(crate) const KINDS: [Kind; 8] = [
    Kind { name: "client addresses", at_once: 1, step: clients, check: roster_is_bounded },
    Kind { name: "logins", at_once: 1, step: logins, check: roster_is_bounded },
    Kind { name: "senders", at_once: 1, step: senders, check: nothing },
    Kind { name: "sender domains", at_once: 1, step: domains, check: nothing },
    Kind { name: "recipients, 1,000 a message", at_once: 1000, step: recipients, check: nothing },
    Kind { name: "attempts of the restricted", at_once: 1, step: attempts, check: nothing },
    Kind { name: "messages without a result", at_once: 1, step: unended, check: queue_is_bounded },
    Kind { name: "queue files in the log", at_once: 1, step: files, check: trail_is_bounded },
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
