//! A Bloom filter whose bits of one pair lie in one line of the cache.
//!
//! Blocks of 512 bits, eight words of 64. A pair belongs to one block, and sets `k`
//! bits there, 8 to 16: bit i in word i mod 8, so that a block fills evenly. All that is
//! asked of the memory is one line; where the bits are anywhere, as in the classic
//! filter, it is one for each bit: 0.7 of 1.5 microseconds of a message's end at
//! 100,000 connectors, and 7 % of the processor time of one whole message.
//!
//! The price is a filter about a tenth larger: some blocks get more pairs than
//! others. With `load` pairs a block on the average, a block has j of them with the
//! probability of Poisson, a bit of a word in which a pair sets c is set with
//! q(j, c) = 1 - (63/64)^(jc), and a pair that was never put in is taken for known
//! with the probability
//!
//!   f(load, k) = sum over j of e^-load load^j / j! * product over words of q(j, c)^c
//!
//! (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters",
//! 2007, for blocks whose bits are drawn without regard to words.)

use super::mix;
use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Words of a block.
const WORDS: u8 = 8;
const BLOCK: usize = WORDS as usize;
/// How many bits a pair sets.
const BITS: RangeInclusive<u32> = 8..=16;

/// See the head of this module. Any number of threads may ask and fill it.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Box<[Block]>,
    bits: usize,
}

/// One line of the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Block([AtomicU64; BLOCK]);

impl Filter {
    /// With these words, of which what is left of the last block counts as zero, and
    /// so many `bits` for each pair, 16 at the most.
    pub(super) fn from_words(words: &[u64], bits: u32) -> Self {
        let word = |block: &[u64], at: usize| block.get(at).copied().unwrap_or(0).into();
        let block = |block: &[u64]| Block(std::array::from_fn(|at| word(block, at)));
        let mut blocks: Vec<Block> = words.chunks(BLOCK).map(block).collect();
        if blocks.is_empty() {
            blocks.push(block(&[]));
        }
        Self { blocks: blocks.into(), bits: bits.min(*BITS.end()) as usize }
    }

    /// All words.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter().flat_map(|block| &block.0).map(|word| word.load(Relaxed))
    }

    /// Octets that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }

    /// Whether `pair` was put in. Pairs are spread over all numbers.
    pub(super) fn contains(&self, pair: u64) -> bool {
        let Some(block) = self.block(pair) else { return false };
        let masks = self.masks(pair);
        block.0.iter().zip(masks).all(|(word, mask)| word.load(Relaxed) & mask == mask)
    }

    /// Puts it in; gives whether that changed anything.
    pub(super) fn insert(&self, pair: u64) -> bool {
        let Some(block) = self.block(pair) else { return false };
        let set = |(word, mask): (&AtomicU64, u64)| {
            word.load(Relaxed) & mask != mask && word.fetch_or(mask, Relaxed) & mask != mask
        };
        // All of them, also behind one that was new.
        block.0.iter().zip(self.masks(pair)).map(set).fold(false, |new, set| new | set)
    }

    fn block(&self, pair: u64) -> Option<&Block> {
        let at = (u128::from(pair) * self.blocks.len() as u128) >> 64;
        self.blocks.get(usize::try_from(at).ok()?)
    }

    /// The bits of a pair in each word of its block.
    fn masks(&self, pair: u64) -> [u64; BLOCK] {
        let mut masks = [0; BLOCK];
        let (mut left, mut spread) = (self.bits, pair);
        while left > 0 {
            // Eight numbers of six bits at a time, and none of the bits that chose
            // the block.
            spread = mix(spread ^ 0x9e37_79b9_7f4a_7c15);
            let mut numbers = spread;
            for mask in masks.iter_mut().take(left) {
                *mask |= 1 << (numbers & 63);
                numbers >>= 6;
            }
            left = left.saturating_sub(BLOCK);
        }
        masks
    }
}

/// How many words a filter for so many pairs needs, and how many bits a pair is to
/// set, so that of the pairs that were never put in at most `error_rate` are taken
/// for known.
pub(super) fn plan(pairs: u32, error_rate: f64) -> (usize, u32) {
    // More pairs a block mean more errors, so that the load can be closed in on: a
    // single pair in two blocks is less than anybody asks for.
    let (mut enough, mut too_much) = (0.5, 512.0);
    for _ in 0..24 {
        let load = f64::midpoint(enough, too_much);
        if best(load).0 <= error_rate { enough = load } else { too_much = load }
    }
    let blocks = (f64::from(pairs) / enough).ceil().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most twice what a u32 holds"
    )]
    (blocks as usize * BLOCK, best(enough).1)
}

