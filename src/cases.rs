//! The cases on disk, so that they survive restarts and can be read long after.
//!
//! One file each, `cases/C-000017.json` in the state directory: the JSON of
//! [`CaseFile`] with a field `version` before it, now 1, on lines that a person can
//! read. The folder has mode 0700 and the files 0600: they tell who wrote to whom.
//!
//! What it promises:
//! - A file is whole or the one before: it is written under another name
//!   (`C-000017.json.new`), synced, renamed, and the folder synced.
//! - Nobody waits: a thread of its own writes what changed, each case at most every
//!   [`PAUSE`], and everything at a stop. After a crash the steps of the last seconds
//!   may be missing; the journal has them, and restrictions follow the journal.
//! - A disk that is full costs nothing but what is not written yet: that stays in
//!   memory, is tried again every [`RETRY`], and the status says so.
//! - A file that is damaged never stops the start: it is renamed to
//!   `C-000017.json.damaged`, reported, and its number is not given again.
//! - What was not read is never overwritten: a file of another version, or one that the
//!   system refuses for longer than a minute, is renamed to `C-000017.json.old` first.
//! - A start waits only for the cases of which nothing is restricted. The others,
//!   which may be a hundred thousand, are read behind it by the same thread.
//! - A case is removed [`KEEP`] after it was over, and where there are more than
//!   [`MOST_FILES`], the oldest that are over go sooner. An open one never does.

#[doc(hidden)]
pub mod fuzz;
mod keeper;
#[cfg(test)]
mod tests;

pub use keeper::{CasesStatus, Handle, NotWritten, spawn};

use crate::{
    case::CaseFile,
    record::CaseId,
    storage::{Disk, Replacement, Storage},
    text::clean_json,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a case is kept after it was over.
pub const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);
/// Files that are kept at the most, but for open cases.
pub const MOST_FILES: usize = 5000;
/// How long what changed is collected before it is written.
pub const PAUSE: Duration = Duration::from_secs(3);
/// How long after a failure it is tried again.
pub const RETRY: Duration = Duration::from_secs(10);
/// Version of the format.
const VERSION: u32 = 1;
/// What is longer is no case; in octets.
const LONGEST: u64 = 64 * 1024 * 1024;

/// A case as it is written.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    #[serde(flatten)]
    file: &'a CaseFile,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Why a case can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("can't read {0}: {1}")]
    System(PathBuf, io::Error),
    /// It is no case.
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, String),
    /// Another version of connguard wrote it.
    #[error(
        "{0} was written by another version of connguard (format {1}, this one reads {VERSION}): update connguard to read it"
    )]
    Version(PathBuf, u32),
}

/// What was found at a start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The cases, oldest first.
    pub files: Vec<CaseFile>,
    /// The cases whose files are there and were left for later.
    pub unread: Vec<CaseId>,
    /// The largest number of a file, of a damaged one too.
    pub newest: Option<CaseId>,
    /// What was wrong, in sentences that say what to do.
    pub warnings: Vec<String>,
}

/// The place of the cases. Who has the journal's lock is alone with it.
pub struct Store {
    folder: PathBuf,
    storage: Arc<dyn Storage>,
    /// The files that are there, with the time at which their case was over.
    files: BTreeMap<CaseId, Option<Timestamp>>,
}

impl Store {
    /// The cases of this state directory. Touches nothing.
    pub fn open(state: &Path) -> Self {
        Self::open_on(Arc::new(Disk), state)
    }

