//! The way from the restriction table to the journal: a bounded queue of
//! records and a bell.
//!
//! Who makes a change puts its record in and never waits. When nobody takes
//! them out fast enough, the queue is emptied and marked as overflowed:
//! nothing is lost by that, because the truth is the table itself, from which
//! the reader then takes a whole snapshot.

use crate::record::Record;
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Records that wait to be written.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of their making, for each entity.
    pub records: Vec<Record>,
    /// Records are missing: write a snapshot of the table instead.
    pub overflowed: bool,
    /// No further records will come.
    pub closed: bool,
}

/// The queue.
#[derive(Debug)]
pub struct Changes {
    waiting: Mutex<Batch>,
    bell: Condvar,
    capacity: usize,
}

impl Changes {
    /// A queue that holds `capacity` records.
    pub fn new(capacity: usize) -> Self {
        Self { waiting: Mutex::new(Batch::default()), bell: Condvar::new(), capacity }
    }

    /// Puts a record in. Called under the lock of the entity's entry, so that
    /// the records of one entity stand in the order of their numbers.
    pub(super) fn push(&self, record: Record) {
        let mut waiting = self.lock();
        if waiting.records.len() < self.capacity {
            waiting.records.push(record);
        } else {
            waiting.records.clear();
            waiting.overflowed = true;
        }
        drop(waiting);
        self.bell.notify_one();
    }

    /// Waits until there is something to take, at most `longest`, and takes it.
    pub fn take(&self, longest: Duration) -> Batch {
        let waiting = self.lock();
        let (mut waiting, _) = self
            .bell
            .wait_timeout_while(waiting, longest, |batch| {
                batch.records.is_empty() && !batch.overflowed && !batch.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let closed = waiting.closed;
        let batch = std::mem::take(&mut *waiting);
        waiting.closed = closed;
        batch
    }

    /// Whether no more changes are taken.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Says that no further records will come; the reader takes the rest.
    pub fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        // A batch is whole at every moment: a panic elsewhere breaks nothing.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
