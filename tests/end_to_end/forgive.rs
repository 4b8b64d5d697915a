//! Lifting a block: while it goes on, by mistake, with grace; and all of it
//! lasts.

use super::harness::daemon::Answer;
use super::harness::site::{OURS, REMOTE, Site, Tells, odd};
use super::harness::smtp::Outcome;
use super::harness::{SOON, wait_for};

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";

fn unblock(site: &Site, options: &[&str]) -> Answer {
    let args = ["unblock", ENTITY, "--reason", "password changed"];
    site.daemon.cli(&[&args, options].concat())
}

/// Odd messages from here on, until one is refused; how many passed.
#[track_caller]
fn passed(site: &Site, first: usize) -> (usize, Outcome) {
    for passed in 0..=40 {
        let outcome = site.send(CLIENT, &odd(first + passed), REMOTE);
        if !outcome.accepted() {
            return (passed, outcome);
        }
    }
    panic!("41 messages from unregistered domains have passed");
}

fn explained(site: &Site) -> String {
    site.daemon.cli(&["explain", ENTITY]).done().stdout
}

fn state(site: &Site) -> Option<String> {
    let all = site.daemon.json(&["list", "--all"]);
    let items = all.as_array().expect("an array");
    let item = items.iter().find(|item| item["entity"] == ENTITY)?;
    item["state"].as_str().map(str::to_owned)
}

#[test]
fn an_unblock_during_the_attack_is_refused_unless_it_is_forced() {
    let mut site = Site::start();
    site.take_over(CLIENT);
    // It goes on, and is refused.
    let attempts = 12;
    for n in 0..attempts {
        site.send(CLIENT, &odd(50 + n), REMOTE).assert_tempfail();
    }
    let answer = unblock(&site, &[]);
    assert_eq!(answer.code, 4, "{answer:#?}");
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:#?}");
    assert!(answer.stderr.contains("--force"), "{answer:#?}");
    assert!(answer.stderr.contains("still"), "{answer:#?}");
    // How much will be tried again: the message that tipped the scale, too.
    assert!(answer.stderr.contains(&(attempts + 1).to_string()), "{answer:#?}");
    site.send(CLIENT, OURS, REMOTE).assert_tempfail();

    let answer = unblock(&site, &["--force"]).done();
    assert!(answer.stdout.contains(ENTITY), "{answer:#?}");
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    site.daemon.kill9();
    site.daemon.start_again();
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    assert!(site.daemon.list().is_empty());
}

#[test]
fn an_unblock_after_the_attack_needs_no_force() {
    let site = Site::clocked(|_| ());
    site.take_over(CLIENT);
    for n in 0..12 {
        site.send(CLIENT, &odd(50 + n), REMOTE).assert_tempfail();
    }
    // The machine is cleaned; its good mail is refused for as long as nobody
    // lifts it, and speaks for nobody and against nobody.
    site.daemon.advance(std::time::Duration::from_secs(2 * 3600));
    site.send(CLIENT, OURS, REMOTE).assert_tempfail();
    let args = ["unblock", ENTITY, "--reason", "password changed"];
    site.daemon.cli(&args).done();
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
}

#[test]
fn a_false_positive_takes_more_the_next_time() {
    let mut site = Site::start();
    let (usual, refusal) = passed(&site, 0);
    refusal.assert_tempfail();
    let lift = ["--false-positive", "--force", "--grace", "0s"];
    unblock(&site, &lift).done();
    let text = explained(&site).to_lowercase();
    assert!(text.contains("false positive"), "{text}");
    // No grace: it is its own level that is higher now, for good.
    site.daemon.kill9();
    site.daemon.start_again();
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    let text = explained(&site).to_lowercase();
    assert!(text.contains("false positive"), "{text}");
    let (second, refusal) = passed(&site, 100);
    refusal.assert_tempfail();
    assert!(second > usual, "{second} messages passed the second time, {usual} the first");
    // Only for that entity.
    assert_eq!(site.take_over("127.0.0.9").passed, usual);
    let history = site.daemon.cli(&["history", ENTITY]).done().stdout;
    assert!(history.to_lowercase().contains("false positive"), "{history}");
}

#[test]
fn grace_outlives_kill_9_and_a_return_of_the_same_is_not_forgiven() {
    let mut site = Site::start();
    let (usual, _) = passed(&site, 0);
    unblock(&site, &["--force"]).done();
    assert_eq!(state(&site).as_deref(), Some("grace"));
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    site.daemon.kill9();
    site.daemon.start_again();
    assert_eq!(state(&site).as_deref(), Some("grace"));
    site.send(CLIENT, OURS, REMOTE).assert_accepted();
    // It starts from zero, and the very finding that made the case makes the
    // next one at once: as many messages as the first time, not twice as many.
    let (again, refusal) = passed(&site, 100);
    refusal.assert_tempfail();
    assert!((1..=usual + 1).contains(&again), "{again} passed in grace, {usual} at first");
    assert_eq!(state(&site).as_deref(), Some("restricted"));
}

#[test]
fn what_was_refused_is_told_and_the_history_has_it_all() {
    let mut site = Site::start();
    site.take_over(CLIENT);
    for n in 0..5 {
        site.send(CLIENT, &odd(20 + n), REMOTE).assert_tempfail();
    }
    let lifted = unblock(&site, &["--force", "--grace", "2h"]).done();
    // Whoever lifts it knows what comes back: what the client will retry.
    assert!(lifted.stdout.contains("refused since: 6"), "{lifted:#?}");
    assert!(lifted.stdout.contains("again"), "{lifted:#?}");
    site.daemon.kill9();
    site.daemon.start_again();
    let kinds = || -> Vec<String> {
        let entries = site.daemon.json(&["history", ENTITY]);
        let entries = entries.as_array().expect("an array").clone();
        entries.iter().map(|it| it["what"].as_str().unwrap_or_default().to_owned()).collect()
    };
    wait_for(
        "the history",
        SOON,
        || format!("{:?}", kinds()),
        || Some(()).filter(|()| kinds().iter().any(|it| it == "lifted")),
    );
    assert!(kinds().iter().any(|it| it == "restricted"), "{:?}", kinds());
    let history = site.daemon.cli(&["history", ENTITY]).done().stdout;
    assert!(history.contains("password changed"), "{history}");
}
