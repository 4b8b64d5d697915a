//! Mail and delivery results from many threads: every trial and every message
//! counts once.

use crate::harness::*;
use connguard::{
    connector::Entity,
    engine::Feedback,
    message::Outcome,
    record::{Actor, Event, Record, SignalName, Unit},
    tally::Tally,
    verdict::Mode,
};
use std::{collections::HashSet, sync::atomic::Ordering::SeqCst, time::Duration};

#[test]
fn no_trial_and_no_count_is_lost() {
    const EACH: u64 = 300;
    within_a_minute(|| {
        let engine = engine(None);
        let work = |thread: u64| {
            (0..EACH)
                .map(|n| {
                    // A neighbour's doings, and a reload, make no difference.
                    if n % 30 == thread {
                        engine.sweep(START);
                        drop(engine.reload(settings(Mode::Enforce, None, false), START));
                        let _ = engine.block(block(9), anna(), START);
                        engine.unblock(&entity(9), "done", None, anna(), START);
                    }
                    let to: Vec<String> =
                        (0..10).map(|to| format!("{thread}.{n}.{to}@remote.test")).collect();
                    let (sender, queue_id) = ("a@example.org", "4A");
                    Mail { login: 0, sender, queue_id, to: &to, now: START }.send(&engine)
                })
                .collect::<Vec<_>>()
        };
        let seen = sum(at_once(THREADS, work).concat());
        let all = THREADS * EACH;
        assert_eq!(seen, Seen { passed: all, accepted: 10 * all, ..Seen::default() });
        let tally = tally(&engine, 0);
        let totals = tally.counters.totals();
        assert_eq!((totals.messages, totals.recipients), (all, 10 * all));
        assert_eq!(tally.messages.estimate(START), all);
        assert_eq!(tally.recipients.estimate(START), 10 * all);
        assert_eq!(tally.signals().volume.level(Unit::Messages, START), all as f32);
        // Every message went to strangers, and the score never came back to 0.
        let crowds = finding(&engine, 0, SignalName::UnknownCrowds, START);
        assert_eq!((u64::from(crowds.bad), u64::from(crowds.of)), (all, all));
        assert_eq!(engine.counters().messages.load(SeqCst), all);
        assert_eq!(engine.counters().recipients.load(SeqCst), 10 * all);
    });
}

#[test]
fn of_messages_that_tip_the_scale_together_the_last_is_refused() {
    const ROUNDS: u64 = 150;
    within_a_minute(|| {
        let engine = engine(None);
        let mut cases = HashSet::new();
        let organization = Entity::Organization("".into());
        for round in 0..ROUNDS {
            // Some rounds with one message a thread, others with many.
            let (threads, each) = if round % 2 == 0 { (8, 1) } else { (THREADS, 10) };
            let odd = |thread: u64| {
                (0..each)
                    .map(|n| {
                        let sender = format!("a@odd-{round}-{thread}-{n}.test");
                        let (to, queue_id) = (&one_recipient(), "4A");
                        Mail { login: round, sender: &sender, queue_id, to, now: START }
                            .send(&engine)
                    })
                    .collect::<Vec<_>>()
            };
            let seen = sum(at_once(threads, odd).concat());
            let all = threads * each;
            assert_eq!(seen.accepted + seen.refused, all, "round {round}");
            assert!(seen.refused > 0, "round {round}: the last one saw no Z");
            let in_hand = threads - 1;
            assert!(seen.passed <= ENOUGH + in_hand, "round {round}: {seen:?}");
            let totals = tally(&engine, round).counters.totals();
            assert_eq!((totals.messages, totals.refused), (seen.passed, seen.refused));

            let mut records = engine.table().changes().take(Duration::ZERO).records;
            // With the third one, their organization is restricted too.
            records.retain(|record| record.event.entity() == &entity(round));
            let [Record { event: Event::Restricted(restriction), .. }] = &records[..] else {
                panic!("round {round}: {records:?}");
            };
            assert!(cases.insert(restriction.case), "round {round}: {restriction:?}");
            let found = &restriction.findings[0];
            assert_eq!((found.signal, found.bad), (SignalName::UnregisteredSender, found.of));
            assert!((5..=all).contains(&found.bad.into()), "round {round}: {found:?}");
            // What we refused is no evidence, also of those that came together.
            let rest = engine.findings(
                entity(round).as_connector().unwrap(),
                &tally(&engine, round),
                START,
            );
            assert_eq!(rest, [], "round {round}");
            engine.unblock(
                &organization,
                "the next one",
                Some(Duration::ZERO),
                Actor::Daemon,
                START,
            );
            engine.table().changes().take(Duration::ZERO);
        }
    });
}

