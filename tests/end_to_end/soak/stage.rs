//! What the threads of a soak share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::super::harness::config::Files;
use super::super::harness::daemon::{self, Answer};
use super::super::harness::site::Site;
use super::super::under_load::{Ledger, Mailer};

/// Shared by all threads.
pub(super) struct Stage {
    pub(super) ledger: Arc<Ledger>,
    pub(super) port: u16,
    files: Files,
    /// All is over.
    pub(super) stop: AtomicBool,
    /// Process of the daemon; 0 while none runs.
    pub(super) pid: AtomicU32,
    /// Even while a daemon runs; another number for each life.
    epoch: AtomicU64,
    /// Held by each message, so that there can be none.
    gate: RwLock<()>,
    /// Somebody wants the gate: sessions are closed.
    pause: AtomicBool,
    pub(super) blocks: AtomicU64,
    pub(super) unblocks: AtomicU64,
}

impl Stage {
    pub(super) fn new(site: &Site, ledger: &Arc<Ledger>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            port: site.postfix.port(),
            files: site.daemon.files().clone(),
            stop: AtomicBool::new(false),
            pid: AtomicU32::new(site.daemon.pid()),
            epoch: AtomicU64::new(0),
            gate: RwLock::new(()),
            pause: AtomicBool::new(false),
            blocks: AtomicU64::new(0),
            unblocks: AtomicU64::new(0),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.load(SeqCst)
    }

    pub(super) fn mailer(&self, address: &str) -> Mailer {
        Mailer::new(address, self.port, &self.ledger)
    }

    /// `connguard ARGS…`, whether or not a daemon runs and its file is whole.
    pub(super) fn cli(&self, args: &[&str]) -> Answer {
        let socket = self.files.control_socket();
        let socket = socket.to_str().expect("a path of text");
        daemon::cli(&self.files, &[&["--socket", socket], args].concat())
    }

    /// The daemon ends now.
    pub(super) fn life_ends(&self) {
        self.epoch.fetch_add(1, SeqCst);
        self.pid.store(0, SeqCst);
    }

    /// A daemon runs again.
    pub(super) fn life_begins(&self, pid: u32) {
        self.pid.store(pid, SeqCst);
        self.epoch.fetch_add(1, SeqCst);
    }

    /// The life of the daemon that runs now.
    pub(super) fn life(&self) -> Option<u64> {
        Some(self.epoch.load(SeqCst)).filter(|epoch| epoch.is_multiple_of(2))
    }

    /// While this is kept nobody sends; sessions stay open.
    pub(super) fn hold_gate(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while nobody may send; messages are sent while this is kept.
    pub(super) fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether sessions should be closed.
    pub(super) fn pauses(&self) -> bool {
        self.pause.load(SeqCst)
    }

    /// While this is kept nobody sends, and sessions are being closed.
    pub(super) fn quiet(&self) -> Quiet<'_> {
        self.pause.store(true, SeqCst);
        Quiet { stage: self, _guard: self.hold_gate() }
    }

    /// All is over where the thread that keeps this panics.
    pub(super) fn stop_at_panic(&self) -> Stop<'_> {
        Stop { stage: self, always: false }
    }

    /// All is over when this is dropped.
    pub(super) fn stop_at_end(&self) -> Stop<'_> {
        Stop { stage: self, always: true }
    }
}

pub(super) struct Quiet<'a> {
    stage: &'a Stage,
    _guard: RwLockWriteGuard<'a, ()>,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.stage.pause.store(false, SeqCst);
    }
}

pub(super) struct Stop<'a> {
    stage: &'a Stage,
    always: bool,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        if self.always || std::thread::panicking() {
            self.stage.stop.store(true, SeqCst);
        }
    }
}
