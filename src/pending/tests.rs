#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]
mod model;

use super::*;
use crate::message::Outcome;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

/// Hashes that differ in more than their lowest bits.
fn hash(recipient: u64) -> u64 {
    recipient << 2
}

fn list(recipients: &[u64]) -> Recipients {
    recipients.iter().map(|it| hash(*it)).collect()
}

/// A message that has its slot at once.
fn take<T: Clone + Sharer>(
    pending: &Pending<T>,
    queue_id: &str,
    owner: T,
    recipients: Recipients,
    count: u32,
    at: Timestamp,
) -> Vec<T> {
    let queue_id = queue_id.into();
    let mut landed = pending.leave(Accepted { queue_id, owner, recipients, count, at });
    landed.extend(pending.take_in());
    landed
}

/// A message of `owner` under `queue_id` to some recipients at `seconds`.
fn accept(
    pending: &Pending<&'static str>,
    queue_id: &str,
    owner: &'static str,
    recipients: &[u64],
    seconds: u64,
) -> Vec<&'static str> {
    let count = u32::try_from(recipients.len()).unwrap();
    take(pending, queue_id, owner, list(recipients), count, at(seconds))
}

impl Sharer for &'static str {
    fn share(&self) -> u64 {
        self.bytes().map(u64::from).sum()
    }
}

/// Two who share the table.
impl Sharer for u32 {
    fn share(&self) -> u64 {
        u64::from(self % 2)
    }
}

fn limits(all: (usize, u64)) -> Limits {
    Limits { all, share: all }
}

/// What a result says that is new.
fn hear<T: Clone + Sharer>(
    pending: &Pending<T>,
    queue_id: &str,
    recipient: u64,
    outcome: Outcome,
    now: Timestamp,
) -> Option<News<T>> {
    match pending.result(queue_id, &Report::new(hash(recipient), outcome), now) {
        Heard::News(news) => Some(news),
        Heard::Unknown | Heard::Nothing => None,
    }
}

fn owners<T>(landed: Vec<Landed<T>>) -> Vec<T> {
    landed.into_iter().map(|landed| landed.owner).collect()
}

#[test]
fn what_recipients_have_had_is_told_with_each_result_and_when_time_is_over() {
    let pending = Pending::default();
    assert!(take(&pending, "A1", "erp", list(&[1, 2, 3]), 3, at(0)).is_empty());
    let so_far = |refused: u8, delivered| Results { refused: refused.into(), delivered };
    let first = hear(&pending, "A1", 1, Outcome::Refused, at(1)).unwrap();
    assert_eq!(first.so_far, so_far(1, 0));
    let stranger = hear(&pending, "A1", 9, Outcome::Refused, at(2)).unwrap();
    assert_eq!(stranger.so_far, so_far(1, 0), "whom nobody listed does not count");
    let landed = pending.expire(at(10 * MINUTE));
    assert_eq!(landed, [Landed { owner: "erp", of: 3, so_far: so_far(1, 0) }]);
    let late = hear(&pending, "A1", 2, Outcome::Delivered, at(HOUR)).unwrap();
    assert_eq!((late.so_far, late.on_time), (so_far(1, 1), false));
}

#[test]
fn each_recipient_has_one_first_result_and_the_last_one_lands_the_message() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1, 2], 0).is_empty());
    let first = hear(&pending, "A1", 1, Outcome::Deferred, at(16)).unwrap();
    let expected = News {
        owner: "erp",
        of: 2,
        listed: true,
        last: false,
        on_time: true,
        so_far: Results::default(),
    };
    assert_eq!(first, expected);
    assert!(!first.landed());
    assert_eq!(hear(&pending, "A1", 1, Outcome::Deferred, at(300)), None, "a retry");
    assert_eq!(hear(&pending, "A2", 2, Outcome::Deferred, at(300)), None, "another message");
    assert!(hear(&pending, "A1", 2, Outcome::Deferred, at(300)).unwrap().landed());
    assert!(pending.expire(at(HOUR)).is_empty());
}

