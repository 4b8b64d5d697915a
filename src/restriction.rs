//! The restriction table: who is restricted, marked, trusted or in grace.
//!
//! It is the truth; the journal only writes down what changed here. Every
//! change draws its sequence number and enters the queue of [`Changes`] while
//! the entity's entry is locked, so that the records of one entity are
//! numbered and queued in the order in which they took effect.
//!
//! What is over by the clock is over at once for every reader, whether or not
//! [`Table::sweep`] has come by to record it.

mod attempts;
mod changes;
mod kept;
mod moves;
mod recent;
mod replay;
mod senders;
mod sieve;
#[cfg(test)]
mod tests;

pub use attempts::{Attempt, Attempts, InForce, LATELY_MIN, Lately};
pub use changes::{Batch, Changes};
pub use replay::replay;

use crate::{
    case::Book,
    connector::{ConnectorKey, Entity},
    record::{
        Actor, CaseId, Event, Grace, Raised, Record, Restriction, Standing, TIME_IS_OVER, Trust,
    },
    timestamp::Timestamp,
};
use dashmap::{DashMap, mapref::entry::Entry as MapEntry};
use foldhash::fast::RandomState;
use recent::Recent;
use senders::Senders;
use sieve::Sieve;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// Records that may wait for the journal before it has to write a snapshot.
const QUEUE: usize = 8192;
/// Who looks at all entries holds one shard at a time, so that a message, and who
/// restricts, waits for a hundred of a hundred thousand entries (20 µs). With a few
/// shards a snapshot kept whoever restricts waiting for 50 ms. (Hostile input is short:
/// it would walk through empty shards for most of its time.)
const SHARDS: usize = if cfg!(fuzzing) { 8 } else { 1024 };

#[derive(Clone, Debug, Default)]
struct Entry {
    seq: u64,
    standing: Standing,
    attempts: Arc<Attempts>,
}

impl Entry {
    fn restriction(&self, now: Timestamp) -> Option<&Arc<Restriction>> {
        let restriction = self.standing.restriction.as_ref();
        restriction.filter(|restriction| restriction.until.is_none_or(|until| now < until))
    }

    /// When the first of what it holds is over by the clock.
    fn next_end(&self) -> Option<Timestamp> {
        let Standing { restriction, trust, grace, raised } = &self.standing;
        let ends = [
            restriction.as_ref().and_then(|restriction| restriction.until),
            trust.as_ref().map(|trust| trust.until),
            grace.as_ref().map(|grace| grace.until),
            raised.as_ref().map(|bar| bar.until),
        ];
        ends.into_iter().flatten().min()
    }

    fn in_force(&self, now: Timestamp) -> Option<InForce> {
        let restriction = Arc::clone(self.restriction(now)?);
        Some(InForce { restriction, attempts: Arc::clone(&self.attempts) })
    }
}

/// What follows when something is lifted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Aftermath {
    /// The length of the grace; zero for none.
    pub grace: Duration,
    /// It was wrong: the bar of the entity is raised.
    pub raise: bool,
}

impl From<Duration> for Aftermath {
    fn from(grace: Duration) -> Self {
        Self { grace, raise: false }
    }
}

/// One line of [`Table::list`].
#[derive(Clone, Debug)]
pub struct Listed {
    /// Who.
    pub entity: Entity,
    /// What is in force, without what is over. (In a box, since very many of these
    /// are put in order.)
    pub standing: Box<Standing>,
    /// What was tried.
    pub attempts: Arc<Attempts>,
}

