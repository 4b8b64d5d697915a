//! The promises in the head of `known.rs`, at the size of a toy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use super::*;
use proptest::prelude::*;
use std::{collections::HashMap, sync::Barrier};

const SPAN: Duration = Duration::from_hours(1);

/// Three layers of 1,000, 2,000 and 4,000 pairs, no cap.
fn small() -> Params {
    Params { first_layer: 1000, per_connector: u32::MAX, ..Params::new(SPAN, 7000) }
}

/// So many spans after some moment.
fn at(spans: f64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000).plus(SPAN.mul_f64(spans + 10.0))
}

/// Puts in pairs of `connector` until `done`.
fn fill(memory: &Memory, connector: u64, now: Timestamp, done: impl Fn(&Memory) -> bool) {
    let share = Share::default();
    for recipient in 0.. {
        if done(memory) {
            return;
        }
        memory.insert(pair(connector, recipient), &share, now);
    }
}

/// The share of pairs that were never put in and look known.
fn error_rate(memory: &Memory, now: Timestamp) -> f64 {
    const ASKED: u32 = 60_000;
    let known =
        (0..ASKED).filter(|number| memory.contains(pair(999, (*number).into()), now)).count();
    known as f64 / f64::from(ASKED)
}

#[test]
fn with_everything_full_one_in_a_hundred_new_pairs_looks_known() {
    let memory = Memory::new(small());
    assert_eq!(error_rate(&memory, at(0.0)), 0.0);
    fill(&memory, 1, at(0.0), |memory| memory.pairs() == 1000);
    let first = error_rate(&memory, at(0.0));
    assert!(first < 0.002, "{first} with a fourteenth of its pairs");
    fill(&memory, 1, at(0.0), |memory| memory.fill() >= 1.0);
    let half = error_rate(&memory, at(0.0));
    assert!((0.003..0.007).contains(&half), "{half} with one generation full");
    fill(&memory, 2, at(1.5), |memory| memory.pairs() == 14_000);
    let full = error_rate(&memory, at(1.5));
    assert!((0.007..0.013).contains(&full), "{full} with both full");
}

