//! Domains that a connector has used for a week of quiet days, and that
//! therefore count as its own where nobody registered any.
//!
//! Eight of them, in a word each: hash of the domain (32 bits), last day on
//! which it was learned (16 bits, days since the epoch modulo 65,536), quiet
//! days (8 bits), and whether it was seen today (1 bit). A new domain takes the
//! place of the one with the fewest quiet days, never of one that is own.
//! Mail of a day with a suspicion or restriction makes no domain own.

use crate::halves::{join, split};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Quiet days after which a domain is own.
const QUIET_DAYS: u8 = 7;
/// Days after which a domain that was not seen any more is forgotten.
const FORGOTTEN: u16 = 90;

/// The domains of one connector.
#[derive(Debug, Default)]
pub struct OwnDomains([AtomicU64; 8]);

/// What is kept of them across a restart.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Image([u64; 8]);

/// A slot taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    hash: u32,
    last: u16,
    days: u8,
    today: bool,
}

impl Slot {
    fn of(word: u64) -> Self {
        let (hash, rest) = split(word);
        let [high, low, days, flags] = rest.to_be_bytes();
        Self { hash, last: u16::from_be_bytes([high, low]), days, today: flags & 1 != 0 }
    }

    fn word(self) -> u64 {
        let [high, low] = self.last.to_be_bytes();
        join(self.hash, u32::from_be_bytes([high, low, self.days, self.today.into()]))
    }
}

impl OwnDomains {
    /// Whether a domain, by its hash, is own.
    pub fn contains(&self, hash: u32) -> bool {
        let is_own = |slot: Slot| slot.hash == hash && slot.days >= QUIET_DAYS;
        self.0.iter().any(|slot| is_own(Slot::of(slot.load(Relaxed))))
    }

    /// A message of this domain passed.
    pub fn note(&self, hash: u32) {
        let known = self.0.iter().find(|slot| Slot::of(slot.load(Relaxed)).hash == hash);
        if let Some(slot) = known {
            let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
                let held = Slot::of(word);
                (held.hash == hash && !held.today).then(|| Slot { today: true, ..held }.word())
            });
            return;
        }
        // Of several with as few days one that was not seen today, an empty one
        // above all: two domains in turn must not push each other out.
        let worth = |slot: &&AtomicU64| {
            let held = Slot::of(slot.load(Relaxed));
            (held.days, held.today)
        };
        let least = self.0.iter().min_by_key(worth);
        if let Some(slot) = least {
            let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
                let new = Slot { hash, today: true, ..Slot::default() };
                (Slot::of(word).days < QUIET_DAYS).then(|| new.word())
            });
        }
    }

    /// Ends a day. Only the thread that won the roll of the day may call this.
    pub fn commit(&self, day: u32, quiet: bool) {
        let [_, _, high, low] = day.to_be_bytes();
        let day = u16::from_be_bytes([high, low]);
        for slot in &self.0 {
            let _ = slot.fetch_update(Relaxed, Relaxed, |word| {
                let held = Slot::of(word);
                Some(match held {
                    Slot { today: true, .. } if quiet => {
                        Slot { last: day, days: held.days.saturating_add(1), today: false, ..held }
                            .word()
                    }
                    Slot { days: 0, .. } => 0,
                    _ if day.wrapping_sub(held.last) > FORGOTTEN => 0,
                    _ => Slot { today: false, ..held }.word(),
                })
            });
        }
    }

    /// What is kept of them.
    pub fn image(&self) -> Image {
        Image(self.0.each_ref().map(|slot| slot.load(Relaxed)))
    }

    /// The domains of an image.
    pub fn of_image(image: &Image) -> Self {
        Self(image.0.map(AtomicU64::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 20_000;

    #[test]
    fn a_week_of_quiet_days_makes_a_domain_own() {
        let own = OwnDomains::default();
        for day in 0..7 {
            assert!(!own.contains(5), "day {day}");
            own.note(5);
            own.commit(START + day, true);
        }
        assert!(own.contains(5));
        assert!(!own.contains(6));
    }

    #[test]
    fn domains_in_turn_become_own_side_by_side() {
        let own = OwnDomains::default();
        for day in 0..7 {
            for hash in [5, 6, 7, 5, 6, 7] {
                own.note(hash);
            }
            own.commit(START + day, true);
        }
        assert!([5, 6, 7].into_iter().all(|hash| own.contains(hash)));
    }

    #[test]
    fn days_that_are_not_quiet_make_none() {
        let own = OwnDomains::default();
        for day in 0..30 {
            own.note(5);
            own.commit(START + day, false);
        }
        assert!(!own.contains(5));
    }

    #[test]
    fn many_domains_push_out_none_that_is_own() {
        let own = OwnDomains::default();
        for day in 0..10 {
            own.note(5);
            own.commit(START + day, true);
        }
        for other in 100..200 {
            own.note(other);
        }
        own.commit(START + 10, true);
        assert!(own.contains(5));
    }

    #[test]
    fn a_domain_that_nobody_uses_any_more_is_forgotten() {
        let own = OwnDomains::default();
        for day in 0..7 {
            own.note(5);
            own.commit(START + day, true);
        }
        own.commit(START + 90, true);
        assert!(own.contains(5));
        own.commit(START + 120, true);
        assert!(!own.contains(5));
    }

    #[test]
    fn they_survive_their_image() {
        let own = OwnDomains::default();
        own.note(5);
        own.commit(START, true);
        own.note(u32::MAX);
        assert_eq!(OwnDomains::of_image(&own.image()).image(), own.image());
    }
}
