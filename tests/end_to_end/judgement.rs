//! What else than a sender domain gives a client away: the From header,
//! recipients that nobody has, a spam filter's verdict, the networks that a
//! login comes from. Each is restricted after a few messages, and now and then
//! a bad one is nothing.

use std::time::Duration;

use serde_json::Value;

use super::harness::SOON;
use super::harness::clocked::Clocked;
use super::harness::filter::{Filter, SELLS_PILLS};
use super::harness::site::{INBOUND, OURS, REMOTE, Site};
use super::harness::smtp::{Letter, Outcome, SmtpClient, Stage, case_in};

const DAY: Duration = Duration::from_secs(24 * 3600);

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";
/// A client that does now and then what the other one does all the time.
const HONEST: &str = "127.0.0.7";

const FLAGGED: &str = "X-Spam-Flag: YES\r\n";

/// Every entity that `list --all` shows, and what it is.
fn states(site: &Site) -> Vec<(String, String)> {
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let all = site.daemon.json(&["list", "--all"]);
    let items = all.as_array().expect("an array");
    items.iter().map(|item| (text(item, "entity"), text(item, "state"))).collect()
}

/// Posts what `letter` gives until it is refused; returns how many passed.
#[track_caller]
fn until_refused(most: usize, mut post: impl FnMut(usize) -> Outcome) -> (usize, Outcome) {
    for passed in 0..=most {
        let outcome = post(passed);
        if !outcome.accepted() {
            return (passed, outcome);
        }
    }
    panic!("{} messages have passed", most + 1);
}

/// The administrator reads the same everywhere: the case that the client was
/// told, and this signal, in `list`, `show` and the log.
#[track_caller]
fn assert_told(site: &Site, entity: &str, refusal: &Outcome, signal: &str, sentence: &str) {
    refusal.assert_tempfail();
    assert_eq!(refusal.stage, Stage::End, "the message that tips the scale is itself refused");
    let case = case_in(&refusal.reply.text).expect("a case id");
    let item = site.daemon.listed(entity).expect("an entry");
    assert_eq!(item["case"], case.as_str(), "{item}");
    assert_eq!(item["by"], "judgement", "{item}");
    assert_eq!(item["findings"][0]["signal"], signal, "{item}");
    let shown = site.daemon.cli(&["show", &case]).done().stdout;
    assert!(shown.contains(sentence), "{shown}");
    let line = format!("restricted entity={entity} case={case}");
    let told = site.daemon.wait_log(&line, SOON);
    assert!(told.contains(&format!("signal={signal}")), "{told}");
}

#[test]
fn foreign_from_headers_are_noticed_behind_a_registered_sender() {
    let site = Site::start();
    let mut client = site.client(CLIENT);
    let (passed, refusal) = until_refused(10, |n| {
        let author = format!("ceo@bank{n}.test");
        client.post(&Letter { author: &author, ..Letter::new(OURS, REMOTE) })
    });
    assert_eq!(passed, 4);
    let sentence = "messages had a From header of 5 domains that are foreign";
    assert_told(&site, ENTITY, &refusal, "foreign_from", sentence);
    client.send(OURS, REMOTE).assert_tempfail();

    // One foreign domain may be a mistake: a warning first, and mail goes on.
    let mut client = site.client("127.0.0.9");
    let one = Letter { author: "boss@partner.test", ..Letter::new(OURS, REMOTE) };
    for _ in 0..5 {
        client.post(&one).assert_accepted();
    }
    let only_restricted = [(ENTITY.to_owned(), "restricted".to_owned())];
    assert_eq!(states(&site), only_restricted);
    for _ in 0..5 {
        client.post(&one).assert_accepted();
    }
    assert!(states(&site).contains(&("client:127.0.0.9".into(), "suspicious".into())));
    assert_eq!(site.daemon.list().len(), 1);
    let warning = "suspicious entity=client:127.0.0.9";
    let line = site.daemon.wait_log(warning, SOON);
    assert!(line.contains("signal=foreign_from bad=6 of=6"), "{line}");

    // A foreign address now and then is nothing: somebody forwards by hand.
    let mut client = site.client(HONEST);
    for n in 0..60 {
        let author = format!("writer@elsewhere{n}.test");
        let author = if n % 20 == 0 { &author } else { OURS };
        client.post(&Letter { author, ..Letter::new(OURS, REMOTE) }).assert_accepted();
    }
    assert_eq!(states(&site).len(), 2);
    site.sink.wait_for(passed + 10 + 60, SOON);
    assert_eq!(site.daemon.log().matches(warning).count(), 1, "{}", site.daemon.log());
}

/// A letter to a recipient elsewhere, in whose envelope the client also tries
/// these local parts at our own domain, which nobody has.
fn guess(session: &mut SmtpClient, unknown: &[String]) -> Outcome {
    session.expect(&format!("MAIL FROM:<{OURS}>"), 250);
    for local in unknown {
        let reply = session.expect(&format!("RCPT TO:<{local}@example.org>"), 550);
        assert!(reply.text.starts_with("5.1.1"), "Postfix refuses it, not we: {reply}");
    }
    let reply = session.rcpt(REMOTE);
    if !reply.agrees() {
        return Outcome { stage: Stage::Rcpt, reply };
    }
    Outcome { stage: Stage::End, reply: session.content(&Letter::new(OURS, REMOTE)) }
}

