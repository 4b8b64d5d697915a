//! What the rest of the daemon sees of the running journal.

use crate::{
    histogram::{Histogram, Reading},
    restriction::Table,
    storage::Lock,
    timestamp::Timestamp,
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::watch;

/// What the thread last said of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Every change up to this number is on disk.
    pub(super) durable: u64,
    /// While there is an error: changes after `durable` and up to this number
    /// could not be written.
    pub(super) failed_to: u64,
    /// What is wrong, if something is.
    pub(super) error: Option<Arc<str>>,
    /// The first segment was begun, or could not be.
    pub(super) begun: bool,
    /// The thread is gone.
    pub(super) ended: bool,
    /// Since when it is at the disk, if it is.
    pub(super) at_disk: Option<Timestamp>,
    /// The current segment; the last one where there is none.
    pub(super) path: PathBuf,
    /// Changes appended to it.
    pub(super) records: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// How many segments there are.
    pub(super) segments: usize,
    /// Files that were damaged, and are kept beside them.
    pub(super) set_aside: Vec<PathBuf>,
}

/// A change is in force, but would be lost by a restart.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not on disk: {0}")]
pub struct NotDurable(pub Arc<str>);

/// The health of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalStatus {
    /// The segment that is written to.
    pub path: PathBuf,
    /// Changes in that segment.
    pub records: u64,
    /// Length of that segment.
    pub bytes: u64,
    /// Whether every change reaches the disk.
    pub healthy: bool,
    /// Why it does not.
    pub error: Option<String>,
    /// Damaged files that wait for somebody to look at them and remove them.
    pub set_aside: Vec<PathBuf>,
    /// How many segments there are, audit trail included.
    pub segments: usize,
    /// Every change up to this number is on disk.
    pub durable_seq: u64,
    /// Since when the disk has been asked and has not answered, if it has.
    pub at_disk: Option<Timestamp>,
    /// How long changes took to get there: a write and a sync, which may be of many.
    pub syncs: Reading,
}

/// The running journal. Dropping it is [`stop`](Self::stop).
pub struct Handle {
    table: Arc<Table>,
    state: watch::Receiver<State>,
    syncs: Arc<Histogram>,
    /// The thread, and the lock that outlives it.
    running: Mutex<Option<(JoinHandle<()>, Lock)>>,
}

impl Handle {
    pub(super) fn new(
        table: Arc<Table>,
        (state, syncs): (watch::Receiver<State>, Arc<Histogram>),
        running: (JoinHandle<()>, Lock),
    ) -> Self {
        Self { table, state, syncs, running: Mutex::new(Some(running)) }
    }

    /// Waits until the change that drew number `seq`, and all before it, are
    /// on disk.
    ///
    /// # Errors
    ///
    /// As soon as writing it has failed, or when the thread is gone. It may
    /// still reach the disk later.
    pub async fn durable(&self, seq: u64) -> Result<(), NotDurable> {
        let mut state = self.state.clone();
        loop {
            if let Some(outcome) = outcome(&state.borrow_and_update(), seq) {
                return outcome;
            }
            if state.changed().await.is_err() {
                // The thread sets `ended` before it lets go of its end.
                let last = outcome(&state.borrow(), seq);
                return last.unwrap_or_else(|| Err(NotDurable("the journal is closed".into())));
            }
        }
    }

    /// Waits until the first segment of this run is there, or could not be written;
    /// [`status`](Self::status) says which. Nothing depends on it: until then, what is
    /// in force stands in the segment before.
    pub async fn begun(&self) {
        // The state outlives the thread.
        let _ = self.state.clone().wait_for(|state| state.begun || state.ended).await;
    }

    /// The health of the journal. Asks no disk: one that hangs is what it tells.
    pub fn status(&self) -> JournalStatus {
        let state = self.state.borrow();
        JournalStatus {
            path: state.path.clone(),
            records: state.records,
            bytes: state.bytes,
            healthy: state.error.is_none() && !state.ended,
            error: state.error.as_deref().map(str::to_owned),
            set_aside: state.set_aside.clone(),
            segments: state.segments,
            durable_seq: state.durable,
            at_disk: state.at_disk,
            syncs: self.syncs.read(),
        }
    }

    /// Whether the thread runs, or was told to stop.
    pub fn is_alive(&self) -> bool {
        !self.state.borrow().ended || self.table.changes().is_closed()
    }

    /// Writes what is still to be written, and ends the thread; keeps the lock. Later
    /// changes are not written.
    ///
    /// # Errors
    ///
    /// Where something could not be written.
    pub async fn flush(&self) -> Result<(), NotDurable> {
        self.table.changes().close();
        // The state outlives the thread.
        let _ = self.state.clone().wait_for(|state| state.ended).await;
        match &self.state.borrow().error {
            Some(error) => Err(NotDurable(Arc::clone(error))),
            None => Ok(()),
        }
    }

    /// Writes what is still to be written, ends the thread and releases the
    /// lock. Later changes are not written. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// Where something could not be written.
    pub fn stop(&self) -> Result<(), NotDurable> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((thread, lock)) = running.take() {
            self.table.changes().close();
            // A panic shows in the state.
            let _ = thread.join();
            drop(lock);
        }
        match &self.state.borrow().error {
            Some(error) => Err(NotDurable(Arc::clone(error))),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Who wants to know calls `stop`; the thread has logged it.
        let _ = self.stop();
    }
}

/// Says that the thread is gone, however it went.
pub(super) struct End(pub(super) watch::Sender<State>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.send_modify(|state| {
            state.ended = true;
            if std::thread::panicking() {
                state.error = Some("the journal thread ended by a panic".into());
            }
        });
    }
}

fn outcome(state: &State, seq: u64) -> Option<Result<(), NotDurable>> {
    if seq <= state.durable {
        return Some(Ok(()));
    }
    let closed = || "the journal is closed".into();
    match &state.error {
        Some(error) if state.ended || seq <= state.failed_to => {
            Some(Err(NotDurable(Arc::clone(error))))
        }
        None if state.ended => Some(Err(NotDurable(closed()))),
        _ => None,
    }
}
