//! What is relayed mail, who becomes a connector, and which refused
//! recipients speak against one.

use super::harness::sink::Sink;
use super::harness::site::{INBOUND, OURS, REMOTE, Site, odd, take_over};
use super::harness::{SOON, free_port, wait_for};

#[test]
fn strangers_who_deliver_inwards_over_smtp_make_no_connector() {
    let site = Site::start();
    let mut client = site.client("127.0.0.5");
    for n in 1..=40 {
        client.xclient(&format!("ADDR=198.51.100.{n}"));
        client.send(&odd(n), INBOUND).assert_accepted();
    }
    site.sink.wait_for(40, SOON);
    // The route inwards is the transport `smtp`, as outwards.
    site.postfix.wait_log(&["/smtp[", "to=<bob@"], SOON);
    assert_eq!(site.daemon.status("/connectors"), 0);
    assert_eq!(site.daemon.json(&["list", "--all"]), serde_json::json!([]));
}

#[test]
fn a_client_that_only_delivers_inwards_is_no_connector_either() {
    let site = Site::start();
    for n in 0..12 {
        site.send("127.0.0.8", &odd(n), INBOUND).assert_accepted();
    }
    assert_eq!(site.daemon.status("/connectors"), 0);
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    assert_eq!(site.daemon.status("/connectors"), 1);
}

#[test]
fn mail_out_over_another_transport_is_counted() {
    let site = Site::start();
    let to = "friend@slow.test";
    let caught = take_over(|from| site.send("127.0.0.8", from, to));
    caught.outcome.assert_tempfail();
    site.send("127.0.0.8", OURS, to).assert_tempfail();
    site.postfix.wait_log(&["postfix/slow/smtp[", "to=<friend@"], SOON);
    let passed = u64::try_from(caught.passed).unwrap();
    assert_eq!(site.daemon.status("/messages"), passed);
}

#[test]
fn only_unknown_users_and_domains_count_as_refused_recipients() {
    let site = Site::with(|_, settings| {
        settings.set("relay_recipient_maps", "inline:{ {bob@example.org = known} }");
        settings.set("virtual_alias_domains", "alias.test");
        settings.set("virtual_alias_maps", "inline:{ {info@alias.test = friend@remote.test} }");
        settings.set(
            "smtpd_recipient_restrictions",
            "check_recipient_access inline:{ \
             {nodns@remote.test = 450 4.1.2 Domain not found}, \
             {grey@remote.test = 450 4.7.1 Greylisted}, \
             {policy@remote.test = 550 5.7.1 Not for you}, \
             {nx@remote.test = 550 5.1.2 No such domain} }",
        );
    });
    let mut client = site.client("127.0.0.8");
    client.send(OURS, REMOTE).assert_accepted();
    let mut ask = |to: &str, code| {
        client.expect(&format!("MAIL FROM:<{OURS}>"), 250);
        client.expect(&format!("RCPT TO:<{to}>"), code);
        client.expect("RSET", 250);
    };
    let refused = || {
        let shown = site.daemon.json(&["show", "client:127.0.0.8"]);
        let totals = &shown["totals"];
        totals["unknown_recipients"].as_u64().expect("a number")
    };
    for _ in 0..3 {
        ask("info@alias.test", 250);
        ask("nodns@remote.test", 450);
        ask("grey@remote.test", 450);
        ask("policy@remote.test", 550);
    }
    // These count; that they do says that the ones above have been seen.
    ask("nobody@example.org", 550);
    ask("nx@remote.test", 550);
    // Postfix keeps what it has to say of the last RSET until there is more.
    client.expect("QUIT", 221);
    wait_for(
        "two refused recipients",
        SOON,
        || format!("{} are counted", refused()),
        || Some(()).filter(|()| refused() >= 2),
    );
    assert_eq!(refused(), 2);
    site.send("127.0.0.8", OURS, "info@alias.test").assert_accepted();
    site.sink.wait_for(2, SOON);
    assert_eq!(refused(), 2);
}

#[test]
fn a_message_that_returns_from_a_content_filter_counts_once() {
    let back = free_port();
    let filter = Sink::start_filter(back);
    let site = Site::with(|config, settings| {
        config.milter.push_str(&format!("ignore_daemons = [\"127.0.0.1:{back}\"]\n"));
        settings.content_filter(&filter, back);
    });
    for _ in 0..5 {
        site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    }
    site.sink.wait_for(5, SOON);
    assert_eq!(site.daemon.status("/messages"), 5);
    assert_eq!(site.daemon.status("/recipients"), 5);
    // The filter's own address, through which they return, is no connector.
    assert_eq!(site.daemon.status("/connectors"), 1);
    site.take_over("127.0.0.8").outcome.assert_tempfail();
}

#[test]
fn bounces_have_no_sender_domain_to_judge() {
    let site = Site::start();
    for _ in 0..12 {
        site.send("127.0.0.8", "", REMOTE).assert_accepted();
    }
    assert!(site.daemon.list().is_empty());
    assert_eq!(site.daemon.status("/messages"), 12);
}

#[test]
fn the_hosts_own_name_counts_as_registered() {
    let site = Site::start();
    // Root's cron mail, between odd messages that alone are not enough.
    for n in 0..30 {
        let from = if n % 10 == 0 { odd(n) } else { "root".to_owned() };
        site.send("127.0.0.8", &from, REMOTE).assert_accepted();
    }
    assert!(site.daemon.list().is_empty());
}
