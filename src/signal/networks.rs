//! A and A2: the networks (/24, /48) that a login comes from.
//!
//! A: one trial a message, bad if the login never used the network. The first
//! three networks of a connector that is known for less than a week are free.
//! The first two new ones since the score left zero count a quarter each, unless
//! the message goes to a crowd ([`super::crowds`]): that is what a journey
//! brings.
//! Weak evidence, and strong once there were 14 new ones since the score left
//! zero and the connector is known for a week.
//!
//! A2: most of the last hour's mail comes from networks that were first seen
//! today. No test but a flat bonus, by how unusual that is for this login:
//! min(2, ln(0.5 / own share)); of a connector that is known for a week and
//! has 20 messages of history.
//!
//! Which networks were used is kept in two Bloom filters of 1,024 bits and two
//! hashes: those of earlier days and those of today, which join the others at
//! the end of a day without restriction. (At 40 networks one in 180 new ones
//! goes unseen; from 400 on the old ones are forgotten.) They are made at the
//! first message that has a network to be looked at.

use super::{
    Alternative, Context, Ledger, Life, Observation, Prior, STRONG_CAP, Shape, WEAK_CAP, crowds,
    ledger, volume,
};
use crate::{
    baseline::Baseline, model::Model, record::Finding, score::Score, timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// The constants of A.
pub const SHAPE: Shape = Shape {
    prior: Prior { bad: 0.5, total: 20.0 },
    floor: 0.05,
    times_usual: 2.0,
    p0_max: 0.6,
    p1: Alternative { least: 0.50, above: 0.25, times: f32::INFINITY, most: 0.90 },
    halflife_s: 12.0 * 3600.0,
    weak_cap: WEAK_CAP,
    strong_cap: STRONG_CAP,
    on: true,
};

/// Networks of a new connector that are free.
pub const FREE: u32 = 3;
/// So many new networks in a row are what a journey brings: a phone's and a
/// hotel's. Each counts a quarter, but not with a message to a crowd.
pub const JOURNEY: u32 = 2;
/// What one of these counts.
pub const JOURNEY_WEIGHT: f32 = 0.25;
/// New networks from which on the evidence is strong.
pub const STRONG_FROM: u32 = 14;
/// A2 at the most, in nats.
pub const SHIFT: f32 = 2.0;
/// More networks than the filter can hold apart.
const FULL: u32 = 400;
/// Below this A counts as back at zero.
const NEARLY_ZERO: f32 = 0.01;
/// Prior of A2: share of messages from networks first seen today.
const SHIFT_PRIOR: Prior = Prior { bad: 0.02, total: 10.0 };
/// Messages of history, and of the last hour, that A2 asks for.
const SHIFT_HISTORY: f32 = 20.0;
const SHIFT_MESSAGES: f32 = 3.0;
/// Smallest own share that A2 reckons with.
const SHIFT_FLOOR: f32 = 0.002;
const WORDS: usize = 16;

/// Both signals of one connector.
#[derive(Debug, Default)]
pub(super) struct Networks {
    ledger: Ledger,
    /// Messages from networks first seen today.
    fresh: Baseline,
    /// The same in the last hour, decayed.
    fresh_now: Score,
    /// New networks since the filter was emptied.
    count: AtomicU32,
    used: OnceLock<Box<Used>>,
}

/// Both filters, and nothing beside them: they are 256 octets, for which the
/// allocator has a size. (With the count in it a login took 64 octets more.)
#[derive(Debug, Default)]
struct Used {
    before: Filter,
    today: Filter,
}

/// What is kept of them across a restart.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Image {
    ledger: ledger::Image,
    fresh: (u64, u64),
    fresh_now: u64,
    distinct: u32,
    used: Option<([u64; WORDS], [u64; WORDS], u32)>,
}

