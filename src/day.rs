//! The days of one connector: which day it counts into, what that day had,
//! and how many days went into its baselines.
//!
//! One word holds all of it: the day (days since 1970-01-01, UTC) in the upper
//! half, in the lower one the number of days learned, above a bit for "a
//! restriction was made or was in force" and one for "it was suspicious":
//!
//!   day: 32 bits | learned: 30 bits | restricted: 1 bit | suspicious: 1 bit
//!
//! So that a day ends in a single compare-and-swap: exactly one thread ends
//! each day, a mark that comes at the same moment falls into one of the two
//! days, never into both or none, and what is stored is of one moment.

use crate::{
    atomics::{AtomicU64, Ordering::SeqCst},
    halves::{join, split},
};
use serde::{Deserialize, Serialize};

const SUSPICIOUS: u32 = 1;
const RESTRICTED: u32 = 1 << 1;
const FLAGS: u32 = SUSPICIOUS | RESTRICTED;
/// One day learned.
const LEARNED: u32 = 1 << 2;

/// The days of one connector.
#[derive(Debug)]
pub struct Days(AtomicU64);

/// The end of a day, told to the one thread that ended it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roll {
    /// The day that is over, in days since 1970-01-01.
    pub last: u32,
    /// How many days ago that was, at least 1.
    pub days: u32,
    /// How much of it is learned: 1 of a quiet day, one half of a day with
    /// suspicion, 0 of a day with a restriction.
    pub share: f32,
    /// Whether the day that is over had a restriction (or mark).
    pub restricted: bool,
}

/// The days as they are stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub struct Image {
    /// The day that is counted into, in days since 1970-01-01.
    pub day: u32,
    /// Days learned, at most 1,073,741,823.
    pub learned: u32,
    /// Whether the day had suspicion.
    pub suspicious: bool,
    /// Whether the day had a restriction.
    pub restricted: bool,
}

impl Days {
    /// Begins with `today`, in days since 1970-01-01.
    pub fn new(today: u32) -> Self {
        Self(AtomicU64::new(join(today, 0)))
    }

    /// What was stored.
    pub fn restore(image: &Image) -> Self {
        let learned = image.learned.min(u32::MAX / LEARNED) * LEARNED;
        let flags = flag(image.suspicious, SUSPICIOUS) | flag(image.restricted, RESTRICTED);
        Self(AtomicU64::new(join(image.day, learned | flags)))
    }

    /// What is to be stored.
    pub fn image(&self) -> Image {
        let (day, rest) = split(self.0.load(SeqCst));
        Image {
            day,
            learned: rest / LEARNED,
            suspicious: rest & SUSPICIOUS != 0,
            restricted: rest & RESTRICTED != 0,
        }
    }

    /// Ends the day that is counted into, if it is before `today`. Of several
    /// threads one is told so: it commits what is pending. With
    /// `still_suspicious` the new day begins with suspicion. A day without a
    /// restriction counts as learned.
    pub fn roll(&self, today: u32, still_suspicious: bool) -> Option<Roll> {
        let mut word = self.0.load(SeqCst);
        loop {
            let (last, rest) = split(word);
            if today <= last {
                return None;
            }
            let restricted = rest & RESTRICTED != 0;
            let mut next = rest & !FLAGS | flag(still_suspicious, SUSPICIOUS);
            if !restricted {
                next = next.checked_add(LEARNED).unwrap_or(next);
            }
            match self.0.compare_exchange_weak(word, join(today, next), SeqCst, SeqCst) {
                Ok(_) => {
                    let share = share(restricted, rest & SUSPICIOUS != 0);
                    return Some(Roll { last, days: today - last, share, restricted });
                }
                // Another thread ended the day, or a mark came in.
                Err(current) => word = current,
            }
        }
    }

    /// The day that is counted into had suspicion.
    pub fn mark_suspicious(&self) {
        self.mark(SUSPICIOUS);
    }

    /// The day that is counted into had a restriction (or mark): nothing of
    /// it is learned.
    pub fn mark_restricted(&self) {
        self.mark(RESTRICTED);
    }

    /// How many days went into the baselines.
    pub fn learned(&self) -> u32 {
        self.image().learned
    }

    /// The day that is counted into, in days since 1970-01-01.
    pub fn day(&self) -> u32 {
        self.image().day
    }

