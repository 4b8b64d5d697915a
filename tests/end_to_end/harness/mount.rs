//! File systems of a test's own, which go when they are dropped.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{enterable_tempdir, run, run_ok};

/// A mounted file system, with a folder of its own where it has one.
pub(crate) struct Mount {
    at: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Mount {
    /// A file system in memory with room for so much.
    pub(crate) fn of_size(size: &str) -> Self {
        let dir = enterable_tempdir();
        let at = dir.path().join("small");
        std::fs::create_dir(&at).expect("a place to mount at");
        let options = format!("size={size},mode=0700");
        run_ok(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at));
        Self { at, _dir: Some(dir) }
    }

    /// The same folder, where nothing can be written: what is open already can still be.
    pub(crate) fn read_only(at: &Path) -> Self {
        run_ok(Command::new("mount").arg("--bind").args([at, at]));
        let mount = Self { at: at.to_owned(), _dir: None };
        run_ok(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(at));
        mount
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Takes all the room that is left, until the file goes.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.at.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file that takes the room");
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return path,
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a daemon that a failed test left may still be there.
        run(Command::new("umount").arg("-l").arg(&self.at));
    }
}
