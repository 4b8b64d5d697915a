//! What days change: the clock is moved, the mail is real.

use std::time::Duration;

use connguard::command::Command;
use serde_json::Value;

use super::harness::clocked::Clocked;
use super::harness::site::{OURS, REMOTE, Site, odd};
use super::harness::smtp::{Stage, case_in};
use super::harness::{SOON, wait_for};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";

fn with_restriction(lines: &str) -> Site<Clocked> {
    Site::clocked(|config| lines.clone_into(&mut config.restriction))
}

fn block_by_hand(site: &Site<Clocked>, entity: &str) {
    site.daemon.ask(Command::Block {
        entity: entity.to_owned(),
        reason: "stopped by hand".to_owned(),
        span_s: None,
        action: None,
    });
}

fn unblock(site: &Site<Clocked>, entity: &str, grace: Duration) {
    site.daemon.ask(Command::Unblock {
        what: entity.to_owned(),
        reason: "mended".to_owned(),
        grace_s: Some(grace.as_secs()),
        false_positive: false,
        force: false,
    });
}

/// How many messages of a take-over pass before this client is stopped.
fn passed(site: &Site<Clocked>, client: &str) -> usize {
    let caught = site.take_over(client);
    caught.outcome.assert_tempfail();
    caught.passed
}

#[test]
fn a_tempfail_turns_into_reject_after_three_days_and_not_before() {
    let mut site = Site::clocked(|config| {
        config.restriction = "reject_after = \"3d\"\n".to_owned();
        config.connector("erp", "clients = [\"127.0.0.9\"]\nreject_after = \"never\"");
    });
    let caught = site.take_over(CLIENT);
    caught.outcome.assert_tempfail();
    let case = case_in(&caught.outcome.reply.text);
    site.take_over("127.0.0.9").outcome.assert_tempfail();

    site.daemon.advance(3 * DAY - MINUTE);
    site.send(CLIENT, OURS, REMOTE).assert_tempfail();
    site.daemon.advance(2 * MINUTE);
    let rejected = site.send(CLIENT, OURS, REMOTE);
    rejected.assert_refused(550, "5.7.1");
    assert_eq!(rejected.stage, Stage::Rcpt);
    assert_eq!(case_in(&rejected.reply.text), case);
    assert_eq!(site.daemon.listed(ENTITY).expect("an entry")["action"], "reject");
    // Who opted out never gets there.
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();

    site.daemon.restart_after(27 * DAY);
    site.send(CLIENT, OURS, REMOTE).assert_refused(550, "5.7.1");
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
}

