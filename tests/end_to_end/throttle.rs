//! A suspicious client is slowed: who has a queue of its own is told to come
//! back, who has none is held. Whatever is kept back arrives later: nothing
//! is lost.

use std::time::Duration;

use super::harness::SOON;
use super::harness::site::{INBOUND, OURS, REMOTE, Site, Tells};
use super::harness::smtp::{SmtpClient, Stage, case_in};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";
/// One domain that nobody registered: suspicious, and never more.
const PARTNER: &str = "list@partner.test";
/// Messages from it that make a client suspicious. The last of them is the
/// first of twenty that pass at once.
const SUSPICIOUS: usize = 6;
const BURST: usize = 19;
const TEXT: &str = "Too much unusual mail from this client, slowed down: try again later or \
                    contact your postmaster";

fn as_alice<D: Tells>(site: &Site<D>) -> SmtpClient {
    let mut session = site.client("127.0.0.9");
    session.xclient("LOGIN=alice");
    session
}

#[test]
fn a_suspicious_logins_mail_is_held_until_somebody_lets_go_of_it() {
    let site = Site::start();
    let mut client = as_alice(&site);
    // The mail program of a person notices nothing.
    let sent = 40;
    for _ in 0..sent {
        client.send(PARTNER, REMOTE).assert_accepted();
    }
    let passed = SUSPICIOUS + BURST;
    // A token a minute: one more if the machine is slow.
    let held = site.postfix.queued_in("hold");
    assert!((sent - passed - 1..=sent - passed).contains(&held), "{held} held");
    site.sink.wait_for(sent - held, SOON);
    site.postfix.wait_log(&["milter-hold", "from=<list@partner.test>"], SOON);
    assert_eq!(site.daemon.status("/held"), u64::try_from(held).unwrap());
    site.daemon.wait_log("suspicious entity=login:alice signal=unregistered_sender", SOON);
    // It is warned of and not restricted; what it sends inwards is not held.
    assert!(site.daemon.list().is_empty());
    let explained = site.daemon.cli(&["explain", "login:alice"]).done().stdout;
    assert!(explained.starts_with("login:alice is suspicious"), "{explained}");
    client.send(PARTNER, INBOUND).assert_accepted();
    site.sink.wait_for(sent - held + 1, SOON);

    site.postfix.release_held();
    site.sink.wait_for(sent + 1, SOON);
    assert_eq!(site.postfix.queued_in("hold"), 0);
    // The administrator knows this list: from now on its mail flows.
    let normal = ["normal", "login:alice", "--reason", "her mailing list"];
    site.daemon.cli(&normal).done();
    for _ in 0..30 {
        client.send(PARTNER, REMOTE).assert_accepted();
    }
    site.sink.wait_for(sent + 1 + 30, SOON);
    assert_eq!(site.daemon.json(&["list", "--all"]), serde_json::json!([]));
}

#[test]
fn a_suspicious_relay_is_told_to_come_back_and_may() {
    let site = Site::clocked(|_| ());
    let mut client = site.client(CLIENT);
    let send = |client: &mut SmtpClient| client.send(PARTNER, REMOTE);
    for _ in 0..SUSPICIOUS + BURST {
        send(&mut client).assert_accepted();
    }
    let slowed = send(&mut client);
    assert_eq!((slowed.stage, slowed.reply.code), (Stage::Rcpt, 451), "{slowed:?}");
    assert_eq!(slowed.reply.text, format!("4.7.1 {TEXT}"));
    // There is no case: nobody has to do anything.
    assert_eq!(case_in(&slowed.reply.text), None);
    assert_eq!(site.daemon.list(false).len(), 0);
    let item = site.daemon.listed(ENTITY).expect("an entry");
    assert_eq!(item["state"], "suspicious", "{item}");
    assert_eq!(item["findings"][0]["signal"], "unregistered_sender", "{item}");
    // Inbound mail of the same client is not slowed, nor is its neighbour.
    client.send(PARTNER, INBOUND).assert_accepted();
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();

    // Its queue retries: 480 recipients an hour get through.
    site.daemon.advance(Duration::from_secs(8));
    send(&mut client).assert_accepted();
    assert!(!send(&mut client).accepted());
    site.daemon.advance(HOUR);
    let waiting = 15;
    for _ in 0..waiting {
        send(&mut client).assert_accepted();
    }
    site.sink.wait_for(SUSPICIOUS + BURST + 2 + 1 + waiting, SOON);

    // Days later all is forgotten, also where it sent nothing meanwhile.
    site.daemon.advance(2 * DAY);
    assert_eq!(site.daemon.listed(ENTITY), None);
    client.send(OURS, REMOTE).assert_accepted();
    assert_eq!(site.daemon.listed(ENTITY), None);
}

#[test]
fn an_operator_may_do_without() {
    let site = Site::with(|config, _| {
        config.connector("erp", "clients = [\"127.0.0.8\"]\nthrottle = \"off\"");
        config.connector("crm", "clients = [\"127.0.0.9\"]\nthrottle = \"hold\"");
        config.connector("web", "logins = [\"web\"]\nthrottle = \"tempfail\"");
    });
    let mut erp = site.client(CLIENT);
    for _ in 0..60 {
        erp.send(PARTNER, REMOTE).assert_accepted();
    }
    assert_eq!(site.postfix.queued_in("hold"), 0);
    let mut crm = site.client("127.0.0.9");
    for _ in 0..60 {
        crm.send(PARTNER, REMOTE).assert_accepted();
    }
    assert!(site.postfix.queued_in("hold") > 0);
    let mut web = site.client("127.0.0.10");
    web.xclient("LOGIN=web");
    let slowed = (0..60).map(|_| web.send(PARTNER, REMOTE)).find(|it| !it.accepted());
    let slowed = slowed.expect("one that is slowed");
    assert!(slowed.reply.text.contains(TEXT), "{slowed:?}");
    assert!(site.daemon.list().is_empty());
}