/// The table. All methods may be called from any number of threads.
#[derive(Debug)]
pub struct Table {
    entries: DashMap<Entity, Entry, RandomState>,
    /// Whether it is worth looking there.
    sieve: Sieve,
    /// How many entries there are, so that looking up costs nothing while
    /// there are none.
    len: AtomicUsize,
    /// Those of them that are senders, by their connectors.
    senders: Senders,
    /// Whom the judgement restricted last.
    recent: Recent,
    /// No entry holds anything that is over before this time, in milliseconds.
    next_end: AtomicU64,
    /// What was tried.
    attempted: Arc<attempts::Shared>,
    seq: AtomicU64,
    next_case: AtomicU64,
    changes: Changes,
    /// The incidents that the changes belong to.
    cases: Arc<Book>,
    /// Held while something moves from one entity to others, and while all
    /// entries are looked at for a snapshot. No message takes it.
    moving: RwLock<()>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            sieve: Sieve::default(),
            len: AtomicUsize::new(0),
            senders: Senders::default(),
            recent: Recent::default(),
            next_end: AtomicU64::new(u64::MAX),
            attempted: Arc::default(),
            seq: AtomicU64::new(0),
            next_case: AtomicU64::new(1),
            changes: Changes::new(QUEUE),
            cases: Arc::default(),
            moving: RwLock::new(()),
        }
    }
}

impl Table {
    /// The queue to the journal.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The incidents that the changes belong to.
    pub fn cases(&self) -> &Arc<Book> {
        &self.cases
    }

    /// The case that an incident of this root belongs to at `now`, which begins with
    /// it where none is open.
    pub fn case_for(&self, root: &Entity, now: Timestamp) -> CaseId {
        self.cases.case_for(root, now, || CaseId(self.next_case.fetch_add(1, SeqCst)))
    }

    /// Gives what was tried since the last time to the cases of those who tried it.
    pub fn count_attempts(&self) {
        // A replay asks every second of the log: walks through the shards took half
        // of its time.
        if !self.attempted.news.swap(false, SeqCst) {
            return;
        }
        for entry in &self.entries {
            let Some(restriction) = &entry.standing.restriction else { continue };
            let (refused, held) = entry.attempts.take_new();
            if let (true, Some(last)) = (refused + held > 0, entry.attempts.last()) {
                self.cases.count(restriction.case, refused, held, last);
            }
        }
    }

    /// The number of the next case.
    pub fn next_case(&self) -> u64 {
        self.next_case.load(SeqCst)
    }

    /// The restriction or mark of `entity` at `now`.
    pub fn in_force(&self, entity: &Entity, now: Timestamp) -> Option<InForce> {
        self.read(entity, |entry| entry.in_force(now))
    }

    /// The exemption of `entity` at `now`.
    pub fn trust(&self, entity: &Entity, now: Timestamp) -> Option<Trust> {
        self.read(entity, |entry| entry.standing.trust.clone().filter(|trust| now < trust.until))
    }

    /// The grace of `entity` at `now`.
    pub fn grace(&self, entity: &Entity, now: Timestamp) -> Option<Grace> {
        self.read(entity, |entry| entry.standing.grace.clone().filter(|grace| now < grace.until))
    }

    /// The raised bar of `entity` at `now`.
    pub fn raised(&self, entity: &Entity, now: Timestamp) -> Option<Raised> {
        self.read(entity, |entry| entry.standing.raised.clone().filter(|bar| now < bar.until))
    }

    /// All restrictions and marks at `now`, in no order.
    pub fn restrictions(&self, now: Timestamp) -> Vec<Arc<Restriction>> {
        if self.is_empty() {
            return Vec::new();
        }
        self.entries.iter().filter_map(|entry| entry.restriction(now).cloned()).collect()
    }

    /// Restrictions and marks at `now` that the judgement made at `from` or later, in
    /// no order. Of more than 4096 the newest: a message may wait for this.
    pub fn judged_since(&self, from: Timestamp, now: Timestamp) -> Vec<Arc<Restriction>> {
        let is_meant = |held: &&Arc<Restriction>| held.by == Actor::Judgement && from <= held.since;
        let restriction =
            |entity| self.read(entity, |entry| entry.restriction(now).filter(is_meant).cloned());
        self.recent.from(from).iter().filter_map(restriction).collect()
    }

    /// For how many entities something is in force, or was until the last
    /// sweep.
    pub fn len(&self) -> usize {
        self.len.load(SeqCst)
    }

