//! Files that have to survive a crash, for the journal, the history and the cases:
//! the few calls that decide what is left afterwards, behind a trait, so that tests
//! can fail or cut any of them.
//!
//! What it promises, on a [`Disk`]:
//!
//! * A folder is used only where nobody else can write: see [`Storage::claim`].
//! * A file is created anew, with mode 0600. What had its name before is removed, a
//!   link is not followed. Nor is it where a file is read.
//! * A file on which a call failed takes no further ones: after a failed sync nobody
//!   knows what the kernel still has, and a second one that works proves nothing.
//!
//! How a file is replaced so that it is whole or the old one ([`Replacement`], then
//! [`Storage::sync_folder`]):
//!
//! 1. write all of it under another name,
//! 2. sync it: its bytes are durable,
//! 3. rename it: it has the name of the old one, which is gone,
//! 4. sync the folder: that is durable. Until then a crash may bring back the old one.

mod disk;
mod folder;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
pub(crate) mod memory;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
pub(crate) mod refusing;
#[cfg(test)]
mod tests;

pub use disk::Disk;
pub use folder::{FolderError, Lock, Whose};

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

/// A disk. Errors are those of [`std::fs`].
pub trait Storage: Send + Sync {
    /// Makes `folder` where it is missing, makes sure that nobody else can write there,
    /// and locks it until what this gives is dropped or the process is gone.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    fn claim(&self, folder: &Path, whose: Whose) -> Result<Lock, FolderError>;
    /// Makes a folder with mode 0700, and those above, durably; unless it is there.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// The names of all files in `folder`.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;
    /// A new and empty file with mode 0600, in place of an old one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;
    /// Gives a file another name, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, in place of what had it, or makes a durable copy.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `folder` durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// The content of a file, or its first `longest` bytes.
    fn read(&self, path: &Path, longest: Option<u64>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut file = self.open(path)?;
        match longest {
            Some(longest) => file.take(longest).read_to_end(&mut content)?,
            // A file tells how long it is: room is made once.
            None => file.read_to_end(&mut content)?,
        };
        Ok(content)
    }
}

/// A file that is being written. Once a call failed, all further ones do.
pub trait StorageFile: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all that was appended durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether this file is still what `path` names: what is written to one
    /// that somebody removed is gone with its last user.
    fn is_at(&self, path: &Path) -> bool;
}

/// A file that is being written beside the one whose place it takes. Unless it gets
/// there it is removed, whatever happens.
pub struct Replacement<'a> {
    file: Box<dyn StorageFile>,
    unfinished: Unfinished<'a>,
}

impl<'a> Replacement<'a> {
    /// Begins an empty one with this name.
    ///
    /// # Errors
    ///
    /// Those of [`Storage::create`].
    pub fn begin(storage: &'a dyn Storage, unfinished: PathBuf) -> io::Result<Self> {
        let file = storage.create(&unfinished)?;
        Ok(Self { file, unfinished: Unfinished { storage, path: Some(unfinished) } })
    }

    /// To write it.
    pub fn file(&mut self) -> &mut dyn StorageFile {
        &mut *self.file
    }

    /// Syncs it and gives it its name, which is durable once the folder is synced.
    ///
    /// # Errors
    ///
    /// Where that failed; then what had the name still has it.
    pub fn finish(self, to: &Path) -> io::Result<Box<dyn StorageFile>> {
        let Self { mut file, mut unfinished } = self;
        file.sync()?;
        unfinished.rename(to)?;
        Ok(file)
    }
}

/// The name of a file that is being written, as long as it has that name.
struct Unfinished<'a> {
    storage: &'a dyn Storage,
    path: Option<PathBuf>,
}

impl Unfinished<'_> {
    fn rename(&mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.storage.rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays is never read, and is replaced by the next one.
            let _ = self.storage.remove(path);
        }
    }
}
