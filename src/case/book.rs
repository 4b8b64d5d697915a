//! All cases that are open or were closed a short time ago, in memory. What
//! changed is written to disk by whoever waits at the bell; nobody else waits.

use super::CaseFile;
use crate::{
    connector::Entity,
    record::{CaseId, Record},
    timestamp::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<CaseId, CaseFile>,
    dirty: BTreeSet<CaseId>,
    closed: bool,
}

/// The cases.
#[derive(Debug, Default)]
pub struct Book {
    state: Mutex<State>,
    bell: Condvar,
}

impl Book {
    /// The open case of this root.
    pub fn open_case(&self, root: &Entity) -> Option<CaseId> {
        let state = self.lock();
        let open = |file: &&CaseFile| file.root == *root && file.closed.is_none();
        state.files.values().find(open).map(|file| file.case)
    }

    /// Begins a case, unless one of this number is there.
    pub fn begin(&self, case: CaseId, root: &Entity, now: Timestamp) {
        let mut state = self.lock();
        state.files.entry(case).or_insert_with(|| CaseFile::new(case, root.clone(), now));
        state.dirty.insert(case);
        self.bell.notify_all();
    }

    /// Changes a case, if it is there.
    pub fn update(&self, case: CaseId, change: impl FnOnce(&mut CaseFile)) {
        let mut state = self.lock();
        if let Some(file) = state.files.get_mut(&case) {
            change(file);
            state.dirty.insert(case);
            self.bell.notify_all();
        }
    }

    /// A change of the restriction table: it is a step of its case. Called while
    /// the entry of its entity is locked, so that the steps of one entity are in
    /// order.
    pub fn hear(&self, record: &Record) {
        let _ = record;
    }

    /// A copy of a case.
    pub fn get(&self, case: CaseId) -> Option<CaseFile> {
        self.lock().files.get(&case).cloned()
    }

    /// Copies of all cases in memory, oldest first.
    pub fn all(&self) -> Vec<CaseFile> {
        self.lock().files.values().cloned().collect()
    }

    /// Takes back what was kept, before the first session; gives the largest
    /// number among them.
    pub fn restore(&self, files: Vec<CaseFile>) -> Option<CaseId> {
        let mut state = self.lock();
        state.files.extend(files.into_iter().map(|file| (file.case, file)));
        state.files.keys().next_back().copied()
    }

    /// Waits until cases changed, `longest` at the most, and gives copies of
    /// them; the flag says that no more will come.
    pub fn take_changed(&self, longest: Duration) -> (Vec<CaseFile>, bool) {
        let state = self.lock();
        let (mut state, _) = self
            .bell
            .wait_timeout_while(state, longest, |state| state.dirty.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let dirty = std::mem::take(&mut state.dirty);
        let files = dirty.iter().filter_map(|case| state.files.get(case).cloned()).collect();
        (files, state.closed)
    }

    /// Says that no more changes will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
