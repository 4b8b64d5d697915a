//! A sliding window of one hour that any number of threads count into
//! without waiting for one another.
//!
//! Thirteen slots of five minutes; a slot is one word that holds the number
//! of its five minutes (upper half) and a count (lower half), so that
//! starting a slot afresh and counting into it are one compare-and-swap and
//! no count is lost. At time t the estimate is the sum of the twelve newest
//! slots and of the part of the thirteenth that the hour still covers, as if
//! its counts were spread evenly over its five minutes.
//!
//! How exact: with counts added in the order of time, the estimate differs
//! from the true count of the hour before t by less than what that thirteenth
//! slot holds. A count stops at 4,294,967,295 in a slot.

use crate::{
    halves::{join, split},
    timestamp::Timestamp,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SLOT_MS: u64 = 5 * 60 * 1000;
const SLOTS: usize = 13;
/// The age in slots of the one that the hour covers in part.
const OLDEST: u32 = 12;

/// The window.
#[derive(Debug, Default)]
pub struct Window {
    slots: [AtomicU64; SLOTS],
}

impl Window {
    /// Counts `by` at `now`.
    pub fn add(&self, by: u32, now: Timestamp) {
        let number = slot_number(now);
        let Some(slot) = self.slot(number) else {
            return;
        };
        let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
            let (held, count) = split(word);
            // A thread that comes late counts into the newer slot.
            Some(if held < number {
                join(number, by)
            } else {
                join(held, count.saturating_add(by))
            })
        });
    }

    /// What was counted in the hour before `now`; see the head of the module
    /// for how exact that is.
    pub fn estimate(&self, now: Timestamp) -> u64 {
        let current = slot_number(now);
        let into = now.as_millis() % SLOT_MS;
        let mut sum = 0;
        for slot in &self.slots {
            let (number, count) = split(slot.load(Relaxed));
            let count = u64::from(count);
            match current.checked_sub(number) {
                // A count by a thread whose `now` is a little later than ours.
                None => sum += count,
                Some(age) if age < OLDEST => sum += count,
                Some(age) if age == OLDEST => sum += count * (SLOT_MS - into) / SLOT_MS,
                Some(_) => {}
            }
        }
        sum
    }

    fn slot(&self, number: u32) -> Option<&AtomicU64> {
        let at = usize::try_from(number).ok()? % SLOTS;
        self.slots.get(at)
    }
}

fn slot_number(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis() / SLOT_MS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;

    proptest! {
        #[test]
        fn the_estimate_is_within_its_promise(
            start in 1_700_000_000_000_u64..1_800_000_000_000,
            steps in prop::collection::vec((0_u64..1_200_000, 1_u32..50), 1..200),
        ) {
            let window = Window::default();
            let mut now = start;
            let mut seen: Vec<(u64, u64)> = Vec::new();
            for (step, by) in steps {
                now += step;
                window.add(by, Timestamp::from_millis(now));
                seen.push((now, by.into()));
                let exact: u64 = seen.iter().filter(|(at, _)| *at > now - HOUR_MS).map(|(_, by)| by).sum();
                let oldest = now / SLOT_MS - 12;
                let bound: u64 = seen.iter().filter(|(at, _)| at / SLOT_MS == oldest).map(|(_, by)| by).sum();
                let estimate = window.estimate(Timestamp::from_millis(now));
                prop_assert!(estimate.abs_diff(exact) <= bound, "{estimate} against {exact}, bound {bound}");
            }
        }
    }

    #[test]
    fn threads_lose_no_count() {
        let window = Window::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..10_000 {
                        window.add(1, Timestamp::from_millis(HOUR_MS * 1000 + step * 300));
                    }
                });
            }
        });
        assert_eq!(window.estimate(Timestamp::from_millis(HOUR_MS * 1000 + 10_000 * 300)), 40_000);
    }

    #[test]
    fn an_hour_later_it_is_empty() {
        let window = Window::default();
        window.add(7, Timestamp::from_millis(HOUR_MS * 5));
        assert_eq!(window.estimate(Timestamp::from_millis(HOUR_MS * 6 - 1)), 7);
        assert_eq!(window.estimate(Timestamp::from_millis(HOUR_MS * 6 + SLOT_MS)), 0);
    }
}
