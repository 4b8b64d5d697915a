//! The file system.

use super::{FolderError, Lock, Storage, StorageFile, Whose, folder};
use nix::libc;
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn claim(&self, folder: &Path, whose: Whose) -> Result<Lock, FolderError> {
        folder::claim(folder, whose)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.symlink_metadata().is_ok() {
            return Ok(());
        }
        let changing = changed_by(folder);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        changing.into_iter().try_for_each(|parent| self.sync_folder(parent))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // Names of ours are ASCII.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let mut options = OpenOptions::new();
        // What is no file must not keep anybody waiting.
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path).map_err(unfollowed)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file: move it away"));
        }
        Ok(Box::new(file))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        remove_if_there(path)?;
        let mut options = OpenOptions::new();
        // `create_new` follows no link, and takes nothing that came meanwhile.
        let file = options.write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(DiskFile { file, failed: false }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        remove_if_there(to)?;
        if fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        let content = self.read(from, None)?;
        let mut copy = self.create(to)?;
        copy.append(&content)?;
        copy.sync()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

struct DiskFile {
    file: File,
    failed: bool,
}

impl DiskFile {
    fn attempt(&mut self, call: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write to this file failed"));
        }
        let done = call(&mut self.file);
        self.failed = done.is_err();
        done
    }
}

impl StorageFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.attempt(|file| file.write_all(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.attempt(|file| file.sync_data())
    }

    fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path)
            .is_ok_and(|found| self.file.metadata().is_ok_and(|ours| is_same(&found, &ours)))
    }
}

/// Whether both are of one file.
pub(super) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Says what it means that a link was not followed.
pub(super) fn unfollowed(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other(
            "it is a symbolic link, which is not followed here: remove it, or put the file itself in its place",
        ),
        _ => error,
    }
}

/// The folders that get a new entry when `folder` is made with those above it.
pub(super) fn changed_by(folder: &Path) -> Vec<&Path> {
    let here = |folder| if folder == Path::new("") { Path::new(".") } else { folder };
    folder
        .ancestors()
        .zip(folder.ancestors().skip(1))
        .take_while(|(folder, _)| folder.symlink_metadata().is_err())
        .map(|(_, parent)| here(parent))
        .collect()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