    /// The same on another storage.
    pub fn open_on(storage: Arc<dyn Storage>, state: &Path) -> Self {
        Self { folder: state.join("cases"), storage, files: BTreeMap::new() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads what the last run kept; makes the folder where there is none.
    pub fn load(&mut self) -> Loaded {
        self.load_but(&HashSet::new())
    }

    /// The same, but leaves the files of these cases, which are open, for later:
    /// whoever runs [`spawn`] reads them.
    pub fn load_but(&mut self, later: &HashSet<CaseId>) -> Loaded {
        let mut loaded = Loaded::default();
        if let Err(error) = self.storage.make_folder(&self.folder) {
            loaded.warnings.push(format!(
                "can't use {}: {error}; cases are kept in memory only until it can be written",
                self.folder.display()
            ));
        }
        let names = self.list().unwrap_or_else(|error| {
            loaded.warnings.push(format!("can't read {}: {error}", self.folder.display()));
            // They may be there: nothing must be written in their places before each was
            // looked for.
            later.iter().map(|case| (*case, Ending::Whole)).collect()
        });
        for (case, ending) in names {
            loaded.newest = loaded.newest.max(Some(case));
            let path = self.path(case);
            match ending {
                // It was never finished.
                Ending::Unfinished => drop(self.storage.remove(&with_ending(&path, "new"))),
                Ending::Aside => {}
                Ending::Whole if later.contains(&case) => {
                    self.files.insert(case, None);
                    loaded.unread.push(case);
                }
                Ending::Whole => match read(&*self.storage, &path, case) {
                    Ok(file) => {
                        self.files.insert(case, file.closed);
                        loaded.files.push(file);
                    }
                    Err(error) => loaded.warnings.push(self.not_loaded(&path, &error)),
                },
            }
        }
        loaded.files.sort_by_key(|file| file.case);
        loaded
    }

    /// Reads one that was left for later.
    fn read_late(&mut self, case: CaseId) -> Late {
        let path = self.path(case);
        let error = match read(&*self.storage, &path, case) {
            Ok(file) => return Late::Found(Box::new(file)),
            Err(error) => error,
        };
        if let ReadError::System(_, system) = &error
            && system.kind() != io::ErrorKind::NotFound
        {
            return Late::Refused(error.to_string());
        }
        self.files.remove(&case);
        // Of another version: what follows is written in its place.
        let of_another = matches!(error, ReadError::Version(..));
        Late::None(if of_another {
            self.set_aside(&path, "old", &error)
        } else {
            self.not_loaded(&path, &error)
        })
    }

    /// Gives up a file that the system does not give to us; says what happened.
    fn give_up(&mut self, case: CaseId, error: &str) -> String {
        self.files.remove(&case);
        self.set_aside(&self.path(case), "old", error)
    }

    /// Writes a case in place of what was there. A file that was never read is kept, as
    /// `C-000017.json.old`.
    ///
    /// # Errors
    /// Those of the file system; then what was written before is still there.
    pub fn save(&mut self, file: &CaseFile) -> io::Result<()> {
        let path = self.path(file.case);
        let text = encode(file)?;
        if !self.files.contains_key(&file.case) {
            match self.storage.rename(&path, &with_ending(&path, "old")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut out = Replacement::begin(&*self.storage, with_ending(&path, "new"))?;
        out.file().append(text.as_bytes())?;
        out.finish(&path)?;
        self.files.insert(file.case, file.closed);
        Ok(())
    }

    /// Makes sure that the folder is there.
    fn prepare(&self) -> io::Result<()> {
        self.storage.make_folder(&self.folder)
    }

    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()> {
        self.storage.sync_folder(&self.folder)
    }

    /// Removes what is old, or too many.
    fn prune(&mut self, now: Timestamp) {
        let over = self.files.iter().filter_map(|(case, closed)| Some((*case, (*closed)?)));
        let over: Vec<(CaseId, Timestamp)> = over.collect();
        let surplus = over.len().saturating_sub(MOST_FILES);
        let gone: Vec<CaseId> = over
            .into_iter()
            .enumerate()
            .filter(|(at, (_, closed))| *at < surplus || now.since(*closed) >= KEEP)
            .map(|(_, (case, _))| case)
            .collect();
        for case in gone {
            let path = self.path(case);
            match self.storage.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("cases: can't remove {}: {error}", path.display());
                }
                _ => drop(self.files.remove(&case)),
            }
        }
    }

    /// The files of the folder that have the name of a case.
    fn list(&self) -> io::Result<Vec<(CaseId, Ending)>> {
        match self.storage.list(&self.folder) {
            Ok(names) => Ok(names.iter().filter_map(|name| Ending::of(name)).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Says what becomes of a file that is no case, or not for us.
    fn not_loaded(&self, path: &Path, error: &ReadError) -> String {
        match error {
            ReadError::Damaged(..) => self.set_aside(path, "damaged", error),
            ReadError::Version(..) => format!("{error}; the case is missing until then"),
            ReadError::System(_, cause) if cause.kind() == io::ErrorKind::NotFound => {
                format!("{error}; of the case only what is in memory is left")
            }
            ReadError::System(..) => format!(
                "{error}; the case is missing until a restart that can: see who owns the file"
            ),
        }
    }

    /// Keeps a file out of the way; says what happened.
    fn set_aside(&self, path: &Path, ending: &str, error: impl fmt::Display) -> String {
        let aside = with_ending(path, ending);
        match self.storage.rename(path, &aside) {
            Ok(()) => format!(
                "{error}; it was renamed to {}: look at it, then remove it. What is restricted is not affected",
                aside.display()
            ),
            Err(rename) => format!("{error}; and it can't be set aside: {rename}"),
        }
    }

    fn path(&self, case: CaseId) -> PathBuf {
        path(&self.folder, case)
    }
}

/// What the name of a file says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Whole,
    Unfinished,
    /// Damaged, or of another version.
    Aside,
}

/// What became of a file that was left for later.
enum Late {
    /// It was read.
    Found(Box<CaseFile>),
    /// There is none that can be read; why.
    None(String),
    /// The system refused, for now; why.
    Refused(String),
}

impl Ending {
    fn of(name: &str) -> Option<(CaseId, Self)> {
        let (case, ending) = name.split_once('.')?;
        let ending = match ending {
            "json" => Self::Whole,
            "json.new" => Self::Unfinished,
            "json.damaged" | "json.old" => Self::Aside,
            _ => return None,
        };
        let case: CaseId = case.parse().ok()?;
        // One case has one name.
        name.starts_with(&case.to_string()).then_some((case, ending))
    }
}

fn path(folder: &Path, case: CaseId) -> PathBuf {
    folder.join(format!("{case}.json"))
}

/// The path with one more ending.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// What the file of a case holds.
fn encode(file: &CaseFile) -> io::Result<String> {
    let json = serde_json::to_string_pretty(&Written { version: VERSION, file })?;
    // A person may read it, too.
    Ok(json.lines().flat_map(|line| [clean_json(line), "\n".into()]).collect())
}

fn read(storage: &dyn Storage, path: &Path, case: CaseId) -> Result<CaseFile, ReadError> {
    let system = |error| ReadError::System(path.to_owned(), error);
    let text = storage.read(path, Some(LONGEST)).map_err(system)?;
    decode(&text, path, case)
}

/// The case in the octets of its file.
fn decode(text: &[u8], path: &Path, case: CaseId) -> Result<CaseFile, ReadError> {
    let damaged = |why: String| ReadError::Damaged(path.to_owned(), why);
    let version: Version = serde_json::from_slice(text).map_err(|it| damaged(it.to_string()))?;
    if version.version != VERSION {
        return Err(ReadError::Version(path.to_owned(), version.version));
    }
    let file: CaseFile = serde_json::from_slice(text).map_err(|it| damaged(it.to_string()))?;
    if file.case != case {
        return Err(damaged(format!("it is about {}", file.case)));
    }
    Ok(file)
}
