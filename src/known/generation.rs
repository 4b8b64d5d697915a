//! One generation of a [`super::Memory`]: Bloom filters in layers, of which
//! the next one is made when the last one is full.
//!
//! Layer i holds n_i pairs: the first one `first_layer`, each next one twice
//! as many, the last one what is left of `largest`. A generation may err for
//! half of the error rate e, since two are asked. The layers share that half
//! by size, which needs about the least memory for it:
//!
//!   p_i = e/2 * n_i / largest
//!
//! so a filter that holds few pairs errs far less than it may. A full layer
//! has about half of its bits set. For 8 million pairs at 1 % this is 15.7 MB
//! a generation, of which the first layer takes 0.16.

use super::{
    Params,
    filter::{self, Filter},
};
use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// What one layer is to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    /// Pairs for which it is made.
    pub(super) capacity: u32,
    /// Bits that a pair sets.
    pub(super) hashes: u32,
    /// Words of 64 bits, whole blocks.
    pub(super) words: usize,
}

/// The layers of a generation, smallest first.
pub(super) fn plans(params: &Params) -> Vec<Plan> {
    let largest = params.largest.max(1);
    let error_rate = params.error_rate.clamp(1e-9, 0.5) / 2.0;
    let mut plans = Vec::new();
    let (mut capacity, mut rest) = (params.first_layer.max(1), largest);
    while rest > 0 {
        capacity = capacity.min(rest);
        let share = error_rate * f64::from(capacity) / f64::from(largest);
        let (words, hashes) = filter::plan(capacity, share);
        plans.push(Plan { capacity, hashes, words });
        rest -= capacity;
        capacity = capacity.saturating_mul(2);
    }
    plans
}

/// One Bloom filter.
#[derive(Debug)]
pub(super) struct Layer {
    plan: Plan,
    filter: Filter,
    pairs: AtomicU64,
}

impl Layer {
    fn new(plan: Plan) -> Self {
        Self::from_words(plan, &vec![0; plan.words], 0)
    }

    /// With the bits that [`Layer::words`] gave.
    pub(super) fn from_words(plan: Plan, words: &[u64], pairs: u64) -> Self {
        let filter = Filter::from_words(words, plan.hashes);
        Self { plan, filter, pairs: AtomicU64::new(pairs) }
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    /// The bits, 64 a word.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.filter.words()
    }

    pub(super) fn pairs(&self) -> u64 {
        self.pairs.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.pairs() >= self.plan.capacity.into()
    }
}

/// The place of a layer.
#[derive(Debug)]
struct Slot {
    plan: Plan,
    /// A thread took it upon itself to make the layer.
    claimed: AtomicBool,
    layer: OnceLock<Layer>,
    /// The layer, made ahead of need.
    spare: Mutex<Option<Layer>>,
}

impl Slot {
    fn take_spare(&self) -> Option<Layer> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The layers of one span of time.
#[derive(Debug)]
pub(super) struct Generation {
    slots: Box<[Slot]>,
}

impl Generation {
    /// Without any layer: it holds nothing and takes nothing in.
    pub(super) fn empty() -> Self {
        Self { slots: Box::default() }
    }

    /// With its first layer.
    pub(super) fn new(plans: &[Plan]) -> Self {
        Self::from_layers(plans, plans.first().map(|plan| Layer::new(*plan)))
    }

    /// With layers that were made by `plans`, smallest first.
    pub(super) fn from_layers(plans: &[Plan], layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut layers = layers.into_iter();
        let slot = |plan: &Plan| {
            let layer = layers.next().map(OnceLock::from).unwrap_or_default();
            let claimed = AtomicBool::new(layer.get().is_some());
            Slot { plan: *plan, claimed, layer, spare: Mutex::default() }
        };
        Self { slots: plans.iter().map(slot).collect() }
    }

    /// The layers that are there, smallest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.slots.iter().map_while(|slot| slot.layer.get())
    }

    pub(super) fn contains(&self, pair: u64) -> bool {
        self.layers().any(|layer| layer.filter.contains(pair))
    }

    /// Puts in a pair that is in no layer; gives whether it was new, which it
    /// is not when another thread was faster.
    pub(super) fn insert(&self, pair: u64) -> bool {
        let Some(layer) = self.room() else {
            return false;
        };
        let new = layer.filter.insert(pair);
        if new {
            layer.pairs.fetch_add(1, Relaxed);
        }
        new
    }

