//! What became of mail is evidence: the daemon follows the log of Postfix, whose
//! mail servers elsewhere refuse some recipients, greylist others, and hang up.

use serde_json::Value;

use super::harness::account::{Account, FIRST, fence, fence_at};
use super::harness::sink::{HandBack, Sink};
use super::harness::site::{OURS, REMOTE, Site};
use super::harness::smtp::Letter;
use super::harness::{SOON, free_port, wait_for};

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";
const OTHER: &str = "127.0.0.9";
/// A client whose mail arrives.
const HONEST: &str = "127.0.0.7";

/// Every entity that `list --all` shows.
fn listed(site: &Site) -> Vec<Value> {
    match site.daemon.json(&["list", "--all"]) {
        Value::Array(items) => items,
        other => panic!("list --json is no array: {other}"),
    }
}

#[test]
fn every_result_reaches_the_client_that_sent_the_mail_once() {
    let site = Site::following(|config, settings| {
        config.no_throttle();
        // Who is refused by policy at one provider may not spare the other.
        settings.provider("one.test", "127.0.1.1");
        settings.provider("two.test", "127.0.1.2");
        settings.provider("breaks.test", "127.0.1.3");
    });
    let mut one = Account::open(&site, CLIENT, "one.test");
    let mut two = Account::open(&site, OTHER, "two.test");
    let mut honest = site.client(HONEST);
    for word in ["policy", "limit", "spam", "grey-dead", "grey-spam"] {
        one.refused(&site, word, 1);
        honest.send(OURS, REMOTE).assert_accepted();
        if word != "limit" {
            two.refused(&site, word, 1);
        }
    }
    for word in ["friend", "grey-friend", "grey-grey-friend"] {
        one.delivered(&site, word, 1);
        two.delivered(&site, word, 1);
    }
    one.sent(&site, "full", 2);
    two.delivered(&site, "friend", 1);
    // A server that hangs up makes Postfix avoid it for a while: not the others.
    one.turn_to("breaks.test");
    two.turn_to("breaks.test");
    one.refused(&site, "drop-dead", 1);
    two.refused(&site, "cut-dead", 1);
    one.delivered(&site, "cut-friend", 1);
    two.sent(&site, "full", 1);
    one.settle(&site);
    two.settle(&site);
    // What never fails was nothing to begin with.
    assert_eq!(Account::new(HONEST, "").counted(&site), (0, 0));
    assert_eq!(site.daemon.list().len(), 0);
    let entities: Vec<_> = listed(&site).iter().map(|item| item["entity"].clone()).collect();
    assert!(!entities.contains(&format!("client:{HONEST}").into()), "{entities:?}");
}

#[test]
fn results_of_a_message_with_many_recipients_are_told_apart() {
    let site = Site::following(|config, settings| {
        config.no_throttle();
        settings.provider("one.test", "127.0.1.1");
        settings.provider("two.test", "127.0.1.2");
        settings.provider("three.test", "127.0.1.3");
    });
    let mut account = Account::open(&site, CLIENT, "remote.test");
    let to = ["dead-a@one.test", "spam-b@two.test", "friend@two.test", "full-c@one.test"];
    let to = [&to[..], &["grey-dead-d@one.test", "friend@one.test", "friend@three.test"]].concat();
    let letter = Letter { to, ..Letter::new(OURS, REMOTE) };
    site.client(CLIENT).post(&letter).assert_accepted();
    // The one of two.test was refused with the other: it is one message there.
    account.bad += 4;
    account.of += 6;
    account.settle(&site);
    account.delivered(&site, "friend", 1);
    account.settle(&site);
}

/// Two clients send through a content filter.
fn through_a_filter(tells_queue_id: bool, xforward: bool) {
    let back = free_port();
    let filter = Sink::start_hand_back(HandBack { port: back, tells_queue_id, xforward });
    let site = Site::following(|config, settings| {
        config.no_throttle();
        config.milter.push_str(&format!("ignore_daemons = [\"127.0.0.1:{back}\"]\n"));
        settings.content_filter(&filter, back);
        if xforward {
            settings.set("smtp_send_xforward_command", "yes");
        }
        settings.provider("one.test", "127.0.1.1");
        settings.provider("two.test", "127.0.1.2");
    });
    let mut one = Account::open(&site, CLIENT, "one.test");
    let mut two = Account::open(&site, OTHER, "two.test");
    for word in ["spam", "grey-dead"] {
        one.refused(&site, word, 1);
        two.delivered(&site, "grey-friend", 1);
        two.refused(&site, word, 1);
    }
    one.delivered(&site, "friend", 1);
    one.settle(&site);
    two.settle(&site);
    // The filter itself, whose address all of it came back from, is nobody.
    assert_eq!(site.daemon.status("/connectors"), 2);
}