/// The least error rate with so many pairs a block, and how many bits give it: in
/// one block of all, or a few less than were it the only one.
fn best(load: f64) -> (f64, u32) {
    let alone = 512.0 / load * std::f64::consts::LN_2;
    let is_near = |bits: &u32| (0.6 * alone..alone + 1.0).contains(&f64::from(*bits));
    let least = if alone > f64::from(*BITS.end()) { *BITS.end() } else { *BITS.start() };
    BITS.filter(is_near).fold((errors(load, least), least), |best, bits| {
        let rate = errors(load, bits);
        if rate < best.0 { (rate, bits) } else { best }
    })
}

/// f of the head of this module.
fn errors(load: f64, bits: u32) -> f64 {
    let words = u32::from(WORDS);
    let (less, more) = (bits / words, bits.div_ceil(words));
    let [fewer, others] = [words - bits % words, bits % words];
    let (mut of_j, mut sum, mut clear) = ((-load).exp(), 0.0, 1.0_f64);
    // Beyond ten standard deviations there is nothing to speak of.
    let last = (load + 10.0 * load.sqrt() + 20.0).ceil();
    let mut j = 0.0;
    while j <= last {
        let set = |bits: u32| 1.0 - clear.powi(bits.cast_signed());
        let exponents = [(less, less * fewer), (more, more * others)];
        let all: f64 =
            exponents.iter().map(|(bits, times)| set(*bits).powi(times.cast_signed())).product();
        sum += of_j * all;
        j += 1.0;
        of_j *= load / j;
        clear *= 63.0 / 64.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{super::pair, *};

    /// The share of strangers that a filter for `pairs` takes for known when they are
    /// all in it, and what it was planned for.
    fn share(pairs: u32, error_rate: f64) -> f64 {
        let (words, bits) = plan(pairs, error_rate);
        let filter = Filter::from_words(&vec![0; words], bits);
        for recipient in 0..pairs.into() {
            filter.insert(pair(1, recipient));
        }
        assert!((0..pairs.into()).all(|recipient| filter.contains(pair(1, recipient))));
        let asked = 400_000;
        (0..asked).filter(|recipient| filter.contains(pair(2, *recipient))).count() as f64
            / asked as f64
    }

    #[test]
    fn it_errs_as_often_as_planned() {
        for error_rate in [0.05, 0.01, 0.002] {
            let found = share(40_000, error_rate);
            assert!((0.8..1.15).contains(&(found / error_rate)), "{found} for {error_rate}");
        }
        assert!(share(40_000, 3e-5) < 1e-4);
    }

    #[test]
    fn it_is_little_larger_than_one_whose_bits_are_anywhere() {
        for (error_rate, most) in [(0.01, 1.1), (0.001, 1.2), (3e-5, 1.35)] {
            let (words, bits) = plan(1_000_000, error_rate);
            let classic = 1e6 * (1.0 / error_rate).ln() / std::f64::consts::LN_2.powi(2);
            let larger = words as f64 * 64.0 / classic;
            assert!((1.0..most).contains(&larger), "{larger} for {error_rate}");
            assert!(BITS.contains(&bits), "{bits} for {error_rate}");
        }
    }

    #[test]
    fn odd_plans_do_no_harm() {
        for (pairs, error_rate) in [(0, 0.01), (1, 1e-12), (1, 1.0), (7, f64::NAN)] {
            let (words, bits) = plan(pairs, error_rate);
            assert!(words >= BLOCK && BITS.contains(&bits), "{pairs} {error_rate}");
        }
        let none = Filter::from_words(&[], 3);
        assert!(none.insert(5) && none.contains(5) && !none.insert(5) && !none.contains(6));
    }

    #[test]
    fn words_make_the_same_filter_again() {
        let filter = Filter::from_words(&[0; 24], 11);
        (0..30).for_each(|recipient| {
            filter.insert(pair(1, recipient));
        });
        let words: Vec<u64> = filter.words().collect();
        let again = Filter::from_words(&words, 11);
        assert!((0..30).all(|recipient| again.contains(pair(1, recipient))));
        assert!(again.words().eq(words));
        assert_eq!(again.bytes(), 24 * 8);
    }
}
