//! Who refuses everybody: where the refusals of a provider may mean this host
//! (its address is listed there) instead of the mail of one connector, they count
//! less the more of its other connectors are refused there as well.
//!
//! Remembered are 1,024 providers, of each the 16 connectors that it answered
//! last, of each of these its last four results, and whether each was a refusal
//! that may mean this host. All that is not older than an hour and not of the
//! connector itself is compared:
//!
//!   share  = such refusals / (all results + 4)
//!   weight = 1 up to a share of 0.2, 0 from 0.6 on, a straight line between
//!
//! and 1 as long as fewer than two others had such a refusal. Four results of a
//! connector that is delivered to are added, so that a few refusals alone are no
//! proof. Each connector counts four results at the most, so that one with much
//! mail does not speak for all.
//!
//! The line is such that an honest connector that is refused as often as everybody
//! gains no points at any share, from R1 nor from R2 (with b and g, the weights of
//! a bad and of a good trial: share × weight × b + (1 - share) × g < 0 wherever
//! the weight is below 1); and that a background of a few percent, as large
//! providers refuse of anybody's mail, changes nothing. Who was taken over among
//! connectors that are delivered to is refused alone, in full; and refusals of
//! unknown recipients are never discounted: they can't mean this host.
//!
//! Nothing of this is kept across a restart: for some minutes refusals count in
//! full. The table is in 128 parts with a lock each, held for one look at eight
//! providers; only delivery results come here, and nobody waits for these. A full
//! part forgets the provider that says least: one with a single connector, else
//! the one that was silent longest.

use crate::timestamp::Timestamp;
use std::{
    cmp::Reverse,
    sync::{Mutex, MutexGuard, PoisonError},
};

const PARTS: usize = 128;
const PROVIDERS: usize = 8;
const CONNECTORS: usize = 16;
const RESULTS: usize = 4;
/// How long a result is remembered, in seconds.
const REMEMBERED_S: u32 = 3600;
/// Other connectors that must be refused before a refusal is discounted.
const OTHERS: u32 = 2;
/// Share of refusals up to which they count in full, and from which on nothing.
const FULL: f32 = 0.2;
const NOTHING: f32 = 0.6;

/// What providers answered to connectors.
#[derive(Debug)]
pub struct Providers {
    parts: Box<[Mutex<Vec<Provider>>]>,
}

#[derive(Debug)]
struct Provider {
    /// A keyed hash of its name.
    id: u64,
    connectors: Vec<Connector>,
}

#[derive(Debug)]
struct Connector {
    id: u64,
    /// The newest first: the second of each, of which the lowest bit says instead
    /// whether it was a refusal that may mean us; 0 for none.
    results: [u32; RESULTS],
}

impl Default for Providers {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }
}

impl Providers {
    /// What a refusal that may mean us counts, 0 to 1: `provider` (a keyed hash of
    /// its name) refuses a recipient of `connector`.
    pub fn weight(&self, provider: u64, connector: u64, now: Timestamp) -> f32 {
        let Some(part) = self.part(provider) else { return 1.0 };
        let Some(provider) = part.iter().find(|it| it.id == provider) else { return 1.0 };
        let (mut refused, mut all, mut others) = (0_u32, 0_u32, 0_u32);
        for other in provider.connectors.iter().filter(|it| it.id != connector) {
            let (bad, of) = other.count(now.as_seconds());
            refused += bad;
            all += of;
            others += u32::from(bad > 0);
        }
        if others < OTHERS {
            return 1.0;
        }
        let share = refused as f32 / (all as f32 + RESULTS as f32);
        ((NOTHING - share) / (NOTHING - FULL)).clamp(0.0, 1.0)
    }

    /// A recipient of `connector` has its result from `provider`: `refused` where
    /// that is a refusal that may mean us.
    pub fn note(&self, provider: u64, connector: u64, refused: bool, now: Timestamp) {
        let Some(mut part) = self.part(provider) else { return };
        let found = part.iter().position(|it| it.id == provider);
        let place = found.unwrap_or_else(|| {
            if part.len() == PROVIDERS
                && let Some(least) = position_of_least(&part, Provider::worth)
            {
                part.swap_remove(least);
            }
            part.push(Provider { id: provider, connectors: Vec::new() });
            part.len() - 1
        });
        if let Some(provider) = part.get_mut(place) {
            provider.note(connector, refused, now.as_seconds());
        }
    }

