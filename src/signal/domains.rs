//! What U and F remember of sender domains.
//!
//! A domain among the last eight odd ones counts a quarter: one forgotten
//! domain is not an attack, many different ones are. Until three different
//! ones have been seen since the score left zero the evidence is weak.
//!
//! The eight are kept as 32-bit hashes under a key of this installation, so
//! that nobody can choose names that collide. Two concurrent messages may both
//! find a domain new, or push the same slot out; that moves the score by one
//! trial at the most.
//!
//! They are made with the first odd domain: most connectors never send one, and
//! have 48 octets less for U and F together.

use super::{Ledger, Origin, Shape, ledger};
use crate::{model::Model, record::Finding, timestamp::Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// What a repeated domain counts.
pub const REPEATED: f32 = 0.25;
/// Different domains from which on the evidence is strong.
pub const STRONG_FROM: u32 = 3;

/// The signal of one entity.
#[derive(Debug, Default)]
pub(super) struct Domains {
    pub(super) ledger: Ledger,
    recent: OnceLock<Box<Recent>>,
}

/// The last odd domains.
#[derive(Debug, Default)]
struct Recent {
    slots: [AtomicU32; 8],
    next: AtomicU32,
}

/// What is kept of it across a restart.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Image {
    ledger: ledger::Image,
    recent: [u32; 8],
    next: u32,
    distinct: u32,
}

impl Domains {
    /// One message; says whether its domain is odd. While `learning` it only
    /// counts for what is usual.
    pub(super) fn trial(
        &self,
        shape: &Shape,
        model: &Model,
        origin: Origin,
        learning: bool,
        now: Timestamp,
    ) -> bool {
        let odd = match origin {
            Origin::Unjudged => return false,
            Origin::Own => None,
            Origin::Odd(hash) => Some(hash),
        };
        if learning {
            self.ledger.pend(odd.is_some(), 1.0);
            return false;
        }
        let mut times = 1.0;
        if let Some(hash) = odd {
            if self.is_recent(hash) {
                times = model.repeated_domain;
            } else {
                self.remember(hash);
            }
        }
        let strong = self.ledger.distinct.load(Relaxed) >= model.strong_domains;
        let cap = if strong { shape.strong_cap } else { shape.weak_cap };
        if self.ledger.weighted(shape, odd.is_some(), times, cap, now) <= 0.0 {
            self.forget();
        }
        odd.is_some()
    }

    /// The score at `now`, in nats.
    pub(super) fn score(&self, shape: &Shape, now: Timestamp) -> f32 {
        self.ledger.score(shape, now)
    }

    /// Fills in what the score says.
    pub(super) fn describe(&self, shape: &Shape, found: Finding) -> Finding {
        self.ledger.describe(shape, found)
    }

    /// Whether one of the last odd domains is one of these.
    pub(super) fn has_any_of(&self, hashes: &HashSet<u32>) -> bool {
        self.ledger.distinct.load(Relaxed) > 0 && self.any_recent(|hash| hashes.contains(&hash))
    }

    /// Evidence starts again from zero.
    pub(super) fn reset(&self) {
        self.ledger.reset();
        self.forget();
    }

    /// See [`Ledger::afresh`].
    pub(super) fn afresh(&self) -> Self {
        Self { ledger: self.ledger.afresh(), ..Self::default() }
    }

    pub(super) fn image(&self) -> Image {
        let recent = self.recent.get();
        let slots = |recent: &Recent| recent.slots.each_ref().map(|slot| slot.load(Relaxed));
        Image {
            ledger: self.ledger.image(),
            recent: recent.map_or([0; 8], |recent| slots(recent)),
            next: recent.map_or(0, |recent| recent.next.load(Relaxed)),
            distinct: self.ledger.distinct.load(Relaxed),
        }
    }

    pub(super) fn of_image(image: &Image) -> Self {
        let ledger = Ledger::of_image(&image.ledger);
        ledger.distinct.store(image.distinct, Relaxed);
        let has_recent = image.next != 0 || image.recent != [0; 8];
        let recent = || {
            let slots = image.recent.map(AtomicU32::new);
            Box::new(Recent { slots, next: image.next.into() })
        };
        let recent = has_recent.then(recent);
        Self { ledger, recent: recent.map_or_else(OnceLock::new, OnceLock::from) }
    }

