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
        let at = recent.partition_point(|(earlier, _)| *earlier <= since);
        if recent.len() >= MOST {
            if at == 0 {
                return;
            }
            recent.pop_front();
        }
        let at = at.min(recent.len());
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
