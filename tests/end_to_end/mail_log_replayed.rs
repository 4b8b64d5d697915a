//! The log that Postfix wrote while the daemon judged, given to `replay` with the
//! same configuration: it finds what the daemon found.

use std::collections::BTreeMap;

use serde_json::Value;

use super::harness::account::{Account, fence};
use super::harness::certs::ISSUER;
use super::harness::postfix::Settings;
use super::harness::sink::{HandBack, Sink};
use super::harness::site::{INBOUND, OURS, REMOTE, Site, odd, take_over};
use super::harness::smtp::Letter;
use super::harness::swaks::send_tls;
use super::harness::{SOON, free_port, wait_for};

const CLIENT: &str = "127.0.0.8";
const HONEST: &str = "127.0.0.7";

/// Messages that a log may show less of than the daemon saw.
const FEW: u64 = 2;

#[track_caller]
fn number(item: &Value, field: &str) -> u64 {
    item[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {item}"))
}

/// The entities among these restrictions, each with its first finding.
fn found(items: &[Value]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (text(&item["entity"]), text(&item["findings"][0]["signal"]))).collect()
}

/// What `replay` says of the log of this site.
#[track_caller]
fn replay(site: &Site, options: &[&str]) -> Value {
    let log = site.postfix.log_file().display().to_string();
    site.daemon.json(&[&["replay"], options, &[&log]].concat())
}

/// `replay` finds what the daemon found, as far as a log can show it. Gives what
/// it said.
#[track_caller]
fn assert_same(site: &Site, options: &[&str]) -> Value {
    let live = site.daemon.list();
    let replayed = replay(site, options);
    let items = replayed["restrictions"].as_array().expect("restrictions");
    assert_eq!(found(items), found(&live), "{replayed:#}");
    for item in items {
        let same = live.iter().find(|live| live["entity"] == item["entity"]).expect("the same");
        for field in ["passed_messages", "passed_recipients"] {
            let (live, replayed) = (number(same, field), number(item, field));
            assert!(live.abs_diff(replayed) <= FEW, "{field}: {same:#}\n{item:#}");
        }
    }
    replayed
}

/// A few messages of somebody with whom nothing is wrong.
fn ordinary(site: &Site) {
    let mut client = site.client(HONEST);
    for n in 0..20 {
        let to = [REMOTE, INBOUND, &format!("friend{n}@remote.test")][n % 3].to_owned();
        client.send(OURS, &to).assert_accepted();
    }
}

/// Lets Postfix log From headers. The daemon sees them, and what it refuses for
/// them leaves nothing in the log from which a replay could learn the same.
fn log_from(settings: &mut Settings) {
    settings.set("header_checks", "regexp:{{/^From:/ INFO}}");
}

#[test]
fn unregistered_senders_are_found_again() {
    let site = Site::following(|_, settings| log_from(settings));
    ordinary(&site);
    let caught = site.take_over(CLIENT);
    assert!(caught.passed > 0);
    // It goes on, and is refused.
    for n in 20..25 {
        site.send(CLIENT, &odd(n), REMOTE).assert_tempfail();
    }
    // Another one, by its login, from two addresses.
    take_over(|from| {
        let mut session = site.client("127.0.0.20");
        session.xclient("LOGIN=alice");
        session.send(from, REMOTE)
    });
    fence(&site);
    let replayed = assert_same(&site, &[]);
    let found = found(replayed["restrictions"].as_array().unwrap());
    assert!(found.contains_key("client:127.0.0.8"), "{found:?}");
    assert!(found.contains_key("login:alice"), "{found:?}");
}

#[test]
fn what_is_only_observed_is_found_again() {
    let site = Site::following(|config, _| config.mode = "observe");
    ordinary(&site);
    for n in 0..20 {
        site.send(CLIENT, &odd(n), REMOTE).assert_accepted();
    }
    fence(&site);
    assert_eq!(site.daemon.list().len(), 1);
    assert_same(&site, &["--observe"]);
}

#[test]
fn recipients_that_nobody_has_are_found_again() {
    let site = Site::following(|_, settings| {
        let known = format!("inline:{{ {{{INBOUND}=there}} }}");
        settings.set("relay_recipient_maps", &known);
    });
    ordinary(&site);
    let refused = (0..10).any(|n| {
        let mut session = site.client(CLIENT);
        session.expect(&format!("MAIL FROM:<{OURS}>"), 250);
        for i in 0..6 {
            session.expect(&format!("RCPT TO:<user{n}{i}@example.org>"), 550);
        }
        !session.rcpt(REMOTE).agrees() || !session.data(OURS, REMOTE).agrees()
    });
    assert!(refused, "{:#?}", site.daemon.list());
    fence(&site);
    assert_same(&site, &[]);
}