    /// Whether nothing is in force for anybody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether anything is in force for any sender, or was until the last sweep.
    pub fn has_senders(&self) -> bool {
        !self.senders.is_empty()
    }

    /// The restrictions and marks of senders of a connector at `now`.
    pub fn restricted_senders(&self, via: &ConnectorKey, now: Timestamp) -> Vec<Arc<Restriction>> {
        let senders = self.senders.of(via).into_iter();
        let entities = senders.map(|address| Entity::Sender { address, via: via.clone() });
        let restriction =
            |entity: Entity| self.read(&entity, |entry| entry.restriction(now).cloned());
        entities.filter_map(restriction).collect()
    }

    /// Whether anything is in force for `entity`.
    pub fn holds(&self, entity: &Entity) -> bool {
        self.read(entity, |_| Some(())).is_some()
    }

    /// Restricts or marks, unless that entity already is; says what is then
    /// in force, and the sequence number where it is new. Of several threads
    /// one wins. `make` is given the number of the open case of its root, or of one
    /// that begins.
    pub fn restrict(
        &self,
        entity: &Entity,
        now: Timestamp,
        make: impl FnOnce(CaseId) -> Restriction,
    ) -> (InForce, Option<u64>) {
        let mut entry = self.entry(entity);
        match entry.in_force(now) {
            Some(held) => (held, None),
            None => {
                let (held, seq) = self.begin(entity, &mut entry, now, make);
                (held, Some(seq))
            }
        }
    }

    /// The same, if `stands` says so at a moment in which nobody else restricts
    /// or lifts: an operator may have forgiven meanwhile what is to be
    /// restricted for.
    pub fn restrict_if(
        &self,
        entity: &Entity,
        now: Timestamp,
        stands: impl FnOnce() -> bool,
        make: impl FnOnce(CaseId) -> Restriction,
    ) -> Option<InForce> {
        let mut entry = self.entry(entity);
        let held = match entry.in_force(now) {
            Some(held) => Some(held),
            None => stands().then(|| self.begin(entity, &mut entry, now, make).0),
        };
        drop(entry);
        if held.is_none() {
            self.forget_if_empty(entity);
        }
        held
    }

    /// Notes the present keys of a restricted connector.
    pub fn note_keys(&self, entity: &Entity, keys: &[Entity], now: Timestamp) {
        let Some(mut entry) = self.entries.get_mut(entity) else { return };
        let Some(held) = entry.restriction(now).filter(|held| held.keys != keys) else { return };
        let noted = Restriction { keys: keys.to_vec(), ..Restriction::clone(held) };
        entry.standing.restriction = Some(Arc::new(noted));
        let event = Event::Inherited {
            entity: entity.clone(),
            from: entity.clone(),
            standing: entry.standing.clone(),
        };
        self.record(&mut entry, now, Actor::Daemon, event);
    }

    /// Ends the mark of `entity`, if that is what it has.
    pub fn lift_mark(&self, entity: &Entity, now: Timestamp, reason: &str) {
        if let Some(mut entry) = self.entries.get_mut(entity)
            && entry.restriction(now).is_some_and(|restriction| restriction.mark)
        {
            self.end(&mut entry, now, Actor::Daemon, reason, None);
        }
        self.forget_if_empty(entity);
    }

    /// Ends the restriction or mark of `entity`; gives it and the number of
    /// the change. A raised bar ends with a restriction that the judgement made
    /// above it, unless that was wrong too.
    pub fn lift(
        &self,
        entity: &Entity,
        now: Timestamp,
        by: Actor,
        reason: &str,
        after: impl Into<Aftermath>,
    ) -> Option<(InForce, u64)> {
        let Aftermath { grace, raise } = after.into();
        let mut entry = self.entries.get_mut(entity)?;
        let restriction = Arc::clone(entry.restriction(now)?);
        let grace = (!grace.is_zero() && !restriction.mark).then(|| Grace {
            until: now.plus(grace),
            case: restriction.case,
            signals: restriction.findings.iter().map(|finding| finding.signal).collect(),
        });
        let raised = &mut entry.standing.raised;
        raised.take_if(|bar| bar.until <= now);
        if raise {
            *raised = Some(Raised::after(raised.as_ref(), restriction.case, now));
        } else if restriction.by == Actor::Judgement {
            *raised = None;
        }
        let seq = self.end(&mut entry, now, by, reason, grace);
        let attempts = Arc::clone(&entry.attempts);
        drop(entry);
        self.forget_if_empty(entity);
        Some((InForce { restriction, attempts }, seq))
    }

