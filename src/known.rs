//! Whom a connector has written to: ever (well, in the last 90 to 180 days),
//! and within about the last hour (40 to 80 minutes).
//!
//! A [`Memory`] answers for all connectors at once, with Bloom filters over
//! pairs of connector and recipient that any number of threads ask and fill
//! without waiting. It is two generations: the present one, that takes in,
//! and the old one, that is only asked.
//!
//! What it promises, with `span` for the length of a generation:
//! - A pair that was put in is known for `span` at least, counted from the last
//!   time; a regular recipient is known for ever, because a pair that only the
//!   old generation has goes into the present one.
//! - After `2 * span` it is forgotten.
//! - Of the pairs that were never put in, at most `error_rate` are taken for
//!   known, with both generations full; with less in them in proportion to it,
//!   see `generation.rs`. An error makes a recipient look known: it lowers
//!   suspicion, it never raises it.
//! - One connector fills at most `per_connector` of the `largest` pairs of a
//!   generation, else a single attacker would blind the filter for all. What
//!   it writes to beyond is not stored: its recipients go on looking new, which
//!   speaks against nobody else. Threads at it together exceed this by one pair
//!   each at most.
//!
//! Time moves in steps of `span` from the moment of the first pair: the
//! present generation becomes the old one, and the old one is dropped. A
//! present one that is full does so early, so that the error rate is kept; only
//! then are pairs forgotten sooner than promised, oldest first, which
//! [`Memory::fill`] shows in advance. Whoever puts in the first pair after the
//! step takes it; of several that do so at once one wins by compare-and-swap
//! and the others take what it made. Those who only ask judge by the time they
//! ask for.

mod filter;
mod generation;
mod image;
#[cfg(test)]
mod tests;

pub use image::{Bits, GenerationImage, Image, LayerImage, RestoreError};

use crate::{
    halves::{join, split},
    timestamp::Timestamp,
};
use arc_swap::ArcSwap;
use generation::{Generation, Plan, plans};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The two memories that the judgement asks.
#[derive(Debug)]
pub struct Known {
    /// Has this connector ever written to this recipient?
    pub recipients: Memory,
    /// Did it within about the last hour?
    pub recent: Memory,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            recipients: Memory::new(Params::recipients()),
            recent: Memory::new(Params::recent()),
        }
    }
}

/// One number for a connector and a recipient, which are keyed hashes. For one
/// connector different recipients have different numbers.
pub const fn pair(connector: u64, recipient: u64) -> u64 {
    mix(mix(connector.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ recipient)
}

/// One number for a connector and something else that it showed, of the kind
/// `kind`; none of them is one of [`pair`] but by chance.
pub const fn trait_pair(connector: u64, kind: u8, value: u64) -> u64 {
    pair(mix(connector ^ ((kind as u64 + 1) << 56)), value)
}

/// Spreads every bit over all 64; the finalizer of `SplitMix64`.
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Size and span of a [`Memory`].
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Length of a generation.
    pub span: Duration,
    /// Pairs that a generation can hold, at least 1.
    pub largest: u32,
    /// Pairs for which it begins, at least 1.
    pub first_layer: u32,
    /// Pairs that one connector may put into a generation.
    pub per_connector: u32,
    /// Share of unknown pairs that are taken for known at worst, 1e-9 to 0.5.
    pub error_rate: f64,
}

impl Params {
    /// A generation of `span` and at most `largest` pairs; begins with 50,000,
    /// gives one connector at most a sixteenth and errs for 1 %.
    pub const fn new(span: Duration, largest: u32) -> Self {
        Self {
            span,
            largest,
            first_layer: 50_000,
            per_connector: largest.div_ceil(16),
            error_rate: 0.01,
        }
    }

    /// For the recipients ever written to: 90 days, 8 million pairs.
    pub const fn recipients() -> Self {
        Self::new(Duration::from_hours(90 * 24), 8_000_000)
    }

    /// For those of about the last hour: 40 minutes, a million pairs.
    pub const fn recent() -> Self {
        Self::new(Duration::from_mins(40), 1_000_000)
    }
}

/// What one connector put into the present generation of one [`Memory`]:
/// number of the generation (upper half) and pairs (lower half) in one word.
#[derive(Debug, Default)]
pub struct Share(AtomicU64);

impl Share {
    fn used(&self, generation: u32) -> u32 {
        match split(self.0.load(Relaxed)) {
            (held, pairs) if held == generation => pairs,
            _ => 0,
        }
    }

    fn count(&self, generation: u32) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |word| match split(word) {
            (held, pairs) if held == generation => Some(join(held, pairs.saturating_add(1))),
            (held, _) if held < generation => Some(join(generation, 1)),
            // A thread that comes late, with the generation before: over.
            _ => None,
        });
    }
}

/// The two generations, and since when the present one is that.
#[derive(Debug)]
struct State {
    /// Number of the present generation; 0 for the empty one before the first.
    number: u32,
    start: Timestamp,
    present: Arc<Generation>,
    old: Arc<Generation>,
}

