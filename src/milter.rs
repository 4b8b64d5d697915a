//! The milter front-end: Postfix's side of every message.
//!
//! - Postfix waits only at RCPT and at the end of a message.
//! - Our own fault never stops legitimate mail: a callback that panics leaves
//!   a restricted entity refused and lets everybody else pass; an accept error
//!   is waited out; beyond the limit of connections Postfix is told at once.
//! - Every transaction that begins is told to the engine to its end, once:
//!   as ended, or as abandoned.
//! - At a shutdown no message in hand is cut off before the deadline.

mod acceptor;
mod answer;
mod callbacks;
mod dialogue;
mod envelope;
#[doc(hidden)]
pub mod fuzz;
mod params;
mod seat;
mod shared;
mod socket;
mod stream;
mod workers;

pub use params::Params;

use crate::{
    engine::Engine,
    histogram::Reading,
    socket::{BindError, Inherited, Listening},
    timestamp::Timestamp,
};
use shared::Shared;
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::timeout;
use workers::Workers;

/// How long a session may take to end once it was cut off.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A milter whose sockets listen: connections wait until it runs.
#[derive(Debug)]
pub struct Milter {
    bound: Vec<Listening>,
    handle: Handle,
}

/// What the rest of the daemon holds of a milter, running or not.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    listen: Arc<[String]>,
}

/// How the milter is doing.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Status {
    /// Connections open now.
    pub connections: usize,
    /// Most connections open at once.
    pub limit: usize,
    /// Connections that were closed at once because there were too many,
    /// since the start.
    pub refused_connections: u64,
    /// Accept errors that were waited out, since the start.
    pub accept_errors: u64,
    /// Callbacks that panicked, since the start.
    pub panics: u64,
    /// Where it listens, as the configuration writes it.
    pub listen: Vec<String>,
}

impl Milter {
    /// Binds every socket of `params.listen` that is not among `inherited`. `clock` says
    /// what time it is.
    ///
    /// # Errors
    /// The first socket that can't be had; none is left behind then.
    pub fn bind(
        params: Params,
        engine: Arc<Engine>,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        inherited: &mut Inherited,
    ) -> Result<Self, BindError> {
        let listening = |listen| Listening::new("milter.listen", listen, inherited);
        let bound = params.listen.iter().map(listening);
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        let listen = bound.iter().map(|bound| bound.listen.to_string()).collect();
        let shared = Arc::new(Shared::new(params, engine, Box::new(clock)));
        Ok(Self { bound, handle: Handle { shared, listen } })
    }

    /// A handle.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves connections until `shutdown` completes. Then it stops to accept
    /// and removes its sockets at once, ends sessions that are between two
    /// messages, and waits for the others until each has ended its message,
    /// or until `deadline` has passed, when they are cut off.
    ///
    /// # Errors
    /// If the runtime takes no socket, or a thread can't be started or ends.
    pub async fn run(self, shutdown: impl Future, deadline: Duration) -> io::Result<()> {
        let shared = self.handle.shared;
        let mut workers = Workers::start(&shared, self.bound)?;
        let ended = || io::Error::other("a thread ended by itself");
        tokio::select! {
            () = workers.one_ended() => return Err(ended()),
            _ = shutdown => workers.drain(),
        }
        tokio::select! {
            () = workers.one_ended() => return Err(ended()),
            left = timeout(deadline, empty(&shared)) => if left.is_err() {
                let connections = shared.connections.load(Relaxed);
                tracing::warn!(connections, "messages still in hand are cut off");
            }
        }
        let _ = timeout(LAST_WAIT, workers.stop()).await;
        Ok(())
    }
}

/// Waits until no connection is open.
async fn empty(shared: &Shared) {
    while shared.connections.load(Relaxed) > 0 {
        shared.empty.notified().await;
    }
}

impl Handle {
    /// Puts new parameters in force, all but `listen`: for the next
    /// connection, and for the next message of those that are open.
    pub fn reconfigure(&self, params: Params) {
        self.shared.params.store(Arc::new(params));
    }

    /// Times callbacks by this clock in nanoseconds from now on.
    pub fn time_by(&self, nanos: fn() -> u64) {
        // Once told it stays.
        let _ = self.shared.nanos.set(nanos);
    }

    /// How long Postfix waited for the answers to recipients, and to ends of messages; of
    /// every sixteenth of them.
    pub fn spans(&self) -> [Reading; 2] {
        [self.shared.recipients.read(), self.shared.ends.read()]
    }

    /// How the milter is doing.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            connections: shared.connections.load(Relaxed),
            limit: shared.params.load().max_connections,
            refused_connections: shared.refused_connections.load(Relaxed),
            accept_errors: shared.accept_errors.load(Relaxed),
            panics: shared.panics.load(Relaxed),
            listen: self.listen.to_vec(),
        }
    }
}
