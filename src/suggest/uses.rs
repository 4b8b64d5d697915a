//! The domains that one identity sends as: the most used ones, and how many
//! there were.

use std::collections::HashSet;

/// Domains that are remembered with their counts.
const MOST_DOMAINS: usize = 32;
/// Up to so many different ones are counted.
pub(super) const MOST_DISTINCT: usize = 256;

/// One domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Use {
    /// As [`crate::domain::fold`] gives it.
    pub(super) domain: Box<str>,
    pub(super) messages: u64,
    /// Days on which it was used.
    pub(super) days: u32,
    /// The first and the last of them, since 1970-01-01.
    pub(super) first: u32,
    pub(super) last: u32,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    list: Vec<Use>,
    distinct: HashSet<u64>,
    /// Messages of any domain.
    messages: u64,
}

impl Uses {
    /// A message as `domain`, whose hash is `hash`, on `day`.
    pub(super) fn note(&mut self, domain: &str, hash: u64, day: u32) {
        self.messages += 1;
        if self.distinct.len() < MOST_DISTINCT {
            self.distinct.insert(hash);
        }
        if let Some(known) = self.list.iter_mut().find(|known| &*known.domain == domain) {
            known.messages += 1;
            known.days += u32::from(known.last != day);
            known.last = day;
            return;
        }
        let new = Use { domain: domain.into(), messages: 1, days: 1, first: day, last: day };
        if self.list.len() < MOST_DOMAINS {
            self.list.push(new);
            return;
        }
        // Those that come back stay; of the others the oldest go first, and of a flood
        // the last.
        let least = self.list.iter_mut().rev();
        let least = least.min_by_key(|known| (known.days, known.messages, known.last));
        if let Some(least) = least {
            *least = new;
        }
    }

    /// The most used domains, those with the most messages first.
    pub(super) fn sorted(&self) -> Vec<&Use> {
        let mut list: Vec<&Use> = self.list.iter().collect();
        list.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.domain.cmp(&b.domain)));
        list
    }

    /// How many different ones there were, up to [`MOST_DISTINCT`].
    pub(super) fn distinct(&self) -> usize {
        self.distinct.len()
    }

    /// Messages that had a domain.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Takes in those of another identity, on days that may be the same.
    pub(super) fn absorb(&mut self, other: &Uses) {
        self.messages += other.messages;
        self.distinct.extend(other.distinct.iter().copied().take(MOST_DISTINCT));
        for one in &other.list {
            match self.list.iter_mut().find(|known| known.domain == one.domain) {
                Some(known) => {
                    known.messages += one.messages;
                    known.days = known.days.max(one.days);
                    known.first = known.first.min(one.first);
                    known.last = known.last.max(one.last);
                }
                None => self.list.push(one.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_stays() {
        let mut uses = Uses::default();
        for day in 0..5 {
            uses.note("example.org", 0, day);
            for n in 0..100 {
                uses.note(&format!("odd{day}-{n}.example"), 1 + u64::from(day * 100 + n), day);
            }
        }
        let own = uses.list.iter().find(|known| &*known.domain == "example.org");
        assert_eq!(
            own.map(|own| (own.messages, own.days, own.first, own.last)),
            Some((5, 5, 0, 4))
        );
        assert_eq!((uses.list.len(), uses.distinct()), (MOST_DOMAINS, MOST_DISTINCT));
        assert_eq!(uses.messages(), 505);
    }

    #[test]
    fn the_most_used_come_first() {
        let mut uses = Uses::default();
        for (domain, hash) in [("b", 2), ("a", 1), ("c", 3), ("c", 3)] {
            uses.note(domain, hash, 7);
        }
        let names: Vec<&str> = uses.sorted().iter().map(|one| &*one.domain).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }
}