#[test]
fn recipients_that_nobody_has_are_noticed() {
    let site = Site::with(|_, settings| {
        let known = format!("inline:{{ {{{INBOUND}=there}} }}");
        settings.set("relay_recipient_maps", &known);
    });
    // Once in five messages somebody mistypes a colleague's name.
    let mut honest = site.client(HONEST);
    for n in 0..40 {
        let typo: Vec<_> = (n % 5 == 0).then(|| format!("bbo{n}")).into_iter().collect();
        if n % 10 == 0 {
            honest = site.client(HONEST);
        }
        assert!(guess(&mut honest, &typo).accepted());
    }
    // Mail from elsewhere may guess as it likes: it is not relayed.
    let mut elsewhere = site.client(HONEST);
    elsewhere.xclient("ADDR=198.51.100.7");
    for n in 0..6 {
        elsewhere.expect("MAIL FROM:<someone@outside.test>", 250);
        elsewhere.expect(&format!("RCPT TO:<nobody{n}@example.org>"), 550);
        elsewhere.expect("RSET", 250);
    }
    assert_eq!(states(&site), []);

    let (passed, refusal) = until_refused(10, |n| {
        let unknown: Vec<_> = (0..6).map(|i| format!("user{n}{i}")).collect();
        guess(&mut site.client(CLIENT), &unknown)
    });
    assert_eq!(passed, 3);
    assert_told(&site, ENTITY, &refusal, "unknown_recipients", "were unknown to this server");
    site.client(CLIENT).send(OURS, REMOTE).assert_tempfail();
    // What it may still do: write to those who are here.
    site.client(CLIENT).send(OURS, INBOUND).assert_accepted();
    honest.send(OURS, REMOTE).assert_accepted();
    site.sink.wait_for(40 + passed + 2, SOON);
}

#[test]
fn guessing_alone_is_noticed_of_a_client_that_is_known() {
    let site = Site::with(|_, settings| {
        let known = format!("inline:{{ {{{INBOUND}=there}} }}");
        settings.set("relay_recipient_maps", &known);
    });
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    // No message of these ever comes to its end.
    for n in 0..5 {
        let mut session = site.client(CLIENT);
        session.expect(&format!("MAIL FROM:<{OURS}>"), 250);
        for i in 0..5 {
            session.expect(&format!("RCPT TO:<user{n}{i}@example.org>"), 550);
        }
        session.expect("RSET", 250);
    }
    let refused = site.send(CLIENT, OURS, REMOTE);
    refused.assert_tempfail();
    let item = site.daemon.listed(ENTITY).expect("an entry");
    assert_eq!(item["findings"][0]["signal"], "unknown_recipients", "{item}");
    site.sink.wait_for(1, SOON);
}

#[test]
fn a_spam_verdict_that_comes_with_the_message_counts() {
    let site = Site::start();
    let mut client = site.client(CLIENT);
    let spam = Letter { header: FLAGGED, ..Letter::new(OURS, REMOTE) };
    let (passed, refusal) = until_refused(10, |_| client.post(&spam));
    assert_eq!(passed, 4);
    let sentence = "all of the last 5 messages were called spam by the filter before";
    assert_told(&site, ENTITY, &refusal, "spam_verdict", sentence);

    // One in two hundred is the filter's mistake.
    let mut honest = site.client(HONEST);
    for n in 0..200 {
        let header = if n == 100 { FLAGGED } else { "X-Spam-Flag: NO\r\n" };
        honest.post(&Letter { header, ..Letter::new(OURS, REMOTE) }).assert_accepted();
    }
    assert_eq!(states(&site), [(ENTITY.to_owned(), "restricted".to_owned())]);
    site.sink.wait_for(passed + 200, SOON);
}

#[test]
fn a_filter_that_postfix_asks_before_us_is_believed() {
    let filter = Filter::start();
    let site = Site::with(|_, settings| settings.milter_before(&filter.endpoint()));
    let mut honest = site.client(HONEST);
    for _ in 0..5 {
        honest.send(OURS, REMOTE).assert_accepted();
    }
    let mut client = site.client(CLIENT);
    // What the client itself claims helps it nothing.
    let header = format!("X-Spam-Flag: NO\r\nX-Spam-Status: No\r\n{SELLS_PILLS}");
    let spam = Letter { header: &header, ..Letter::new(OURS, REMOTE) };
    let (passed, refusal) = until_refused(10, |_| client.post(&spam));
    assert_eq!(passed, 4);
    assert_told(&site, ENTITY, &refusal, "spam_verdict", "called spam by the filter before");
    honest.send(OURS, REMOTE).assert_accepted();
    site.sink.wait_for(passed + 6, SOON);
    let flagged = site.sink.mails();
    let flagged = flagged.iter().filter(|mail| mail.header.contains("X-Spam-Flag: YES"));
    assert_eq!(flagged.count(), passed);
}