impl Networks {
    /// One message from `network`; says whether that is new.
    pub(super) fn trial(
        &self,
        network: u64,
        seen: &Observation,
        life: Life,
        context: &Context<'_>,
    ) -> bool {
        let is_old = life.is_old;
        let Context { model, now, .. } = context;
        let used = self.used.get_or_init(Box::default);
        let fresh = !used.before.contains(network);
        let is_new = fresh && used.today.insert(network);
        if context.muted {
            return false;
        }
        if fresh {
            self.fresh_now.add(volume::weight(seen, model), volume::HALFLIFE_S, f32::MAX, *now);
        }
        self.fresh.pend(fresh && is_old, 1.0);
        if is_new {
            let count = self.count.fetch_add(1, Relaxed) + 1;
            if count > FULL {
                used.before.clear();
                self.count.store(0, Relaxed);
            }
            if count <= model.free_networks && !is_old {
                return false;
            }
            self.ledger.distinct.fetch_add(1, Relaxed);
        }
        let shape = &model.networks;
        let strong = is_old && self.ledger.distinct.load(Relaxed) >= model.strong_networks;
        let cap = if strong { shape.strong_cap } else { shape.weak_cap };
        let journey = is_new
            && self.ledger.distinct.load(Relaxed) <= model.journey
            && crowds::trial(seen, life, context) != Some(true);
        let times = if journey { JOURNEY_WEIGHT } else { 1.0 };
        let score = self.ledger.weighted(shape, is_new, times, cap, *now);
        // Not for every good message: most find nothing to forget.
        if score <= NEARLY_ZERO && self.ledger.distinct.load(Relaxed) > 0 {
            self.ledger.distinct.store(0, Relaxed);
        }
        is_new
    }

    /// A at `now`, in nats.
    pub(super) fn score(&self, shape: &Shape, now: Timestamp) -> f32 {
        self.ledger.score(shape, now)
    }

    /// A2 at `now`, in nats; `messages` is the level of the last hour.
    pub(super) fn shift(&self, messages: f32, is_old: bool, model: &Model, now: Timestamp) -> f32 {
        if !is_old || messages < SHIFT_MESSAGES || self.fresh.total() < SHIFT_HISTORY {
            return 0.0;
        }
        let fresh = self.fresh_now.get(volume::HALFLIFE_S, now);
        if fresh <= 0.5 * messages {
            return 0.0;
        }
        let usual = self.fresh.usual(SHIFT_PRIOR).max(SHIFT_FLOOR);
        (0.5 / usual).ln().clamp(0.0, model.shift)
    }

    /// Fills in what A says.
    pub(super) fn describe(&self, shape: &Shape, found: Finding) -> Finding {
        self.ledger.describe(shape, found)
    }

    /// Fills in what A2 says.
    pub(super) fn describe_shift(&self, messages: f32, now: Timestamp, found: Finding) -> Finding {
        let fresh = self.fresh_now.get(volume::HALFLIFE_S, now);
        Finding {
            bad: super::whole(fresh),
            of: super::whole(messages),
            usual: self.fresh.usual(SHIFT_PRIOR),
            since: now,
            ..found
        }
    }

    /// Evidence starts again from zero.
    pub(super) fn reset(&self) {
        self.ledger.reset();
        self.fresh_now.reset();
        self.ledger.distinct.store(0, Relaxed);
    }

    /// Ends a day. Networks of a day that is not learned stay new.
    pub(super) fn commit(&self, days: u32, share: f32) {
        self.ledger.commit(days, share);
        self.fresh.commit(days, share);
        if let Some(used) = self.used.get() {
            used.end_day(share > 0.0);
        }
    }

    /// Today's networks are usual at once.
    pub(super) fn declare(&self, shape: &Shape) {
        self.ledger.declare(shape);
        self.fresh.declare(SHIFT_PRIOR);
        if let Some(used) = self.used.get() {
            used.end_day(true);
        }
    }

    pub(super) fn image(&self) -> Image {
        let count = self.count.load(Relaxed);
        let used = self.used.get().map(|used| (used.before.words(), used.today.words(), count));
        Image {
            ledger: self.ledger.image(),
            fresh: self.fresh.words(),
            fresh_now: self.fresh_now.word(),
            distinct: self.ledger.distinct.load(Relaxed),
            used,
        }
    }

    pub(super) fn of_image(image: &Image) -> Self {
        let used = image.used.as_ref().map(|(before, today, _)| {
            Box::new(Used { before: Filter::of_words(before), today: Filter::of_words(today) })
        });
        let ledger = Ledger::of_image(&image.ledger);
        ledger.distinct.store(image.distinct, Relaxed);
        Self {
            ledger,
            fresh: Baseline::of_words(image.fresh.0, image.fresh.1),
            fresh_now: Score::of_word(image.fresh_now),
            count: image.used.as_ref().map_or(0, |(.., count)| *count).into(),
            used: used.map_or_else(OnceLock::new, OnceLock::from),
        }
    }
}

impl Used {
    fn end_day(&self, learned: bool) {
        for (before, today) in self.before.0.iter().zip(&self.today.0) {
            let word = today.swap(0, Relaxed);
            if learned {
                before.fetch_or(word, Relaxed);
            }
        }
    }
}

/// A Bloom filter of 1,024 bits.
#[derive(Debug, Default)]
struct Filter([AtomicU64; WORDS]);