    /// Exempts `entity`, or changes its exemption; gives the number of the
    /// change.
    pub fn exempt(&self, entity: &Entity, trust: Trust) -> u64 {
        let mut entry = self.entry(entity);
        entry.standing.trust = Some(trust.clone());
        let (now, by) = (trust.since, trust.by.clone());
        self.record(&mut entry, now, by, Event::Trusted { entity: entity.clone(), trust })
    }

    /// Ends the exemption of `entity`; nothing where it has none.
    pub fn end_trust(
        &self,
        entity: &Entity,
        now: Timestamp,
        by: Actor,
        reason: &str,
    ) -> Option<u64> {
        let mut entry = self.entries.get_mut(entity)?;
        entry.standing.trust.take_if(|trust| now < trust.until)?;
        let event = Event::Untrusted { entity: entity.clone(), reason: reason.to_owned() };
        let seq = self.record(&mut entry, now, by, event);
        drop(entry);
        self.forget_if_empty(entity);
        Some(seq)
    }

    /// Records that what `entity` sends was declared usual; gives the number of
    /// the record. What is in force for it stays as it is.
    pub fn declare_usual(&self, entity: &Entity, now: Timestamp, by: Actor, reason: &str) -> u64 {
        let mut entry = self.entry(entity);
        let event = Event::Usual { entity: entity.clone(), reason: reason.to_owned() };
        let seq = self.record(&mut entry, now, by, event);
        drop(entry);
        self.forget_if_empty(entity);
        seq
    }

    /// Records what is over by the clock, and forgets entries that hold
    /// nothing any more.
    pub fn sweep(&self, now: Timestamp) {
        if now.as_millis() < self.next_end.load(SeqCst) {
            return;
        }
        // What changes from now on says itself when it ends.
        self.next_end.store(u64::MAX, SeqCst);
        let mut over = Vec::new();
        for entry in &self.entries {
            match entry.next_end() {
                Some(end) if end <= now => over.push(entry.key().clone()),
                _ => self.note_end(&entry),
            }
        }
        for entity in over {
            if let Some(mut entry) = self.entries.get_mut(&entity) {
                self.expire(&mut entry, now);
                self.note_end(&entry);
            }
            self.forget_if_empty(&entity);
        }
    }

    /// All entities for which something is in force at `now`, in the order of
    /// their names.
    pub fn list(&self, now: Timestamp) -> Vec<Listed> {
        let mut list = self.all(now);
        list.sort_unstable_by(|a, b| a.entity.cmp(&b.entity));
        list
    }

    /// The same in no order.
    pub fn all(&self, now: Timestamp) -> Vec<Listed> {
        if self.is_empty() {
            return Vec::new();
        }
        let listed = |entity: &Entity, entry: &Entry| Listed {
            entity: entity.clone(),
            standing: Box::new(Standing {
                restriction: entry.restriction(now).cloned(),
                trust: entry.standing.trust.clone().filter(|trust| now < trust.until),
                grace: entry.standing.grace.clone().filter(|grace| now < grace.until),
                raised: entry.standing.raised.clone().filter(|bar| now < bar.until),
            }),
            attempts: Arc::clone(&entry.attempts),
        };
        let mut list = Vec::with_capacity(self.len());
        list.extend(self.entries.iter().map(|entry| listed(entry.key(), &entry)));
        list.retain(|listed| !listed.standing.is_empty());
        list
    }

    fn read<T>(&self, entity: &Entity, read: impl FnOnce(&Entry) -> Option<T>) -> Option<T> {
        if self.len.load(SeqCst) == 0 || !self.sieve.may_have(entity) {
            return None;
        }
        self.entries.get(entity).and_then(|entry| read(&entry))
    }