#[test]
fn who_is_greylisted_first_is_heard_of_again_once() {
    let pending = Pending::default();
    let so_far = |refused: u8, delivered| Results { refused: refused.into(), delivered };
    assert!(accept(&pending, "A1", "erp", &[1, 2], 0).is_empty());
    assert!(!hear(&pending, "A1", 1, Outcome::Deferred, at(1)).unwrap().last);
    let refused = hear(&pending, "A1", 1, Outcome::Refused, at(5)).unwrap();
    assert!(refused.on_time && !refused.last, "the other one is waited for");
    assert_eq!(refused.so_far, so_far(1, 0));
    assert!(hear(&pending, "A1", 2, Outcome::Deferred, at(6)).unwrap().landed());
    assert_eq!(hear(&pending, "A1", 1, Outcome::Delivered, at(7)), None, "it was decided");
    let late = hear(&pending, "A1", 2, Outcome::Delivered, at(HOUR)).unwrap();
    assert!(!late.on_time && !late.last);
    assert_eq!(late.so_far, so_far(1, 1));
    assert!(pending.is_empty());
}

#[test]
fn what_was_logged_before_a_message_is_of_another_one() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1], 60).is_empty());
    let report =
        |logged| Report { logged: Some(at(logged)), ..Report::new(hash(1), Outcome::Refused) };
    assert_eq!(pending.result("A1", &report(57), at(61)), Heard::Unknown);
    assert_eq!(pending.forget("A1", Some(at(57))), None);
    // Stamps of a log are whole seconds.
    assert!(matches!(pending.result("A1", &report(58), at(61)), Heard::News(_)));
}

#[test]
fn a_message_whose_queue_file_is_gone_is_over() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1, 2, 3], 0).is_empty());
    hear(&pending, "A1", 1, Outcome::Refused, at(1)).unwrap();
    let so_far = Results { refused: 1.0, delivered: 0 };
    let landed = Landed { owner: "erp", of: 3, so_far };
    assert_eq!(pending.forget("A1", None), Some(landed));
    assert_eq!(pending.forget("A1", None), None);
    assert_eq!(
        pending.result("A1", &Report::new(hash(2), Outcome::Refused), at(2)),
        Heard::Unknown
    );
    // One that has landed lands no second time.
    assert!(accept(&pending, "A2", "erp", &[1], 0).is_empty());
    assert_eq!(owners(pending.expire(at(10 * MINUTE))), ["erp"]);
    assert_eq!(pending.forget("A2", None), None);
    assert!(pending.is_empty() && pending.slots.is_empty());
}

#[test]
fn a_flood_of_one_pushes_out_its_own() {
    let pending = Pending::with_limits(Limits { all: (8, 100), share: (3, 10) });
    assert!(accept(&pending, "A1", "erp", &[1], 0).is_empty());
    for flood in 0..3 {
        assert!(accept(&pending, &format!("B{flood}"), "bot", &[1], 1).is_empty());
    }
    for flood in 3..50 {
        assert_eq!(accept(&pending, &format!("B{flood}"), "bot", &[1], 1), ["bot"]);
    }
    assert_eq!(hear(&pending, "A1", 1, Outcome::Refused, at(2)).unwrap().owner, "erp");
    let many: Vec<u64> = (0..9).collect();
    assert_eq!(accept(&pending, "B50", "bot", &many, 3), ["bot", "bot"]);
    // One message may be larger than a share.
    let many: Vec<u64> = (0..30).collect();
    assert_eq!(accept(&pending, "B51", "bot", &many, 3), ["bot", "bot"]);
    assert_eq!(pending.len(), 1);
}

/// The image of all, as it is kept.
fn images<T: Clone + Sharer>(pending: &Pending<T>) -> Vec<Image<T>> {
    let mut number = 0;
    let next = || {
        let (found, image) = pending.image_from(number)?;
        number = found + 1;
        Some(image)
    };
    std::iter::from_fn(next).collect()
}

