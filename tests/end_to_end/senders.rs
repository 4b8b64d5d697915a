//! A smarthost with many users: who of them is stopped, and who is not.

use super::harness::SOON;
use super::harness::config::Config;
use super::harness::site::{INBOUND, REMOTE, Site, odd};
use super::harness::smtp::{Letter, Outcome, SmtpClient, Stage, case_in};

/// The smarthost, and what it is called.
const HUB: &str = "127.0.0.8";
const ENTITY: &str = "connector:hub";
/// Its users, and the one who turns bad.
const USERS: usize = 50;
const BAD: usize = 7;
const BAD_USER: &str = "sender:user7@example.org,via=connector:hub";

fn hub(config: &mut Config) {
    let lines = format!("clients = [\"{HUB}\"]\nusual = {{ messages_per_hour = 800 }}");
    config.connector("hub", &lines);
}

fn user(n: usize) -> String {
    format!("user{n}@example.org")
}

fn friend(n: usize) -> String {
    format!("friend{n}@remote.test")
}

/// Every user but the bad one writes to the usual friend; nobody may notice
/// anything of the bad one. Gives how many messages that were.
#[track_caller]
fn the_others_write(hub: &mut SmtpClient) -> usize {
    let others = (0..USERS).filter(|n| *n != BAD);
    others.map(|n| hub.send(&user(n), &friend(n)).assert_accepted()).count()
}

/// What a taken-over account sends: in somebody else's name, to people that
/// nobody here ever wrote to.
fn spam(hub: &mut SmtpClient, from: &str, n: usize) -> Outcome {
    let (author, to) = (odd(n), format!("stranger{n}@elsewhere{n}.test"));
    hub.post(&Letter { author: &author, ..Letter::new(from, &to) })
}

#[test]
fn one_bad_sender_of_a_smarthost_is_stopped_and_the_others_lose_nothing() {
    let site = Site::with(|config, _| hub(config));
    let mut hub = site.client(HUB);
    let mut sent = the_others_write(&mut hub);
    hub.send(&user(BAD), &friend(BAD)).assert_accepted();
    sent += 1;

    let mut refusal = None;
    for n in 0..20 {
        let outcome = spam(&mut hub, &user(BAD), n);
        sent += usize::from(outcome.accepted());
        // Mail of the others comes in between.
        sent += the_others_write(&mut hub);
        if !outcome.accepted() {
            refusal = Some(outcome);
            break;
        }
    }
    let refusal = refusal.expect("twenty messages of a taken-over user have passed");
    refusal.assert_tempfail();
    let case = case_in(&refusal.reply.text).expect("a case id");
    let item = site.daemon.listed(BAD_USER).expect("an entry");
    assert_eq!(item["case"], case.as_str(), "{item}");
    assert_eq!(item["kind"], "sender", "{item}");
    assert_eq!(item["by"], "judgement", "{item}");
    assert_eq!(site.daemon.list().len(), 1);

    // Whatever that user sends, it is refused at once, under the same case ...
    for n in 0..3 {
        let again = hub.send(&user(BAD), &friend(n));
        again.assert_tempfail();
        assert_eq!(again.stage, Stage::Rcpt);
        assert_eq!(case_in(&again.reply.text).as_ref(), Some(&case));
        sent += the_others_write(&mut hub);
    }
    // ... but what goes inwards. However the address is written, it is the same.
    hub.send(&user(BAD), INBOUND).assert_accepted();
    hub.send("User7+x@Example.org", REMOTE).assert_tempfail();
    // Who writes the address elsewhere is somebody else.
    site.send("127.0.0.9", &user(BAD), REMOTE).assert_accepted();
    sent += 2;
    site.sink.wait_for(sent, SOON);
    // Nobody hangs up on the smarthost, either, for what one user retries.
    let shown = site.daemon.cli(&["show", BAD_USER]).done().stdout;
    assert!(shown.contains(&case), "{shown}");
    assert!(shown.contains("user7@example.org"), "{shown}");
}

#[test]
fn a_bad_sender_does_not_cost_the_smarthost_its_session() {
    let site = Site::with(|config, _| hub(config));
    let mut hub = site.client(HUB);
    the_others_write(&mut hub);
    site.block(BAD_USER);
    // More retries in a session than a restricted connector gets before it is
    // hung up on, each followed by mail of somebody else.
    for n in 0..30 {
        hub.send(&user(BAD), &friend(n)).assert_tempfail();
        hub.send(&user(1), &friend(1)).assert_accepted();
    }
    site.sink.wait_for(USERS - 1 + 30, SOON);
    let unblock = ["unblock", BAD_USER, "--reason", "new password", "--force"];
    site.daemon.cli(&unblock).done();
    hub.send(&user(BAD), &friend(BAD)).assert_accepted();
}

