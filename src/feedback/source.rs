//! One file that is read while others write to it.
//!
//! It is read from a place on to its end, again and again. A file that is
//! shorter than what was read, or has other bytes before that place, was
//! truncated: then it is read from its beginning.

use super::lines::Lines;
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::{
    fs::{File, Metadata, OpenOptions},
    hash::Hasher,
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Octets that are read at once.
const CHUNK: usize = 64 * 1024;
/// Octets before a place by which it is known again.
const TAIL: u64 = 256;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    /// Whether its inode has this number.
    pub(super) fn has_inode(self, inode: u64) -> bool {
        self.inode == inode
    }
}

impl From<&Metadata> for Id {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// How far a file was read: a line end, and by what it is known again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Mark {
    pub(super) id: Id,
    pub(super) offset: u64,
    /// Hash of up to [`TAIL`] octets before `offset`.
    tail: u64,
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    Start,
    /// At the last line end.
    End,
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    pub(super) id: Id,
    /// The next octet to read.
    position: u64,
    lines: Lines,
    /// The octets before the last line end that was read, up to [`TAIL`].
    tail: Vec<u8>,
    /// When anything was read of it last.
    pub(super) grown: Timestamp,
}

/// What reading gave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Read {
    pub(super) octets: u64,
    /// It was truncated, and is read from its beginning.
    pub(super) truncated: bool,
}

/// Opens a log file. Devices and pipes are none, and are not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"))
    }
}

impl Source {
    pub(super) fn new(file: File, begin: Begin, now: Timestamp) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mut source = Self {
            file,
            id: Id::from(&metadata),
            position: 0,
            lines: Lines::default(),
            tail: Vec::new(),
            grown: now,
        };
        if let Begin::End = begin {
            source.skip_to_end(metadata.len())?;
        }
        Ok(source)
    }

    /// The file as it was left; nothing where it has become another one.
    pub(super) fn resume(file: File, mark: Mark, now: Timestamp) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        let id = Id::from(&metadata);
        let tail = tail(&file, mark.offset)?;
        let same = id == mark.id && metadata.len() >= mark.offset && hash(&tail) == mark.tail;
        let (position, lines) = (mark.offset, Lines::default());
        Ok(same.then_some(Self { file, id, position, lines, tail, grown: now }))
    }

    /// How far it was read.
    pub(super) fn mark(&self) -> Mark {
        Mark { id: self.id, offset: self.offset(), tail: hash(&self.tail) }
    }

    /// Whether there is nothing more in it, as it is now.
    pub(super) fn is_at_end(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() <= self.position)
    }

    /// Lines that were too long since this was asked last.
    pub(super) fn take_overlong(&mut self) -> u64 {
        self.lines.take_overlong()
    }

    /// Reads on, at most about `most` octets. `line` is called with each line.
    pub(super) fn read(
        &mut self,
        most: u64,
        now: Timestamp,
        line: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Read> {
        let mut read = Read { truncated: self.was_truncated()?, ..Read::default() };
        if read.truncated {
            self.position = 0;
            self.lines = Lines::default();
            self.tail.clear();
        }
        let mut chunk = vec![0; CHUNK];
        while read.octets < most {
            let count = self.file.read_at(&mut chunk, self.position)?;
            let bytes = chunk.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.position += count;
            read.octets += count;
            self.lines.feed(bytes, line);
        }
        if read.octets > 0 {
            self.grown = now;
            self.tail = tail(&self.file, self.offset())?;
        }
        Ok(read)
    }

    /// The end of the last line that was read.
    fn offset(&self) -> u64 {
        self.position.saturating_sub(self.lines.open())
    }

    /// Whether it no longer is what was read: shorter, or with other octets
    /// where reading goes on.
    fn was_truncated(&self) -> io::Result<bool> {
        if self.file.metadata()?.len() < self.position {
            return Ok(true);
        }
        let tail_len = u64::try_from(self.tail.len()).unwrap_or(u64::MAX);
        let begun = self.lines.begun();
        let begun = begun.get(..begun.len().min(CHUNK)).unwrap_or_default();
        let expected = [&self.tail[..], begun].concat();
        let from = self.offset().saturating_sub(tail_len);
        Ok(exactly(&self.file, from, expected.len())? != expected)
    }

    /// Puts the place behind the last line end; if there is none near the end,
    /// into the last line, which is given up.
    fn skip_to_end(&mut self, len: u64) -> io::Result<()> {
        let chunk = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        let from = len.saturating_sub(chunk);
        let end = exactly(&self.file, from, CHUNK)?;
        match memchr::memrchr(b'\n', &end) {
            Some(at) => self.position = from + u64::try_from(at).unwrap_or(0) + 1,
            None if from == 0 => {}
            None => {
                self.position = len;
                self.lines = Lines::after_cut();
            }
        }
        self.tail = tail(&self.file, self.position)?;
        Ok(())
    }
}

/// Up to [`TAIL`] octets before `offset`.
fn tail(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let len = offset.min(TAIL);
    exactly(file, offset - len, usize::try_from(len).unwrap_or(0))
}

/// `len` octets from `from` on, or as many as there are.
fn exactly(file: &File, from: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + u64::try_from(filled).unwrap_or(0)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}