#[test]
fn it_survives_its_images() {
    let pending = Pending::default();
    for (id, seconds) in [("A1", 0), ("A2", 10), ("A3", 20)] {
        assert!(accept(&pending, id, "erp", &[1, 2, 3], seconds).is_empty());
    }
    hear(&pending, "A2", 1, Outcome::Refused, at(30)).unwrap();
    hear(&pending, "A2", 2, Outcome::Deferred, at(30)).unwrap();
    hear(&pending, "A2", 9, Outcome::Delivered, at(30)).unwrap();
    assert_eq!(owners(pending.expire(at(10 * MINUTE))), ["erp"]);
    let kept = images(&pending);
    let ids: Vec<&str> = kept.iter().map(|image| image.queue_id.as_str()).collect();
    assert_eq!(ids, ["A1", "A2", "A3"]);

    let again = Pending::default();
    for image in &kept {
        assert!(again.restore(image.clone(), at(11 * MINUTE)));
        assert!(!again.restore(image.clone(), at(11 * MINUTE)), "twice");
    }
    assert_eq!(images(&again), kept);
    let now = at(12 * MINUTE);
    for (id, recipient, outcome) in [
        ("A1", 1, Outcome::Delivered),
        ("A2", 1, Outcome::Delivered),
        ("A2", 2, Outcome::Refused),
        ("A2", 3, Outcome::Refused),
        ("A2", 9, Outcome::Refused),
    ] {
        let both = [&pending, &again].map(|it| hear(it, id, recipient, outcome, now));
        assert_eq!(both[0], both[1], "{id} {recipient}");
    }
    assert_eq!(pending.expire(now), again.expire(now));
    // What is too old, or from a future that never was, holds up nobody.
    let late = Pending::default();
    assert!(!late.restore(kept[0].clone(), at(4 * HOUR)));
    let early = at(0).as_millis() - 1_000_000;
    assert!(late.restore(kept[0].clone(), Timestamp::from_millis(early)));
    assert!(late.expire(at(4 * HOUR)).is_empty() && late.is_empty());
}

#[test]
fn after_ten_minutes_a_message_counts_no_longer_but_its_results_are_told_for_four_hours() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1, 2], 0).is_empty());
    assert!(pending.expire(at(10 * MINUTE - 1)).is_empty());
    assert_eq!(owners(pending.expire(at(10 * MINUTE))), ["erp"]);
    assert!(pending.expire(at(11 * MINUTE)).is_empty(), "once");
    let late = hear(&pending, "A1", 1, Outcome::Deferred, at(3 * HOUR)).unwrap();
    assert!(!late.on_time && !late.landed());
    assert_eq!(pending.len(), 1);
    assert_eq!(hear(&pending, "A1", 2, Outcome::Deferred, at(4 * HOUR)), None);
    assert!(pending.expire(at(4 * HOUR)).is_empty());
    assert!(pending.is_empty());
}

#[test]
fn rewritten_recipients_take_the_open_places() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1, 2], 0).is_empty());
    let first = hear(&pending, "A1", 8, Outcome::Deferred, at(1)).unwrap();
    assert!(!first.listed && !first.last);
    assert_eq!(hear(&pending, "A1", 8, Outcome::Deferred, at(2)), None, "a retry");
    assert!(hear(&pending, "A1", 9, Outcome::Deferred, at(3)).unwrap().landed());
    assert_eq!(
        hear(&pending, "A1", 10, Outcome::Deferred, at(4)),
        None,
        "there are only two places"
    );
    assert!(pending.expire(at(10 * MINUTE)).is_empty());
}

#[test]
fn an_added_recipient_hides_no_listed_one() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1], 0).is_empty());
    let archive = hear(&pending, "A1", 7, Outcome::Deferred, at(1)).unwrap();
    assert!(archive.landed() && !archive.listed);
    let refused = hear(&pending, "A1", 1, Outcome::Refused, at(16)).unwrap();
    assert!(refused.listed && !refused.landed());
    assert!(pending.is_empty());
}

#[test]
fn a_recipient_that_stands_twice_is_one() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "erp", &[1, 1, 2], 0).is_empty());
    assert_eq!(hear(&pending, "A1", 1, Outcome::Deferred, at(1)).unwrap().of, 2);
    assert!(hear(&pending, "A1", 2, Outcome::Deferred, at(1)).unwrap().landed());
}

#[test]
fn recipients_need_not_all_be_listed() {
    let pending = Pending::default();
    assert!(take(&pending, "A1", "erp", list(&[]), 2, at(0)).is_empty());
    assert!(!hear(&pending, "A1", 1, Outcome::Deferred, at(1)).unwrap().last);
    assert!(hear(&pending, "A1", 2, Outcome::Deferred, at(1)).unwrap().landed());
    assert_eq!(take(&pending, "A2", "erp", list(&[]), 0, at(0)), ["erp"]);
    assert!(pending.is_empty());
}

