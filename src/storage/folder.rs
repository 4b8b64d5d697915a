//! The state directory: that nobody else can write there, and that one process uses
//! it at a time.
//!
//! Who can write in it could lift restrictions, put links in the place of files, or
//! take the numbers of cases. So it is refused where others than its owner and root could
//! change it, or where anybody could put another folder in its way. (Who owns the folders
//! above, and their groups, are the administrator's choice.) It is opened once: what is looked at is
//! what is locked, and at the end it must be what its path still names.

use super::Storage;
use super::disk::{Disk, is_same, unfollowed};
use nix::{
    fcntl::{OFlag, openat},
    libc,
    sys::stat::Mode,
    unistd::geteuid,
};
use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Whose a folder may be that is to be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    /// Of the user that this process runs as, or of root.
    Ours,
    /// Of anybody: root prepares a folder that another user will use.
    Anybodys,
}

/// A folder that is ours until this is dropped, or the process is gone.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "what holds the lock")] Option<File>);

impl Lock {
    /// A folder of which nobody else knows.
    #[cfg(test)]
    pub(super) const fn of_nothing() -> Self {
        Self(None)
    }
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It can't be made or looked at.
    #[error(
        "cannot use the state directory {}: {source}; make it a directory of the user that runs connguard, or set another state.directory",
        path.display()
    )]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could write restrictions or lift them.
    #[error(
        "the state directory {0} is writable by its group or by everybody (mode {mode:04o}), who could lift restrictions there: run `chmod go-w {0}`",
        path.display()
    )]
    Writable {
        /// Which folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's, who could do the same.
    #[error(
        "the state directory {0} belongs to user number {owner}, who could lift restrictions there, and connguard runs as user number {user}: run `chown -R {user} {0}`, or run connguard as that user",
        path.display()
    )]
    Foreign {
        /// Which folder.
        path: PathBuf,
        /// The user number of its owner.
        owner: u32,
        /// Ours.
        user: u32,
    },
    /// Others could put another folder in its place.
    #[error(
        "the state directory {} can be replaced by everybody, since {1} is writable by everybody (mode {mode:04o}): run `chmod o-w {1}`, or set another state.directory",
        path.display(), above.display()
    )]
    Exposed {
        /// Which folder.
        path: PathBuf,
        /// The folder above that is writable.
        above: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else chose where it is.
    #[error(
        "the state directory {} is a symbolic link of user number {owner}, and only one of root or of the user that runs connguard is followed: remove it, or set state.directory to the place itself",
        path.display()
    )]
    Link {
        /// Which.
        path: PathBuf,
        /// The user number of who made the link.
        owner: u32,
    },
    /// Another process uses it.
    #[error(
        "the state directory {} is in use by another connguard ({holder}): stop that one first, or set another state.directory",
        path.display()
    )]
    Locked {
        /// Which folder.
        path: PathBuf,
        /// Who has it, for people.
        holder: String,
    },
    /// The lock can't be used.
    #[error("cannot lock the state directory with {}: {source}", path.display())]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// See [`Storage::claim`].
pub(super) fn claim(path: &Path, whose: Whose) -> Result<Lock, FolderError> {
    let unusable = |source| FolderError::Unusable { path: path.to_owned(), source };
    Disk.make_folder(path).map_err(unusable)?;
    let ways = check_way(path)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
    let folder = options.open(&ways).map_err(unusable)?;
    let metadata = folder.metadata().map_err(unusable)?;
    check_folder(path, &metadata, whose)?;
    let lock = lock(path, &folder, whose)?;
    // Nobody but its owner and root could have replaced it; then it is not ours.
    let found = fs::metadata(path).map_err(unusable)?;
    if !is_same(&found, &metadata) {
        return Err(unusable(io::Error::other("it was replaced at this moment")));
    }
    Ok(Lock(Some(lock)))
}

/// Looks at what leads to the folder; gives its path without links.
fn check_way(path: &Path) -> Result<PathBuf, FolderError> {
    let unusable = |source| FolderError::Unusable { path: path.to_owned(), source };
    let link = fs::symlink_metadata(path).map_err(unusable)?;
    if link.is_symlink() && !is_trusted(&link) {
        return Err(FolderError::Link { path: path.to_owned(), owner: link.uid() });
    }
    let real = fs::canonicalize(path).map_err(unusable)?;
    let given = std::path::absolute(path).map_err(unusable)?;
    for above in given.ancestors().skip(1).chain(real.ancestors().skip(1)) {
        let mode = fs::metadata(above).map_err(unusable)?.mode() & 0o7777;
        // With the sticky bit, what is in it is replaced by its owner only.
        if mode & 0o1002 == 0o0002 {
            let above = above.to_owned();
            return Err(FolderError::Exposed { path: path.to_owned(), above, mode });
        }
    }
    Ok(real)
}

fn check_folder(path: &Path, metadata: &Metadata, whose: Whose) -> Result<(), FolderError> {
    let path = path.to_owned();
    if whose == Whose::Ours && !is_trusted(metadata) {
        let (owner, user) = (metadata.uid(), geteuid().as_raw());
        return Err(FolderError::Foreign { path, owner, user });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(FolderError::Writable { path, mode });
    }
    Ok(())
}

/// Whether only we and root could have made it what it is.
fn is_trusted(metadata: &Metadata) -> bool {
    metadata.uid() == 0 || metadata.uid() == geteuid().as_raw()
}

fn lock(path: &Path, folder: &File, whose: Whose) -> Result<File, FolderError> {
    let refused = |source| FolderError::Lock { path: path.join("lock"), source };
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let file = openat(folder, "lock", flags, mode).map_err(|it| refused(unfollowed(it.into())))?;
    let mut file = File::from(file);
    let metadata = file.metadata().map_err(refused)?;
    // Another name of it may be somebody else's file.
    let is_own = metadata.is_file() && metadata.nlink() == 1;
    if !is_own || whose == Whose::Ours && !is_trusted(&metadata) {
        return Err(refused(io::Error::other("it is no file of ours: remove it")));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(locked(path, file)),
        Err(TryLockError::Error(source)) => return Err(refused(source)),
    }
    // Who holds the lock is for people: a full disk must not stop a start.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

fn locked(path: &Path, file: File) -> FolderError {
    let mut pid = String::new();
    let read = file.take(20).read_to_string(&mut pid);
    let holder = match (read, pid.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "its process is unknown".to_owned(),
    };
    FolderError::Locked { path: path.to_owned(), holder }
}
