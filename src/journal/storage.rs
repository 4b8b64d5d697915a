//! The few calls on files that decide what survives a crash, behind a trait
//! so that tests can fail or cut any of them; and the folder and its lock.

use super::OpenError;
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A disk. Errors are those of [`std::fs`].
pub trait Storage: Send + Sync {
    /// The names of all files in `folder`.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// The content of a file, or its first `longest` bytes.
    fn read(&self, path: &Path, longest: Option<u64>) -> io::Result<Vec<u8>>;
    /// A new and empty file with mode 0600, in place of an old one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;
    /// Gives a file another name, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, or makes a durable copy of it.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `folder` durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait StorageFile: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all that was appended durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether this file is still what `path` names: what is written to one
    /// that somebody removed is gone with its last user.
    fn is_at(&self, path: &Path) -> bool;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // Names of ours are ASCII.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, path: &Path, longest: Option<u64>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut file = File::open(path)?;
        match longest {
            Some(longest) => file.take(longest).read_to_end(&mut content)?,
            // A file tells how long it is: room is made once.
            None => file.read_to_end(&mut content)?,
        };
        Ok(content)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        let mut copy = self.create(to)?;
        copy.append(&self.read(from, None)?)?;
        copy.sync()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl StorageFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_at(&self, path: &Path) -> bool {
        let same = |found: Metadata, ours: Metadata| {
            (found.dev(), found.ino()) == (ours.dev(), ours.ino())
        };
        fs::metadata(path).is_ok_and(|found| self.metadata().is_ok_and(|ours| same(found, ours)))
    }
}

/// Makes or checks `folder`, and locks it until the file is dropped or the
/// process is gone.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let error = |source| OpenError::Folder { path: folder.to_owned(), source };
    make(folder).map_err(error)?;
    let metadata = fs::metadata(folder).map_err(error)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_dir() {
        return Err(error(io::ErrorKind::NotADirectory.into()));
    }
    if mode & 0o022 != 0 {
        let path = folder.to_owned();
        return Err(OpenError::Writable { path, mode });
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let path = folder.join("lock");
    let read = |source| OpenError::Read { path: path.clone(), source };
    let mut file = options.open(&path).map_err(read)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(locked(folder, file)),
        Err(TryLockError::Error(source)) => return Err(read(source)),
    }
    // Who holds the lock is for people: a full disk must not stop a start.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

/// Makes a folder that only we can read, where there is none.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    if folder.symlink_metadata().is_ok() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let parent = folder.parent().filter(|parent| *parent != Path::new(""));
    Disk.sync_folder(parent.unwrap_or(Path::new(".")))
}

fn locked(folder: &Path, file: File) -> OpenError {
    let mut pid = String::new();
    let read = file.take(20).read_to_string(&mut pid);
    let holder = match (read, pid.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "its process is unknown".to_owned(),
    };
    OpenError::Locked { path: PathBuf::from(folder), holder }
}