#[test]
fn made_up_senders_stop_the_connector() {
    let site = Site::with(|config, _| hub(config));
    let mut hub = site.client(HUB);
    the_others_write(&mut hub);
    let made_up = |n: usize| format!("x{n}kq{}@example.org", n * 7919 % 1000);
    let mut refused_at = None;
    for n in 0..200 {
        let outcome = spam(&mut hub, &made_up(n), n);
        if outcome.accepted() {
            assert_eq!(refused_at, None, "message {n} passes after a refusal");
            assert!(n < 20, "{n} messages of made-up senders have passed");
        } else {
            refused_at.get_or_insert(n);
            outcome.assert_refused(outcome.reply.code, "4.7.1");
            // Postfix itself hangs up on too many errors.
            hub = site.client(HUB);
        }
    }
    let item = site.daemon.listed(ENTITY).expect("the connector is restricted");
    assert_eq!(item["kind"], "connector", "{item}");
    // The list is to be read by a person.
    let listed = site.daemon.list();
    assert!(listed.len() <= 3, "{listed:#?}");
}

#[test]
fn made_up_senders_of_made_up_domains_stop_the_connector() {
    let site = Site::with(|config, _| hub(config));
    let mut hub = site.client(HUB);
    the_others_write(&mut hub);
    let passed = (0..200).take_while(|n| hub.send(&odd(*n), REMOTE).accepted()).count();
    assert!(passed < 20, "{passed} messages have passed");
    site.daemon.listed(ENTITY).expect("the connector is restricted");
}

#[test]
fn a_newsletter_with_an_address_for_each_reader_is_one_sender() {
    let site = Site::with(|config, _| hub(config));
    let mut hub = site.client(HUB);
    let reader = |n: usize| (format!("news-bounces+reader{n}=remote.test@example.org"), n);
    // As it should be: many addresses are no crime.
    let mut sent = the_others_write(&mut hub);
    for (from, n) in (0..60).map(reader) {
        hub.send(&from, &format!("reader{n}@remote.test")).assert_accepted();
        sent += 1;
    }
    assert_eq!(site.daemon.list(), Vec::<serde_json::Value>::new());
    // Taken over, it is one sender, however many addresses it writes.
    let mut refusal = None;
    for (from, n) in (60..90).map(reader) {
        let outcome = spam(&mut hub, &from, n);
        if !outcome.accepted() {
            refusal = Some(outcome);
            break;
        }
        sent += 1 + the_others_write(&mut hub);
    }
    refusal.expect("thirty bad newsletters have passed").assert_tempfail();
    let listed = site.daemon.list();
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!(listed[0]["entity"], "sender:news-bounces@example.org,via=connector:hub");
    // The next reader's address is refused at once, everybody else passes.
    let (from, _) = reader(500);
    hub.send(&from, REMOTE).assert_tempfail();
    sent += the_others_write(&mut hub);
    site.sink.wait_for(sent, SOON);
}

#[test]
fn a_restricted_sender_outlives_kill_9_and_stays_the_only_one() {
    let mut site = Site::with(|config, _| hub(config));
    let caught = {
        let mut hub = site.client(HUB);
        the_others_write(&mut hub);
        let mut spam = (0..20).map(|n| {
            the_others_write(&mut hub);
            spam(&mut hub, &user(BAD), n)
        });
        spam.find(|outcome| !outcome.accepted()).expect("a refusal")
    };
    let before = site.daemon.listed(BAD_USER).expect("an entry");
    site.daemon.wait_log(&format!("restricted entity={BAD_USER}"), SOON);
    site.daemon.kill9();
    site.daemon.start_again();
    let mut hub = site.client(HUB);
    let again = hub.send(&user(BAD), REMOTE);
    again.assert_tempfail();
    assert_eq!(case_in(&again.reply.text), case_in(&caught.reply.text));
    the_others_write(&mut hub);
    let after = site.daemon.listed(BAD_USER).expect("an entry");
    for field in ["case", "since", "action", "scope", "by", "findings"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(site.daemon.list().len(), 1);
}