#[test]
fn results_behind_a_filter_that_tells_the_new_queue_id() {
    through_a_filter(true, false);
}

#[test]
fn results_behind_a_filter_that_passes_on_the_old_queue_id() {
    through_a_filter(false, true);
}

#[test]
fn results_behind_a_filter_that_does_both_count_once() {
    through_a_filter(true, true);
}

#[test]
fn a_filter_that_tells_nothing_leaves_nobody_to_blame() {
    let (back, direct) = (free_port(), free_port());
    let filter = Sink::start_filter(back);
    let site = Site::following(|config, settings| {
        config.milter.push_str(&format!("ignore_daemons = [\"127.0.0.1:{back}\"]\n"));
        settings.content_filter(&filter, back);
        settings.service(&format!("127.0.0.1:{direct} inet n - n - - smtpd"));
    });
    let mut account = Account::new(CLIENT, "remote.test");
    account.sent(&site, "dead", 20);
    site.postfix.wait_lines(&["to=<dead-", "status=bounced"], 20);
    fence_at(&site, direct);
    account.assert_settled(&site);
    assert_eq!(listed(&site), Vec::<Value>::new());
}

#[test]
fn a_take_over_whose_mail_is_refused_is_stopped_within_25_recipients() {
    let site = Site::following(|_, settings| {
        for n in 0..3 {
            settings.provider(&format!("provider{n}.test"), &format!("127.0.1.{}", n + 1));
        }
    });
    // A quiet client, and another one with an old address in its book.
    let mut honest = Account::new(HONEST, "remote.test");
    let mut quiet = site.client(CLIENT);
    for n in 0..10 {
        quiet.send(OURS, REMOTE).assert_accepted();
        honest.sent(&site, if n % 5 == 4 { "dead" } else { "friend" }, 1);
    }
    site.postfix.wait_lines(&["status=sent"], 18 + 2);
    fence(&site);
    assert_eq!(listed(&site).len(), 0);

    // Somebody else has its keys: one or two recipients a message.
    let refusals = ["dead", "policy", "dead", "spam", "dead"];
    let mut recipients = 0;
    let refused = (0..40).find_map(|n| {
        let word = if n % 10 == 3 { "friend" } else { refusals[n % refusals.len()] };
        let address = |part: &str| format!("{word}-victim{n}{part}@provider{}.test", n % 3);
        let to = [address("a"), address("b")];
        let to: Vec<_> = to.iter().take(1 + n % 2).map(String::as_str).collect();
        let count = to.len();
        let outcome = site.client(CLIENT).post(&Letter { to, ..Letter::new(OURS, REMOTE) });
        if !outcome.accepted() {
            return Some(outcome);
        }
        recipients += count;
        site.postfix.wait_lines(&[&format!("to=<{word}-victim{n}")], count);
        fence(&site);
        None
    });
    let refused = refused.expect("a refusal in the end");
    refused.assert_tempfail();
    assert!(recipients <= 25, "{recipients} recipients have passed");
    let item = site.daemon.listed(ENTITY).expect("an entry");
    assert_eq!(item["by"], "judgement", "{item}");
    assert_eq!(item["findings"][0]["signal"], "most_refused", "{item}");
    let weight = |signal: &str| {
        let findings = item["findings"].as_array().expect("findings");
        let found = findings.iter().find(|finding| finding["signal"] == signal);
        found.and_then(|finding| finding["score"].as_f64()).unwrap_or_default()
    };
    assert!(weight("volume") + weight("unknown_crowds") < 1.0, "{item}");
    assert_eq!(site.daemon.list().len(), 1);
    // The administrator reads why.
    let shown = site.daemon.cli(&["show", ENTITY]).done().stdout;
    assert!(shown.contains("recipients were refused"), "{shown}");
    assert!(honest.sent(&site, "friend", 1).ends_with("remote.test"));
}

/// Every eighth address of an old list is dead, in no order: 36 of 300.
fn is_dead(n: usize) -> bool {
    (n * 7919) % 100 < 12
}

fn subscriber(n: usize) -> String {
    let word = if is_dead(n) { "dead" } else { "reader" };
    format!("{word}-{n}@provider{}.test", n % 5)
}

#[test]
fn a_newsletter_of_a_declared_sender_with_dead_addresses_goes_out() {
    let site = Site::following(|config, _| {
        let lines = format!(
            "clients = [\"{CLIENT}\"]\nprofile = \"bulk\"\n\
             usual = {{ messages_per_hour = 100, recipients_per_hour = 1000 }}"
        );
        config.connector("news", &lines);
    });
    let list: Vec<_> = (0..400).map(subscriber).collect();
    let mut client = site.client(CLIENT);
    for some in list.chunks(10) {
        let to = some.iter().map(String::as_str).collect();
        client.post(&Letter { to, ..Letter::new("news@example.org", REMOTE) }).assert_accepted();
    }
    assert_arrives(&site, &list);
    assert_eq!(listed(&site), Vec::<Value>::new());
}