#[test]
fn a_pair_is_known_for_a_span_and_forgotten_after_two() {
    for (first, again) in [(0.0, 0.0), (0.3, 1.2), (0.9, 1.1), (0.5, 1.99), (0.0, 2.5)] {
        let memory = Memory::new(small());
        let share = Share::default();
        memory.insert(pair(1, 1), &share, at(0.0));
        memory.insert(pair(1, 2), &share, at(first));
        // Other mail, at which generations may step.
        memory.insert(pair(1, 3), &share, at(again));
        assert!(memory.contains(pair(1, 3), at(again + 1.0)), "{first}, {again}");
        assert!(!memory.contains(pair(1, 3), at(again + 2.0)), "{first}, {again}");
        assert!(!memory.contains(pair(1, 2), at(first + 2.0)), "{first}, {again}");
        assert!(!memory.contains(pair(2, 3), at(again)), "another connector wrote to it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn nothing_of_the_last_span_is_forgotten(
        mail in prop::collection::vec((0_u64..120, 0.0_f64..0.05), 1..300),
    ) {
        let memory = Memory::new(small());
        let share = Share::default();
        let mut last = HashMap::new();
        let mut now = 0.0;
        for (recipient, later) in mail {
            now += later;
            memory.insert(pair(1, recipient), &share, at(now));
            last.insert(recipient, now);
            for (recipient, written) in &last {
                let known = memory.contains(pair(1, *recipient), at(now));
                if now - written < 0.999 {
                    prop_assert!(known, "{recipient}, last at {written}, unknown at {now}");
                } else if now - written > 2.001 {
                    prop_assert!(!known, "{recipient}, last at {written}, known at {now}");
                }
            }
        }
    }
}

#[test]
fn a_regular_recipient_is_known_for_ever() {
    let memory = Memory::new(small());
    let share = Share::default();
    for letter in 0..40 {
        let now = at(f64::from(letter) * 0.9);
        assert_eq!(memory.contains(pair(1, 1), now), letter > 0, "letter {letter}");
        memory.insert(pair(1, 1), &share, now);
    }
}

#[test]
fn one_connector_cannot_fill_it_for_all() {
    let memory = Memory::new(Params { per_connector: 100, ..small() });
    let (greedy, other) = (Share::default(), Share::default());
    for spans in [0.0, 0.5, 1.5] {
        for recipient in 0..5000 {
            memory.insert(pair(1, recipient), &greedy, at(spans));
        }
    }
    // A hundred in each of two generations, and its first ones at that.
    assert_eq!(memory.pairs(), 200);
    assert!((0..100).all(|recipient| memory.contains(pair(1, recipient), at(1.5))));
    assert!(!memory.contains(pair(1, 4000), at(1.5)), "what is beyond goes on looking new");
    memory.insert(pair(2, 1), &other, at(1.5));
    assert!(memory.contains(pair(2, 1), at(1.5)));
}

#[test]
fn known_recipients_cost_no_share() {
    let memory = Memory::new(Params { per_connector: 2, ..small() });
    let share = Share::default();
    for recipient in [1, 1, 1, 2, 1, 2, 3] {
        memory.insert(pair(1, recipient), &share, at(0.0));
    }
    assert!(memory.contains(pair(1, 2), at(0.0)));
    assert!(!memory.contains(pair(1, 3), at(0.0)));
    assert_eq!(memory.pairs(), 2);
}

#[test]
fn when_it_is_full_the_next_generation_begins_early() {
    let memory = Memory::new(small());
    let share = Share::default();
    fill(&memory, 1, at(0.0), |memory| memory.fill() >= 1.0);
    memory.insert(pair(2, 1), &share, at(0.1));
    assert!(memory.fill() < 0.01);
    assert!(memory.contains(pair(1, 0), at(0.1)) && memory.contains(pair(2, 1), at(0.1)));
    assert!(memory.contains(pair(1, 0), at(1.05)), "the span begins anew");
    assert!(!memory.contains(pair(1, 0), at(1.15)));
}

#[test]
fn time_that_goes_back_forgets_nothing() {
    let memory = Memory::new(small());
    let share = Share::default();
    memory.insert(pair(1, 1), &share, at(0.0));
    memory.insert(pair(1, 2), &share, at(1.01));
    for spans in [1.0, 0.99, 0.5, 0.1] {
        memory.insert(pair(1, 3), &share, at(spans));
        assert!((1..=3).all(|recipient| memory.contains(pair(1, recipient), at(spans))));
    }
    assert!((2..=3).all(|recipient| memory.contains(pair(1, recipient), at(1.99))));
}

#[test]
fn a_clock_that_was_years_ahead_does_not_stop_forgetting() {
    let memory = Memory::new(small());
    let share = Share::default();
    memory.insert(pair(1, 1), &share, at(10_000.0));
    memory.insert(pair(1, 2), &share, at(0.0));
    assert!((1..=2).all(|recipient| memory.contains(pair(1, recipient), at(0.5))));
    assert!((1..=2).all(|recipient| !memory.contains(pair(1, recipient), at(2.0))));
}

/// Four threads put in 5,000 pairs each, the first ones at the same moment.
fn hammer(memory: &Memory, now: Timestamp) {
    let (barrier, share) = (Barrier::new(4), Share::default());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (barrier, share) = (&barrier, &share);
            scope.spawn(move || {
                barrier.wait();
                for recipient in thread * 5000..(thread + 1) * 5000 {
                    memory.insert(pair(1, recipient), share, now);
                    assert!(memory.contains(pair(1, recipient), now));
                }
            });
        }
    });
}

#[test]
fn threads_lose_nothing_while_layers_and_generations_are_made() {
    let params = Params { first_layer: 50, ..Params::new(SPAN, 100_000) };
    let memory = Memory::new(Params { per_connector: u32::MAX, ..params });
    // The first pair ever, after a span, after a long idle time.
    for spans in [0.0, 1.2, 7.0] {
        hammer(&memory, at(spans));
        let now = at(spans + 0.5);
        assert!((0..20_000).all(|recipient| memory.contains(pair(1, recipient), now)));
        // How many depends on how long the threads that made them were kept.
        assert!(memory.state.load().present.layers().count() > 2);
    }
}

#[test]
fn threads_exceed_the_cap_by_one_pair_each_at_most() {
    let memory = Memory::new(Params { per_connector: 500, ..small() });
    let share = Share::default();
    memory.insert(pair(1, 0), &share, at(0.0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (memory, share) = (&memory, &share);
            scope.spawn(move || {
                for recipient in thread * 1000..(thread + 1) * 1000 {
                    memory.insert(pair(1, recipient), share, at(0.0));
                }
            });
        }
    });
    assert!((500..=503).contains(&memory.pairs()), "{} pairs", memory.pairs());
}

