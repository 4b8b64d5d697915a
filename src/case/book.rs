//! All cases that are open or were closed a short time ago, in memory. What
//! changed is written to disk by whoever waits at the bell; nobody else waits.
//!
//! The lock is held for a few instructions: files are shared, and copied only by
//! who changes one that somebody reads. It comes after the lock of an entry of
//! the restriction table; who holds it takes no other.
//!
//! Bounded: at most [`MOST_SUSPICIOUS`] open cases of which nothing is restricted
//! (the oldest end first), and [`MOST_CLOSED`] that are over (the oldest are then on
//! disk only). What is restricted is bounded by the connectors; a case takes 10 to
//! 50 KB, and 100 KB where all texts are as long as they may be, so of more than
//! [`MOST_FULL`] cases the others leave most of that to their files (`book/shelf.rs`):
//! 100,000 take 400 MB instead of some gigabytes.
//!
//! Cases of which something is restricted are there at once after a start, and their
//! files are read while it runs: until [`Book::is_read`], such a case tells only what
//! happened since the start.

mod hear;
mod shelf;
mod state;
mod unread;

#[cfg(test)]
mod tests;

pub use shelf::MOST_FULL;

use super::{CaseFile, Material, Step, What};
use crate::{
    connector::Entity,
    record::{Actor, CaseId, Finding},
    timestamp::Timestamp,
};
use state::State;
use std::{
    ops::Bound,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Open cases of which nothing is restricted, at the most.
pub const MOST_SUSPICIOUS: usize = 2000;
/// Cases that are over and stay in memory.
pub const MOST_CLOSED: usize = 1000;
/// Further ones that are over and that the disk did not take yet: of more, the oldest
/// are lost.
const MOST_UNWRITTEN: usize = 2 * MOST_CLOSED;
/// How long a case goes on after the last thing that belongs to it.
pub const QUIET: Duration = Duration::from_secs(24 * 3600);
/// How often cases are looked at that may be over, and counts are given to the
/// disk.
const LOOK: Duration = Duration::from_secs(60);
/// Cases that are looked at under one lock.
const SLICE: usize = 512;
/// Files that are given to the disk at a time.
const BATCH: usize = 64;

/// The cases.
#[derive(Debug, Default)]
pub struct Book {
    state: Mutex<State>,
    bell: Condvar,
}

impl Book {
    /// The open case of this root, the newest where there are several.
    pub fn open_case(&self, root: &Entity) -> Option<CaseId> {
        self.lock().open_case(root)
    }

    /// The case that an incident of this root belongs to at `now`: the open one, or
    /// one that begins with the number that `draw` gives.
    pub fn case_for(&self, root: &Entity, now: Timestamp, draw: impl FnOnce() -> CaseId) -> CaseId {
        let mut state = self.lock();
        if let Some(case) = state.open_case(root) {
            return case;
        }
        let case = draw();
        state.put(CaseFile::new(case, root.clone(), now), now);
        self.ring(state);
        case
    }

    /// Begins a case, unless one of this number is there.
    pub fn begin(&self, case: CaseId, root: &Entity, now: Timestamp) {
        let mut state = self.lock();
        if !state.files.contains_key(&case) {
            state.put(CaseFile::new(case, root.clone(), now), now);
            self.ring(state);
        }
    }

    /// Changes a case, if it is there; but not its root, its end and what of it is
    /// restricted, which follow the restriction table.
    pub fn update(&self, case: CaseId, change: impl FnOnce(&mut CaseFile)) {
        let mut state = self.lock();
        if state.change(case, change) {
            self.ring(state);
        }
    }

    /// Changes a case, if it is there, by what need not be written before something
    /// else of it changes; as [`Book::update`] otherwise.
    pub fn remember(&self, case: CaseId, change: impl FnOnce(&mut CaseFile)) {
        let mut state = self.lock();
        state.changes += 1;
        if let Some(kept) = state.files.get_mut(&case) {
            change(Arc::make_mut(&mut kept.file));
        }
    }

    /// A number that is another one whenever something was decided, done or told since;
    /// what is only counted or collected does not change it.
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// An entity of this case became suspicious because of these findings.
    pub fn suspect(&self, case: CaseId, entity: &Entity, findings: Vec<Finding>, now: Timestamp) {
        self.update(case, |file| {
            file.step(Step {
                at: now,
                by: Actor::Judgement,
                what: What::Suspicious,
                entity: entity.clone(),
                reason: String::new(),
                findings,
            });
        });
    }

    /// Takes over what is collected of its connector at present: all of it, not only
    /// what is new since the last time.
    pub fn collect(&self, case: CaseId, material: Material) {
        let mut state = self.lock();
        let Some(kept) = state.files.get_mut(&case) else { return };
        if kept.spent == Some(material.since) {
            return;
        }
        let goes_on = kept.collected == Some(material.since);
        if !goes_on {
            let earlier = &kept.file.material;
            kept.earlier = (*earlier != Material::default()).then(|| Box::new(earlier.clone()));
            kept.collected = Some(material.since);
        }
        let all = match &kept.earlier {
            Some(earlier) => {
                let mut all = Material::clone(earlier);
                all.merge(&material);
                all
            }
            None => material,
        };
        Arc::make_mut(&mut kept.file).material = all;
        kept.is_fresh = true;
        state.counted.insert(case);
        if goes_on {
            state.is_superseded(case);
        }
        state.touch(case);
    }

    /// Recipients that were refused and messages that were held since the last
    /// time, `at` being the last one.
    pub fn count(&self, case: CaseId, refused: u64, held: u64, at: Timestamp) {
        let mut state = self.lock();
        let Some(kept) = state.files.get_mut(&case) else { return };
        let more = u32::try_from(refused).unwrap_or(u32::MAX);
        if kept.collected.is_some() {
            // What is collected next is put in the place of what is there.
            kept.earlier.get_or_insert_default().timeline.note(0, more, at);
        }
        let file = Arc::make_mut(&mut kept.file);
        file.refused = file.refused.saturating_add(refused);
        file.held = file.held.saturating_add(held);
        file.last_attempt = file.last_attempt.max(Some(at));
        file.material.timeline.note(0, more, at);
        state.counted.insert(case);
    }

    /// Ends the cases of which nothing was restricted or suspicious for [`QUIET`].
    /// To be called often: it looks once a minute.
    pub fn close_what_is_over(&self, now: Timestamp, is_suspicious: impl Fn(&Entity) -> bool) {
        let mut state = self.lock();
        // A clock that went back must not stop it.
        if now.since(state.looked) < LOOK && state.looked.since(now) < LOOK {
            return;
        }
        state.looked = now;
        state.give_counts(now, false);
        let candidates: Vec<Arc<CaseFile>> = state
            .suspicious
            .iter()
            .filter_map(|case| Some(Arc::clone(&state.files.get(case)?.file)))
            .collect();
        self.ring(state);
        for file in candidates {
            let is_suspicious = is_suspicious(&file.root);
            let quiet = now.since(file.active);
            if is_suspicious && quiet >= QUIET / 24 {
                self.update(file.case, |file| file.active = file.active.max(now));
            } else if !is_suspicious && quiet >= QUIET {
                let mut state = self.lock();
                if state.suspicious.contains(&file.case) {
                    state.end(file.case, now, "");
                    self.ring(state);
                }
            }
        }
    }

    /// A copy of a case.
    pub fn get(&self, case: CaseId) -> Option<CaseFile> {
        let file = self.share(case)?;
        Some(CaseFile::clone(&file))
    }

    /// A case as it is now.
    pub fn share(&self, case: CaseId) -> Option<Arc<CaseFile>> {
        self.lock().files.get(&case).map(|kept| Arc::clone(&kept.file))
    }

    /// All cases in memory as they are now, oldest first.
    pub fn all(&self) -> Vec<Arc<CaseFile>> {
        let mut all: Vec<Arc<CaseFile>> = Vec::new();
        loop {
            // A slice at a time: whoever changes a case must not wait for all of them.
            let state = self.lock();
            let after = all.last().map_or(Bound::Unbounded, |last| Bound::Excluded(last.case));
            let rest = state.files.range((after, Bound::Unbounded)).take(SLICE);
            let before = all.len();
            all.extend(rest.map(|(_, kept)| Arc::clone(&kept.file)));
            if all.len() == before {
                return all;
            }
        }
    }

    /// Looks at all cases in memory, oldest first. Takes the lock only to find
    /// them: `look` may ask for anything.
    pub fn scan(&self, mut look: impl FnMut(&CaseFile)) {
        for file in self.all() {
            look(&file);
        }
    }

    /// The newest case of this root in memory, whether it is open or over.
    pub fn newest_of(&self, root: &Entity) -> Option<Arc<CaseFile>> {
        let state = self.lock();
        let case = state.open_case(root).or_else(|| {
            let mut over = state.over.iter().rev().copied();
            over.find(|case| state.files.get(case).is_some_and(|kept| kept.file.root == *root))
        })?;
        state.files.get(&case).map(|kept| Arc::clone(&kept.file))
    }

    /// The largest number among the cases that are or were here.
    pub fn newest(&self) -> Option<CaseId> {
        self.lock().newest
    }

    /// Takes back what was kept, before the restriction table is restored; gives
    /// the largest number among them.
    pub fn restore(&self, files: Vec<CaseFile>) -> Option<CaseId> {
        let mut state = self.lock();
        for file in files {
            let (case, now) = (file.case, file.opened);
            state.put(file, now);
            state.dirty.remove(&case);
        }
        state.newest
    }

    /// Waits until cases changed, `longest` at the most, and gives some of them;
    /// the flag says that these are the last. What was given before is on disk, or given
    /// back, once this is called again after it gave none.
    pub fn take_changed(&self, longest: Duration) -> (Vec<Arc<CaseFile>>, bool) {
        self.shelve_what_is_written();
        let state = self.lock();
        let (mut state, _) = self
            .bell
            .wait_timeout_while(state, longest, |state| state.dirty.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let rest = state.dirty.iter().nth(BATCH).copied();
        let rest = rest.map(|first| state.dirty.split_off(&first)).unwrap_or_default();
        let taken = std::mem::replace(&mut state.dirty, rest);
        let mut files = Vec::new();
        for case in &taken {
            let Some(kept) = state.files.get_mut(case) else { continue };
            kept.is_fresh = false;
            files.push(Arc::clone(&kept.file));
        }
        state.turn_is_over = taken.is_empty();
        state.written_now.extend(taken);
        (files, state.closed && state.dirty.is_empty())
    }

    /// Waits so long, or until no more changes will come.
    pub fn pause(&self, longest: Duration) {
        let state = self.lock();
        let _ = self.bell.wait_timeout_while(state, longest, |state| !state.closed);
    }

    /// Whether no more changes will come.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many cases are still to be written, beside those that are being written.
    pub fn unwritten(&self) -> usize {
        let state = self.lock();
        state.dirty.union(&state.wanted).count()
    }

    /// Says that numbers up to this one were given before.
    pub fn skip(&self, newest: Option<CaseId>) {
        let mut state = self.lock();
        state.newest = state.newest.max(newest);
    }

    /// Says that a case is still to be written.
    pub fn give_back(&self, case: CaseId) {
        self.lock().mark(case);
    }

    /// Says that no more changes will come.
    pub fn close(&self) {
        let mut state = self.lock();
        let now = state.looked;
        state.give_counts(now, true);
        state.closed = true;
        self.ring(state);
    }

    fn ring(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
