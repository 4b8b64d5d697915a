//! What one of the threads that serve connections has: how many there are, and
//! which of them wait between two messages.
//!
//! A connection that waits leaves its waker here once and takes it away when it
//! ends, so that a shutdown can wake it; what accepts on the thread does the same. The lock is that of its thread alone,
//! and free but at a shutdown. (With a channel that all connections watch, a
//! session costs an allocation and two turns at a list that all threads share.)

use slab::Slab;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
};

/// See the head of this module.
#[derive(Debug, Default)]
pub(super) struct Seat {
    connections: AtomicUsize,
    waiting: Mutex<Slab<Waker>>,
}

impl Seat {
    /// Connections that it has.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    pub(super) fn add(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn remove(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Wakes all that wait.
    pub(super) fn wake(&self) {
        let wakers: Vec<Waker> = self.waiting().iter().map(|(_, waker)| waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a connection waits, or what accepts. To be forgotten by its seat before it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    key: usize,
    waker: Waker,
}

impl Waiting {
    /// Leaves `waker` with the seat, unless `before` is the same. Whoever asks then
    /// whether the shutdown has begun learns of it in any case: by the answer, or by
    /// being woken.
    pub(super) fn renew(before: &mut Option<Self>, seat: &Seat, waker: &Waker) {
        if before.as_ref().is_some_and(|before| before.waker.will_wake(waker)) {
            return;
        }
        Self::end(before, seat);
        let key = seat.waiting().insert(waker.clone());
        *before = Some(Self { key, waker: waker.clone() });
    }

    /// Takes the waker away, where one was left.
    pub(super) fn end(before: &mut Option<Self>, seat: &Seat) {
        if let Some(Self { key, .. }) = before.take() {
            seat.waiting().try_remove(key);
        }
    }
}
