#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use crate::maillog::{Peer, Status};
use proptest::prelude::*;

const LOOPBACK: &str = "127.0.0.1";
const FAR: &str = "192.0.2.25";

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// A delivery of `queue_id` to the host at `relay`, which replied `reply`.
fn sent<'a>(queue_id: &'a str, relay: &str, text: &'a str) -> Attempt<'a> {
    Attempt {
        queue_id,
        to: "rcpt@example.net",
        original_to: None,
        relay: Some(Peer { name: "relay.test", address: ip(relay), port: Some(25) }),
        dsn: "2.0.0",
        status: Status::Sent,
        text,
    }
}

fn result(root: &str) -> Step {
    Step::Result { root: root.into() }
}

fn handed_on(next: &str) -> Step {
    Step::HandedOn { next: Some(next.into()) }
}

#[test]
fn a_message_without_a_filter_is_its_own_root() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    assert_eq!(trail.attempt(&sent("A00001", FAR, "250 2.0.0 Ok")), result("A00001"));
    assert!(!trail.is_derived("A00001"));
    assert_eq!(trail.removed("A00001", at(2)), Some("A00001".into()));
    // A line that is there twice.
    assert_eq!(trail.removed("A00001", at(2)), None);
    // A log that begins in the midst of a message.
    assert_eq!(trail.attempt(&sent("E00009", FAR, "250 2.0.0 Ok")), result("E00009"));
    assert_eq!(trail.removed("E00009", at(4)), Some("E00009".into()));
}

#[test]
fn what_a_filter_hands_back_is_the_same_message() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    trail.came("B00002", ip(LOOPBACK), None, at(1));
    let step = trail.attempt(&sent("A00001", LOOPBACK, "250 2.0.0 Ok: queued as B00002"));
    assert_eq!(step, handed_on("B00002"));
    assert_eq!(trail.removed("A00001", at(1)), None);
    assert!(trail.is_derived("B00002"));
    assert_eq!(
        trail.attempt(&sent("B00002", FAR, "250 2.0.0 Ok: queued as C00003")),
        result("A00001")
    );
    assert_eq!(trail.removed("B00002", at(2)), Some("A00001".into()));
}

#[test]
fn each_recipient_may_go_through_the_filter_alone() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    for next in ["B00002", "C00003"] {
        trail.came(next, ip(LOOPBACK), None, at(1));
        let reply = format!("250 2.0.0 Ok: queued as {next}");
        assert_eq!(trail.attempt(&sent("A00001", LOOPBACK, &reply)), handed_on(next));
        // Two recipients in one go are logged twice.
        assert_eq!(trail.attempt(&sent("A00001", LOOPBACK, &reply)), handed_on(next));
    }
    assert_eq!(trail.removed("A00001", at(1)), None);
    assert_eq!(trail.removed("B00002", at(2)), None);
    assert_eq!(trail.removed("C00003", at(2)), Some("A00001".into()));
}

#[test]
fn a_filter_that_passes_on_the_queue_id_need_not_tell_the_new_one() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    trail.came("B00002", ip(LOOPBACK), Some("A00001"), at(1));
    assert_eq!(trail.attempt(&sent("B00002", FAR, "250 2.0.0 Ok")), result("A00001"));
    assert_eq!(trail.removed("B00002", at(1)), None);
    let step = trail.attempt(&sent("A00001", LOOPBACK, "250 2.0.0 Ok"));
    assert_eq!(step, Step::HandedOn { next: None });
    // What did not go through the filter.
    assert_eq!(trail.attempt(&sent("A00001", FAR, "250 2.0.0 Ok")), result("A00001"));
    assert_eq!(trail.removed("A00001", at(2)), Some("A00001".into()));
}

#[test]
fn xforward_ties_at_once() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    trail.came("B00002", ip(LOOPBACK), Some("A00001"), at(1));
    assert_eq!(trail.attempt(&sent("B00002", FAR, "250 2.0.0 Ok")), result("A00001"));
    assert_eq!(trail.removed("B00002", at(2)), None);
    let step = trail.attempt(&sent("A00001", LOOPBACK, "250 2.0.0 Ok: queued as B00002"));
    assert_eq!(step, handed_on("B00002"));
    assert_eq!(trail.removed("A00001", at(3)), Some("A00001".into()));
    // A queue id of another host is none of ours.
    trail.came("D00004", ip(FAR), Some("F00000"), at(4));
    assert!(!trail.is_derived("D00004"));
}

#[test]
fn a_filter_that_is_done_before_its_reply_is_logged() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    trail.came("B00002", ip(LOOPBACK), None, at(1));
    assert_eq!(trail.attempt(&sent("B00002", FAR, "250 2.0.0 Ok")), result("B00002"));
    assert_eq!(trail.removed("B00002", at(1)), Some("B00002".into()));
    let step = trail.attempt(&sent("A00001", LOOPBACK, "250 2.0.0 Ok: queued as B00002"));
    assert_eq!(step, handed_on("B00002"));
    assert_eq!(trail.removed("A00001", at(2)), Some("A00001".into()));
}

