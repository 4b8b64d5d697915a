//! A disk that refuses what a test tells it to.

use super::{Disk, FolderError, Lock, Storage, StorageFile, Whose, memory::Call};
use std::{
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The file system, which refuses some calls while it is told to. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Refusing(Arc<Mutex<Orders>>);

#[derive(Default)]
struct Orders {
    refused: Vec<Call>,
    /// How many calls are refused until all is well again.
    left: usize,
    /// All calls so far.
    calls: Vec<Call>,
    /// Panics instead.
    panics: bool,
    /// Bytes that can be written yet, if that is limited.
    room: Option<usize>,
}

/// Until told otherwise.
pub(crate) const ALWAYS: usize = usize::MAX;

impl Refusing {
    /// Refuses the next `times` of these calls.
    pub(crate) fn refuse(&self, calls: &[Call], times: usize) {
        let mut orders = self.lock();
        orders.refused = calls.to_vec();
        orders.left = times;
    }

    /// Panics in the next write.
    pub(crate) fn panic(&self) {
        self.refuse(&[Call::Append], 1);
        self.lock().panics = true;
    }

    /// How many of these calls there were.
    pub(crate) fn count(&self, call: Call) -> usize {
        self.lock().calls.iter().filter(|made| **made == call).count()
    }

    /// Takes so many bytes yet; all, where it is not said.
    pub(crate) fn leave_room(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, call: Call) -> io::Result<()> {
        let mut orders = self.lock();
        orders.calls.push(call);
        if orders.left == 0 || !orders.refused.contains(&call) {
            return Ok(());
        }
        orders.left -= 1;
        let panics = std::mem::take(&mut orders.panics);
        drop(orders);
        assert!(!panics, "a fault of our own");
        Err(io::Error::other(format!("{call:?} refused")))
    }
}

impl Storage for Refusing {
    fn claim(&self, folder: &Path, whose: Whose) -> Result<Lock, FolderError> {
        Disk.claim(folder, whose)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.ask(Call::MakeFolder)?;
        Disk.make_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.ask(Call::List)?;
        Disk.list(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.ask(Call::Open)?;
        Disk.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.ask(Call::Create)?;
        let file = Disk.create(path)?;
        Ok(Box::new(RefusingFile { file, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Call::Rename)?;
        Disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Call::Link)?;
        Disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Call::Remove)?;
        Disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.ask(Call::SyncFolder)?;
        Disk.sync_folder(folder)
    }
}

struct RefusingFile {
    file: Box<dyn StorageFile>,
    disk: Refusing,
}

impl StorageFile for RefusingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.disk.ask(Call::Append) {
            // As a full disk does it.
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        let mut orders = self.disk.lock();
        let room = orders.room.unwrap_or(usize::MAX).min(bytes.len());
        orders.room = orders.room.map(|left| left - room);
        drop(orders);
        self.file.append(&bytes[..room])?;
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.ask(Call::Sync)?;
        self.file.sync()
    }

    fn is_at(&self, path: &Path) -> bool {
        self.file.is_at(path)
    }
}
