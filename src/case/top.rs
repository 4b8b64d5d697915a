//! The most frequent names among many: a fixed number of counters, as "space
//! saving" (Metwally, Agrawal, El Abbadi 2005) keeps them.
//!
//! A name that has no counter takes the smallest one over, with its count: it may
//! have been there before, unnoticed. [`Count::over`] says by how much a count may
//! be too large for that reason. What it promises, with `m` for [`MOST`]:
//! - [`Top::total`] is exact.
//! - Whoever makes up more than `total / m` has a counter.
//! - `count - over <= true count <= count`.

use super::MOST_TEXT;
use serde::{Deserialize, Serialize};

/// Names that are counted apart.
const MOST: usize = 16;

/// One name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Count {
    /// The name, as it came, cut to [`MOST_TEXT`] octets.
    pub name: Box<str>,
    /// How often, at the most.
    pub count: u64,
    /// Of these, with a bad message, at the least.
    pub bad: u64,
    /// By how much the count may be too large.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub over: u64,
}

impl Count {
    /// How often, at the least.
    pub const fn at_least(&self) -> u64 {
        self.count.saturating_sub(self.over)
    }
}

/// The most frequent names.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Top {
    /// Largest first.
    pub counts: Vec<Count>,
    /// All, those that are not counted apart included.
    pub total: u64,
}

impl Top {
    /// Counts one.
    pub fn note(&mut self, name: &str, bad: bool) {
        self.add(name, 1, bad);
    }

    /// Counts `by` at once.
    pub fn add(&mut self, name: &str, by: u64, bad: bool) {
        self.total = self.total.saturating_add(by);
        let name = cut(name);
        let at = match self.counts.iter().position(|count| *count.name == *name) {
            Some(at) => at,
            None => self.begin(name),
        };
        if let Some(count) = self.counts.get_mut(at) {
            count.count = count.count.saturating_add(by);
            count.bad = count.bad.saturating_add(if bad { by } else { 0 });
        }
        self.rise(at);
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        let mut rest = other.counts.clone();
        for count in &mut self.counts {
            if let Some(at) = rest.iter().position(|other| other.name == count.name) {
                let other = rest.swap_remove(at);
                count.count = count.count.saturating_add(other.count);
                count.bad = count.bad.saturating_add(other.bad);
                count.over = count.over.saturating_add(other.over);
            }
        }
        self.counts.append(&mut rest);
        self.counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        self.counts.truncate(MOST);
    }

    /// A counter for a new name; says where it is.
    fn begin(&mut self, name: &str) -> usize {
        let mut fresh = Count { name: name.into(), ..Count::default() };
        if self.counts.len() >= MOST
            && let Some(smallest) = self.counts.pop()
        {
            fresh.count = smallest.count;
            fresh.over = smallest.count;
        }
        self.counts.push(fresh);
        self.counts.len() - 1
    }

    /// Moves a count that grew to where it belongs.
    fn rise(&mut self, mut at: usize) {
        let count = |counts: &[Count], at: usize| counts.get(at).map_or(0, |count| count.count);
        while at > 0 && count(&self.counts, at - 1) < count(&self.counts, at) {
            self.counts.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// The first [`MOST_TEXT`] octets of a text, cut between characters.
pub fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_TEXT)).unwrap_or("")
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn noted(names: &[u8]) -> Top {
        let mut top = Top::default();
        for name in names {
            top.note(&name.to_string(), name.is_multiple_of(2));
        }
        top
    }

    proptest! {
        #[test]
        fn totals_are_exact_and_heavy_names_are_found(
            names in proptest::collection::vec(0_u8..60, 0..600),
            favourite in 0_u8..60,
            extra in 0_usize..200,
        ) {
            let mut names = names;
            names.extend(std::iter::repeat_n(favourite, extra));
            let top = noted(&names);
            prop_assert_eq!(top.total, names.len() as u64);
            prop_assert!(top.counts.len() <= MOST);
            prop_assert!(top.counts.is_sorted_by(|a, b| a.count >= b.count));
            let mut real = HashMap::<String, u64>::new();
            for name in &names {
                *real.entry(name.to_string()).or_default() += 1;
            }
            for count in &top.counts {
                let real = real.get(&*count.name).copied().unwrap_or(0);
                prop_assert!(count.at_least() <= real && real <= count.count, "{:?}", count);
                prop_assert!(count.bad <= count.count);
            }
            for (name, real) in real {
                let found = top.counts.iter().any(|count| *count.name == *name);
                prop_assert!(found || real <= top.total / MOST as u64, "{} of {}", real, top.total);
            }
        }

        #[test]
        fn two_merged_are_as_one(
            a in proptest::collection::vec(0_u8..12, 0..200),
            b in proptest::collection::vec(0_u8..12, 0..200),
        ) {
            let mut merged = noted(&a);
            merged.merge(&noted(&b));
            let both: Vec<u8> = a.iter().chain(&b).copied().collect();
            let sorted = |mut top: Top| {
                top.counts.sort_by(|a, b| a.name.cmp(&b.name));
                top
            };
            prop_assert_eq!(sorted(merged), sorted(noted(&both)));
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let mut top = Top::default();
        top.note(&"ä".repeat(499), false);
        top.note(&"ä".repeat(500), true);
        assert_eq!(top.counts.len(), 1);
        assert!(top.counts.iter().all(|count| count.name.len() <= MOST_TEXT && count.count == 2));
    }
}
