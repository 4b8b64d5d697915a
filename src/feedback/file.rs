//! Follows a log file by its name.
//!
//! - **Renamed** (logrotate's way): the old file is read to its end, and also
//!   what is still written to it for two minutes after it last grew, since
//!   whoever logs keeps it open until it is told to let go; the new one is read
//!   from its beginning.
//! - **Truncated** (`copytruncate`): it is read from its beginning, also where it
//!   has grown beyond the old place meanwhile.
//! - **Deleted and made again**: as renamed.
//! - **Any of this while nobody looked**: the [`Place`] tells files by device,
//!   inode and a hash of the octets before it. The old file is looked for under
//!   every name in the same folder (`mail.log.1`, `mail.log-20261122`) and read
//!   to its end first. One that was compressed or deleted meanwhile is gone, and
//!   that is said.
//!
//! A first start ever begins at the end of the file: older results are nobody's.
//!
//! There is no wait here: [`Follower::poll`] reads what is there.

use super::source::{Begin, Id, Mark, Source, open};
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::DirEntryExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a file that lost its name is still read after it last grew.
const STILL_WRITTEN: Duration = Duration::from_secs(120);
/// Files without a name that are read at once, unless more are behind.
const MOST_OLD: usize = 4;
/// Those that are behind too.
const MOST_BEHIND: usize = 64;
/// Octets that one look reads of each file.
const LOOK: u64 = 4 * 1024 * 1024;
/// Names of one folder among which an old file is looked for.
const MOST_NAMES: usize = 100_000;

/// How far the files were read: the one that has the name last. Line ends.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    marks: Vec<Mark>,
}

/// Follows a file.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    current: Option<Source>,
    /// Those that had the name before, oldest first.
    old: Vec<Source>,
    /// Where to begin in the next file that has the name.
    begin: Begin,
    /// Since when there is none of that name, and why.
    trouble: Option<(Timestamp, io::Error)>,
    /// What is worth a line in the log.
    news: Vec<String>,
    overlong: u64,
}

impl Follower {
    /// Follows a file that was never read: from its end on, if it is there.
    pub(super) fn begin(path: &Path, now: Timestamp) -> Self {
        let mut follower = Self {
            path: path.to_owned(),
            current: None,
            old: Vec::new(),
            begin: Begin::End,
            trouble: None,
            news: Vec::new(),
            overlong: 0,
        };
        follower.look(now);
        follower
    }

    /// Follows a file from the place on where it was left.
    pub(super) fn resume(place: &Place, now: Timestamp) -> Self {
        let path = &place.path;
        let mut follower = Self::begin(path, now);
        follower.begin = Begin::Start;
        let Some(last) = place.marks.last() else {
            // There was no file yet.
            follower.current = None;
            follower.look(now);
            return follower;
        };
        let named = follower.current.take().map(|source| source.id);
        for mark in &place.marks {
            let is_named = named == Some(mark.id);
            let resumed = if is_named { at(path, *mark, now) } else { find(path, *mark, now) };
            match resumed {
                Some(source) if is_named => follower.current = Some(source),
                Some(source) => follower.old.push(source),
                // Another file, that begins where the name points to.
                None if is_named => {}
                None if mark == last => follower.news.push(format!(
                    "the mail log was rotated while nobody read it, and the old file is gone or compressed: delivery results that only stood in it are lost ({})",
                    path.display()
                )),
                None => {}
            }
        }
        if follower.current.is_none() {
            follower.look(now);
        }
        follower
    }

    /// How far it was read.
    pub(super) fn place(&self) -> Place {
        let sources = self.old.iter().chain(&self.current);
        Place { path: self.path.clone(), marks: sources.map(Source::mark).collect() }
    }

    /// Looks for what is new. `line` is called with each line. Gives how many
    /// octets there were.
    pub(super) fn poll(&mut self, now: Timestamp, line: &mut dyn FnMut(&[u8])) -> u64 {
        let missing = self.take_named(now);
        let read = self.read(now, line);
        let octets = *read.as_ref().unwrap_or(&0);
        self.note(now, missing.or(read.err()));
        if octets == 0 {
            self.old.retain(|source| now.since(source.grown) < STILL_WRITTEN);
        }
        octets
    }

    /// Since when there is no file of that name that can be read, and why.
    pub(super) fn trouble(&self) -> Option<(Timestamp, &io::Error)> {
        self.trouble.as_ref().map(|(since, error)| (*since, error))
    }

    /// What is worth a line in the log.
    pub(super) fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Lines that were too long since this was asked last.
    pub(super) fn take_overlong(&mut self) -> u64 {
        std::mem::take(&mut self.overlong)
    }

    /// Looks which file has the name, and takes a new one.
    fn look(&mut self, now: Timestamp) {
        let error = self.take_named(now);
        self.note(now, error);
    }

    /// Gives why no file has it.
    fn take_named(&mut self, now: Timestamp) -> Option<io::Error> {
        match self.named(now) {
            Ok(None) => None,
            Ok(Some(source)) => {
                self.begin = Begin::Start;
                self.old.extend(self.current.replace(source));
                self.make_room();
                None
            }
            Err(error) => {
                // The next of this name is a new one.
                if error.kind() == io::ErrorKind::NotFound {
                    self.begin = Begin::Start;
                }
                Some(error)
            }
        }
    }

    /// Lets go of files without a name: of what was read to its end first.
    fn make_room(&mut self) {
        if self.old.len() <= MOST_OLD {
            return;
        }
        if let Some(read) = self.old.iter().position(Source::is_at_end) {
            self.old.remove(read);
        } else if self.old.len() > MOST_BEHIND {
            self.old.remove(0);
            self.news.push(format!(
                "{} is rotated faster than it can be read: delivery results are lost",
                self.path.display()
            ));
        }
    }

    fn note(&mut self, now: Timestamp, error: Option<io::Error>) {
        let since = self.trouble.as_ref().map_or(now, |(since, _)| *since);
        self.trouble = error.map(|error| (since, error));
    }

    /// Reads the files in their order, each to its end before the next.
    fn read(&mut self, now: Timestamp, line: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
        let mut octets = 0;
        for source in self.old.iter_mut().chain(&mut self.current) {
            let read = source.read(LOOK, now, line)?;
            self.overlong += source.take_overlong();
            octets += read.octets;
            if read.truncated {
                self.news.push(format!(
                    "{} was truncated: it is read from its beginning",
                    self.path.display()
                ));
            }
            if read.octets >= LOOK {
                break;
            }
        }
        Ok(octets)
    }

    /// The file that has the name, where it is another one than before.
    fn named(&self, now: Timestamp) -> io::Result<Option<Source>> {
        let id = Id::from(&fs::metadata(&self.path)?);
        if self.current.as_ref().is_some_and(|source| source.id == id) {
            return Ok(None);
        }
        Source::new(open(&self.path)?, self.begin, now).map(Some)
    }
}

/// The file at `path`, if it is the one that was left there.
fn at(path: &Path, mark: Mark, now: Timestamp) -> Option<Source> {
    Source::resume(open(path).ok()?, mark, now).ok().flatten()
}

/// The file that was left, under another name in the folder of `path`.
fn find(path: &Path, mark: Mark, now: Timestamp) -> Option<Source> {
    let names = fs::read_dir(path.parent()?).ok()?.take(MOST_NAMES).flatten();
    names
        .filter(|entry| mark.id.has_inode(entry.ino()))
        .find_map(|entry| at(&entry.path(), mark, now))
}

#[cfg(test)]
mod tests;
