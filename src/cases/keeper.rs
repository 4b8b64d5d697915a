//! The thread that writes what changed.

use super::{Late, MOST_FILES, PAUSE, RETRY, ReadError, Store, path, read};
use crate::{
    case::{Book, CaseFile},
    fault,
    record::CaseId,
    storage::Storage,
    timestamp::{Timestamp, format_span},
};
use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How often it is looked for files that are too old.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Files that are read late, between two looks at what is to be written.
const READ: usize = 64;
/// How often a file is tried that the system refuses, before it is given up.
const TRIES: u32 = 6;
/// How long it waits for a change before it looks at the time.
const IDLE: Duration = Duration::from_secs(60);

/// What of the cases would be lost by a restart.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cases are not written: {0}")]
pub struct NotWritten(pub String);

/// The health of the cases on disk.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CasesStatus {
    /// The folder.
    pub path: PathBuf,
    /// Whether the last write worked, or none was due yet.
    pub healthy: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// Cases that are there.
    pub files: usize,
}

/// The running thread. Dropping it is [`stop`](Self::stop).
pub struct Handle {
    book: Arc<Book>,
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    state: Arc<Mutex<CasesStatus>>,
    /// Cases that are being written.
    in_hand: Arc<AtomicUsize>,
    running: Mutex<Option<JoinHandle<()>>>,
}

/// Starts the thread that writes what changes in `book`. `now` gives the engine's
/// time, by which the age of a case counts.
///
/// # Errors
/// Where the thread can't be started.
pub fn spawn(
    store: Store,
    book: Arc<Book>,
    now: impl Fn() -> Timestamp + Send + 'static,
) -> io::Result<Handle> {
    spawn_with(store, book, now, PAUSE, RETRY)
}

/// The same with other times between two writes.
pub(super) fn spawn_with(
    store: Store,
    book: Arc<Book>,
    now: impl Fn() -> Timestamp + Send + 'static,
    pause: Duration,
    retry: Duration,
) -> io::Result<Handle> {
    let (storage, folder) = (Arc::clone(&store.storage), store.folder().to_owned());
    let state = Arc::new(Mutex::new(CasesStatus {
        path: folder.clone(),
        healthy: true,
        error: None,
        files: store.files.len(),
    }));
    let shared = Arc::clone(&state);
    let mut keeper = Keeper {
        store,
        book: Arc::clone(&book),
        state: shared,
        pruned: Timestamp::default(),
        refused: BTreeMap::new(),
        taken: Vec::new(),
        in_hand: Arc::default(),
    };
    let in_hand = Arc::clone(&keeper.in_hand);
    let run = move || {
        loop {
            fault::point("cases thread");
            let Turn { is_reading, unread, error, last } = keeper.attempt(&now);
            let failed = error.is_some() || unread.is_some();
            keeper.note(error, unread, retry);
            match (last, is_reading) {
                (true, false) => return,
                (false, false) => keeper.book.pause(if failed { retry } else { pause }),
                (_, true) => {}
            }
        }
    };
    let thread = std::thread::Builder::new().name("cases".into()).spawn(run)?;
    Ok(Handle { book, storage, folder, state, in_hand, running: Mutex::new(Some(thread)) })
}

struct Keeper {
    store: Store,
    book: Arc<Book>,
    state: Arc<Mutex<CasesStatus>>,
    pruned: Timestamp,
    /// Files that the system refused, and how often.
    refused: BTreeMap<CaseId, u32>,
    /// Cases that are being written.
    taken: Vec<CaseId>,
    /// How many these are.
    in_hand: Arc<AtomicUsize>,
}

/// What came of a turn.
struct Turn {
    is_reading: bool,
    unread: Option<String>,
    error: Option<io::Error>,
    /// No more changes will come.
    last: bool,
}

impl Keeper {
    /// Reads some files and writes what changed. After a panic what was taken is still to
    /// be written.
    fn attempt(&mut self, now: &impl Fn() -> Timestamp) -> Turn {
        let turn = AssertUnwindSafe(|| {
            let (is_reading, unread) = self.read_some();
            let (error, last) = self.turn(now(), is_reading || unread.is_some());
            Turn { is_reading, unread, error, last }
        });
        catch_unwind(turn).unwrap_or_else(|_| {
            for case in self.taken.drain(..) {
                self.book.give_back(case);
            }
            let error = Some(io::Error::other("a fault of connguard, please report it"));
            Turn { is_reading: false, unread: None, error, last: self.book.is_closed() }
        })
    }

    /// Reads some of the files that were left for later; says whether there were any,
    /// and what the system refuses, once nothing else is left to be read.
    fn read_some(&mut self) -> (bool, Option<String>) {
        let mut cases = self.book.unread(READ + self.refused.len());
        // The others don't wait for those.
        let is_last = cases.iter().all(|case| self.refused.contains_key(case));
        cases.retain(|case| is_last || !self.refused.contains_key(case));
        let mut refused = None;
        for case in &cases {
            match self.store.read_late(*case) {
                Late::Found(file) => self.supply(*case, Some(*file)),
                Late::None(why) => {
                    tracing::warn!("cases: {why}");
                    self.supply(*case, None);
                }
                Late::Refused(why) => refused = self.refused(*case, why).or(refused),
            }
        }
        let left = self.book.unread(READ + self.refused.len());
        let is_stuck = left.iter().all(|case| self.refused.contains_key(case));
        let refused = refused.filter(|_| is_stuck);
        (!cases.is_empty() && refused.is_none(), refused)
    }

