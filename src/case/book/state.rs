//! What the book holds, and by what a case is found.

use super::{
    MOST_CLOSED, MOST_SUSPICIOUS, MOST_UNWRITTEN, SLICE,
    shelf::{MostFull, Shelved},
    unread::Unread,
};
use crate::{
    case::{CaseFile, Material, Step, What},
    connector::Entity,
    record::{Actor, CaseId},
    timestamp::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// A case in memory.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: Arc<CaseFile>,
    /// What was collected before the present evidence began.
    pub(super) earlier: Option<Box<Material>>,
    /// When the present evidence began, as far as there is some.
    pub(super) collected: Option<Timestamp>,
    /// Its file is not read yet.
    pub(super) unread: Option<Box<Unread>>,
    /// Only its file has all that it is made of.
    pub(super) shelved: Option<Shelved>,
    /// Evidence that is left out if more of it is collected.
    pub(super) spent: Option<Timestamp>,
    /// Something was collected that was not given to the disk.
    pub(super) is_fresh: bool,
    /// Its place in [`State::used`]; 0 for none.
    pub(super) stamp: u64,
}

impl Kept {
    pub(super) fn new(file: CaseFile) -> Self {
        let file = Arc::new(file);
        Self {
            file,
            earlier: None,
            collected: None,
            unread: None,
            shelved: None,
            spent: None,
            is_fresh: false,
            stamp: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) files: BTreeMap<CaseId, Kept>,
    /// The open cases of a root, and of the roots of what is restricted in them.
    pub(super) open: HashMap<Entity, BTreeSet<CaseId>>,
    /// Open ones of which nothing is restricted, ...
    pub(super) suspicious: BTreeSet<CaseId>,
    /// ... and those that are over.
    pub(super) over: BTreeSet<CaseId>,
    /// The newest number among all that there ever were here.
    pub(super) newest: Option<CaseId>,
    /// Counted up since they were given to the disk; that can wait.
    pub(super) counted: BTreeSet<CaseId>,
    /// Raised with each change of what was decided, done or told.
    pub(super) changes: u64,
    /// To be written.
    pub(super) dirty: BTreeSet<CaseId>,
    /// Given to the disk, which may not have them yet.
    pub(super) written_now: BTreeSet<CaseId>,
    /// The disk has them, or gave them back, at the next look.
    pub(super) turn_is_over: bool,
    /// Cases with all in memory, in the order of their last use, ...
    pub(super) used: BTreeMap<u64, CaseId>,
    pub(super) most_full: MostFull,
    /// ... the newest of these numbers, ...
    pub(super) stamp: u64,
    /// ... and shelved cases whose files are to be read, since they changed.
    pub(super) wanted: BTreeSet<CaseId>,
    /// When the counts of shelved cases were last given to the disk.
    pub(super) gave_counts: Timestamp,
    /// Cases whose files are still to be read, and whether something of them changed
    /// since the start. None of them is to be written before.
    pub(super) unread: BTreeMap<CaseId, bool>,
    pub(super) looked: Timestamp,
    pub(super) closed: bool,
}

impl State {
    pub(super) fn open_case(&self, root: &Entity) -> Option<CaseId> {
        self.open.get(root)?.last().copied()
    }

    /// Takes in a case.
    pub(super) fn put(&mut self, file: CaseFile, now: Timestamp) {
        let case = file.case;
        self.changes += 1;
        self.newest = self.newest.max(Some(case));
        self.files.insert(case, Kept::new(file));
        self.index(case);
        self.mark(case);
        self.touch(case);
        self.make_room(now);
    }

    /// A case is to be written.
    pub(super) fn mark(&mut self, case: CaseId) {
        if let Some(changed) = self.unread.get_mut(&case) {
            *changed = true;
        } else if self.files.get(&case).is_some_and(|kept| kept.shelved.is_some()) {
            self.wanted.insert(case);
        } else {
            self.dirty.insert(case);
        }
    }

    /// Changes a case, but nothing by which it is found; says whether it is there.
    pub(super) fn change(&mut self, case: CaseId, change: impl FnOnce(&mut CaseFile)) -> bool {
        let Some(kept) = self.files.get_mut(&case) else { return false };
        change(Arc::make_mut(&mut kept.file));
        self.changes += 1;
        self.counted.remove(&case);
        self.mark(case);
        true
    }

