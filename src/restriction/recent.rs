//! Whom the judgement restricted last, so that who judges an organization need not
//! look at all that is restricted.

use crate::{connector::Entity, timestamp::Timestamp};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Restrictions that are remembered, the newest ones: to look at them all takes less
/// than a millisecond.
const MOST: usize = 4096;

/// The lock comes after that of an entry; who holds it takes no other.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(Timestamp, Entity)>>);

impl Recent {
    /// The judgement restricted this entity at `since`.
    pub(super) fn add(&self, since: Timestamp, entity: &Entity) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = recent.partition_point(|(earlier, _)| *earlier <= since);
        if recent.len() >= MOST {
            // Older than all of them: it is the one that goes.
            let Some(before) = at.checked_sub(1) else { return };
            recent.pop_front();
            // All others moved up by one.
            at = before;
        }
        recent.insert(at, (since, entity.clone()));
    }

    /// Entities that were restricted from `from` on, oldest first; some may not be any
    /// more, and some may be named twice.
    pub(super) fn from(&self, from: Timestamp) -> Vec<Entity> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = recent.partition_point(|(earlier, _)| *earlier < from);
        recent.iter().skip(first).map(|(_, entity)| entity.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_newest_stay_in_order_whatever_order_they_come_in() {
        let recent = Recent::default();
        let at = |second: usize| Timestamp::from_seconds(1_795_000_000 + second as u64);
        let of = |number: usize| -> Entity { format!("login:u{number}").parse().unwrap() };
        // Even seconds first, then odd ones, each in the midst of them.
        for number in (0..2 * MOST).step_by(2).chain((1..2 * MOST).step_by(2)) {
            recent.add(at(number), &of(number));
        }
        for first in [MOST, MOST + 1, 2 * MOST - 2, 2 * MOST - 1] {
            let expected: Vec<Entity> = (first..2 * MOST).map(of).collect();
            assert_eq!(recent.from(at(first)), expected, "from {first}");
        }
        recent.add(at(0), &of(0));
        assert_eq!(recent.from(at(0)).first(), Some(&of(MOST)));
    }
}
