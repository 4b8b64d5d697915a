//! U: the domain of MAIL FROM is not registered. One trial a message.
//!
//! p1 = min(0.97, max(0.25, min(p0 + 0.25, 3 p0))).
//! A domain among the last eight unregistered ones counts a quarter: one
//! forgotten domain is not an attack, many different ones are. Until three
//! different ones have been seen since the score left zero the evidence is
//! weak. The null sender is no trial.
//!
//! The eight are kept as 32-bit hashes under a key of this process, so that
//! nobody can choose names that collide. Two concurrent messages may both
//! find a domain new, or push the same slot out; that moves the score by one
//! trial at the most.

use super::{Ledger, Moved, Shape, weight};
use crate::{
    baseline::Prior,
    judge::{STRONG_CAP, WEAK_CAP},
    record::{Finding, SignalName},
    timestamp::Timestamp,
};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The constants.
pub const SHAPE: Shape = Shape {
    name: SignalName::UnregisteredSender,
    prior: Prior { bad: 0.5, total: 100.0 },
    floor: 0.01,
    times_usual: 2.0,
    p0_max: 0.7,
    halflife_s: 24.0 * 3600.0,
    weak_cap: WEAK_CAP,
    strong_cap: STRONG_CAP,
};

/// What a repeated domain counts.
const REPEATED: f32 = 0.25;
/// Different domains from which on the evidence is strong.
const STRONG_FROM: u32 = 3;

/// The signal of one entity.
#[derive(Debug, Default)]
pub struct Unregistered {
    ledger: Ledger,
    recent: [AtomicU32; 8],
    next: AtomicU32,
    distinct: AtomicU32,
}

impl Unregistered {
    /// One message: `odd` is the hash of its sender's domain where that is
    /// not registered.
    pub fn trial(&self, odd: Option<u32>, now: Timestamp) -> Moved {
        let p0 = SHAPE.p0(self.ledger.usual(&SHAPE));
        let p1 = p1(p0);
        let mut delta = weight(odd.is_some(), p0, p1);
        if let Some(hash) = odd {
            if self.is_recent(hash) {
                delta *= REPEATED;
            } else {
                self.remember(hash);
            }
        }
        let strong = self.distinct.load(Relaxed) >= STRONG_FROM;
        let cap = if strong { SHAPE.strong_cap } else { SHAPE.weak_cap };
        let moved = self.ledger.trial(&SHAPE, odd.is_some(), delta, cap, now);
        if moved.after <= 0.0 {
            self.forget();
        }
        moved
    }

    /// The score at `now`, in nats.
    pub fn score(&self, now: Timestamp) -> f32 {
        self.ledger.score(&SHAPE, now)
    }

    /// The score made readable; nothing while it is zero.
    pub fn finding(&self, limit: f32, now: Timestamp) -> Option<Finding> {
        self.ledger.finding(&SHAPE, self.distinct.load(Relaxed), limit, now)
    }

    /// Evidence starts again from zero.
    pub fn reset(&self) {
        self.ledger.reset();
        self.forget();
    }

    /// Ends a day: see [`crate::baseline::Baseline::commit`].
    pub fn commit(&self, days: u32, share: f32) {
        self.ledger.commit(days, share);
    }

    fn is_recent(&self, hash: u32) -> bool {
        self.recent.iter().any(|slot| slot.load(Relaxed) == hash)
    }

    fn remember(&self, hash: u32) {
        self.distinct.fetch_add(1, Relaxed);
        let at = self.next.fetch_add(1, Relaxed) as usize % self.recent.len();
        if let Some(slot) = self.recent.get(at) {
            slot.store(hash, Relaxed);
        }
    }

    fn forget(&self) {
        for slot in &self.recent {
            slot.store(0, Relaxed);
        }
        self.distinct.store(0, Relaxed);
    }
}

fn p1(p0: f32) -> f32 {
    (p0 + 0.25).min(3.0 * p0).clamp(0.25, 0.97)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// The messages needed to reach 14 nats.
    fn until_compromised(mut domain_of: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        let signal = Unregistered::default();
        (1..=1000).find(|n| signal.trial(domain_of(*n), at(u64::from(*n))).after >= 14.0)
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
        let signal = Unregistered::default();
        signal.trial(Some(1), at(0));
        signal.trial(Some(2), at(1));
        for n in 0..40 {
            signal.trial(None, at(2 + n));
        }
        assert_eq!(signal.score(at(60)), 0.0);
        assert!(signal.finding(14.0, at(60)).is_none());
        assert!(signal.trial(Some(1), at(61)).after > 3.0, "domain 1 is new again");
    }

    #[test]
    fn a_finding_counts_since_the_score_left_zero() {
        let signal = Unregistered::default();
        for n in 0..50 {
            signal.trial(None, at(n));
        }
        for n in 1..=4 {
            signal.trial(Some(n), at(100));
        }
        let finding = signal.finding(14.0, at(100));
        let counts =
            finding.map(|finding| (finding.bad, finding.of, finding.distinct, finding.since));
        assert_eq!(counts, Some((4, 4, 4, at(100))));
    }

    #[test]
    fn what_was_usual_for_weeks_is_no_evidence() {
        let signal = Unregistered::default();
        for day in 0..30 {
            for n in 0..100 {
                signal.trial((n % 2 == 0).then_some(n + 1), at(day * 86_400));
            }
            signal.reset();
            signal.commit(1, 1.0);
        }
        let worst =
            (0..200).map(|n| signal.trial((n % 2 == 0).then_some(n + 1), at(31 * 86_400)).after);
        assert!(worst.fold(0.0, f32::max) < 7.0);
    }
}
