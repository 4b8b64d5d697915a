//! One log, as a stream of lines: a file, or standard input; plain, gzip or xz,
//! which its first octets tell and not its name.

use super::Counts;
use crate::{
    maillog::{Calendar, Skip},
    replay::kept::{Kept, LONGEST, Lines},
    timestamp::Timestamp,
};
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use memchr::{memchr, memrchr};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Octets that are read at once, and of those so many whose lines are kept together.
const BUFFER: usize = 256 * 1024;
const BLOCK: usize = 16 * 1024;
/// What unpacking xz may take, in KiB: twice what `xz -9` needs.
const XZ_MEMORY: u32 = 128 * 1024;

/// What [`Source::advance`] came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// A line that is understood.
    Line,
    /// None so far.
    NotYet,
    /// The end.
    End,
}

/// See the head of this module.
pub(super) struct Source {
    name: Arc<str>,
    reader: Box<dyn BufRead>,
    calendar: Calendar,
    /// A line that has begun, and goes on in what is not read yet.
    begun: Option<Vec<u8>>,
    /// Lines whose turn comes next.
    next: Lines,
    /// Lines that were read.
    lines: u64,
    /// The next line that is understood.
    at: Timestamp,
    line: Option<Kept>,
}

impl Source {
    /// The log at `path`; octets that are read of it are added to `read`.
    pub(super) fn open(
        path: &Path,
        calendar: Calendar,
        read: Option<&Arc<AtomicU64>>,
    ) -> io::Result<Self> {
        let file = File::open(path)?;
        Self::new(&path.display().to_string(), Box::new(file), calendar, read)
    }

    /// A log that is read from elsewhere.
    pub(super) fn new(
        name: &str,
        reader: Box<dyn Read>,
        calendar: Calendar,
        read: Option<&Arc<AtomicU64>>,
    ) -> io::Result<Self> {
        let counting = Counting { reader, read: read.map(Arc::clone) };
        Ok(Self {
            name: name.into(),
            reader: unpacked(counting)?,
            calendar,
            begun: None,
            next: Lines::default(),
            lines: 0,
            at: Timestamp::default(),
            line: None,
        })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// When the present line was logged.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    /// The present line, unless it was taken before.
    pub(super) fn take(&mut self) -> Option<Kept> {
        self.line.take()
    }

    /// Lines that were read.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Counts years from another time on. To be called before the first line.
    pub(super) fn set_calendar(&mut self, calendar: Calendar) {
        self.calendar = calendar;
    }

    /// Goes to the next line that is understood, reading `most` lines at the
    /// most. Others are counted.
    pub(super) fn advance(&mut self, most: u64, counts: &mut Counts) -> io::Result<Step> {
        for _ in 0..most {
            let Some(read) = self.next_line()? else { return Ok(Step::End) };
            self.lines += 1;
            counts.lines += 1;
            match read {
                Err(skip) => counts.skip(skip),
                Ok(kept) => {
                    if let Some(line) = kept.line() {
                        self.at = self.calendar.at(line.stamp);
                    }
                    self.line = Some(kept);
                    return Ok(Step::Line);
                }
            }
        }
        Ok(Step::NotYet)
    }

    fn next_line(&mut self) -> io::Result<Option<Result<Kept, Skip>>> {
        loop {
            if let Some(line) = self.next.next() {
                return Ok(Some(line));
            }
            match self.read_lines()? {
                Some(text) => self.next = Lines::read(text),
                None => return Ok(None),
            }
        }
    }

    /// Reads lines, with their ends between them; none where there are no more.
    fn read_lines(&mut self) -> io::Result<Option<String>> {
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(self.begun.take().map(text_of));
            }
            let part = available.get(..BLOCK).unwrap_or(available);
            let Some(end) = memrchr(b'\n', part) else {
                go_on(self.begun.get_or_insert_default(), part);
                let used = part.len();
                self.reader.consume(used);
                continue;
            };
            let lines = part.get(..end).unwrap_or_default();
            let text = match self.begun.take() {
                None => lines.to_vec(),
                Some(mut text) => {
                    let first = memchr(b'\n', lines).unwrap_or(lines.len());
                    go_on(&mut text, lines.get(..first).unwrap_or_default());
                    text.extend_from_slice(lines.get(first..).unwrap_or_default());
                    text
                }
            };
            self.reader.consume(end + 1);
            return Ok(Some(text_of(text)));
        }
    }
}

/// Puts more of a line behind what is there of it, as far as it is read: from the
/// first octet on that is no NUL, and up to the longest line.
fn go_on(line: &mut Vec<u8>, more: &[u8]) {
    let nuls = if line.is_empty() { leading_nuls(more) } else { 0 };
    let more = more.get(nuls..).unwrap_or_default();
    let room = LONGEST.saturating_sub(line.len());
    line.extend_from_slice(more.get(..room).unwrap_or(more));
}

fn text_of(octets: Vec<u8>) -> String {
    String::from_utf8(octets)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn leading_nuls(part: &[u8]) -> usize {
    part.iter().take_while(|octet| **octet == 0).count()
}

/// Counts the octets that are read.
struct Counting {
    reader: Box<dyn Read>,
    read: Option<Arc<AtomicU64>>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let octets = self.reader.read(buffer)?;
        if let Some(read) = &self.read {
            read.fetch_add(u64::try_from(octets).unwrap_or(0), Relaxed);
        }
        Ok(octets)
    }
}

/// What is in a file, unpacked.
fn unpacked(mut reader: Counting) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::with_capacity(6);
    (&mut reader).take(6).read_to_end(&mut head)?;
    let packed = if head.starts_with(&[0x1f, 0x8b]) {
        Some(false)
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some(true)
    } else {
        None
    };
    let whole = Cursor::new(head).chain(reader);
    let whole = BufReader::with_capacity(BUFFER, whole);
    let buffered = |reader: Box<dyn Read>| -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(BUFFER, reader))
    };
    Ok(match packed {
        None => Box::new(whole),
        Some(false) => buffered(Box::new(MultiGzDecoder::new(whole))),
        Some(true) => buffered(Box::new(XzReader::new_mem_limit(whole, true, XZ_MEMORY))),
    })
}
