//! Logs in any order, merged by the time of their lines.
//!
//! Of every file the first lines are looked at, then it is closed until its time
//! comes: hundreds of rotated files need as many open files as overlap. What
//! can't be read twice (standard input, pipes) stays open.
//!
//! Traditional stamps have no year: a file gets the one that puts its first line
//! closest before the file's last change. Where that was lost in copying, the
//! year of the first line of the oldest file can be given; the others keep
//! their distance to it.

mod patient;
mod source;
mod years;

use super::Kept;
use crate::{
    maillog::{Calendar, Skip},
    timestamp::Timestamp,
};
use patient::Patient;
use source::{Source, Step};
use std::{
    collections::{HashSet, VecDeque},
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

/// Lines that are read in one turn; the first time of a file is looked for among
/// so many.
const TURN: u64 = 10_000;

/// Lines that were read and those of them that say nothing, by why.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// All of them.
    pub lines: u64,
    /// Those that were skipped, in the order of [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
}

impl Counts {
    fn skip(&mut self, skip: Skip) {
        let at = Skip::ALL.iter().position(|one| *one == skip);
        if let Some(count) = at.and_then(|at| self.skipped.get_mut(at)) {
            *count += 1;
        }
    }

    /// All that were skipped.
    pub fn all_skipped(&self) -> u64 {
        self.skipped.iter().sum()
    }

    /// How many were skipped for one reason.
    pub fn skipped(&self, skip: Skip) -> u64 {
        let at = Skip::ALL.iter().position(|one| *one == skip);
        at.and_then(|at| self.skipped.get(at)).copied().unwrap_or(0)
    }

    /// Lines of Postfix, whether or not they say anything.
    pub fn of_postfix(&self) -> u64 {
        let others = [Skip::Empty, Skip::NoTime, Skip::NotPostfix];
        others.iter().fold(self.lines, |left, skip| left.saturating_sub(self.skipped(*skip)))
    }
}

/// A log that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It can't be opened, or is not what its first octets say.
    #[error("can't read {name}: {source}")]
    Unreadable {
        /// Which.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// A folder.
    #[error("{0} is a folder: name the logs in it, as {0}/mail.log*")]
    Folder(String),
    /// Standard input twice.
    #[error("standard input (-) can be read only once: name it once")]
    Twice,
    /// A year before Unix or beyond the calendar.
    #[error("--year {0}: no log is of that year; write the year of the first line, as 2026")]
    Year(i16),
}

/// A log that was not opened yet, or was closed after its first lines.
struct Waiting {
    path: PathBuf,
    /// When its first line was logged; zero where that is not known.
    first: Timestamp,
    /// Its first line is not younger.
    anchor: Timestamp,
    /// It can't be opened again.
    opened: Option<Source>,
}

/// What [`Input::next_line`] gives.
#[derive(Debug)]
pub enum Next {
    /// A line that is understood, with its time.
    Line(Timestamp, Kept),
    /// None among the many that were just read. Look after other things and ask
    /// again.
    NotYet,
    /// There is nothing more.
    End,
}

