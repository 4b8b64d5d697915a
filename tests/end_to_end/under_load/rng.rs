//! Chance that can be repeated: the same seed gives the same choices.
//! (SplitMix64: one number of state, good enough for choosing.)

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of choices.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another source, which this one's further choices don't touch.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// An index of a list of this length, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).unwrap();
        usize::try_from(self.below(len)).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The seed that the environment gives (`CONNGUARD_SEED`), or another one each time.
pub(crate) fn seed() -> u64 {
    match std::env::var("CONNGUARD_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("CONNGUARD_SEED={text}: {e}")),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
            u64::try_from(now.as_micros()).unwrap() % 1_000_000_000
        }
    }
}