    fn part(&self, provider: u64) -> Option<MutexGuard<'_, Vec<Provider>>> {
        // Keyed hashes: any bits of them are as good as any others.
        let place = usize::try_from(provider % PARTS as u64).ok()?;
        Some(self.parts.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Provider {
    fn note(&mut self, connector: u64, refused: bool, second: u32) {
        let found = self.connectors.iter().position(|it| it.id == connector);
        let place = found.unwrap_or_else(|| {
            if self.connectors.len() == CONNECTORS
                && let Some(oldest) = position_of_least(&self.connectors, Connector::last)
            {
                self.connectors.swap_remove(oldest);
            }
            self.connectors.push(Connector { id: connector, results: [0; RESULTS] });
            self.connectors.len() - 1
        });
        if let Some(connector) = self.connectors.get_mut(place) {
            connector.note(refused, second);
        }
    }

    /// What it says, to be compared with others.
    fn worth(&self) -> (bool, u32) {
        let last = self.connectors.iter().map(Connector::last).max();
        (self.connectors.len() > 1, last.unwrap_or(0))
    }
}

impl Connector {
    fn note(&mut self, refused: bool, second: u32) {
        self.results.rotate_right(1);
        if let Some(newest) = self.results.first_mut() {
            *newest = second & !1 | u32::from(refused);
        }
    }

    /// When it had its last result.
    fn last(&self) -> u32 {
        self.results.first().copied().unwrap_or(0)
    }

    /// Refusals that may mean us, and all results of the last hour.
    fn count(&self, now: u32) -> (u32, u32) {
        let is_new = |word: &&u32| **word != 0 && now.saturating_sub(**word) <= REMEMBERED_S;
        let new = self.results.iter().filter(is_new);
        new.fold((0, 0), |(bad, of), word| (bad + (word & 1), of + 1))
    }
}

/// Where the least of them is; of equals the last.
fn position_of_least<T, K: Ord>(all: &[T], worth: impl Fn(&T) -> K) -> Option<usize> {
    let least = all.iter().enumerate().max_by_key(|(_, one)| Reverse(worth(one)));
    least.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    const BIG: u64 = 7;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// A provider that gave each of so many connectors these results.
    fn told(connectors: u64, results: &[bool]) -> Providers {
        let providers = Providers::default();
        for connector in 1..=connectors {
            for refused in results {
                providers.note(BIG, connector, *refused, at(0));
            }
        }
        providers
    }

    #[test]
    fn where_all_others_are_refused_a_refusal_counts_nothing() {
        let providers = told(19, &[true; 4]);
        assert_eq!(providers.weight(BIG, 99, at(10)), 0.0);
        assert_eq!(providers.weight(BIG + 1, 99, at(10)), 1.0, "elsewhere it does");
        assert_eq!(providers.weight(BIG, 99, at(3700)), 1.0, "and after an hour");
    }

    #[test]
    fn who_is_refused_alone_is_refused_in_full() {
        let providers = told(19, &[false; 4]);
        for _ in 0..100 {
            providers.note(BIG, 99, true, at(0));
        }
        assert_eq!(providers.weight(BIG, 99, at(10)), 1.0, "its own say nothing for it");
        assert_eq!(providers.weight(BIG, 1, at(10)), 1.0, "and one is not everybody");
        // A background of refusals, one in sixteen.
        let providers = told(15, &[false; 4]);
        for connector in [1, 2, 3, 4] {
            providers.note(BIG, connector, true, at(0));
        }
        assert_eq!(providers.weight(BIG, 99, at(10)), 1.0);
    }

    #[test]
    fn two_others_are_needed_and_a_few_refusals_are_no_proof() {
        assert_eq!(told(1, &[true; 4]).weight(BIG, 99, at(1)), 1.0);
        let once = told(2, &[true]).weight(BIG, 99, at(1));
        let twice = told(2, &[true, true]).weight(BIG, 99, at(1));
        let full = told(2, &[true; 4]).weight(BIG, 99, at(1));
        assert!(0.5 < once && twice < once && full < twice, "{once} {twice} {full}");
    }

    #[test]
    fn who_is_refused_as_often_as_everybody_gains_nothing() {
        let model = Model::default();
        for share in 1..100_u8 {
            let share = f32::from(share) / 100.0;
            let weight = ((NOTHING - share) / (NOTHING - FULL)).clamp(0.0, 1.0);
            for shape in [&model.most_refused, &model.many_refused] {
                let (bad, good) = (shape.weight(true, 0.05), shape.weight(false, 0.05));
                let drift = share * weight * bad + (1.0 - share) * good;
                assert!(drift < 0.0, "{share}: {drift}");
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_says_most() {
        let providers = told(5, &[true; 4]);
        for other in 0..100_000 {
            providers.note(1000 + other, other, false, at(1));
        }
        let held: usize =
            providers.parts.iter().map(|part| part.lock().map_or(0, |it| it.len())).sum();
        assert!(held <= PARTS * PROVIDERS, "{held}");
        assert_eq!(providers.weight(BIG, 99, at(2)), 0.0);
        // The sixteen that were answered last.
        for connector in 100..140 {
            providers.note(BIG, connector, false, at(3));
        }
        assert_eq!(providers.weight(BIG, 99, at(4)), 1.0);
    }
}
