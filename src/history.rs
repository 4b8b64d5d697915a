//! History: keeps what was learned of connectors over a restart, so that a
//! restart does not make everything look new: baselines, scores, the filters that
//! know whom a connector wrote to, and the messages whose delivery results are
//! still to come, with the place in the mail log up to which it was read.
//!
//! # What it promises
//!
//! * The file is whole or it is the one before: it is written under another
//!   name, synced, renamed, and the folder synced. A failed save leaves the old
//!   file as it was and nothing beside it.
//! * About ten minutes may be lost, not more, and nobody waits: a thread of its own
//!   ([`spawn`]) takes one connector after the other and keeps no second copy
//!   of them all.
//! * Data that changed on the disk is never used. What is whole is used, what
//!   is not is left out, and a sentence says what follows from that.
//! * A file that does not fit this program is never guessed at: history then
//!   starts empty. [`Loaded::mute`] says until when signals stay silent that
//!   would take everybody for new.
//!
//! # The files, in the state directory
//!
//! | file | what it is |
//! |---|---|
//! | `history` | what counts |
//! | `history.new` | one that is being written, or never was finished; ignored |
//! | `history.damaged` | a link to the last one that was not whole; yours to look at and remove |
//! | `history.old` | a link to the last one of another version; yours to keep or remove |
//!
//! All have mode 0600: the key in it is secret, since who has it can look for
//! recipients that the filters take for known.
//!
//! # The bytes
//!
//! All numbers little-endian; a checksum is CRC-32C. First the prelude of 20
//! bytes, which stays the same in every version of this format:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CGHISTRY` |
//! | 8 | 4 | version of this format, now 1 |
//! | 12 | 4 | schema: what the payloads mean, a number that the caller gives |
//! | 16 | 4 | checksum of the 16 bytes before |
//!
//! Then blocks, each a header of 13 bytes and its payload:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 1 | kind |
//! | 1 | 4 | length of the payload, at most 16 MiB |
//! | 5 | 4 | checksum of the payload |
//! | 9 | 4 | checksum of the 9 bytes before |
//!
//! | kind | how many | payload, in postcard's encoding |
//! |---|---|---|
//! | 1 head | 1, first | key (16 bytes), time of saving and end of muting in milliseconds since 1970 |
//! | 2 filters | any | a piece of the filters, of 1 MiB |
//! | 3 last filters | 1 | the last piece; all of them, one after the other, are the filters |
//! | 4 connectors | any | up to 256 connectors, one after the other: its key as text, then what was learned |
//! | 6 messages | any | up to 256 messages of unknown fate, one after the other |
//! | 7 place | at most 1 | octets by which the reader of the mail log finds its place again |
//! | 5 end | 1, last | how many connectors and how many messages there are |
//!
//! **The mail log.** The place is taken before all others, then the connectors
//! are collected, then the messages. A result that is told meanwhile is in the
//! messages, so that it counts no more when the log is read again from that
//! place; in the connectors it may be missing. So after a crash a result may be
//! lost, and none counts twice.
//!
//! # Reading
//!
//! A block whose header is right and whose payload is not is stepped over.
//! Behind a wrong header nothing can be found, and without an end block the
//! file was cut: what stands before is used. Without its head nothing is, for
//! nothing means anything without the key. Damaged filters, connectors, messages
//! and places cost only themselves.

mod format;
#[doc(hidden)]
pub mod fuzz;
mod keeper;
mod read;
mod report;
mod write;

#[cfg(test)]
mod tests;

pub use keeper::{Handle, HistoryStatus, NotSaved, spawn};

use crate::{
    connector::ConnectorKey,
    engine::MUTED,
    storage::{Disk, Replacement, Storage},
    timestamp::Timestamp,
};
use read::{Contents, Unfit};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is to be saved. `connectors` gives one pair of a
/// [`ConnectorKey`] and what was learned of it after the other, `messages` one
/// message after the other, and is not asked for the first before `connectors` is
/// at its end.
pub struct Saved<I, F, M> {
    /// The key of all keyed hashes in what follows.
    pub key: [u8; 16],
    /// Everything that was learned of each connector.
    pub connectors: I,
    /// What is shared by all connectors.
    pub filters: F,
    /// Messages whose fate is not known.
    pub messages: M,
    /// How far the mail log was read before any of this was collected: all
    /// results up to there were told.
    pub place: Option<Vec<u8>>,
    /// Now.
    pub saved_at: Timestamp,
    /// Until when the signals that need the filters are silent.
    pub muted_until: Option<Timestamp>,
}

/// What a start finds.
pub struct Loaded<C, F, M> {
    /// The key of all keyed hashes in what follows; none where history starts
    /// empty, and there is nothing else either.
    pub key: Option<[u8; 16]>,
    /// What was learned of each connector, in the order of saving.
    pub connectors: Vec<(ConnectorKey, C)>,
    /// What is shared by all connectors, unless it was lost.
    pub filters: Option<F>,
    /// Messages whose fate was not known, in the order of saving.
    pub messages: Vec<M>,
    /// How far the mail log was read.
    pub place: Option<Vec<u8>>,
    /// When it was saved.
    pub saved_at: Option<Timestamp>,
    /// As it was saved; [`mute`](Self::mute) is what holds now.
    pub muted_until: Option<Timestamp>,
    /// What was lost and what follows from it, one sentence each, for the log.
    pub losses: Vec<String>,
    /// There was a file, and the filters could not be had from it.
    pub lost_filters: bool,
}

