//! Newcomers in the order of their coming, for whoever has to make room.
//!
//! They hold a limited number of places. Nobody waits for another one: the queue
//! grows by blocks of 31 and copies nothing. (As a `VecDeque` behind a mutex it was
//! copied whole when it grew.)

use crate::connector::ConnectorKey;
use crossbeam_queue::SegQueue;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The queue. Some in it have settled since, and some are gone.
#[derive(Debug)]
pub(super) struct Newcomers {
    queue: SegQueue<ConnectorKey>,
    /// Places that are taken: by those in the queue, and by one for each thread that
    /// looks whether it may go.
    taken: AtomicUsize,
    most: usize,
}

impl Newcomers {
    /// For at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { queue: SegQueue::new(), taken: AtomicUsize::new(0), most }
    }

    /// Takes a place for `key`, if there is one.
    pub(super) fn join(&self, key: &ConnectorKey) -> bool {
        let room = |taken: usize| (taken < self.most).then_some(taken + 1);
        let joins = self.taken.fetch_update(SeqCst, SeqCst, room).is_ok();
        if joins {
            self.queue.push(key.clone());
        }
        joins
    }

    /// Takes a place, though there may be none: others will have to go for it.
    pub(super) fn push(&self, key: ConnectorKey) {
        self.taken.fetch_add(1, SeqCst);
        self.queue.push(key);
    }

    /// The one that came first. It has its place until `may_go` says that it may go
    /// from the queue; otherwise it is the last one now. False where there is none.
    pub(super) fn look_at_oldest(&self, may_go: impl FnOnce(&ConnectorKey) -> bool) -> bool {
        let Some(oldest) = self.queue.pop() else {
            return false;
        };
        if may_go(&oldest) {
            self.taken.fetch_sub(1, SeqCst);
        } else {
            self.queue.push(oldest);
        }
        true
    }
}