#[test]
fn results_from_many_threads_all_count_once_and_nothing_stays_in_flight() {
    const ROUNDS: u64 = 40;
    const PAIRS: u64 = 10;
    within_a_minute(|| {
        let engine = engine(Some(u32::MAX));
        engine.set_feedback(Feedback::Coming);
        for round in 0..ROUNDS {
            let to = one_recipient();
            let accepted = |id: &str| {
                let (sender, queue_id) = ("a@example.org", id);
                let mail = Mail { login: round, sender, queue_id, to: &to, now: START };
                assert_eq!(mail.send(&engine).passed, 1);
            };
            let told = |id: String, outcome| {
                accepted(&id);
                deliver(&engine, &id, &to[0], outcome, START);
                // A retry tells nothing new.
                deliver(&engine, &id, &to[0], outcome, START);
            };
            for n in 0..8 {
                told(format!("{round}-{n}"), Outcome::Refused);
            }
            at_once(THREADS, |thread| {
                for n in 0..PAIRS {
                    told(format!("{round}-{thread}-{n}-r"), Outcome::Refused);
                    told(format!("{round}-{thread}-{n}-d"), Outcome::Delivered);
                    engine.sweep(START);
                }
                // A deferred recipient is heard of, and speaks for nobody.
                told(format!("{round}-{thread}-later"), Outcome::Deferred);
            });
            assert_eq!(tally(&engine, round).in_flight(), 0, "round {round}");
            let pairs = (THREADS * PAIRS) as f32;
            let score = (8.0 + pairs) * 2.5_f32.ln() + pairs * (0.25_f32 / 0.7).ln();
            let found = finding(&engine, round, SignalName::MostRefused, START);
            assert!((found.score - score).abs() < 1e-3, "{} instead of {score}", found.score);
            let bad = 8 + THREADS * PAIRS;
            assert_eq!((u64::from(found.bad), u64::from(found.of)), (bad, bad + THREADS * PAIRS));
        }
    });
}

#[test]
fn what_is_never_heard_of_lands_once() {
    const EACH: u64 = 200;
    within_a_minute(|| {
        let engine = engine(Some(u32::MAX));
        engine.set_feedback(Feedback::Coming);
        let to = one_recipient();
        for round in 0..10 {
            at_once(THREADS, |thread| {
                for n in 0..EACH {
                    let id = format!("{thread}-{n}");
                    let mail = Mail {
                        login: 0,
                        sender: "a@example.org",
                        queue_id: &id,
                        to: &to,
                        now: after(round * 1000),
                    };
                    mail.send(&engine);
                    if n % 7 == 0 {
                        // Postfix uses a queue id again.
                        mail.send(&engine);
                    }
                }
            });
            engine.take_in_deliveries();
            assert_eq!(u64::from(tally(&engine, 0).in_flight()), THREADS * EACH);
            // The clock, late results, and the end of results side by side.
            at_once(THREADS, |thread| {
                let late = after(round * 1000 + 600);
                match thread {
                    0 => engine.sweep(late),
                    1 if round % 2 == 0 => {
                        engine.set_feedback(Feedback::Off);
                        engine.set_feedback(Feedback::Coming);
                    }
                    _ => {
                        for n in 0..EACH {
                            let id = format!("{thread}-{n}");
                            deliver(&engine, &id, &to[0], Outcome::Delivered, late);
                        }
                    }
                }
            });
            assert_eq!(tally(&engine, 0).in_flight(), 0, "round {round}");
        }
    });
}

/// Bad and all trials of unknown crowds that are committed and pending.
fn trials(tally: &Tally) -> (f32, f32) {
    let image = serde_json::to_value(tally.image()).unwrap();
    let rows = image["signals"]["trials"]["plain"].as_array().unwrap();
    let crowds = &rows.iter().find(|row| row[0] == "unknown_crowds").unwrap()[1];
    let of = |part: &str| {
        let word = crowds[part].as_u64().unwrap();
        let half = |bits: u64| f32::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap());
        (half(word >> 32), half(word))
    };
    let (committed, pending) = (of("committed"), of("pending"));
    (committed.0 + pending.0, committed.1 + pending.1)
}

#[test]
fn a_day_ends_once_and_loses_no_trial() {
    const EACH: u64 = 100;
    within_a_minute(|| {
        let engine = engine(Some(u32::MAX));
        for round in 0..20 {
            let midnight = DAY / 2;
            at_once(THREADS, |thread| {
                for n in 0..EACH {
                    // One thread writes to a crowd now and then.
                    let count = if thread == 0 && n % 20 == 0 { 10 } else { 1 };
                    let to: Vec<String> =
                        (0..count).map(|to| format!("{n}.{to}@remote.test")).collect();
                    let now = after(midnight - EACH / 2 + n);
                    let (sender, queue_id) = ("a@example.org", "4A");
                    let mail = Mail { login: round, sender, queue_id, to: &to, now };
                    assert_eq!(mail.send(&engine).passed, 1);
                }
            });
            let tally = tally(&engine, round);
            assert_eq!(tally.days_learned(), 1, "round {round}");
            let all = (THREADS * EACH) as f32;
            assert_eq!(trials(&tally), ((EACH / 20) as f32, all), "round {round}");
        }
    });
}