impl Filter {
    fn contains(&self, network: u64) -> bool {
        places(network)
            .iter()
            .all(|(at, bit)| self.0.get(*at).is_some_and(|word| word.load(Relaxed) & bit != 0))
    }

    /// Puts it in; says whether it was not there.
    fn insert(&self, network: u64) -> bool {
        let mut new = false;
        for (at, bit) in places(network) {
            if let Some(word) = self.0.get(at) {
                // A plain load first: most networks are there, and writing
                // would take the cache line from other threads.
                new |= word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0;
            }
        }
        new
    }

    fn clear(&self) {
        for word in &self.0 {
            word.store(0, Relaxed);
        }
    }

    fn words(&self) -> [u64; WORDS] {
        self.0.each_ref().map(|word| word.load(Relaxed))
    }

    fn of_words(words: &[u64; WORDS]) -> Self {
        Self(words.map(AtomicU64::new))
    }
}

/// Word and bit of the two hashes: two pairs of ten bits of the hash.
fn places(network: u64) -> [(usize, u64); 2] {
    let place = |bits: u64| ((bits >> 6) as usize % WORDS, 1 << (bits & 63));
    [place(network & 1023), place(network >> 32 & 1023)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connector::Profile, directory::Usual};

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(DAY * 20_000 + seconds)
    }

    fn network(number: u64) -> u64 {
        number
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29)
            .wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    /// A message; A after it.
    fn trial(networks: &Networks, number: u64, is_old: bool, now: Timestamp) -> f32 {
        let model = Model::default();
        let context = Context {
            model: &model,
            profile: Profile::Login,
            usual: Usual::default(),
            feedback: crate::pending::Feedback::Coming,
            muted: false,
            now,
        };
        let seen = Observation { recipients: 1, fresh: 1, ..Observation::default() };
        let life = Life { is_old, ..Life::default() };
        networks.trial(network(number), &seen, life, &context);
        networks.score(&model.networks, now)
    }

    #[test]
    fn the_filters_fit_a_size_of_the_allocator() {
        assert_eq!(size_of::<Used>(), 256);
    }

    #[test]
    fn three_networks_of_a_new_login_are_free() {
        let networks = Networks::default();
        for number in 1..=3 {
            assert_eq!(trial(&networks, number, false, at(number)), 0.0);
        }
        assert!(trial(&networks, 4, false, at(10)) > 0.5);
    }

    #[test]
    fn a_network_is_new_once() {
        let networks = Networks::default();
        let first = trial(&networks, 1, true, at(0));
        assert!(first > 0.5);
        assert!(trial(&networks, 1, true, at(1)) < first);
    }

    #[test]
    fn a_few_new_ones_are_weak_evidence_and_many_are_strong() {
        let networks = Networks::default();
        let scores: Vec<f32> =
            (1..=20).map(|number| trial(&networks, number, true, at(number))).collect();
        assert_eq!(scores.iter().position(|score| *score > WEAK_CAP), Some(13));
        let young = Networks::default();
        let most = (1..=20).map(|number| trial(&young, number, false, at(number)));
        assert!(most.fold(0.0, f32::max) <= WEAK_CAP);
    }

    #[test]
    fn networks_of_a_day_with_a_block_stay_new() {
        for (share, new) in [(1.0, false), (0.0, true)] {
            let networks = Networks::default();
            trial(&networks, 1, true, at(0));
            networks.commit(1, share);
            networks.reset();
            assert_eq!(trial(&networks, 1, true, at(DAY)) > 0.0, new, "share {share}");
        }
    }

    #[test]
    fn mail_that_moves_to_a_new_network_is_a_shift() {
        let model = Model::default();
        let networks = Networks::default();
        for day in 0..30 {
            trial(&networks, 1, true, at(day * DAY));
            networks.commit(1, 1.0);
        }
        assert_eq!(networks.shift(3.0, true, &model, at(30 * DAY)), 0.0);
        for second in 0..3 {
            trial(&networks, 2, true, at(30 * DAY + second));
        }
        assert_eq!(networks.shift(3.0, true, &model, at(30 * DAY + 3)), 2.0);
        assert_eq!(networks.shift(3.0, false, &model, at(30 * DAY + 3)), 0.0);
    }

    #[test]
    fn they_survive_their_image() {
        let networks = Networks::default();
        for number in 1..=5 {
            trial(&networks, number, true, at(number));
        }
        let again = Networks::of_image(&networks.image());
        assert_eq!(again.image(), networks.image());
        assert_eq!(trial(&again, 5, true, at(9)), trial(&networks, 5, true, at(9)));
    }
}
