//! One log, as a stream of lines: a file, or standard input; plain, gzip or xz,
//! which its first octets tell and not its name.

use super::{Counts, Kept};
use crate::{maillog::Calendar, timestamp::Timestamp};
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The longest line in octets; what goes beyond is cut. Postfix cuts at 2,000.
const LONGEST: usize = 16 * 1024;
/// Octets that are read at once.
const BUFFER: usize = 256 * 1024;
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
    bytes: Vec<u8>,
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
            bytes: Vec::new(),
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
    /// most. Others are counted. `spare` are texts whose room is used.
    pub(super) fn advance(
        &mut self,
        most: u64,
        counts: &mut Counts,
        spare: &mut Vec<String>,
    ) -> io::Result<Step> {
        for _ in 0..most {
            if !self.read_line()? {
                return Ok(Step::End);
            }
            self.lines += 1;
            counts.lines += 1;
            let mut text = spare.pop().unwrap_or_default();
            text.clear();
            match std::str::from_utf8(&self.bytes) {
                Ok(line) => text.push_str(line),
                Err(_) => text.push_str(&String::from_utf8_lossy(&self.bytes)),
            }
            match Kept::read(text) {
                Err((text, skip)) => {
                    counts.skip(skip);
                    spare.push(text);
                }
                Ok(line) => {
                    self.at = self.calendar.at(line.line().stamp);
                    self.line = Some(line);
                    return Ok(Step::Line);
                }
            }
        }
        Ok(Step::NotYet)
    }

    /// Reads a line without its end; `Ok(false)` where there is none.
    fn read_line(&mut self) -> io::Result<bool> {
        self.bytes.clear();
        let mut any = false;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = memchr::memchr(b'\n', available);
            let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            // Who goes on writing to a log that was truncated leaves NULs before.
            let nuls = if self.bytes.is_empty() { leading_nuls(part) } else { 0 };
            let part = part.get(nuls..).unwrap_or_default();
            let room = LONGEST.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(part.get(..room).unwrap_or(part));
            self.reader.consume(used);
            if end.is_some() {
                if self.bytes.last() == Some(&b'\r') {
                    self.bytes.pop();
                }
                return Ok(true);
            }
        }
    }
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
