//! Cases whose files are read while mail is judged already.
//!
//! A start that read the file of each of a hundred thousand restrictions would take
//! many seconds (50 µs each where they are cached), in which nothing is refused. Of
//! what is restricted the journal tells all that judging needs: the number of its
//! case and who. So such a case begins as a stub: it is found by its roots, it is
//! open, and what happens is kept in it. Its file is read later, by whoever writes
//! the cases or by who wants to see it, and what happened meanwhile goes on top.
//!
//! Until then it is not written: the file has what the stub lacks.

use super::{
    Book,
    hear::ended_unseen,
    state::{Kept, State},
};
use crate::{
    case::{CaseFile, Material},
    connector::Entity,
    record::{CaseId, Restriction},
};
use std::sync::Arc;

/// What a stub stands for, beside what happened since the start.
#[derive(Debug)]
pub(super) struct Unread {
    /// What of it was in force at the start.
    in_force: Vec<Arc<Restriction>>,
    /// The root that it was given; the file knows better.
    root: Entity,
}

impl Book {
    /// Says that these cases have files that are read later. To be called before the
    /// restriction table is restored, of which each of them must hold something.
    pub fn read_later(&self, cases: impl IntoIterator<Item = CaseId>) {
        let mut state = self.lock();
        for case in cases {
            state.newest = state.newest.max(Some(case));
            state.unread.insert(case, false);
        }
    }

    /// Some cases whose files are to be read, shelved ones that changed too; once no more changes will come, only
    /// those that changed since the start.
    pub fn unread(&self, most: usize) -> Vec<CaseId> {
        let state = self.lock();
        let unread = state.unread.iter().filter(|(_, changed)| **changed || !state.closed);
        let unread = unread.map(|(case, _)| case);
        unread.chain(&state.wanted).copied().take(most).collect()
    }

    /// Whether all files were read that a start left for later.
    pub fn is_read(&self) -> bool {
        self.lock().unread.is_empty()
    }

    /// Whether the file of this case has more of it than memory has.
    pub fn is_unread(&self, case: CaseId) -> bool {
        let state = self.lock();
        let is_shelved = |kept: &Kept| kept.shelved.is_some();
        state.unread.contains_key(&case) || state.files.get(&case).is_some_and(is_shelved)
    }

    /// Gives what the file of a case says, or that there is none that can be read.
    /// Nothing happens where it was given already.
    pub fn supply(&self, case: CaseId, file: Option<CaseFile>) {
        let mut state = self.lock();
        state.supply(case, file);
        self.ring(state);
    }
}

impl State {
    /// Takes in that this restriction is in force; says whether that is a case whose
    /// file is still to be read.
    pub(super) fn expect(&mut self, held: &Arc<Restriction>) -> bool {
        if !self.unread.contains_key(&held.case) {
            return false;
        }
        let root = held.entity.root();
        let kept = self.files.entry(held.case).or_insert_with(|| {
            let file = CaseFile::new(held.case, root.clone(), held.since);
            let unread = Unread { in_force: Vec::new(), root: root.clone() };
            Kept { unread: Some(Box::new(unread)), ..Kept::new(file) }
        });
        if let Some(unread) = &mut kept.unread {
            unread.in_force.push(Arc::clone(held));
        }
        Arc::make_mut(&mut kept.file).restricted.insert(held.entity.clone());
        for root in [kept.file.root.clone(), root] {
            self.open.entry(root).or_default().insert(held.case);
        }
        true
    }

    fn supply(&mut self, case: CaseId, file: Option<CaseFile>) {
        if self.unread.remove(&case).is_none() {
            self.unshelve(case, file);
            return;
        }
        self.changes += 1;
        self.unindex(case);
        let Some(stub) = self.files.remove(&case) else { return };
        let Kept { file: since, earlier, collected, unread, .. } = stub;
        let Some(unread) = unread else { return };
        let read = file.is_some();
        let first = || CaseFile::new(case, unread.root.clone(), since.opened);
        let mut now = file.unwrap_or_else(first);
        let before = now.clone();
        now.bring_in_line(&unread.in_force);
        let earlier = collected.map(|_| {
            let mut all = now.material.clone();
            all.merge(&earlier.map_or_else(Material::default, |earlier| *earlier));
            Box::new(all)
        });
        now.go_on(&since, &unread.root);
        let is_changed = !read || now != before;
        self.files.insert(case, Kept { earlier, collected, ..Kept::new(now) });
        self.index(case);
        if is_changed {
            self.dirty.insert(case);
        }
        self.touch(case);
    }
}

impl CaseFile {
    /// Takes over what the journal says is in force of this case, which is true.
    fn bring_in_line(&mut self, in_force: &[Arc<Restriction>]) {
        let was_open = self.is_open();
        for held in in_force {
            if self.restricted.insert(held.entity.clone()) || !was_open {
                self.closed = None;
                self.restricted_by(held, held.since);
            }
        }
        let is_held = |entity: &Entity| in_force.iter().any(|held| held.entity == *entity);
        let gone: Vec<Entity> =
            self.restricted.iter().filter(|entity| !is_held(entity)).cloned().collect();
        for entity in gone {
            self.restricted.remove(&entity);
            self.step(ended_unseen(entity, self.active));
        }
    }

    /// Takes over what happened since in the stub of this case, which began with this
    /// root.
    fn go_on(&mut self, since: &Self, root: &Entity) {
        if since.root != *root {
            self.root = since.root.clone();
        }
        self.closed = since.closed;
        self.restricted.clone_from(&since.restricted);
        self.first_seen = self.first_seen.or(since.first_seen);
        since.steps.iter().cloned().for_each(|step| self.step(step));
        if since.material != Material::default() {
            self.material.merge(&since.material);
        }
        self.refused = self.refused.saturating_add(since.refused);
        self.held = self.held.saturating_add(since.held);
        self.last_attempt = self.last_attempt.max(since.last_attempt);
        self.active = self.active.max(since.active);
        for told in &since.told {
            if !self.told.contains(told) {
                self.tell(told.clone());
            }
        }
    }
}
