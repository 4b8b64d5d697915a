//! What threads count apart from one another, and is summed when it is read.
//!
//! A counter that every message changes is a cache line that goes to and fro
//! between the processors: 50 to 100 ns each time. Here each thread has a line of
//! its own, as long as there are no more threads than [`STRIPES`]; beyond, some
//! share one, and nothing is lost.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{self, Relaxed},
};

/// Lines of each thing that is counted apart.
pub const STRIPES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static MINE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
}

/// One for each thread.
#[derive(Debug, Default)]
pub struct Stripes<T>([CachePadded<T>; STRIPES]);

impl<T> Stripes<T> {
    /// That of this thread.
    pub fn mine(&self) -> &T {
        // At the end of a thread its number may be gone: any will do.
        let at = MINE.try_with(|mine| *mine).unwrap_or(0);
        let [first, ..] = &self.0;
        self.0.get(at).unwrap_or(first)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|stripe| &**stripe)
    }
}

/// A count.
#[derive(Debug, Default)]
pub struct Count(Stripes<AtomicU64>);

impl Count {
    /// Counts `by` more.
    pub fn add(&self, by: impl Into<u64>) {
        self.0.mine().fetch_add(by.into(), Relaxed);
    }

    /// What was counted by now.
    pub fn load(&self, order: Ordering) -> u64 {
        self.0.iter().map(|stripe| stripe.load(order)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_summed() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..100_u32).for_each(|_| count.add(2_u32)));
            }
        });
        assert_eq!(count.load(Relaxed), 200 * 2 * STRIPES as u64);
    }
}