    fn mark(&self, bit: u32) {
        // Every message of a suspicious connector marks: most find it done.
        if self.0.load(SeqCst) & u64::from(bit) == 0 {
            self.0.fetch_or(u64::from(bit), SeqCst);
        }
    }
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

fn share(restricted: bool, suspicious: bool) -> f32 {
    match (restricted, suspicious) {
        (true, _) => 0.0,
        (false, true) => 0.5,
        (false, false) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_learned_whole_by_half_or_not_at_all() {
        let days = Days::new(100);
        assert_eq!(days.roll(100, false), None);
        let quiet = Roll { last: 100, days: 1, share: 1.0, restricted: false };
        assert_eq!(days.roll(101, false), Some(quiet));
        days.mark_suspicious();
        assert_eq!(days.roll(103, false), Some(Roll { last: 101, days: 2, share: 0.5, ..quiet }));
        days.mark_suspicious();
        days.mark_restricted();
        let blocked = Roll { last: 103, days: 1, share: 0.0, restricted: true };
        assert_eq!(days.roll(104, false), Some(blocked));
        assert_eq!(days.roll(105, false), Some(Roll { last: 104, ..quiet }));
        assert_eq!(days.learned(), 3);
    }

    #[test]
    fn a_suspicion_that_goes_on_is_one_of_the_new_day_too() {
        let days = Days::new(100);
        days.mark_suspicious();
        assert_eq!(days.roll(101, true).map(|roll| roll.share), Some(0.5));
        assert_eq!(days.roll(102, false).map(|roll| roll.share), Some(0.5));
        assert_eq!(days.roll(103, false).map(|roll| roll.share), Some(1.0));
    }

    #[test]
    fn a_day_in_the_past_ends_nothing() {
        let days = Days::new(100);
        assert_eq!(days.roll(99, false), None);
        assert_eq!((days.day(), days.learned()), (100, 0));
    }

    #[test]
    fn days_survive_their_image() {
        let most = u32::MAX / LEARNED;
        for image in [
            Image::default(),
            Image { day: 20_000, learned: 17, suspicious: true, restricted: false },
            Image { day: u32::MAX, learned: most, suspicious: false, restricted: true },
        ] {
            assert_eq!(Days::restore(&image).image(), image);
        }
        // A number that does not fit stops at the largest, also when a day ends.
        let full = Days::restore(&Image { learned: u32::MAX, ..Image::default() });
        assert!(full.roll(1, true).is_some());
        let image = Image { day: 1, learned: most, suspicious: true, restricted: false };
        assert_eq!(full.image(), image);
    }

    #[test]
    fn threads_end_each_day_once() {
        let days = Days::new(0);
        let ended = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for day in 1..=1000 {
                        days.mark_suspicious();
                        if let Some(roll) = days.roll(day, false) {
                            ended.fetch_add(roll.days, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(ended.into_inner(), 1000);
    }
}

#[cfg(all(test, connguard_loom))]
mod loom_tests {
    use super::*;
    use loom::{model, sync::Arc, thread};

    fn spawn<R: 'static>(
        days: &Arc<Days>,
        act: impl FnOnce(&Days) -> R + 'static,
    ) -> thread::JoinHandle<R> {
        let days = Arc::clone(days);
        thread::spawn(move || act(&days))
    }

    fn join<R>(thread: thread::JoinHandle<R>) -> Option<R> {
        thread.join().ok()
    }

    #[test]
    fn one_thread_ends_each_day() {
        model(|| {
            let days = Arc::new(Days::new(100));
            let one = spawn(&days, |days| days.roll(101, false));
            let two = spawn(&days, |days| days.roll(102, false));
            let here = days.roll(101, false);
            let rolls: Vec<_> =
                [join(one).flatten(), join(two).flatten(), here].into_iter().flatten().collect();
            // One jump over both days, or one roll for each of them.
            assert_eq!(rolls.iter().map(|roll| roll.days).sum::<u32>(), 2);
            assert_eq!(u32::try_from(rolls.len()), Ok(days.learned()));
            assert_eq!(days.day(), 102);
        });
    }

    #[test]
    fn a_suspicion_falls_into_one_day() {
        model(|| {
            let days = Arc::new(Days::new(100));
            // A judgement marks, then its next message finds the day over.
            let marker = spawn(&days, |days| {
                days.mark_suspicious();
                days.roll(101, false)
            });
            let other = days.roll(101, false);
            let first = join(marker).flatten();
            assert!(first.is_some() != other.is_some(), "one thread ends the day");
            let second = days.roll(102, false);
            let halves = [first, other, second]
                .into_iter()
                .flatten()
                .filter(|roll| roll.share == 0.5)
                .count();
            assert_eq!(halves, 1, "{first:?} {other:?} {second:?}");
            // Marked before its own thread ended the day: it is that day's.
            assert!(first.is_none_or(|roll| roll.share == 0.5));
        });
    }

    #[test]
    fn a_restriction_and_a_suspicion_at_once_are_both_kept() {
        model(|| {
            let days = Arc::new(Days::new(100));
            let restricting = spawn(&days, Days::mark_restricted);
            let warning = spawn(&days, Days::mark_suspicious);
            let rolled = days.roll(101, false);
            assert!(join(restricting).is_some() && join(warning).is_some());
            let ended = rolled.map_or(0, |roll| u32::from(roll.restricted));
            let image = days.image();
            assert_eq!(ended + u32::from(image.restricted), 1, "restricted in one day");
            let was_suspicious = rolled.is_some_and(|roll| roll.share == 0.5);
            assert!(was_suspicious || image.suspicious || ended == 1, "{rolled:?} {image:?}");
            assert_eq!(days.learned(), 1 - ended);
        });
    }
}