impl<C, F, M> Loaded<C, F, M> {
    /// What is in a file, of which that is lost.
    fn of(contents: Contents<C, F, M>, losses: Vec<String>) -> Self {
        Self {
            key: Some(contents.head.key),
            lost_filters: contents.filters.is_none(),
            saved_at: Some(contents.head.saved_at()),
            muted_until: contents.head.muted_until(),
            filters: contents.filters,
            connectors: contents.connectors,
            messages: contents.messages,
            place: contents.place,
            losses,
        }
    }

    fn nothing() -> Self {
        Self {
            key: None,
            connectors: Vec::new(),
            filters: None,
            messages: Vec::new(),
            place: None,
            saved_at: None,
            muted_until: None,
            losses: Vec::new(),
            lost_filters: false,
        }
    }

    /// Whether history starts empty, which a first start does as well.
    pub fn is_empty(&self) -> bool {
        self.key.is_none()
    }

    /// Until when signals that need the filters stay silent, if they do: for
    /// a day from `now` on if the filters were lost, and else as long as was
    /// saved. A first start mutes nothing. To be saved again.
    pub fn mute(&self, now: Timestamp) -> Option<Timestamp> {
        let saved = self.muted_until.filter(|until| now < *until);
        saved.max(self.lost_filters.then(|| now.plus(MUTED)))
    }
}

/// What a save wrote.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// The length of the file.
    pub bytes: u64,
    /// How many connectors are in it.
    pub connectors: u64,
    /// How many messages of unknown fate are.
    pub messages: u64,
}

/// The place of history. Who has the journal's lock is alone with it.
pub struct Store {
    directory: PathBuf,
    schema: u32,
    storage: Arc<dyn Storage>,
}

impl Store {
    /// The history in the state directory. `schema` is to be changed whenever
    /// the encoding or the meaning of what is saved changes. Touches nothing.
    pub fn open(directory: &Path, schema: u32) -> Self {
        Self::open_on(Arc::new(Disk), directory, schema)
    }

    /// The same on another storage.
    pub fn open_on(storage: Arc<dyn Storage>, directory: &Path, schema: u32) -> Self {
        Self { directory: directory.to_owned(), schema, storage }
    }

    /// The file that counts.
    pub fn path(&self) -> PathBuf {
        self.directory.join("history")
    }

    /// Reads what was saved, as far as it is whole. No file is no loss; a file
    /// that is damaged or does not fit is set aside and reported.
    pub fn load<C, F, M>(&self) -> Loaded<C, F, M>
    where
        C: DeserializeOwned,
        F: DeserializeOwned,
        M: DeserializeOwned,
    {
        let contents = match self.storage.open(&self.path()) {
            Ok(file) => read::read(BufReader::new(file), self.schema),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::nothing(),
            Err(error) => Err(Unfit::Unreadable(error.to_string())),
        };
        match contents {
            Ok(contents) => self.loaded(contents),
            Err(unfit) => {
                let kept = self.keep_aside(if unfit.is_damage() { "damaged" } else { "old" });
                let losses = vec![report::unfit(&self.path(), &unfit, self.schema, kept)];
                Loaded { losses, lost_filters: true, ..Loaded::nothing() }
            }
        }
    }

    /// Writes all of it in place of what was saved before.
    ///
    /// # Errors
    ///
    /// Those of the file system; then what was saved before is still there.
    /// [`io::ErrorKind::InvalidData`] for what can't be encoded.
    pub fn save<C, F, I, M>(&mut self, saved: Saved<I, F, M>) -> io::Result<Written>
    where
        C: Serialize,
        F: Serialize,
        M: Iterator<Item: Serialize>,
        I: Iterator<Item = (ConnectorKey, C)>,
    {
        let unfinished = self.directory.join("history.new");
        let mut history = Replacement::begin(&*self.storage, unfinished)?;
        let written = write::write(history.file(), self.schema, saved)?;
        history.finish(&self.path())?;
        self.storage.sync_folder(&self.directory)?;
        Ok(written)
    }

    fn loaded<C, F, M>(&self, contents: Contents<C, F, M>) -> Loaded<C, F, M> {
        let losses = if contents.is_whole() {
            Vec::new()
        } else {
            report::damage(&self.path(), &contents, self.keep_aside("damaged"))
        };
        Loaded::of(contents, losses)
    }

    /// Keeps the file beyond the next save, as `history.ENDING`, in place of
    /// the one that was kept before. It stays where it is as well: should the
    /// daemon not live to its first save, the next one reads the same.
    fn keep_aside(&self, ending: &str) -> io::Result<PathBuf> {
        let aside = self.directory.join(format!("history.{ending}"));
        self.storage.link(&self.path(), &aside)?;
        self.storage.sync_folder(&self.directory)?;
        Ok(aside)
    }
}