    fn entry(&self, entity: &Entity) -> dashmap::mapref::one::RefMut<'_, Entity, Entry> {
        match self.entries.entry(entity.clone()) {
            MapEntry::Occupied(entry) => entry.into_ref(),
            MapEntry::Vacant(entry) => {
                self.len.fetch_add(1, SeqCst);
                self.sieve.add(entity);
                self.senders.add(entity);
                let attempts = Attempts::telling(&self.attempted);
                entry.insert(Entry { attempts, ..Entry::default() })
            }
        }
    }

    fn begin(
        &self,
        entity: &Entity,
        entry: &mut Entry,
        now: Timestamp,
        make: impl FnOnce(CaseId) -> Restriction,
    ) -> (InForce, u64) {
        self.expire(entry, now);
        // The lock of the cases comes after that of the entry.
        let case = self.case_for(&entity.root(), now);
        let restriction = Arc::new(make(case));
        let attempts = Attempts::telling(&self.attempted);
        entry.attempts = Arc::clone(&attempts);
        entry.standing.restriction = Some(Arc::clone(&restriction));
        // An exemption and a grace end where a restriction begins.
        entry.standing.trust = None;
        entry.standing.grace = None;
        self.remember(&restriction);
        let by = restriction.by.clone();
        let seq = self.record(entry, now, by, Event::Restricted(Arc::clone(&restriction)));
        (InForce { restriction, attempts }, seq)
    }

    fn remember(&self, restriction: &Restriction) {
        if restriction.by == Actor::Judgement {
            self.recent.add(restriction.since, &restriction.entity);
        }
    }

    fn forget_if_empty(&self, entity: &Entity) {
        if self.entries.remove_if(entity, |_, entry| entry.standing.is_empty()).is_some() {
            self.count_out(entity);
        }
    }

    fn count_out(&self, entity: &Entity) {
        self.len.fetch_sub(1, SeqCst);
        self.sieve.remove(entity);
        self.senders.remove(entity);
    }

    /// Takes out of an entry what is over by the clock, and records the end
    /// of a restriction.
    fn expire(&self, entry: &mut Entry, now: Timestamp) {
        if entry.standing.restriction.is_some() && entry.restriction(now).is_none() {
            self.end(entry, now, Actor::Daemon, TIME_IS_OVER, None);
        }
        let standing = &mut entry.standing;
        standing.trust = standing.trust.take().filter(|trust| now < trust.until);
        standing.grace = standing.grace.take().filter(|grace| now < grace.until);
        standing.raised.take_if(|bar| bar.until <= now);
    }

    fn end(
        &self,
        entry: &mut Entry,
        now: Timestamp,
        by: Actor,
        reason: &str,
        grace: Option<Grace>,
    ) -> u64 {
        let Some(restriction) = entry.standing.restriction.take() else {
            return entry.seq;
        };
        entry.standing.grace.clone_from(&grace);
        let event = Event::Lifted {
            entity: restriction.entity.clone(),
            case: restriction.case,
            reason: reason.to_owned(),
            grace,
            raised: entry.standing.raised.clone(),
        };
        self.record(entry, now, by, event)
    }

    fn note_end(&self, entry: &Entry) {
        if let Some(end) = entry.next_end() {
            self.next_end.fetch_min(end.as_millis(), SeqCst);
        }
    }

    fn record(&self, entry: &mut Entry, at: Timestamp, by: Actor, event: Event) -> u64 {
        self.note_end(entry);
        let seq = self.seq.fetch_add(1, SeqCst) + 1;
        entry.seq = seq;
        let record = Record { seq, at, by, event };
        let heard = catch_unwind(AssertUnwindSafe(|| self.cases.hear(&record)));
        // Whatever happens there: a change without its record would be lost by a restart.
        self.changes.push(record);
        if let Err(panic) = heard {
            resume_unwind(panic);
        }
        seq
    }
}