#[test]
fn a_queue_id_that_comes_again_is_the_new_message() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "old", &[1], 0).is_empty());
    assert_eq!(accept(&pending, "A1", "new", &[1], 5), ["old"]);
    assert_eq!(hear(&pending, "A1", 1, Outcome::Delivered, at(6)).unwrap().owner, "new");
    assert!(pending.is_empty());
    assert!(pending.expire(at(HOUR)).is_empty());
}

#[test]
fn the_oldest_make_room() {
    let pending = Pending::with_limits(limits((3, 10)));
    assert!(accept(&pending, "A1", "one", &[1, 2], 0).is_empty());
    assert!(accept(&pending, "A2", "two", &[1], 1).is_empty());
    assert!(accept(&pending, "A3", "three", &[1], 2).is_empty());
    assert_eq!(accept(&pending, "A4", "four", &[1], 3), ["one"]);
    assert_eq!(pending.len(), 3);
    let many: Vec<u64> = (0..9).collect();
    assert_eq!(accept(&pending, "A5", "five", &many, 4), ["two", "three"]);
    assert_eq!(pending.len(), 2);
    // What is no longer in flight goes first, and lowers nothing.
    assert_eq!(owners(pending.expire(at(10 * MINUTE + 3))), ["four"]);
    assert!(accept(&pending, "A6", "six", &[1], 10 * MINUTE + 3).is_empty());
    assert_eq!(hear(&pending, "A4", 1, Outcome::Deferred, at(10 * MINUTE + 4)), None);
}

#[test]
fn nothing_stays_in_flight_when_results_stop_coming() {
    let pending = Pending::default();
    assert!(accept(&pending, "A1", "late", &[1], 0).is_empty());
    assert_eq!(owners(pending.expire(at(10 * MINUTE))), ["late"]);
    assert!(accept(&pending, "A2", "erp", &[1], 11 * MINUTE).is_empty());
    assert!(accept(&pending, "A3", "crm", &[1], 11 * MINUTE).is_empty());
    assert_eq!(pending.clear(), ["erp", "crm"]);
    assert!(pending.is_empty());
    assert_eq!(hear(&pending, "A2", 1, Outcome::Deferred, at(12 * MINUTE)), None);
}

#[test]
fn threads_land_every_message_once() {
    const THREADS: u32 = 4;
    const EACH: u32 = 5_000;
    let pending: Pending<u32> = Pending::with_limits(limits((50, 200)));
    let landed: Vec<AtomicU32> = (0..THREADS * EACH).map(|_| AtomicU32::new(0)).collect();
    let seconds = AtomicU64::new(0);
    let land = |owners: Vec<u32>| {
        for owner in owners {
            landed[owner as usize].fetch_add(1, Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pending, land, seconds) = (&pending, &land, &seconds);
            scope.spawn(move || {
                for number in 0..EACH {
                    let owner = thread * EACH + number;
                    let now = at(seconds.fetch_add(1, Relaxed));
                    // Threads share queue ids, as if Postfix used them again.
                    let queue_id = format!("Q{}", number % 70);
                    let count = number % 4;
                    let recipients: Vec<u64> = (0..count.into()).collect();
                    land(take(&pending, &queue_id, owner, list(&recipients), count, now));
                    for recipient in recipients.iter().chain(&[9]) {
                        let id = format!("Q{}", number.wrapping_sub(thread) % 70);
                        let outcome =
                            if number % 3 == 0 { Outcome::Deferred } else { Outcome::Refused };
                        if let Some(news) = hear(pending, &id, *recipient, outcome, now) {
                            land(news.landed().then_some(news.owner).into_iter().collect());
                        }
                    }
                    if number % 64 == 0 {
                        land(owners(pending.expire(now)));
                    }
                    if number % 16 == 7 {
                        let id = format!("Q{}", number % 70);
                        land(owners(pending.forget(&id, None).into_iter().collect()));
                    }
                    if number % 1024 == 1023 {
                        land(pending.clear());
                    }
                }
            });
        }
    });
    land(pending.clear());
    assert!(landed.iter().all(|times| times.load(Relaxed) == 1));
    assert!(pending.is_empty() && pending.slots.is_empty());
    assert_eq!(pending.lock().recipients, 0);
}
