//! What is tried under a restriction.
//!
//! Beside the totals, of a restriction: how much of what was tried in the last
//! [`LATELY_MIN`] minutes looks like bad mail, counted by the minute; and the
//! different pairs of sender and recipient, [`MOST_PAIRS`] at the most, which are
//! what clients will send again once it is lifted. Those take 80 KB at the most of each
//! entity that is restricted, nothing of one that tries nothing, and of all entities
//! together [`MOST_IN_ALL`] pairs, which is 40 MB: beyond it, new ones are not told
//! apart, and `there were more` says so.

use crate::{halves, record::Restriction, timestamp::Timestamp, verdict::Action};
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
};

/// What was tried so many minutes ago still says how an entity is now.
pub const LATELY_MIN: u32 = 10;
/// Pairs of sender and recipient that are told apart.
pub(super) const MOST_PAIRS: usize = 8192;
/// The same of all entities of a table.
pub(super) const MOST_IN_ALL: usize = 4 << 20;

/// What all attempts of a table share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Something was tried since the cases were told of it.
    pub(super) news: AtomicBool,
    /// Pairs that are told apart.
    pairs: AtomicUsize,
}

/// One recipient that was refused or held.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Attempt {
    /// Its sender's domain is not registered.
    pub unregistered: bool,
    /// The connector never wrote to this recipient.
    pub stranger: bool,
    /// It looks like bad mail.
    pub strange: bool,
    /// Stands for its sender and recipient.
    pub pair: u64,
}

/// What was tried lately.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lately {
    /// Recipients that were refused or held in the last [`LATELY_MIN`] minutes.
    pub attempts: u32,
    /// Of these, those with an unregistered sender, ...
    pub unregistered: u32,
    /// ... those that the connector never wrote to, ...
    pub strangers: u32,
    /// ... and those that look like bad mail.
    pub strange: u32,
}

#[derive(Debug, Default)]
struct Recent {
    /// By minutes since 1970, oldest first, [`LATELY_MIN`] at the most.
    minutes: VecDeque<(u32, Lately)>,
    pairs: HashSet<u32>,
    /// There were more pairs than are told apart.
    is_full: bool,
}

impl Recent {
    fn count(&mut self, attempt: &Attempt, minute: u32) {
        if self.minutes.back().is_none_or(|(last, _)| *last < minute) {
            while self.minutes.len() >= LATELY_MIN as usize {
                self.minutes.pop_front();
            }
            self.minutes.push_back((minute, Lately::default()));
        }
        if let Some((_, lately)) = self.minutes.back_mut() {
            let Attempt { unregistered, stranger, strange, .. } = *attempt;
            let add = |count: &mut u32, is: bool| *count = count.saturating_add(u32::from(is));
            add(&mut lately.attempts, true);
            add(&mut lately.unregistered, unregistered);
            add(&mut lately.strangers, stranger);
            add(&mut lately.strange, strange);
        }
    }

    fn tell_apart(&mut self, attempt: &Attempt, all: &AtomicUsize) {
        let (pair, _) = halves::split(attempt.pair);
        if self.pairs.contains(&pair) {
            return;
        }
        let room = |taken: usize| (taken < MOST_IN_ALL).then_some(taken + 1);
        if self.pairs.len() < MOST_PAIRS && all.fetch_update(Relaxed, Relaxed, room).is_ok() {
            self.pairs.insert(pair);
        } else {
            self.is_full = true;
        }
    }
}

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
    /// All of a table share it.
    shared: Arc<Shared>,
    /// Begins with the first [`Attempts::note`].
    recent: Mutex<Option<Box<Recent>>>,
}

impl Attempts {
    /// None yet; `news` is set with each one.
    pub(super) fn telling(shared: &Arc<Shared>) -> Arc<Self> {
        let mut attempts = Self::default();
        attempts.shared = Arc::clone(shared);
        Arc::new(attempts)
    }

    /// Counts the refusal of `recipients`.
    pub fn refuse(&self, recipients: u64, now: Timestamp) {
        self.refused.fetch_add(recipients, Relaxed);
        self.note_time(now);
    }

    fn note_time(&self, now: Timestamp) {
        self.last.fetch_max(now.as_millis(), Relaxed);
        if !self.shared.news.load(SeqCst) {
            self.shared.news.store(true, SeqCst);
        }
    }