#[test]
fn a_stranger_s_reply_ties_nothing_that_is_not_his() {
    let mut trail = Trail::default();
    trail.came("F00001", ip("198.51.100.7"), None, at(0));
    trail.came("A00001", ip("198.51.100.6"), None, at(1));
    trail.came("F00002", ip("198.51.100.7"), None, at(2));
    for victim in ["F00001", "F00002", "A00001"] {
        let reply = format!("250 2.0.0 Ok: queued as {victim}");
        assert_eq!(trail.attempt(&sent("A00001", FAR, &reply)), result("A00001"), "{victim}");
        assert!(!trail.is_derived(victim));
    }
    // A filter on another host of ours gives back what it got.
    trail.came("B00002", ip(FAR), None, at(4));
    let step = trail.attempt(&sent("A00001", FAR, "250 2.0.0 Ok: queued as B00002"));
    assert_eq!(step, handed_on("B00002"));
}

#[test]
fn a_way_back_that_was_not_logged_says_nothing() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    let step = trail.attempt(&sent("A00001", LOOPBACK, "250 2.0.0 Ok: queued as B00002"));
    assert_eq!(step, Step::HandedOn { next: None });
}

#[test]
fn what_an_alias_sends_on_is_nobody_s() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    let local = Attempt { relay: None, ..sent("A00001", FAR, "forwarded as B00002") };
    assert_eq!(trail.attempt(&local), Step::Expanded { next: "B00002".into() });
    assert!(trail.is_derived("B00002"));
    assert_eq!(trail.attempt(&sent("B00002", FAR, "250 2.0.0 Ok")), result("B00002"));
    assert_eq!(trail.removed("A00001", at(2)), Some("A00001".into()));
}

#[test]
fn a_queue_id_that_comes_again_is_another_message() {
    let mut trail = Trail::default();
    trail.came("A00001", ip(FAR), None, at(0));
    trail.came("B00002", ip(LOOPBACK), Some("A00001"), at(1));
    assert_eq!(trail.removed("A00001", at(1)), None);
    trail.came("A00001", ip(FAR), None, at(2));
    // Its results belong to the first message, which has no name any more.
    assert_eq!(trail.attempt(&sent("B00002", FAR, "250 2.0.0 Ok")), result("B00002"));
    assert_eq!(trail.removed("B00002", at(3)), None);
    assert_eq!(trail.removed("A00001", at(4)), Some("A00001".into()));
}

#[test]
fn removed_files_are_forgotten_and_the_oldest_make_room() {
    let mut trail = Trail::with_room_for(4);
    for n in 0..100 {
        trail.came(&format!("A{n:05}"), ip(FAR), None, at(n));
    }
    assert_eq!(trail.len(), 4);
    let mut trail = Trail::with_room_for(1000);
    trail.came("FEED00", ip(FAR), None, at(0));
    for n in 0..10_000 {
        let queue_id = format!("A{n:05}");
        trail.came(&queue_id, ip(FAR), None, at(10 * n));
        assert_eq!(trail.removed(&queue_id, at(10 * n)).as_deref(), Some(queue_id.as_str()));
    }
    assert!(trail.len() < 70, "{}", trail.len());
    assert_eq!(trail.places.len(), trail.len());
}

proptest! {
    /// Whatever lines come in whatever order: a root is found, and what was tied
    /// is counted back to zero when everything is removed.
    #[test]
    fn any_lines(steps in proptest::collection::vec((0_u8..4, 0_u8..6, 0_u8..6, any::<bool>()), 0..200)) {
        let mut trail = Trail::with_room_for(5);
        for (n, (what, this, other, near)) in steps.into_iter().enumerate() {
            let now = at(n as u64 * 60);
            let (this, other) = (format!("ABCDE{this}"), format!("ABCDE{other}"));
            let from = if near { LOOPBACK } else { FAR };
            match what {
                0 => { trail.came(&this, ip(from), near.then_some(other.as_str()), now); }
                1 => { trail.removed(&this, now); }
                2 => { trail.attempt(&sent(&this, from, &format!("250 2.0.0 Ok: queued as {other}"))); }
                _ => { trail.attempt(&sent(&this, from, &format!("forwarded as {other}"))); }
            }
            let _ = trail.root(&this);
            prop_assert!(trail.len() <= 6);
        }
        for n in 0..6 {
            trail.removed(&format!("ABCDE{n}"), at(1_000_000));
        }
        prop_assert!(trail.files.of(&Stage::There).next().is_none());
        prop_assert_eq!(trail.places.len(), trail.len(), "each has a queue id of its own");
    }
}
