//! Ordinary mail of which no judgement may think anything: an office, a
//! printer, a monitoring host. In enforce mode, and nothing of it is refused,
//! held or even warned of.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::harness::run_ok;
use super::harness::site::{INBOUND, OURS, REMOTE, Site};
use super::harness::smtp::{Letter, SmtpClient};
use super::harness::swaks::swaks;

const MINUTE: Duration = Duration::from_secs(60);
/// How long Postfix may take to hand on what it took.
const DELIVERED: Duration = Duration::from_secs(60);

/// Nobody noticed anything, and all of `sent` messages have arrived.
#[track_caller]
fn assert_nothing_happened(site: &Site, sent: usize) {
    site.sink.wait_for(sent, DELIVERED);
    assert_eq!(site.postfix.queue(), Vec::<Value>::new());
    assert_eq!(site.daemon.json(&["list", "--all"]), Value::Array(Vec::new()));
    assert_eq!(site.daemon.status("/refused"), 0);
    assert_eq!(site.daemon.status("/messages"), u64::try_from(sent).unwrap());
    let log = site.daemon.log();
    for word in ["suspicious", "restricted", "limit entity"] {
        assert!(!log.contains(word), "{log}");
    }
    assert!(!site.postfix.log().contains("milter-reject"), "{}", site.postfix.log_tail());
}

fn login(client: &mut SmtpClient, name: &str) {
    client.xclient(&format!("LOGIN={name}"));
}

/// The `n`th letter of an office's day: most to one of a circle of people, one
/// in ten to somebody new, one in twenty to five at once, and a few inwards.
fn recipients(n: usize) -> Vec<String> {
    match n % 20 {
        3 => (0..5).map(|i| format!("partner{}@remote.test", (n + i) % 25)).collect(),
        7 => vec![INBOUND.to_owned(), format!("partner{}@remote.test", n % 25)],
        11 | 17 => vec![format!("enquiry{n}@new{n}.test")],
        _ => vec![format!("partner{}@remote.test", n % 25)],
    }
}

#[test]
fn three_hundred_messages_of_one_login_in_a_working_day() {
    let site = Site::clocked(|_| ());
    let mut session = None;
    for n in 0..300 {
        // A new connection every quarter of an hour, at noon from the phone.
        if n % 7 == 0 {
            let address = if (120..150).contains(&n) { "127.77.3.4" } else { "127.0.0.7" };
            let mut client = site.client(address);
            login(&mut client, "alice");
            session = Some(client);
        }
        let session = session.as_mut().expect("a session");
        let to = recipients(n);
        let to = to.iter().map(String::as_str).collect();
        let header = if n % 150 == 70 { "X-Spam-Flag: YES\r\n" } else { "" };
        session.post(&Letter { to, header, ..Letter::new(OURS, REMOTE) }).assert_accepted();
        site.daemon.advance(2 * MINUTE);
        // Not even for a moment.
        if n % 25 == 0 {
            assert_eq!(site.daemon.list(true), Vec::<Value>::new(), "after {} messages", n + 1);
        }
    }
    assert_eq!(site.daemon.list(true), Vec::<Value>::new());
    site.sink.wait_for(300, DELIVERED);
    assert_eq!(site.postfix.queue(), Vec::<Value>::new());
}

#[test]
fn three_hundred_messages_of_an_office_at_once() {
    let site = Site::start();
    // Ten people, each with a login of their own, in several connections...
    for person in 0..10 {
        let mut client = site.client("127.0.0.7");
        login(&mut client, &format!("person{person}"));
        for n in 0..10 {
            let to = recipients(10 * person + n);
            let to = to.iter().map(String::as_str).collect();
            let sender = format!("person{person}@example.org");
            client.post(&Letter { to, ..Letter::new(&sender, REMOTE) }).assert_accepted();
        }
    }
    // ...their server, which is known by its address, and sends side by side...
    let mut source = Command::new("smtp-source");
    source.args(["-4", "-s", "8", "-m", "100", "-f", OURS, "-t", REMOTE]);
    source.args(["-S", "Order", &format!("inet:127.0.0.1:{}", site.postfix.port())]);
    run_ok(&mut source);
    let mut server = site.client("127.0.0.1");
    for n in 0..90 {
        let to = recipients(n);
        let to = to.iter().map(String::as_str).collect();
        server.post(&Letter { to, ..Letter::new(OURS, REMOTE) }).assert_accepted();
    }
    // ...and a script.
    let server = format!("127.0.0.1:{}", site.postfix.port());
    for n in 0..10 {
        let to = format!("customer{n}@remote.test");
        let mut args = vec!["--server", &server, "--local-interface", "127.0.0.5"];
        args.extend(["--ehlo", "client.test", "--from", OURS, "--to", &to]);
        swaks(&args).assert_accepted();
    }
    assert_nothing_happened(&site, 300);
}

#[test]
fn a_printers_morning() {
    let site = Site::start();
    // One login, one envelope address, few recipients within and without.
    let scan = "scanner@example.org";
    let mut n = 0;
    let mut send = |client: &mut SmtpClient, to: &str| {
        client.send(scan, to).assert_accepted();
        n += 1;
    };
    let within = [INBOUND, "carol@example.org", "accounts@example.org"];
    let without = ["tax@adviser.test", REMOTE];
    for page in 0..40 {
        // It opens a connection for each page.
        let mut client = site.client("127.0.0.30");
        login(&mut client, "scanner");
        let to = if page % 4 == 3 { without[page / 4 % 2] } else { within[page % 3] };
        send(&mut client, to);
    }
    // And then the binder for the tax adviser.
    let mut client = site.client("127.0.0.30");
    login(&mut client, "scanner");
    for _ in 0..150 {
        send(&mut client, without[0]);
    }
    // Another one that has no login, the same morning.
    let mut client = site.client("127.0.0.31");
    for _ in 0..190 {
        send(&mut client, without[0]);
    }
    assert_nothing_happened(&site, n);
}

#[test]
fn an_alert_storm() {
    let site = Site::with(|config, _| {
        let lines = "logins = [\"monitor\"]\nusual = { messages_per_hour = 100 }";
        config.connector("monitor", lines);
    });
    let on_call = ["ops@remote.test", "pager@sms.test", "noc@provider.test"];
    let letter = Letter { to: on_call.to_vec(), ..Letter::new("monitor@example.org", REMOTE) };
    let mut client = site.client("127.0.0.40");
    for _ in 0..600 {
        client.post(&letter).assert_accepted();
    }
    // With a login, for which so much is usual that its operator said so.
    let mut client = site.client("127.0.0.41");
    login(&mut client, "monitor");
    for _ in 0..600 {
        client.post(&letter).assert_accepted();
    }
    assert_nothing_happened(&site, 1200);
    assert_eq!(site.daemon.status("/recipients"), 3600);
}