fn as_alice(site: &Site, client: &str) -> Outcome {
    let mut session = site.client(client);
    session.xclient("LOGIN=alice");
    session.send(OURS, REMOTE)
}

#[test]
fn a_new_login_from_ever_new_networks_is_warned_of_and_slowed() {
    let site = Site::start();
    // At home, at work, on the phone: a new login is allowed three.
    for n in 0..12 {
        as_alice(&site, &format!("127.0.{}.7", n % 3)).assert_accepted();
    }
    assert_eq!(states(&site), []);
    for n in 0..6 {
        as_alice(&site, &format!("127.9.{n}.7")).assert_accepted();
    }
    // Somebody may be travelling: no reason to stop anybody in the first week.
    assert_eq!(states(&site), [("login:alice".to_owned(), "suspicious".to_owned())]);
    site.daemon.wait_log("suspicious entity=login:alice signal=new_networks", SOON);
    // Many people behind one address are not one who travels.
    for n in 0..12 {
        let mut session = site.client("127.0.0.7");
        session.xclient(&format!("LOGIN=user{n}"));
        session.send(OURS, REMOTE).assert_accepted();
    }
    assert_eq!(states(&site).len(), 1);
}

#[test]
fn a_login_with_a_history_is_stopped_when_a_botnet_uses_it() {
    let site = Site::clocked(|_| ());
    let send = |client: &str| {
        let mut session = site.client(client);
        session.xclient("LOGIN=alice");
        session.send(OURS, REMOTE)
    };
    for day in 0..8 {
        for _ in 0..3 {
            send(&format!("127.0.{}.7", day % 2)).assert_accepted();
        }
        site.daemon.advance(DAY);
    }
    assert_eq!(site.daemon.list(true).len(), 0);
    let (passed, refusal) = until_refused(40, |n| send(&format!("127.9.{n}.7")));
    refusal.assert_tempfail();
    assert!((14..=20).contains(&passed), "{passed} messages passed");
    let item = site.daemon.listed("login:alice").expect("an entry");
    assert_eq!(item["findings"][0]["signal"], "new_networks", "{item}");
    // The login is stopped wherever it comes from, and nobody else.
    send("127.0.0.7").assert_tempfail();
    site.send("127.9.1.7", OURS, REMOTE).assert_accepted();
}

#[test]
fn evidence_and_history_outlive_a_restart() {
    let mut site = Site::start();
    let spoofed = |site: &Site, n: usize| {
        let author = format!("ceo@bank{n}.test");
        site.client(CLIENT).post(&Letter { author: &author, ..Letter::new(OURS, REMOTE) })
    };
    for n in 0..3 {
        spoofed(&site, n).assert_accepted();
    }
    assert_eq!(states(&site), [(ENTITY.to_owned(), "suspicious".to_owned())]);
    site.daemon.restart();
    assert_eq!(states(&site), [(ENTITY.to_owned(), "suspicious".to_owned())]);
    let (passed, refusal) = until_refused(10, |n| spoofed(&site, 3 + n));
    assert_eq!(passed, 1, "as many in all as without a restart");
    let sentence = "messages had a From header of 5 domains that are foreign";
    assert_told(&site, ENTITY, &refusal, "foreign_from", sentence);
}

#[test]
fn a_restart_does_not_make_everything_new() {
    let mut site = Site::clocked(|_| ());
    let send = |site: &Site<Clocked>, client: &str, to: Vec<&str>| {
        let mut session = site.client(client);
        session.xclient("LOGIN=alice");
        session.post(&Letter { to, ..Letter::new(OURS, REMOTE) }).assert_accepted();
    };
    let team: Vec<_> = (0..10).map(|n| format!("colleague{n}@remote.test")).collect();
    let team: Vec<_> = team.iter().map(String::as_str).collect();
    for day in 0..10 {
        // Two networks, and a circle of recipients that grows one by one.
        let known = team.iter().take(1 + day).copied().collect();
        send(&site, &format!("127.0.{}.7", day % 2), known);
        site.daemon.advance(DAY);
    }
    site.daemon.restart_after(DAY);
    let found = |site: &Site<Clocked>| site.daemon.show("login:alice")["findings"].clone();
    // Many recipients at once, and all of them known.
    send(&site, "127.0.0.7", team.clone());
    assert_eq!(found(&site), Value::Array(Vec::new()));
    let strangers: Vec<_> = (0..10).map(|n| format!("stranger{n}@other.test")).collect();
    send(&site, "127.0.1.7", strangers.iter().map(String::as_str).collect());
    assert_eq!(found(&site)[0]["signal"], "unknown_crowds");
    // Five new networks: a login of yesterday would be allowed three.
    for network in 20..25 {
        send(&site, &format!("127.0.{network}.7"), vec![REMOTE]);
    }
    assert_eq!(found(&site)[0]["signal"], "new_networks");
    let item = site.daemon.listed("login:alice").expect("an entry");
    assert_eq!(item["state"], "suspicious", "{item}");
}
