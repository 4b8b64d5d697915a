//! What all connections of the front-end share: the engine, the parameters in force, the
//! time, and what is counted.

use super::{Params, Role};
use crate::{connector::DigestError, engine::Engine, quiet::Quiet, timestamp::Timestamp};
use arc_swap::ArcSwap;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// So many messages, or fingerprints, have to speak for it before something is said of
/// how Postfix is configured.
const ENOUGH: u64 = 20;

/// See the head of this module.
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) params: ArcSwap<Params>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) connections: AtomicUsize,
    pub(super) refused_connections: AtomicU64,
    pub(super) requests: AtomicU64,
    /// Messages judged at their end.
    pub(super) messages: AtomicU64,
    /// Messages whose recipients were asked for, and whose end never came.
    pub(super) unended: AtomicU64,
    /// Messages at their end, of whose recipients none was asked for.
    pub(super) unasked: AtomicU64,
    /// Recipients that were accepted and not asked for, of messages of which others were.
    pub(super) slipped: AtomicU64,
    /// Certificates with fingerprints of an algorithm that proves nothing.
    pub(super) weak: AtomicU64,
    pub(super) quiet_request: Quiet,
    pub(super) quiet_limit: Quiet,
    pub(super) quiet_accept: Quiet,
    quiet_digest: Quiet,
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
            connections: AtomicUsize::new(0),
            refused_connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            unended: AtomicU64::new(0),
            unasked: AtomicU64::new(0),
            slipped: AtomicU64::new(0),
            weak: AtomicU64::new(0),
            quiet_request: Quiet::default(),
            quiet_limit: Quiet::default(),
            quiet_accept: Quiet::default(),
            quiet_digest: Quiet::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn reconfigure(&self, params: Params) {
        let role = self.params.load().role;
        self.params.store(Arc::new(Params { role, ..params }));
    }

    /// Counts fingerprints that are none, and tells of them now and then.
    pub(super) fn bad_digest(&self, error: &DigestError) {
        self.weak.fetch_add(1, Relaxed);
        if self.quiet_digest.allows(self.now()) {
            tracing::warn!("policy: fingerprint of a client certificate: {error}");
        }
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let weak = count(&self.weak);
        if weak > 0 {
            notes.push(format!(
                "policy: {weak} requests had a fingerprint of an algorithm that proves nothing, or none at all: set smtpd_tls_fingerprint_digest = sha256 in main.cf"
            ));
        }
        match self.params.load().role {
            Role::Identity => {
                let (told, taken) = self.engine.handover().counts();
                if told >= ENOUGH && taken == 0 {
                    notes.push(format!(
                        "policy: {told} fingerprints were handed over and the milter took none: does the same smtpd that asks here use the milter (smtpd_milters)?"
                    ));
                }
            }
            Role::Judge => {
                notes.push("policy: role judge sees no headers and no transport: neither From nor a spam filter's verdict count, and only inbound_domains say what is not relayed".to_owned());
                let (unended, unasked) = (count(&self.unended), count(&self.unasked));
                let judged = count(&self.messages);
                if unended >= ENOUGH && judged == 0 {
                    notes.push(format!(
                        "policy: recipients of {unended} messages were asked for and the end of none came, so nothing is judged: add the same check_policy_service to smtpd_end_of_data_restrictions"
                    ));
                }
                if unasked >= ENOUGH && unasked > judged {
                    notes.push(format!(
                        "policy: {unasked} messages ended of whose recipients none was asked for, so that nothing of them is refused or judged: put check_policy_service into smtpd_recipient_restrictions, before every permit"
                    ));
                }
                let slipped = count(&self.slipped);
                if slipped >= ENOUGH {
                    notes.push(format!(
                        "policy: {slipped} recipients were accepted without being asked for: check_policy_service must stand before every permit in smtpd_recipient_restrictions"
                    ));
                }
            }
        }
        notes
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