    /// An entity is restricted in this case, which goes on with it. Says whether
    /// that is new.
    pub(super) fn hold(&mut self, case: CaseId, entity: &Entity) -> bool {
        let Some(kept) = self.files.get_mut(&case) else { return false };
        let file = Arc::make_mut(&mut kept.file);
        let root = (file.closed.take().is_some()).then(|| file.root.clone());
        let is_new = file.restricted.insert(entity.clone());
        self.changes += 1;
        self.over.remove(&case);
        self.suspicious.remove(&case);
        self.mark(case);
        for root in root.into_iter().chain([entity.root()]) {
            self.open.entry(root).or_default().insert(case);
        }
        is_new
    }

    /// An entity is not restricted in this case any more.
    pub(super) fn free(&mut self, case: CaseId, entity: &Entity) {
        let Some(kept) = self.files.get_mut(&case) else { return };
        let file = Arc::make_mut(&mut kept.file);
        if !file.restricted.remove(entity) {
            return;
        }
        self.changes += 1;
        let root = entity.root();
        if file.restricted.is_empty() && file.is_open() {
            self.suspicious.insert(case);
        }
        if root != file.root && !file.restricted.iter().any(|other| other.root() == root) {
            self.forget(&root, case);
        }
        self.mark(case);
    }

    /// Ends a case.
    pub(super) fn end(&mut self, case: CaseId, now: Timestamp, reason: &str) {
        self.close(case, now, reason);
        self.make_room(now);
    }

    fn close(&mut self, case: CaseId, now: Timestamp, reason: &str) {
        self.unindex(case);
        self.change(case, |file| {
            file.step(Step {
                at: now,
                by: Actor::Daemon,
                what: What::Over,
                entity: file.root.clone(),
                reason: reason.to_owned(),
                findings: Vec::new(),
            });
            file.closed = Some(now);
        });
        self.index(case);
    }

    /// Ends and forgets the oldest of too many cases: some at a time, since there may be
    /// thousands when as many restrictions ended.
    fn make_room(&mut self, now: Timestamp) {
        let surplus = self.suspicious.len().saturating_sub(MOST_SUSPICIOUS);
        let oldest: Vec<CaseId> =
            self.suspicious.iter().take(surplus.min(SLICE)).copied().collect();
        for oldest in oldest {
            self.close(oldest, now, "there were too many suspicions at a time");
        }
        let surplus = self.over.len().saturating_sub(MOST_CLOSED);
        // What is not on disk yet stays until it is; where the disk fails, for a while.
        let waits = |case: &CaseId| {
            let sets = [&self.dirty, &self.wanted, &self.written_now];
            sets.iter().any(|cases| cases.contains(case))
        };
        let on_disk = self.over.iter().filter(|case| !waits(case));
        let mut gone: Vec<CaseId> = on_disk.take(surplus).copied().collect();
        let lost = (surplus - gone.len()).saturating_sub(MOST_UNWRITTEN);
        gone.extend(self.over.iter().filter(|case| waits(case)).take(lost));
        for oldest in gone {
            self.over.remove(&oldest);
            if let Some(kept) = self.files.remove(&oldest) {
                self.forget_use(oldest, &kept);
            }
            self.dirty.remove(&oldest);
            self.counted.remove(&oldest);
            self.unread.remove(&oldest);
        }
    }

    pub(super) fn index(&mut self, case: CaseId) {
        let Some(kept) = self.files.get(&case) else { return };
        if !kept.file.is_open() {
            self.over.insert(case);
            return;
        }
        if kept.file.restricted.is_empty() {
            self.suspicious.insert(case);
        }
        for root in roots(&kept.file) {
            self.open.entry(root).or_default().insert(case);
        }
    }

    pub(super) fn unindex(&mut self, case: CaseId) {
        let Some(kept) = self.files.get(&case) else { return };
        self.over.remove(&case);
        self.suspicious.remove(&case);
        for root in roots(&kept.file) {
            self.forget(&root, case);
        }
    }

    fn forget(&mut self, root: &Entity, case: CaseId) {
        if let Some(cases) = self.open.get_mut(root) {
            cases.remove(&case);
            if cases.is_empty() {
                self.open.remove(root);
            }
        }
    }
}

/// The roots that a case is about.
fn roots(file: &CaseFile) -> BTreeSet<Entity> {
    file.restricted.iter().map(Entity::root).chain([file.root.clone()]).collect()
}
