//! A restriction outlives the daemon, and so does its end.

use super::harness::site::{OURS, REMOTE, Site};
use super::harness::smtp::{Stage, case_in};
use super::harness::{SOON, wait_for};

const ENTITY: &str = "client:127.0.0.8";

/// | killed, power lost | as above | kept: enforced at once, on disk before they are logged
/// or acknowledged | the log line of the start: `kept=` and how many |
#[test]
fn a_restriction_outlives_kill_9() {
    let mut site = Site::start();
    let caught = site.take_over("127.0.0.8");
    let before = site.daemon.listed(ENTITY).expect("an entry");
    site.daemon.wait_log("WARN restricted entity=client:127.0.0.8", SOON);
    site.daemon.kill9();
    site.daemon.start_again();
    // The first command of the first session after the start.
    let again = site.send("127.0.0.8", OURS, REMOTE);
    again.assert_tempfail();
    assert_eq!(again.stage, Stage::Rcpt);
    assert_eq!(case_in(&again.reply.text), case_in(&caught.outcome.reply.text));
    let after = site.daemon.listed(ENTITY).expect("an entry");
    for field in ["case", "since", "until", "action", "scope", "by", "findings"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
    site.daemon.wait_log("kept=1 ", SOON);
}

#[test]
fn unblock_acts_on_the_next_recipient_of_an_open_session_and_lasts() {
    let mut site = Site::start();
    site.take_over("127.0.0.8");
    let mut open = site.client("127.0.0.8");
    open.expect(&format!("MAIL FROM:<{OURS}>"), 250);
    open.expect(&format!("RCPT TO:<{REMOTE}>"), 451);
    let unblock = ["unblock", ENTITY, "--reason", "password changed"];
    site.daemon.cli(&unblock).done();
    open.expect(&format!("RCPT TO:<{REMOTE}>"), 250);
    assert!(open.data(OURS, REMOTE).agrees());
    assert!(site.daemon.list().is_empty());

    site.daemon.kill9();
    site.daemon.start_again();
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();

    let history = site.daemon.cli(&["history", ENTITY]).done().stdout;
    assert!(history.contains("password changed"), "{history}");
    assert!(history.contains("root"), "{history}");
    let entries = site.daemon.json(&["history", ENTITY]);
    assert!(entries.as_array().is_some_and(|it| it.len() >= 2));
    // Nothing is left to lift: the answer is no.
    assert_eq!(site.daemon.cli(&unblock).code, 1);
}

#[test]
fn what_was_declared_usual_outlives_kill_9() {
    let mut site = Site::start();
    let explain = ["explain", ENTITY];
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    site.daemon.cli(&["normal", ENTITY, "--reason", "a newsletter"]).done();
    let saved = || site.daemon.json(&["status"])["history"]["saved_at"].is_string();
    wait_for("the history to be saved", SOON, String::new, || saved().then_some(()));
    site.daemon.kill9();
    site.daemon.start_again();
    let explained = site.daemon.cli(&explain).done().stdout;
    assert!(explained.contains("declared usual"), "{explained}");
}

#[test]
fn unblock_by_case_id_and_what_returns_within_a_day_is_the_same_case() {
    let mut site = Site::start();
    let first = site.take_over("127.0.0.8");
    let case = case_in(&first.outcome.reply.text).expect("a case id");
    let unblock = ["unblock", &case, "--reason", "cleaned", "--grace", "0s"];
    site.daemon.cli(&unblock).done();
    site.daemon.restart();
    let second = site.take_over("127.0.0.8");
    assert_eq!(Some(case), case_in(&second.outcome.reply.text));
}

#[test]
fn a_block_by_hand_outlives_kill_9_and_ends_by_itself() {
    let mut site = Site::start();
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    let block = |time: &'static str| ["block", ENTITY, "--reason", "stolen", "--for", time];
    site.daemon.cli(&block("2h")).done();
    site.daemon.kill9();
    site.daemon.start_again();
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
    let item = site.daemon.listed(ENTITY).expect("an entry");
    assert_eq!(item["by"], "operator:root");
    assert_eq!(item["reason"], "stolen");
    let unblock = ["unblock", ENTITY, "--reason", "returned"];
    site.daemon.cli(&unblock).done();

    site.daemon.cli(&block("1s")).done();
    super::harness::wait_for(
        "the end of a block for one second",
        super::harness::SOON,
        || site.daemon.log(),
        || Some(()).filter(|()| site.send("127.0.0.8", OURS, REMOTE).accepted()),
    );
    assert!(site.daemon.list().is_empty());
}
