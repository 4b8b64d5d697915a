//! The journal: keeps restrictions, lifts, exemptions and graces over a
//! restart, and is the audit trail of who changed what, when and why.
//!
//! # What it promises
//!
//! * The truth is the [`Table`]; the journal follows it. A change is on disk
//!   once [`Handle::durable`] says so, and never announced as such before.
//! * Changes that come together are written together: one write, one sync.
//! * After a failed write or sync nothing more is appended to that file, since
//!   nobody knows what of it the kernel still has: a fresh segment is written
//!   from the table, at once, at every later change, and after 1 s to 10 s.
//!   Meanwhile the table goes on enforcing, and [`Handle::status`] says so.
//! * Nobody waits for the disk to make a change, and no wait for
//!   [`Handle::durable`] is endless.
//!
//! # The folder
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | locked while a daemon runs; holds its process number |
//! | `next-case` | no number of a case from the one in it on was given: see below |
//! | `journal-000001.log`, … | segments; the one with the largest number counts |
//! | `journal-000002.tmp` | a segment that was never finished; removed at the next start |
//! | `damaged-000001-1.log` | a segment in which something could not be read; yours to look at and remove |
//!
//! The folder has mode 0700 and the files 0600.
//!
//! # The bytes of a segment
//!
//! Lines of text, each `CHECKSUM JSON` and a line feed: eight hexadecimal
//! digits (CRC-32C of the JSON text), one space, one JSON object without a
//! line feed inside.
//!
//! 1. The head: `{"connguard_journal":1,"segment":7,"created":"…","seq":41,
//!    "next_case":18,"live":2}`. The first number is the version of this
//!    format. Every change up to number `seq` is contained in what follows.
//! 2. As many lines as `live` says, `{"live":{…}}`: what is in force for one
//!    entity, and the number of its last change ([`crate::record::Live`]).
//! 3. Any number of `{"change":{…}}`: one change ([`crate::record::Record`]), in the order
//!    of writing. Those that the lines above contain already are there for
//!    the audit trail only.
//!
//! A segment is written under its `.tmp` name, synced, renamed, and the folder
//! synced; only then is it appended to. So only the third part can be torn by
//! a crash, and only at its end. A segment is never changed in any other way.
//!
//! # A batch
//!
//! Changes that were written together are a batch, one write and one sync. All of its
//! lines but the first have a space behind their JSON, which belongs to it. So a
//! change that stands behind a bad line is known to be of the same batch or not: what
//! begins another batch was written after the one before was synced.
//!
//! # Numbers of cases
//!
//! A case that is only a suspicion draws a number that no change tells, and the number
//! may have been told when its file is not on disk yet. `next-case` holds a number from
//! which on none was given, as digits and a line feed, replaced as a whole: a thousand
//! ahead while a daemon runs, exact after it stopped. So after a crash the numbers go on
//! up to a thousand later, and none is that of two incidents.
//!
//! # Reading
//!
//! The newest segment is read, and its changes [replayed](crate::restriction::replay)
//! over its live lines. Bad data at the end, with no good line after it, was
//! never announced as durable: it is left out with a warning. Bad data
//! anywhere else costs the lines it hit and no others; a link to the file is
//! kept as `damaged-…`. Of the last batch, what stands behind a line that has zeros is
//! left out as well: its page never reached the disk, so nothing of it was told. And
//! behind one that is damaged otherwise, exemptions are, since they may build on it.
//! Where the head or a live line is hit, the segments
//! before are read as well, back to one whose snapshot is whole.
//!
//! Older segments are the audit trail that [`history`] reads. They are removed
//! once all in them is older than [`Params::keep`].

mod format;
#[doc(hidden)]
pub mod fuzz;
mod handle;
mod history;
mod numbers;
mod recovery;
mod writer;

#[cfg(test)]
mod tests;

pub use handle::{Handle, JournalStatus, NotDurable};
pub use history::{History, HistoryError, history};
pub use writer::Announcement;

use crate::{
    histogram::Histogram,
    record::Snapshot,
    restriction::Table,
    storage::{Disk, FolderError, Lock, Storage, Whose},
    timestamp::Timestamp,
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// How long the audit trail goes back at least.
    pub keep: Duration,
    /// Bytes of changes after which the next segment begins.
    pub segment_bytes: u64,
    /// A clock in nanoseconds, by which the disk is timed.
    pub nanos: fn() -> u64,
}