#[test]
fn the_first_newsletter_of_an_unknown_sender_with_dead_addresses_is_not_stopped() {
    let site = Site::following(|config, _| config.no_throttle());
    let list: Vec<_> = (0..300).map(subscriber).collect();
    let mut client = site.client(CLIENT);
    for to in &list {
        client.send("news@example.org", to).assert_accepted();
    }
    assert_arrives(&site, &list);
    // So much at once was never seen before: a warning, and no more.
    assert_eq!(site.daemon.list(), Vec::<Value>::new());
}

/// Each recipient had its result, and the daemon has read it.
#[track_caller]
fn assert_arrives(site: &Site, list: &[String]) {
    let dead = list.iter().filter(|address| address.starts_with("dead")).count();
    site.postfix.wait_lines(&["to=<dead-", "status=bounced"], dead);
    site.postfix.wait_lines(&["to=<reader-", "status=sent"], list.len() - dead);
    fence(site);
    let results = site.daemon.status("/feedback/results");
    assert!(results >= u64::try_from(list.len()).unwrap(), "{results} results");
}

#[test]
fn a_suspicious_client_waits_for_what_becomes_of_its_mail() {
    let site = Site::following(|_, _| ());
    Account::open(&site, CLIENT, "remote.test");
    assert_eq!(listed(&site)[0]["state"], "suspicious");
    let send = |client: &str, n: usize| site.send(client, OURS, &format!("stall-{n}@remote.test"));
    // One that nothing speaks against may have any number on the way.
    for n in 0..20 {
        send(HONEST, n).assert_accepted();
    }
    let passed = (20..60).take_while(|n| send(CLIENT, *n).accepted()).count();
    assert_eq!(passed, 10);
    let throttle = site.daemon.json(&["explain", ENTITY])["throttle"].take();
    assert_eq!((&throttle["in_flight"], &throttle["limit"]), (&10.into(), &10.into()));
    let refused = send(CLIENT, 99);
    assert_eq!(refused.reply.code, 451, "{refused:?}");
    // All of it arrives, and so may the next.
    site.sink.go_on();
    wait_for(
        "the end of the wait",
        SOON,
        || site.daemon.json(&["explain", ENTITY]).to_string(),
        || send(CLIENT, 99).accepted().then_some(()),
    );
    assert_eq!(site.daemon.list(), Vec::<Value>::new());
}

#[test]
fn whom_postfix_adds_or_puts_in_the_place_of_another_charges_nobody() {
    let site = Site::following(|config, settings| {
        config.no_throttle();
        settings.set("always_bcc", "dead-archive@remote.test");
        // A list of the site, somebody elsewhere who is forwarded, and one who is
        // well: whom that goes to, the client did not choose.
        let aliases = "inline:{ {list@example.org=dead-member@remote.test}, \
                       {left@partner.test=dead-left@remote.test}, \
                       {moved@partner.test=friend@remote.test} }";
        settings.set("virtual_alias_maps", aliases);
        // Whereas this is another spelling of the same.
        let canonical = "inline:{ {short@remote.test=dead-long@remote.test} }";
        settings.set("recipient_canonical_maps", canonical);
    });
    let mut client = site.client(CLIENT);
    for _ in 0..20 {
        for to in [REMOTE, "list@example.org", "left@partner.test", "moved@partner.test"] {
            client.send(OURS, to).assert_accepted();
        }
    }
    site.postfix.wait_lines(&["to=<dead-left@", "orig_to=<left@", "status=bounced"], 20);
    site.postfix.wait_lines(&["to=<dead-member@", "status=bounced"], 20);
    fence(&site);
    let mut account = Account::new(CLIENT, "remote.test");
    account.assert_settled(&site);
    assert_eq!(site.daemon.list(), Vec::<Value>::new());
    // What it does itself counts as ever.
    account.refused(&site, "dead", 4);
    client.send(OURS, "short@remote.test").assert_accepted();
    account.bad += 1;
    account.of += 1;
    account.settle(&site);
}

#[test]
fn greylisting_is_nothing_and_what_comes_after_it_is() {
    let site = Site::following(|config, _| config.no_throttle());
    let mut account = Account::open(&site, CLIENT, "remote.test");
    let later = account.sent(&site, "grey-grey-grey-dead", 3);
    account.delivered(&site, "grey-grey-grey-friend", 2);
    wait_for(
        "a second attempt",
        SOON,
        || site.postfix.log_tail(),
        || (site.sink.attempts(&later) >= 2).then_some(()),
    );
    assert_eq!(account.counted(&site), (FIRST, FIRST));
    account.bad += 3;
    account.of += 3;
    account.settle(&site);
    fence(&site);
    account.assert_settled(&site);
}