impl State {
    fn empty() -> Self {
        let none = Arc::new(Generation::empty());
        Self { number: 0, start: Timestamp::default(), present: none.clone(), old: none }
    }

    /// Whether another generation must begin before anything is put in.
    fn is_over(&self, span: Duration, now: Timestamp) -> bool {
        now.since(self.start) >= span
            // The clock was far ahead when it began.
            || self.start.since(now) > span
            || self.present.is_full()
    }

    /// What follows on this one.
    fn next(&self, plans: &[Plan], span: Duration, now: Timestamp) -> Self {
        let age = now.since(self.start);
        let (start, old) = if age >= span.saturating_mul(2) {
            (now, Arc::new(Generation::empty()))
        } else if age >= span {
            (self.start.plus(span), Arc::clone(&self.present))
        } else {
            (now, Arc::clone(&self.present))
        };
        let present = Arc::new(Generation::new(plans));
        Self { number: self.number.saturating_add(1), start, present, old }
    }
}

/// Where a pair was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Found {
    /// It was never put in, or too long ago.
    #[default]
    Nowhere,
    /// In the old generation only.
    Before,
    /// In the present one, which has this number.
    In(u32),
}

impl Found {
    /// Whether it was put in, in the last one or two spans.
    pub fn is_known(self) -> bool {
        self != Self::Nowhere
    }
}

/// Pairs of connector and recipient, with the time as their only order; see
/// the head of the module.
#[derive(Debug)]
pub struct Memory {
    params: Params,
    plans: Vec<Plan>,
    state: ArcSwap<State>,
}

impl Memory {
    /// An empty one; takes memory only with the first pair.
    pub fn new(params: Params) -> Self {
        let plans = plans(&params);
        Self { params, plans, state: ArcSwap::from_pointee(State::empty()) }
    }

    /// Whether `pair` was put in, in the last one or two spans before `now`.
    pub fn contains(&self, pair: u64, now: Timestamp) -> bool {
        self.find(pair, now).is_known()
    }

    /// The same, and where it was found.
    pub fn find(&self, pair: u64, now: Timestamp) -> Found {
        let state = self.state.load();
        let age = now.since(state.start);
        if age >= self.params.span.saturating_mul(2) {
            return Found::Nowhere;
        }
        if state.present.contains(pair) {
            return Found::In(state.number);
        }
        // Where the step is due, what is called present is the old one by now.
        if age < self.params.span && state.old.contains(pair) {
            return Found::Before;
        }
        Found::Nowhere
    }

    /// Puts `pair` in, on the account of a connector's `share` of this memory.
    /// Does nothing where the present generation has it, or the share is used.
    pub fn insert(&self, pair: u64, share: &Share, now: Timestamp) {
        self.keep(pair, Found::Nowhere, share, now);
    }

    /// The same for a pair that was looked up a moment ago, which is not looked for a
    /// second time where the present generation had it. (Of a connector in no order
    /// that is a miss of the cache for each of its bits.)
    pub fn keep(&self, pair: u64, found: Found, share: &Share, now: Timestamp) {
        let mut state = self.state.load();
        if state.is_over(self.params.span, now) {
            let next = Arc::new(state.next(&self.plans, self.params.span, now));
            self.state.compare_and_swap(&*state, next);
            state = self.state.load();
        }
        if found != Found::In(state.number)
            && share.used(state.number) < self.params.per_connector
            && !state.present.contains(pair)
            && state.present.insert(pair)
        {
            share.count(state.number);
        }
    }

    /// Makes room ahead of need, so that no message has to wait for it. To be called
    /// about once a second.
    pub fn prepare(&self) {
        self.state.load().present.prepare();
    }

    /// How full the present generation is, of the most it can hold: 0 to 1.
    /// At 1 the next one begins early, and the memory is shorter than promised.
    pub fn fill(&self) -> f32 {
        let pairs = self.state.load().present.pairs();
        (pairs as f32 / self.params.largest.max(1) as f32).min(1.0)
    }

    /// Pairs in both generations; one that is in both counts twice.
    pub fn pairs(&self) -> u64 {
        let state = self.state.load();
        state.present.pairs() + state.old.pairs()
    }

    /// Octets that the filters take.
    pub fn bytes(&self) -> usize {
        let state = self.state.load();
        state.present.bytes() + state.old.bytes()
    }

    /// All of it, to be kept on disk.
    pub fn image(&self) -> Image {
        image::of(&self.state.load())
    }

    /// Takes over what [`Memory::image`] gave, in the place of what is here.
    /// Parameters may differ in span, not in sizes.
    ///
    /// # Errors
    /// Says what does not fit; then this memory stays as it is: empty, at a
    /// start.
    pub fn restore(&self, image: Image) -> Result<(), RestoreError> {
        let state = image::into_state(image, &self.plans)?;
        self.state.store(Arc::new(state));
        Ok(())
    }
}