/// A memory with several layers in both generations.
fn used() -> Memory {
    let memory = Memory::new(small());
    fill(&memory, 1, at(0.0), |memory| memory.pairs() == 5000);
    fill(&memory, 2, at(1.2), |memory| memory.pairs() == 6500);
    memory
}

#[test]
fn after_a_restart_every_answer_is_the_same() {
    let before = used();
    let image = before.image();
    let bytes = postcard::to_stdvec(&image).unwrap();
    assert!(bytes.len() < before.bytes() + 200, "{} octets", bytes.len());
    let json = serde_json::to_string(&image).unwrap();
    assert_eq!(serde_json::from_str::<Image>(&json).unwrap(), image);
    let after = Memory::new(small());
    after.restore(postcard::from_bytes(&bytes).unwrap()).unwrap();
    assert_eq!(after.image(), image);
    assert_eq!((after.pairs(), after.fill()), (before.pairs(), before.fill()));
    let share = Share::default();
    for memory in [&before, &after] {
        // Both go on, over the end of the span too.
        memory.insert(pair(3, 1), &share, at(1.3));
        memory.insert(pair(3, 2), &share, at(2.1));
    }
    for spans in [1.3, 1.9, 2.1, 3.0, 4.5] {
        for connector in 1..5 {
            for recipient in 0..1000 {
                let pair = pair(connector, recipient);
                let answers = [&before, &after].map(|memory| memory.contains(pair, at(spans)));
                assert_eq!(answers[0], answers[1], "{connector}, {recipient} at {spans}");
            }
        }
    }
}

#[test]
fn an_empty_memory_survives_too() {
    let memory = Memory::new(small());
    memory.restore(Memory::new(small()).image()).unwrap();
    memory.insert(pair(1, 1), &Share::default(), at(0.0));
    assert!(memory.contains(pair(1, 1), at(0.0)));
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    type Spoil = fn(&mut Image);
    let spoilt: [(Spoil, &str); 5] = [
        (
            |image| image.check = 1,
            "they were filled by other hash functions (check value 0000000000000001, here ",
        ),
        (
            |image| image.present.layers[0].capacity = 999,
            "the capacity of filter 1 of the present generation is 999, here 1000",
        ),
        (
            |image| image.old.layers[1].hashes = 3,
            "the number of hashes of filter 2 of the old generation is 3, here ",
        ),
        (
            |image| image.old.layers[2].bits.0.truncate(8),
            "the size in octets of filter 3 of the old generation is ",
        ),
        (
            |image| {
                let layer = image.old.layers[0].clone();
                image.old.layers.push(layer);
            },
            "the old generation has 4 filters, here it has 3 at most",
        ),
    ];
    for (spoil, message) in spoilt {
        let mut image = used().image();
        spoil(&mut image);
        let memory = Memory::new(small());
        let error = memory.restore(image).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
        assert_eq!(memory.pairs(), 0);
    }
    let larger = Memory::new(Params { largest: 8000, ..small() });
    assert!(matches!(larger.restore(used().image()), Err(RestoreError::Layer { .. })));
}

#[test]
fn what_is_on_disk_fits_the_hash_functions_of_today() {
    // A change here means that every filter on disk starts empty.
    assert_eq!(Memory::new(small()).image().check, 11_665_024_129_551_763_354);
    assert_eq!(pair(1, 2), 0x081a_5c13_7785_6b73);
}

#[test]
fn connector_and_recipient_are_not_interchangeable() {
    assert_ne!(pair(1, 2), pair(2, 1));
    assert_ne!(pair(0, 0), 0);
}

#[test]
fn an_unused_memory_is_small() {
    let known = Known::default();
    assert_eq!(known.recipients.bytes() + known.recent.bytes(), 0);
    let share = Share::default();
    known.recipients.insert(pair(1, 1), &share, at(0.0));
    known.recent.insert(pair(1, 1), &Share::default(), at(0.0));
    assert!(known.recipients.bytes() + known.recent.bytes() < 320 * 1024);
    let largest: usize = plans(&Params::recipients()).iter().map(|plan| plan.words * 8).sum();
    assert!(largest < 16_000_000, "{largest} octets a generation of 8 million pairs");
}