    fn is_recent(&self, hash: u32) -> bool {
        self.any_recent(|recent| recent == hash)
    }

    fn any_recent(&self, is_meant: impl Fn(u32) -> bool) -> bool {
        let slots = self.recent.get().map(|recent| &recent.slots);
        slots.is_some_and(|slots| slots.iter().any(|slot| is_meant(slot.load(Relaxed))))
    }

    fn remember(&self, hash: u32) {
        let Recent { slots, next } = &**self.recent.get_or_init(Box::default);
        self.ledger.distinct.fetch_add(1, Relaxed);
        let at = next.fetch_add(1, Relaxed) as usize % slots.len();
        if let Some(slot) = slots.get(at) {
            slot.store(hash, Relaxed);
        }
    }

    fn forget(&self) {
        // Not for every good message: most find nothing to forget.
        if self.ledger.distinct.load(Relaxed) > 0 {
            self.ledger.distinct.store(0, Relaxed);
            for slot in self.recent.get().iter().flat_map(|recent| &recent.slots) {
                slot.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// One trial of U; the score after it.
    fn trial(signal: &Domains, odd: Option<u32>, now: Timestamp) -> f32 {
        let model = Model::default();
        let origin = odd.map_or(Origin::Own, Origin::Odd);
        signal.trial(&model.unregistered, &model, origin, false, now);
        signal.score(&model.unregistered, now)
    }

    /// The messages needed to reach 14 nats.
    fn until_compromised(mut domain_of: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        let signal = Domains::default();
        (1..=1000).find(|n| trial(&signal, domain_of(*n), at(u64::from(*n))) >= 14.0)
    }

    #[test]
    fn random_domains_are_noticed_at_the_fifth() {
        assert_eq!(until_compromised(Some), Some(5));
    }

    #[test]
    fn one_domain_alone_never_is() {
        assert_eq!(until_compromised(|_| Some(7)), None);
        assert_eq!(until_compromised(|n| Some(n % 2 + 1)), None);
    }

    #[test]
    fn now_and_then_an_odd_one_is_nothing() {
        assert_eq!(until_compromised(|n| (n % 20 == 0).then_some(n)), None);
    }

    #[test]
    fn good_mail_brings_the_score_back_and_forgets_the_domains() {
        let signal = Domains::default();
        trial(&signal, Some(1), at(0));
        trial(&signal, Some(2), at(1));
        for n in 0..40 {
            trial(&signal, None, at(2 + n));
        }
        assert_eq!(signal.score(&Model::default().unregistered, at(60)), 0.0);
        assert!(trial(&signal, Some(1), at(61)) > 3.0, "domain 1 is new again");
    }

    #[test]
    fn what_is_shown_counts_since_the_score_left_zero() {
        let signal = Domains::default();
        for n in 0..50 {
            trial(&signal, None, at(n));
        }
        for n in 1..=4 {
            trial(&signal, Some(n), at(100));
        }
        let found = signal.describe(&Model::default().unregistered, Finding::default());
        assert_eq!((found.bad, found.of, found.distinct, found.since), (4, 4, 4, at(100)));
    }

    #[test]
    fn what_was_usual_for_weeks_is_no_evidence() {
        let signal = Domains::default();
        for day in 0..30 {
            for n in 0..100 {
                trial(&signal, (n % 2 == 0).then_some(n + 1), at(day * 86_400));
            }
            signal.reset();
            signal.ledger.commit(1, 1.0);
        }
        let worst =
            (0..200).map(|n| trial(&signal, (n % 2 == 0).then_some(n + 1), at(31 * 86_400)));
        assert!(worst.fold(0.0, f32::max) < 7.0);
    }

    #[test]
    fn it_survives_its_image() {
        let signal = Domains::default();
        trial(&signal, Some(1), at(0));
        trial(&signal, Some(2), at(0));
        let again = Domains::of_image(&signal.image());
        assert_eq!(again.image(), signal.image());
        assert_eq!(trial(&again, Some(2), at(1)), trial(&signal, Some(2), at(1)));
    }
}