/// Lets the client send what is refused elsewhere, until it is restricted.
/// Halfway `between` happens.
#[track_caller]
fn refused_late(site: &Site, mut between: impl FnMut()) {
    let mut account = Account::new(CLIENT, "remote.test");
    let mut sent = 0;
    while site.daemon.list().is_empty() {
        assert!(sent < 30, "{sent} refused messages, and no restriction");
        account.sent(site, if sent % 7 == 3 { "friend" } else { "dead" }, 1);
        sent += 1;
        if sent == 8 {
            between();
        }
        wait_for(
            "the next result",
            SOON,
            || site.postfix.log_tail(),
            || (site.daemon.status("/feedback/results") >= sent).then_some(()),
        );
    }
    site.send(CLIENT, OURS, REMOTE).assert_tempfail();
}

#[test]
fn late_refusals_are_found_again() {
    let site = Site::following(|_, _| ());
    refused_late(&site, || ());
    ordinary(&site);
    fence(&site);
    let replayed = assert_same(&site, &[]);
    assert_eq!(replayed["restrictions"][0]["findings"][0]["signal"], "most_refused");
}

#[test]
fn late_refusals_behind_a_content_filter_are_found_again() {
    let back = free_port();
    let how = HandBack { port: back, tells_queue_id: true, xforward: false };
    let filter = Sink::start_hand_back(how);
    let site = Site::following(|config, settings| {
        config.milter.push_str(&format!("ignore_daemons = [\"127.0.0.1:{back}\"]\n"));
        settings.content_filter(&filter, back);
    });
    refused_late(&site, || ());
    let replayed = assert_same(&site, &[]);
    // Each message once, however often it is in the log.
    let (live, replayed) = (site.daemon.status("/messages"), number(&replayed, "messages"));
    assert!(live.abs_diff(replayed) <= FEW, "{live} {replayed}");
}

#[test]
fn a_rotated_log_is_replayed_whole() {
    let site = Site::following(|_, _| ());
    let mut old = None;
    refused_late(&site, || old = Some(site.postfix.logrotate()));
    let old = old.expect("an old log").display().to_string();
    // In any order.
    assert_same(&site, &[&old]);
    let alone = site.daemon.json(&["replay", &old]);
    assert_eq!(alone["restrictions"], serde_json::json!([]), "{alone:#}");
}

#[test]
fn a_daemon_begins_with_what_a_replay_has_learned() {
    let mut site = Site::following(|config, _| config.no_throttle());
    let mut account = Account::open(&site, CLIENT, "remote.test");
    account.pairs(&site, 3);
    account.settle(&site);
    fence(&site);
    let learned = site.dir().join("learned");
    replay(&site, &["--learn", &learned.display().to_string()]);
    assert!(site.daemon.terminate().success());
    site.daemon.configure(|config| config.state_directory = Some(learned));
    site.daemon.start_again();
    site.daemon.wait_mail_log();
    account.assert_settled(&site);
    account.pairs(&site, 1);
    account.settle(&site);
}

#[test]
fn a_client_with_a_certificate_is_found_again() {
    let site = Site::following(|config, settings| {
        let lines =
            format!("certificate = {{ subject = \"erp.example.org\", issuer = \"{ISSUER}\" }}");
        config.connector("erp", &lines);
        settings.set("smtpd_tls_loglevel", "2");
        log_from(settings);
    });
    let erp = site.certs.issue("erp", "erp.example.org");
    let send = |from: &str| {
        let port = site.postfix.port();
        send_tls("127.0.0.9", port, Some(&erp), from, REMOTE)
    };
    send(OURS).assert_accepted();
    let refused = (0..=10).find(|n| !send(&odd(*n)).accepted());
    assert!(refused.is_some());
    fence(&site);
    let replayed = assert_same(&site, &[]);
    assert_eq!(replayed["restrictions"][0]["entity"], "connector:erp", "{replayed:#}");
}

#[test]
fn forged_from_headers_are_found_again_where_they_are_logged() {
    let site = Site::following(|_, settings| log_from(settings));
    ordinary(&site);
    let mut client = site.client(CLIENT);
    let refused = (0..10).any(|n| {
        let author = format!("ceo@bank{n}.test");
        !client.post(&Letter { author: &author, ..Letter::new(OURS, REMOTE) }).accepted()
    });
    assert!(refused);
    fence(&site);
    assert_same(&site, &[]);
}

#[test]
fn ordinary_mail_is_ordinary_again() {
    let site = Site::following(|_, _| ());
    for _ in 0..5 {
        ordinary(&site);
    }
    let mut account = Account::new(CLIENT, "remote.test");
    for n in 0..40 {
        account.sent(&site, if n % 20 == 7 { "dead" } else { "friend" }, 1);
        let mut session = site.client("127.0.0.20");
        session.xclient("LOGIN=bob");
        session.send("bob@example.org", &format!("customer{n}@remote.test")).assert_accepted();
    }
    fence(&site);
    let replayed = assert_same(&site, &[]);
    assert_eq!(replayed["restrictions"], serde_json::json!([]));
    // Every message is there, and every line was understood or is named.
    let sent = site.daemon.status("/messages");
    assert_eq!(number(&replayed, "messages"), sent, "{replayed:#}");
    let lines = site.postfix.log().lines().count();
    assert_eq!(number(&replayed, "lines"), u64::try_from(lines).unwrap());
}