    /// Makes the next layer where the newest one is three quarters full, so that no
    /// message has to: that of 3.2 million pairs takes 2 ms.
    pub(super) fn prepare(&self) {
        let is_near = |newest: &Layer| newest.pairs() >= u64::from(newest.plan.capacity) / 4 * 3;
        if !self.layers().last().is_some_and(is_near) {
            return;
        }
        let next = self.slots.iter().find(|slot| slot.layer.get().is_none());
        let Some(next) = next.filter(|next| !next.claimed.load(Relaxed)) else {
            return;
        };
        let spare = next.take_spare().unwrap_or_else(|| Layer::new(next.plan));
        *next.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
        if next.layer.get().is_some() {
            // A message came before us.
            next.take_spare();
        }
    }

    /// Whether all there can be is full.
    pub(super) fn is_full(&self) -> bool {
        self.slots.last().is_none_or(|slot| slot.layer.get().is_some_and(Layer::is_full))
    }

    /// Pairs in all layers.
    pub(super) fn pairs(&self) -> u64 {
        self.layers().map(Layer::pairs).sum()
    }

    /// Octets of all layers.
    pub(super) fn bytes(&self) -> usize {
        self.layers().map(|layer| layer.filter.bytes()).sum()
    }

    /// The newest layer, after making the next one where it is full. While
    /// one thread makes it, the others go on with the full one instead of
    /// waiting: what comes in during those milliseconds is little to a layer.
    fn room(&self) -> Option<&Layer> {
        let newest = self.layers().last()?;
        if !newest.is_full() {
            return Some(newest);
        }
        let Some(next) = self.slots.iter().find(|slot| slot.layer.get().is_none()) else {
            return Some(newest);
        };
        if next.claimed.swap(true, Relaxed) {
            return Some(newest);
        }
        let make = || next.take_spare().unwrap_or_else(|| Layer::new(next.plan));
        Some(next.layer.get_or_init(make))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use std::time::Duration;

    fn params(first_layer: u32, largest: u32) -> Params {
        Params { first_layer, ..Params::new(Duration::from_secs(60), largest) }
    }

    #[test]
    fn layers_double_up_to_the_largest_capacity() {
        let capacities = |first, largest| -> Vec<u32> {
            plans(&params(first, largest)).iter().map(|plan| plan.capacity).collect()
        };
        assert_eq!(capacities(50_000, 1_000_000), [50_000, 100_000, 200_000, 400_000, 250_000]);
        assert_eq!(capacities(50_000, 50_000), [50_000]);
        assert_eq!(capacities(50_000, 20), [20]);
        assert_eq!(capacities(0, 0), [1]);
        assert_eq!(capacities(u32::MAX, u32::MAX), [u32::MAX]);
        assert!(capacities(1, u32::MAX).len() <= 32);
    }

    #[test]
    fn odd_parameters_do_no_harm() {
        for error_rate in [0.0, -1.0, 7.0, f64::NAN, f64::INFINITY] {
            let plans = plans(&Params { error_rate, ..params(10, 100) });
            let generation = Generation::new(&plans);
            assert!(generation.insert(7) && generation.contains(7), "{error_rate}");
        }
    }

    #[test]
    fn a_layer_that_was_made_ahead_takes_in_nothing_before_it_is_needed() {
        let plans = plans(&params(100, 700));
        let generation = Generation::new(&plans);
        let has_spare = || generation.slots[1].spare.lock().is_ok_and(|spare| spare.is_some());
        let mut recipients = 0..;
        for (pairs, spare, layers) in
            [(74, false, 1), (75, true, 1), (100, true, 1), (101, false, 2)]
        {
            while generation.pairs() < pairs {
                generation.insert(super::super::pair(1, recipients.next().unwrap_or(0)));
            }
            generation.prepare();
            assert_eq!(has_spare(), spare, "{pairs} pairs");
            assert_eq!(generation.layers().count(), layers, "{pairs} pairs");
        }
    }

    #[test]
    fn the_next_layer_is_made_when_the_last_one_is_full() {
        let plans = plans(&params(100, 700));
        let generation = Generation::new(&plans);
        let mut recipients = 0..;
        for (pairs, layers) in [(100, 1), (101, 2), (300, 2), (301, 3), (700, 3), (900, 3)] {
            while generation.pairs() < pairs {
                generation.insert(super::super::pair(1, recipients.next().unwrap_or(0)));
            }
            assert_eq!(generation.layers().count(), layers, "{pairs} pairs");
            assert_eq!(generation.is_full(), pairs >= 700, "{pairs} pairs");
        }
    }
}