impl Default for Params {
    fn default() -> Self {
        Self { keep: Duration::from_secs(400 * 86_400), segment_bytes: 8 << 20, nanos: || 0 }
    }
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The names of its files can't be read.
    #[error("cannot look into the state directory {}: {source}", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Written by a later version of connguard.
    #[error(
        "{} is of format {version}, and this connguard knows formats up to {}: install the connguard that wrote it, or move the file away to start without the restrictions in it",
        path.display(),
        format::VERSION
    )]
    Newer {
        /// Which segment.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// A file can't be read at all.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a start finds.
#[derive(Debug)]
pub struct Recovered {
    /// For [`Table::restore`].
    pub snapshot: Snapshot,
    /// What was left out and why, one sentence each, for the log.
    pub warnings: Vec<String>,
    /// All damaged files that wait for somebody to look at them.
    pub set_aside: Vec<PathBuf>,
}

/// A state directory that is ours, of which nothing is read yet.
pub struct Locked {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    lock: Lock,
}

/// A journal that is locked and read, but not written to yet.
pub struct Journal {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    lock: Lock,
    /// The number of the last change that was read.
    seq: u64,
    /// The segments.
    found: Found,
}

/// What a start finds of the segments.
#[derive(Debug, Default)]
struct Found {
    /// Their numbers, and when each was begun where that is known.
    segments: BTreeMap<u64, Option<Timestamp>>,
    /// The changes in the newest one, and its length in bytes.
    newest: (u64, u64),
}

impl Locked {
    /// Reads the journal.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub fn read(self) -> Result<(Journal, Recovered), OpenError> {
        let Self { storage, folder, lock } = self;
        recovery::remove_unfinished(&*storage, &folder);
        let paths = recovery::segments(&*storage, &folder)?;
        let (mut recovered, newest) = recovery::recover(&*storage, &folder, &paths)?;
        let next_case = &mut recovered.snapshot.next_case;
        *next_case = numbers::reserved(&*storage, &folder).max(*next_case);
        let begun = |path: &Path| {
            let start = storage.read(path, Some(format::HEAD_BYTES)).ok()?;
            format::head(&start).map(|head| head.created)
        };
        let segments = paths.iter().map(|(number, path)| (*number, begun(path))).collect();
        let seq = recovered.snapshot.seq;
        let found = Found { segments, newest };
        Ok((Journal { storage, folder, lock, seq, found }, recovered))
    }
}

impl Journal {
    /// Locks `folder`, making it where it is missing, and reads the journal.
    ///
    /// # Errors
    ///
    /// Where going on would risk restrictions: see [`OpenError`]. Damage is
    /// no error but a warning.
    pub fn open(folder: &Path) -> Result<(Self, Recovered), OpenError> {
        Self::open_on(Arc::new(Disk), folder)
    }

    /// [`open`](Self::open) on another storage.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        folder: &Path,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::lock_on(storage, folder, Whose::Ours)?.read()
    }

    /// Locks `folder`, making it where it is missing, and reads nothing: as long as
    /// what this gives is kept, all in it is ours alone.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but for those of reading.
    pub fn lock(folder: &Path, whose: Whose) -> Result<Locked, OpenError> {
        Self::lock_on(Arc::new(Disk), folder, whose)
    }

    fn lock_on(
        storage: Arc<dyn Storage>,
        folder: &Path,
        whose: Whose,
    ) -> Result<Locked, OpenError> {
        let lock = storage.claim(folder, whose)?;
        Ok(Locked { storage, folder: folder.to_owned(), lock })
    }

    /// Follows the changes of `table`, into which the caller has restored what was
    /// recovered, in a thread of its own, which begins with a segment of what is in
    /// force. Nobody waits for that ([`Handle::begun`] does), but the numbers of cases
    /// that come next are reserved before this returns.
    ///
    /// `announce` is called in that thread once for every batch of changes,
    /// when they are durable or when that has failed. It should not block.
    ///
    /// A disk that refuses is no error: the handle is then not healthy, and
    /// the thread goes on trying.
    ///
    /// # Errors
    ///
    /// Where the thread can't be started.
    pub fn start(
        self,
        table: Arc<Table>,
        params: Params,
        clock: Clock,
        announce: impl FnMut(&Announcement<'_>) + Send + 'static,
    ) -> io::Result<Handle> {
        let Self { storage, folder, lock, seq, found } = self;
        let syncs = Arc::new(Histogram::default());
        let (writer, state) = writer::Writer::new(
            (Arc::clone(&storage), folder.clone()),
            (seq, found),
            Arc::clone(&table),
            params,
            (clock, Arc::clone(&syncs)),
        );
        let thread =
            std::thread::Builder::new().name("journal".into()).spawn(writer.begin(announce))?;
        Ok(Handle::new(table, (state, syncs), (thread, lock)))
    }
}