    /// Takes room for a message of `bytes` under the limits of the hold
    /// queue; says whether there was any.
    pub fn hold(&self, bytes: u64, messages_limit: u64, bytes_limit: u64, now: Timestamp) -> bool {
        let take = |counter: &AtomicU64, by: u64, limit: u64| {
            counter
                .fetch_update(Relaxed, Relaxed, |held| {
                    held.checked_add(by).filter(|sum| *sum <= limit)
                })
                .is_ok()
        };
        if !take(&self.held_messages, 1, messages_limit) {
            self.note_time(now);
            return false;
        }
        let room = take(&self.held_bytes, bytes, bytes_limit);
        if !room {
            self.held_messages.fetch_sub(1, Relaxed);
        }
        self.note_time(now);
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

    /// Notes what one recipient that was refused or held looks like. One of the
    /// message that tipped the scale will be sent again, but `is_after` nothing.
    pub fn note(&self, attempt: &Attempt, is_after: bool, now: Timestamp) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = recent.get_or_insert_default();
        recent.tell_apart(attempt, &self.shared.pairs);
        if is_after {
            recent.count(attempt, now.as_seconds() / 60);
        }
    }

    /// What was tried lately.
    pub fn lately(&self, now: Timestamp) -> Lately {
        let after = (now.as_seconds() / 60).saturating_sub(LATELY_MIN);
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let minutes = recent.iter().flat_map(|recent| &recent.minutes);
        minutes.filter(|(minute, _)| *minute > after).fold(Lately::default(), |sum, (_, one)| {
            Lately {
                attempts: sum.attempts.saturating_add(one.attempts),
                unregistered: sum.unregistered.saturating_add(one.unregistered),
                strangers: sum.strangers.saturating_add(one.strangers),
                strange: sum.strange.saturating_add(one.strange),
            }
        })
    }

    /// How many different messages (pairs of a sender and a recipient) were refused
    /// or held since; the flag says that there were more.
    pub fn different(&self) -> (usize, bool) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.as_ref().map_or((0, false), |recent| (recent.pairs.len(), recent.is_full))
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

impl Drop for Attempts {
    fn drop(&mut self) {
        let recent = self.recent.get_mut().unwrap_or_else(PoisonError::into_inner);
        let pairs = recent.as_ref().map_or(0, |recent| recent.pairs.len());
        self.shared.pairs.fetch_sub(pairs, Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_020 + 60 * minute)
    }

    #[test]
    fn what_was_tried_lately_is_forgotten_after_ten_minutes() {
        let attempts = Attempts::default();
        assert_eq!(attempts.lately(at(0)), Lately::default());
        let try_it = |unregistered, stranger, pair: u64, minute| {
            let strange = unregistered || stranger;
            let attempt = Attempt { unregistered, stranger, strange, pair: pair << 32 };
            attempts.note(&attempt, true, at(minute));
        };
        try_it(true, true, 1, 0);
        try_it(true, false, 1, 0);
        try_it(false, true, 2, 3);
        try_it(false, false, 3, 9);
        let all = Lately { attempts: 4, unregistered: 2, strangers: 2, strange: 3 };
        assert_eq!(attempts.lately(at(9)), all);
        let rest = Lately { attempts: 2, unregistered: 0, strangers: 1, strange: 1 };
        assert_eq!(attempts.lately(at(10)), rest);
        assert_eq!(attempts.lately(at(19)), Lately::default());
        attempts.note(&Attempt { pair: 4 << 32, ..Attempt::default() }, false, at(19));
        assert_eq!(attempts.lately(at(19)), Lately::default());
        assert_eq!(attempts.different(), (4, false));
    }

    #[test]
    fn pairs_are_counted_up_to_their_limit() {
        let attempts = Attempts::default();
        for pair in 0..MOST_PAIRS as u64 + 10 {
            for _ in 0..2 {
                attempts.note(&Attempt { pair: pair << 32, ..Attempt::default() }, true, at(pair));
            }
        }
        assert_eq!(attempts.different(), (MOST_PAIRS, true));
        assert!(attempts.lately(at(MOST_PAIRS as u64 + 9)).attempts <= 20);
    }
    #[test]
    fn pairs_of_all_entities_have_a_limit_and_room_comes_back() {
        let shared = Arc::new(Shared::default());
        shared.pairs.store(MOST_IN_ALL - 3, Relaxed);
        let (first, second) = (Attempts::telling(&shared), Attempts::telling(&shared));
        for pair in 0..2_u64 {
            for attempts in [&first, &second] {
                attempts.note(&Attempt { pair: pair << 32, ..Attempt::default() }, true, at(0));
            }
        }
        assert_eq!((first.different(), second.different()), ((2, false), (1, true)));
        drop(first);
        second.note(&Attempt { pair: 9 << 32, ..Attempt::default() }, true, at(0));
        assert_eq!(second.different(), (2, true));
    }
}