    fn supply(&mut self, case: CaseId, file: Option<CaseFile>) {
        self.refused.remove(&case);
        self.book.supply(case, file);
    }

    /// What the system refuses is tried again, but not for ever: alerts wait for it.
    fn refused(&mut self, case: CaseId, why: String) -> Option<String> {
        let tries = self.refused.entry(case).or_default();
        *tries += 1;
        if *tries < TRIES {
            return Some(why);
        }
        let given_up = self.store.give_up(case, &why);
        tracing::warn!("cases: {given_up}");
        self.supply(case, None);
        None
    }

    /// Waits for changes, unless it `is_reading`, and writes all there are. Gives the
    /// first error, and whether no more will come.
    fn turn(&mut self, now: Timestamp, is_reading: bool) -> (Option<io::Error>, bool) {
        let mut error = None;
        let longest = if is_reading { Duration::ZERO } else { IDLE };
        let (mut files, mut last) = self.book.take_changed(longest);
        if !files.is_empty() {
            error = fault::call("cases write").and_then(|()| self.store.prepare()).err();
        }
        let mut written = Vec::new();
        while !files.is_empty() {
            self.taken = files.iter().map(|file| file.case).collect();
            self.in_hand.store(self.taken.len(), Relaxed);
            fault::point("cases");
            for file in &files {
                // A disk that is full is not asked for each of thousands.
                if error.is_none() {
                    error = self.save(file);
                }
                match error {
                    Some(_) => self.book.give_back(file.case),
                    None => written.push(file.case),
                }
            }
            if last || error.is_some() {
                break;
            }
            (files, last) = self.book.take_changed(Duration::ZERO);
        }
        if !written.is_empty()
            && let Err(failed) = self.store.sync()
        {
            // A second sync that works would prove nothing: they are written again.
            written.into_iter().for_each(|case| self.book.give_back(case));
            error = error.or(Some(failed));
        }
        self.taken.clear();
        self.in_hand.store(0, Relaxed);
        let is_due = now.since(self.pruned) >= PRUNE_EVERY || self.store.files.len() > MOST_FILES;
        if is_due && !is_reading {
            self.pruned = now;
            self.store.prune(now);
        }
        // A stop does not wait for a disk that is full.
        let last = last || error.is_some() && self.book.is_closed();
        (error, last)
    }

    /// Gives an error of the disk. What is a fault of ours is told and left out: it
    /// must not keep all others from being written.
    fn save(&mut self, file: &CaseFile) -> Option<io::Error> {
        let save = AssertUnwindSafe(|| self.store.save(file));
        let saved = catch_unwind(save).unwrap_or_else(|_| Err(io::ErrorKind::InvalidData.into()));
        match saved {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(
                    "case {} can't be written: this is a fault of connguard, please report it ({error})",
                    file.case
                );
                None
            }
            saved => saved.err(),
        }
    }

    /// Takes the outcome into the status. Only a change of it is told.
    fn note(&self, error: Option<io::Error>, unread: Option<String>, retry: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.files = self.store.files.len();
        let was_healthy = state.healthy;
        let unwritten = error.map(|error| format!("{}: {error}", state.path.display()));
        match (&unwritten, &unread) {
            (Some(error), _) if was_healthy => tracing::warn!(
                "cases can't be written to {error}; make room there, or make it writable for connguard. It is tried again every {}; until then a restart forgets what cases learned",
                format_span(retry)
            ),
            (None, Some(error)) if was_healthy => tracing::warn!(
                "cases: {error}; it is tried again every {}, and until then nothing is written in its place",
                format_span(retry)
            ),
            (None, None) if !was_healthy => tracing::info!("cases are written again"),
            _ => {}
        }
        state.error = unwritten.or(unread);
        state.healthy = state.error.is_none();
    }
}

impl Handle {
    /// The health of the cases on disk. Touches no file.
    pub fn status(&self) -> CasesStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the thread runs, or was told to stop.
    pub fn is_alive(&self) -> bool {
        // Locked, or nothing: it is being stopped.
        let running = self.running.try_lock().ok();
        let running = running.as_ref().and_then(|running| running.as_ref());
        running.is_none_or(|thread| !thread.is_finished())
    }

    /// How many cases are still to be written.
    pub fn unwritten(&self) -> usize {
        self.book.unwritten() + self.in_hand.load(Relaxed)
    }

    /// A case, from memory or else from its file, which blocks on the disk; nothing
    /// where there is none, or no more.
    ///
    /// # Errors
    /// Where its file can't be read.
    pub fn find(&self, case: CaseId) -> Result<Option<CaseFile>, ReadError> {
        if self.book.is_unread(case)
            && let Ok(file) = read(&*self.storage, &path(&self.folder, case), case)
        {
            self.book.supply(case, Some(file));
        }
        if let Some(file) = self.book.get(case) {
            return Ok(Some(file));
        }
        match read(&*self.storage, &path(&self.folder, case), case) {
            Ok(file) => Ok(Some(file)),
            Err(ReadError::System(_, error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what is still to be written and ends the thread. Blocks on the disk; to
    /// be called when nothing changes any more.
    ///
    /// # Errors
    /// Where that failed.
    pub fn stop(&self) -> Result<(), NotWritten> {
        self.book.close();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = running.take() {
            // Panics are caught there.
            let _ = thread.join();
        }
        match self.status().error {
            Some(error) => Err(NotWritten(error)),
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