#[test]
fn only_the_connector_that_asked_for_it_is_rejected_late() {
    let site = Site::clocked(|config| {
        config.connector("erp", "clients = [\"127.0.0.9\"]\nreject_after = \"4d\"");
        config.connector("crm", "clients = [\"127.0.0.10\"]");
    });
    let clients = [CLIENT, "127.0.0.9", "127.0.0.10"];
    for client in clients {
        site.take_over(client).outcome.assert_tempfail();
    }
    site.daemon.advance(4 * DAY - MINUTE);
    for client in clients {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
    site.daemon.advance(2 * MINUTE);
    site.send("127.0.0.9", OURS, REMOTE).assert_refused(550, "5.7.1");
    // The others' queues survive more than a weekend.
    site.daemon.advance(26 * DAY);
    for client in [CLIENT, "127.0.0.10"] {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
}

fn assert_lifted_by_the_clock(lifted: &Value, case: &Value) {
    assert_eq!(lifted["by"], "connguard", "{lifted}");
    assert_eq!(&lifted["case"], case, "{lifted}");
}

#[test]
fn a_restriction_with_an_end_is_over_by_itself() {
    let site = with_restriction("expire_after = \"2h\"\n");
    site.take_over(CLIENT).outcome.assert_tempfail();
    let item = site.daemon.listed(ENTITY).expect("an entry");
    assert!(item["until"].is_string(), "{item}");
    let mut session = site.client(CLIENT);

    site.daemon.advance(2 * HOUR - MINUTE);
    session.send(OURS, REMOTE).assert_tempfail();
    site.daemon.advance(MINUTE);
    // In the open session, too, and nobody had to do anything.
    session.send(OURS, REMOTE).assert_accepted();
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    assert!(site.daemon.list(false).is_empty());
    let lifted = site.daemon.wait_history(ENTITY, "lifted");
    assert_lifted_by_the_clock(&lifted, &item["case"]);
    assert_eq!(lifted["at"], item["until"]);
    // What it did then is not held against it now.
    site.take_over(CLIENT).outcome.assert_tempfail();
    // It is back within a day: that is the same incident.
    assert_eq!(site.daemon.listed(ENTITY).expect("an entry")["case"], item["case"]);
    // After a quiet day, it is another one.
    site.daemon.advance(3 * HOUR);
    assert_eq!(site.daemon.listed(ENTITY), None);
    let ended = || site.daemon.show(ENTITY)["history"].to_string().matches("\"lifted\"").count();
    wait_for("its second end", SOON, String::new, || Some(()).filter(|()| ended() == 2));
    site.daemon.advance(DAY + HOUR);
    let closed = || site.daemon.show(ENTITY)["case"]["closed"].is_string();
    let shown = || format!("{:#}", site.daemon.show(ENTITY)["case"]);
    wait_for("the end of the case", SOON, shown, || closed().then_some(()));
    site.take_over(CLIENT).outcome.assert_tempfail();
    assert_ne!(site.daemon.listed(ENTITY).expect("an entry")["case"], item["case"]);
}

#[test]
fn a_restriction_ends_while_the_daemon_is_down() {
    let mut site = with_restriction("expire_after = \"2h\"\n");
    site.take_over(CLIENT).outcome.assert_tempfail();
    let case = site.daemon.listed(ENTITY).expect("an entry")["case"].clone();
    site.daemon.restart_after(HOUR);
    site.send(CLIENT, OURS, REMOTE).assert_tempfail();
    site.daemon.restart_after(HOUR);
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    let lifted = site.daemon.wait_history(ENTITY, "lifted");
    assert_lifted_by_the_clock(&lifted, &case);
}

#[test]
fn a_mark_is_gone_after_a_day() {
    let site = Site::clocked(|config| config.mode = "observe");
    let mut session = site.client(CLIENT);
    for n in 0..5 {
        session.send(&odd(n), REMOTE).assert_accepted();
    }
    let mark = site.daemon.listed(ENTITY).expect("a mark");
    assert_eq!(mark["state"], "marked", "{mark}");

    site.daemon.advance(DAY - MINUTE);
    assert_eq!(site.daemon.listed(ENTITY).expect("a mark")["case"], mark["case"]);
    site.daemon.advance(MINUTE);
    assert_eq!(site.daemon.listed(ENTITY), None);
    let lifted = site.daemon.wait_history(ENTITY, "lifted");
    assert_lifted_by_the_clock(&lifted, &mark["case"]);

    // Evidence starts again from zero, and makes a mark of its own.
    session.send(&odd(10), REMOTE).assert_accepted();
    assert!(site.daemon.list(false).is_empty());
    for n in 11..15 {
        session.send(&odd(n), REMOTE).assert_accepted();
    }
    let second = site.daemon.listed(ENTITY).expect("a second mark");
    assert_ne!(second["since"], mark["since"]);
    // In the file of the same incident: there was no quiet day between them.
    assert_eq!(second["case"], mark["case"]);
}

#[test]
fn trust_ends_by_the_clock() {
    let site = with_restriction("");
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    site.daemon.ask(Command::Trust {
        entity: ENTITY.to_owned(),
        span_s: HOUR.as_secs(),
        reason: "planned mailing".to_owned(),
    });
    let mut session = site.client(CLIENT);
    let mut send_odd = || {
        for n in 100..112 {
            session.send(&odd(n), REMOTE).assert_accepted();
        }
    };
    send_odd();
    site.daemon.advance(HOUR - MINUTE);
    send_odd();
    assert_eq!(site.daemon.listed(ENTITY).expect("an entry")["state"], "trusted");

    site.daemon.advance(MINUTE);
    assert_eq!(site.daemon.listed(ENTITY), None);
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    // It is judged as everybody: not for what it was trusted with.
    let usual = passed(&site, "127.0.0.9");
    assert!(usual > 0);
    assert_eq!(passed(&site, CLIENT), usual);
}

#[test]
fn grace_ends_by_the_clock() {
    let site = with_restriction("");
    let clients = [CLIENT, "127.0.0.9"];
    for client in clients {
        site.send(client, OURS, REMOTE).assert_accepted();
        let entity = format!("client:{client}");
        block_by_hand(&site, &entity);
        site.send(client, OURS, REMOTE).assert_tempfail();
        unblock(&site, &entity, HOUR);
    }
    let usual = passed(&site, "127.0.0.10");

    site.daemon.advance(HOUR - MINUTE);
    assert_eq!(site.daemon.listed(ENTITY).expect("an entry")["state"], "grace");
    // In grace it takes more than else.
    let in_grace = passed(&site, "127.0.0.9");
    assert!(in_grace > usual, "{in_grace} messages passed in grace, {usual} else");
    site.daemon.advance(MINUTE);
    assert_eq!(site.daemon.listed(ENTITY), None);
    assert_eq!(passed(&site, CLIENT), usual);
}
