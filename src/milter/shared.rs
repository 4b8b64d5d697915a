//! What all connections of the milter share: the engine, the parameters in
//! force, the time, what is counted, and whether we are shutting down.

use super::{Params, seat::Seat};
use crate::{engine::Engine, histogram::Histogram, quiet::Quiet, timestamp::Timestamp};
use arc_swap::ArcSwap;
use std::{
    cell::Cell,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// One of so many callbacks is timed: to read the clock twice for each would cost more
/// than all else that is counted.
const TIMED: u32 = 16;

/// Runs `step`; gives nothing where it panics. What `step` may leave half done is
/// read by nobody afterwards but by the fallback.
pub(super) fn attempt<T>(step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step)).ok()
}

/// See the head of this module.
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) params: ArcSwap<Params>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// What the clock said last, in milliseconds: for when it can't be asked.
    last: AtomicU64,
    /// Connections open now. Only the acceptor adds.
    pub(super) connections: AtomicUsize,
    /// Told whenever the last open connection goes.
    pub(super) empty: Notify,
    /// Connections closed at once because there were too many.
    pub(super) refused_connections: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) panics: AtomicU64,
    /// A clock in nanoseconds, where callbacks are timed.
    pub(super) nanos: OnceLock<fn() -> u64>,
    /// How long recipients and ends of messages took.
    pub(super) recipients: Histogram,
    pub(super) ends: Histogram,
    /// Set once, before all who wait are woken.
    draining: AtomicBool,
    pub(super) quiet_limit: Quiet,
    pub(super) quiet_accept: Quiet,
    pub(super) quiet_descriptors: Quiet,
    pub(super) quiet_hold: Quiet,
    quiet_panic: Quiet,
}

impl Shared {
    pub(super) fn new(
        params: Params,
        engine: Arc<Engine>,
        clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self {
            engine,
            params: ArcSwap::from_pointee(params),
            clock,
            last: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            empty: Notify::new(),
            refused_connections: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            nanos: OnceLock::new(),
            recipients: Histogram::default(),
            ends: Histogram::default(),
            draining: AtomicBool::new(false),
            quiet_limit: Quiet::default(),
            quiet_accept: Quiet::default(),
            quiet_descriptors: Quiet::default(),
            quiet_hold: Quiet::default(),
            quiet_panic: Quiet::default(),
        }
    }

    /// The time. Panics where the clock does: for use under [`Self::guard`].
    pub(super) fn now(&self) -> Timestamp {
        let now = (self.clock)();
        // All threads share it: it is written once in a millisecond, not with
        // every recipient and every end of a message.
        if self.last.load(Relaxed) != now.as_millis() {
            self.last.store(now.as_millis(), Relaxed);
        }
        now
    }

    /// What the clock said last.
    pub(super) fn last_time(&self) -> Timestamp {
        Timestamp::from_millis(self.last.load(Relaxed))
    }

    /// The time for what must go on whatever happens.
    pub(super) fn now_or_last(&self) -> Timestamp {
        self.guard(|| self.now()).unwrap_or_else(|| self.last_time())
    }

    /// Runs `step`, and times one of [`TIMED`].
    pub(super) fn time<T>(&self, histogram: &Histogram, step: impl FnOnce() -> T) -> T {
        thread_local! {
            static NEXT: Cell<u32> = const { Cell::new(0) };
        }
        let number = NEXT.get();
        NEXT.set(number.wrapping_add(1));
        let Some(nanos) = self.nanos.get().filter(|_| number.is_multiple_of(TIMED)) else {
            return step();
        };
        let begun = nanos();
        let result = step();
        histogram.record(Duration::from_nanos(nanos().saturating_sub(begun)));
        result
    }

    /// Runs `step` as [`attempt`] does, and counts a panic.
    pub(super) fn guard<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        let result = attempt(step);
        if result.is_none() {
            self.panicked();
        }
        result
    }

    /// Counts a callback that panicked; once in a minute it is logged.
    #[cold]
    pub(super) fn panicked(&self) {
        let panics = self.panics.fetch_add(1, Relaxed) + 1;
        if self.quiet_panic.allows(self.last_time()) {
            tracing::error!(
                panics,
                "milter callback panicked: restricted mail is tempfailed, other mail passes; please report this"
            );
        }
    }

    /// Counts a connection that could not be taken, and tells of it now and then.
    pub(super) fn accept_failed(&self, error: &io::Error) {
        let errors = self.accept_errors.fetch_add(1, Relaxed) + 1;
        if self.quiet_accept.allows(self.now_or_last()) {
            tracing::error!(
                %error,
                errors,
                "can't accept milter connections, trying again: raise LimitNOFILE if it is the number of open files"
            );
        }
    }

    /// Counts a connection that was closed at once since no descriptor is left, and
    /// tells of it now and then.
    pub(super) fn no_descriptor(&self, error: &io::Error) {
        let refused = self.refused_connections.fetch_add(1, Relaxed) + 1;
        if self.quiet_descriptors.allows(self.now_or_last()) {
            tracing::error!(
                %error,
                refused,
                "no file descriptor is left: milter connections are closed at once, and Postfix does what milter_default_action says; raise LimitNOFILE"
            );
        }
    }

    /// Begins the shutdown. All who wait have to be woken then.
    pub(super) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether the shutdown has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("params", &self.params)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A place under the limit of connections, given back when dropped.
#[derive(Debug)]
pub(super) struct Room(Arc<Shared>);

impl Room {
    /// A place, unless all are taken. To be called by one task only.
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let limit = shared.params.load().max_connections;
        if shared.connections.load(Relaxed) >= limit {
            return None;
        }
        shared.connections.fetch_add(1, Relaxed);
        Some(Self(Arc::clone(shared)))
    }

    /// With one of the threads.
    pub(super) fn at(self, seat: &Arc<Seat>) -> Place {
        seat.add();
        Place { room: self, seat: Arc::clone(seat) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Relaxed) == 1 {
            self.0.empty.notify_one();
        }
    }
}

/// One connection's place under the limit and with its thread; given back when
/// dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Room,
    seat: Arc<Seat>,
}

impl Place {
    pub(super) fn shared(&self) -> &Shared {
        &self.room.0
    }

    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seat.remove();
    }
}