/// See the head of this module.
pub struct Input {
    /// By the time of their first lines.
    waiting: VecDeque<Waiting>,
    /// Each at a line, but for the one that is to move.
    open: Vec<Source>,
    /// The one whose line was given.
    moves: Option<usize>,
    counts: Counts,
    warnings: Vec<String>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Input {
    /// The logs at `paths`; `-` is standard input. `year` is the year of the
    /// first line of all. `now` is for logs that have no time of their own. Pipes
    /// end when `stop` is set, whoever writes to them.
    ///
    /// # Errors
    /// The first log that can't be read.
    pub fn open(
        paths: &[PathBuf],
        year: Option<i16>,
        now: Timestamp,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, InputError> {
        if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err(InputError::Twice);
        }
        let read = Arc::new(AtomicU64::new(0));
        let mut total = Some(0_u64);
        let mut begun = Vec::new();
        let mut warnings = Vec::new();
        let mut seen = HashSet::new();
        for path in paths {
            if file_number(path).is_some_and(|number| !seen.insert(number)) {
                warnings.push(format!(
                    "{} is a file that was named before: it is read once",
                    path.display()
                ));
                continue;
            }
            let (log, octets) = look_at(path, now, &read, stop)?;
            total = total.zip(octets).map(|(total, octets)| total.saturating_add(octets));
            begun.push(log);
        }
        if let Some(year) = year {
            years::shift(&mut begun, year).ok_or(InputError::Year(year))?;
        }
        // Whatever order they were named in.
        begun.sort_by(|a, b| (a.first, &a.path).cmp(&(b.first, &b.path)));
        Ok(Self { waiting: begun.into(), warnings, read, total, ..Self::nothing() })
    }

    /// A log that is read from elsewhere, whose first line is not younger than
    /// `anchor`.
    ///
    /// # Errors
    /// Those of `reader`.
    pub fn from_reader(name: &str, reader: Box<dyn Read>, anchor: Timestamp) -> io::Result<Self> {
        let mut input = Self::nothing();
        let source = Source::new(name, reader, Calendar::new(anchor), Some(&input.read))?;
        input.start(source);
        Ok(input)
    }

    fn nothing() -> Self {
        Self {
            waiting: VecDeque::new(),
            open: Vec::new(),
            moves: None,
            counts: Counts::default(),
            warnings: Vec::new(),
            read: Arc::new(AtomicU64::new(0)),
            total: None,
        }
    }

    /// The next line, of whatever log.
    pub fn next_line(&mut self) -> Next {
        loop {
            if let Some(at) = self.moves.take()
                && !self.advance(at)
            {
                return Next::NotYet;
            }
            let oldest = self.open.iter().enumerate().min_by_key(|(_, source)| source.at());
            let oldest = oldest.map(|(at, source)| (at, source.at()));
            let due = |waiting: &mut Waiting| oldest.is_none_or(|(_, at)| waiting.first <= at);
            if let Some(waiting) = self.waiting.pop_front_if(due) {
                self.begin(waiting);
                continue;
            }
            self.moves = oldest.map(|(at, _)| at);
            let Some(source) = self.moves.and_then(|at| self.open.get_mut(at)) else {
                return Next::End;
            };
            if let Some(line) = source.take() {
                return Next::Line(source.at(), line);
            }
        }
    }

    /// What was read by now.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What could not be read, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Octets of the files that were read by now, and all of them where that is
    /// known.
    pub fn octets(&self) -> (u64, Option<u64>) {
        (self.read.load(Relaxed), self.total)
    }

    fn begin(&mut self, waiting: Waiting) {
        if let Some(source) = waiting.opened {
            return self.start(source);
        }
        let calendar = Calendar::new(waiting.anchor);
        match Source::open(&waiting.path, calendar, Some(&self.read)) {
            Ok(source) => self.start(source),
            Err(error) => {
                self.warnings.push(format!(
                    "{} could be read a moment ago and can't any more ({error}): it is left out",
                    waiting.path.display()
                ));
            }
        }
    }

    fn start(&mut self, source: Source) {
        self.open.push(source);
        self.moves = Some(self.open.len() - 1);
    }

    /// Goes to the next line of a log, or forgets one that is at its end; says
    /// whether it came to either.
    fn advance(&mut self, at: usize) -> bool {
        let Some(source) = self.open.get_mut(at) else { return true };
        match source.advance(TURN, &mut self.counts) {
            Ok(Step::Line) => return true,
            Ok(Step::NotYet) => {
                self.moves = Some(at);
                return false;
            }
            Ok(Step::End) => {}
            Err(error) => self.warnings.push(format!(
                "{} breaks off after line {} ({error}): what was read of it counts",
                source.name(),
                source.lines()
            )),
        }
        self.open.swap_remove(at);
        true
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What tells a file from all others, however it is named.
fn file_number(path: &Path) -> Option<(u64, u64)> {
    let about = fs::metadata(path).ok().filter(|about| about.is_file())?;
    Some((about.dev(), about.ino()))
}

/// Reads the first lines of a log; gives its octets too, where they are known.
fn look_at(
    path: &Path,
    now: Timestamp,
    read: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> Result<(Waiting, Option<u64>), InputError> {
    let unreadable = |source| InputError::Unreadable { name: path.display().to_string(), source };
    // What can't be read twice begins at once.
    let at_once = |opened: Source, anchor| {
        let (path, first) = (path.to_owned(), Timestamp::default());
        (Waiting { path, first, anchor, opened: Some(opened) }, None)
    };
    if is_stdin(path) {
        let opened = Patient::new(|| Ok(io::stdin()), stop).and_then(|stdin| {
            Source::new("standard input", Box::new(stdin), Calendar::new(now), Some(read))
        });
        return Ok(at_once(opened.map_err(unreadable)?, now));
    }
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.is_dir() {
        return Err(InputError::Folder(path.display().to_string()));
    }
    let changed = about.modified().ok().and_then(since_epoch).unwrap_or(now);
    let anchor = changed.min(now);
    if !about.is_file() {
        let (name, pipe) = (path.display().to_string(), path.to_owned());
        let opened = Patient::new(|| fs::File::open(pipe), stop)
            .and_then(|pipe| Source::new(&name, Box::new(pipe), Calendar::new(anchor), Some(read)));
        return Ok(at_once(opened.map_err(unreadable)?, anchor));
    }
    let mut source = Source::open(path, Calendar::new(anchor), None).map_err(unreadable)?;
    // These lines are counted when they are read for good.
    let first = match source.advance(TURN, &mut Counts::default()) {
        Ok(Step::Line) => source.at(),
        Ok(_) => Timestamp::default(),
        // What is whole before the fault counts.
        Err(_) if source.lines() > 0 => Timestamp::default(),
        Err(error) => return Err(unreadable(error)),
    };
    Ok((Waiting { path: path.to_owned(), first, anchor, opened: None }, Some(about.len())))
}

fn since_epoch(at: SystemTime) -> Option<Timestamp> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests;
