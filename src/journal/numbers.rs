//! Which numbers of cases may have been given: see the head of [`super`].

use crate::storage::{Replacement, Storage};
use std::{
    io,
    path::{Path, PathBuf},
};

/// So many numbers are reserved at a time, ...
pub(super) const AHEAD: u64 = 1000;
/// ... and again once there are no more than this. They are looked at every few
/// seconds, in which no more incidents begin.
const LEAST: u64 = AHEAD / 2;

/// The numbers that are reserved.
#[derive(Default)]
pub(super) struct Numbers {
    /// None from this one on was given.
    end: u64,
    /// It was told that none can be reserved.
    is_told: bool,
}

impl Numbers {
    /// Reserves numbers from `next` on, where there are too few. A failure is told once.
    pub(super) fn look(&mut self, storage: &dyn Storage, folder: &Path, next: u64) {
        if next.saturating_add(LEAST) < self.end {
            return;
        }
        match self.write(storage, folder, next.saturating_add(AHEAD)) {
            Ok(()) => self.is_told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(
                        "the numbers of the next cases can't be reserved in {}: {error}; after a crash, one of them might be given twice",
                        folder.display()
                    );
                }
            }
        }
    }

    /// Gives back what was reserved: no number from `next` on was given. What stays
    /// reserved by a failure costs numbers, no more.
    pub(super) fn finish(&mut self, storage: &dyn Storage, folder: &Path, next: u64) {
        let _ = self.write(storage, folder, next);
    }

    fn write(&mut self, storage: &dyn Storage, folder: &Path, end: u64) -> io::Result<()> {
        storage.make_folder(folder)?;
        let mut file = Replacement::begin(storage, folder.join("next-case.tmp"))?;
        file.file().append(format!("{end}\n").as_bytes())?;
        file.finish(&path(folder))?;
        storage.sync_folder(folder)?;
        self.end = end;
        Ok(())
    }
}

/// The number from which on none was given; 0 where that is not known. Then what the
/// changes and the files of cases tell has to do.
pub(super) fn reserved(storage: &dyn Storage, folder: &Path) -> u64 {
    let text = storage.read(&path(folder), Some(32)).unwrap_or_default();
    let digits = text.strip_suffix(b"\n").and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn path(folder: &Path) -> PathBuf {
    folder.join("next-case")
}
