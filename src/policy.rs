//! The policy front-end: what Postfix asks over its policy delegation protocol
//! (SMTPD_POLICY_README), in one of two roles.
//!
//! - **identity**, beside the milter: it hands over the fingerprints of the client's
//!   certificate, which no milter is told ([`crate::handover`]). Its answer is always
//!   `DUNNO`.
//! - **judge**, for sites without a milter: each recipient is asked for at RCPT, and the
//!   message counted and judged at END-OF-MESSAGE. No header is seen, so that neither
//!   From nor a spam filter's verdict count, and no transport, so that only the inbound
//!   domains say which recipients are not relayed.
//!
//! Promises:
//!
//! - It never answers `OK`, which would let a client relay: `DUNNO` is what passes.
//! - Our own fault stops nobody's mail: a request that panics leaves a restricted entity
//!   refused, and everybody else passes.
//! - Nothing waits here for anything but the client's own bytes. All requests are
//!   answered by one thread, since each takes some microseconds.
//! - What is no request closes its connection, and is logged now and then.
//! - A stop answers what was read, and takes nothing more: Postfix connects again, and
//!   does what its `default_action` says where it can't.

mod answer;
#[doc(hidden)]
pub mod fuzz;
mod judge;
mod params;
mod request;
mod server;
mod shared;

pub use params::{Params, Role};

use crate::{
    engine::Engine,
    socket::{BindError, Inherited, Listening},
    timestamp::Timestamp,
};
use shared::Shared;
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::oneshot;

/// A front-end whose sockets listen: connections wait until it runs.
#[derive(Debug)]
pub struct Policy {
    bound: Vec<Listening>,
    handle: Handle,
}

/// What the rest of the daemon holds of it, running or not.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    listen: Arc<[String]>,
}

/// How it is doing.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Status {
    /// What it is there for.
    pub role: Role,
    /// Connections open now.
    pub connections: usize,
    /// Most connections open at once.
    pub limit: usize,
    /// Connections that were closed at once because there were too many, since the start.
    pub refused_connections: u64,
    /// Requests answered since the start.
    pub requests: u64,
    /// Messages judged at their end since the start (role judge).
    pub messages: u64,
    /// Fingerprints handed over, and taken by the milter, since the start (role
    /// identity).
    pub handed_over: u64,
    /// See [`Self::handed_over`].
    pub taken: u64,
    /// Where it listens, as the configuration writes it.
    pub listen: Vec<String>,
}

impl Policy {
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
        let listening = |listen| Listening::new("policy.listen", listen, inherited);
        let bound = params.listen.iter().map(listening);
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        let listen = bound.iter().map(|bound| bound.listen.to_string()).collect();
        if params.role == Role::Identity {
            engine.handover().open();
        }
        let shared = Arc::new(Shared::new(params, engine, Box::new(clock)));
        Ok(Self { bound, handle: Handle { shared, listen } })
    }

    /// A handle.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves connections, on a thread of its own, until `shutdown` completes.
    ///
    /// # Errors
    /// If the thread can't be started, or ends by itself.
    pub async fn run(self, shutdown: impl Future) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let ended = server::start(self.handle.shared, self.bound, stopped)?;
        tokio::pin!(ended);
        tokio::select! {
            _ = &mut ended => Err(io::Error::other("its thread ended by itself")),
            _ = shutdown => {
                let _ = stop.send(());
                let _ = ended.await;
                Ok(())
            }
        }
    }
}

impl Handle {
    /// Puts new parameters in force, all but `listen` and `role`.
    pub fn reconfigure(&self, params: Params) {
        self.shared.reconfigure(params);
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let params = shared.params.load();
        let (handed_over, taken) = shared.engine.handover().counts();
        Status {
            role: params.role,
            connections: shared.connections.load(Relaxed),
            limit: params.max_connections,
            refused_connections: shared.refused_connections.load(Relaxed),
            requests: shared.requests.load(Relaxed),
            messages: shared.messages.load(Relaxed),
            handed_over,
            taken,
            listen: self.listen.to_vec(),
        }
    }

    /// What looks wrong in how Postfix asks, in words that say what to do; and what the
    /// role can't see.
    pub fn notes(&self) -> Vec<String> {
        self.shared.notes()
    }
}
