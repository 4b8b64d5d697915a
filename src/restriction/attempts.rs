//! What is tried under a restriction.

use crate::{record::Restriction, timestamp::Timestamp, verdict::Action};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What a restricted or marked entity tried since. Kept in memory only: it is
/// shown, and it limits `hold`, but nothing is judged by it.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Recipients that were refused (for a mark: would have been).
    pub refused: AtomicU64,
    /// When it last tried, in milliseconds; 0 where it never did.
    pub last: AtomicU64,
    /// Messages that went to the hold queue.
    pub held_messages: AtomicU64,
    /// Octets of those messages.
    pub held_bytes: AtomicU64,
    /// Of the refused and the held, what its case has already.
    told_refused: AtomicU64,
    told_held: AtomicU64,
}

impl Attempts {
    /// Counts the refusal of `recipients`.
    pub fn refuse(&self, recipients: u64, now: Timestamp) {
        self.refused.fetch_add(recipients, Relaxed);
        self.last.fetch_max(now.as_millis(), Relaxed);
    }

    /// Takes room for a message of `bytes` under the limits of the hold
    /// queue; says whether there was any.
    pub fn hold(&self, bytes: u64, messages_limit: u64, bytes_limit: u64, now: Timestamp) -> bool {
        self.last.fetch_max(now.as_millis(), Relaxed);
        let take = |counter: &AtomicU64, by: u64, limit: u64| {
            counter
                .fetch_update(Relaxed, Relaxed, |held| {
                    held.checked_add(by).filter(|sum| *sum <= limit)
                })
                .is_ok()
        };
        if !take(&self.held_messages, 1, messages_limit) {
            return false;
        }
        let room = take(&self.held_bytes, bytes, bytes_limit);
        if !room {
            self.held_messages.fetch_sub(1, Relaxed);
        }
        room
    }

    /// Recipients that were refused and messages that were held since the last call;
    /// of several threads each is given a part.
    pub fn take_new(&self) -> (u64, u64) {
        let new = |now: &AtomicU64, told: &AtomicU64| {
            let now = now.load(Relaxed);
            now.saturating_sub(told.fetch_max(now, Relaxed))
        };
        (new(&self.refused, &self.told_refused), new(&self.held_messages, &self.told_held))
    }

    /// Gives the room in the hold queue back: a new count begins.
    pub fn forget_held(&self) {
        if self.held_messages.load(Relaxed) > 0 {
            self.held_messages.store(0, Relaxed);
            self.told_held.store(0, Relaxed);
            self.held_bytes.store(0, Relaxed);
        }
    }

    /// The last attempt, if there was one.
    pub fn last(&self) -> Option<Timestamp> {
        match self.last.load(Relaxed) {
            0 => None,
            millis => Some(Timestamp::from_millis(millis)),
        }
    }
}

/// A restriction in force, with what was tried since.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The restriction or mark.
    pub restriction: Arc<Restriction>,
    /// What was tried since.
    pub attempts: Arc<Attempts>,
}

impl InForce {
    /// What mail meets at `now`: a tempfail may have turned into a reject.
    pub fn action(&self, now: Timestamp) -> Action {
        match (self.restriction.action, self.restriction.reject_from) {
            (Action::Tempfail, Some(from)) if from <= now => Action::Reject,
            (action, _) => action,
        }
    }
}
