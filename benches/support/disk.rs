//! A journal on real files, with a count of its syncs.

use super::NOW;
use connguard::{
    connector::Entity,
    journal::{Clock, Handle, Journal, Params},
    record::{Actor, CaseId, Restriction},
    restriction::Table,
    storage::{Disk, FolderError, Lock, Storage, StorageFile, Whose},
    verdict::{Action, Scope},
};
use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Syncs of files: counted, and done if that is wanted.
#[derive(Debug)]
struct Syncs {
    count: AtomicU64,
    are_done: bool,
}

/// The file system, watched.
#[derive(Clone)]
struct Watched(Arc<Syncs>);

struct WatchedFile(Box<dyn StorageFile>, Arc<Syncs>);

impl Storage for Watched {
    fn claim(&self, folder: &Path, whose: Whose) -> Result<Lock, FolderError> {
        Disk.claim(folder, whose)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.make_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Disk.list(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Disk.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(WatchedFile(Disk.create(path)?, Arc::clone(&self.0))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)
    }
}

impl StorageFile for WatchedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.count.fetch_add(1, Relaxed);
        if self.1.are_done { self.0.sync() } else { Ok(()) }
    }

    fn is_at(&self, path: &Path) -> bool {
        self.0.is_at(path)
    }
}

/// A table and its journal in a temporary folder.
pub(crate) struct Kept {
    table: Arc<Table>,
    handle: Handle,
    syncs: Arc<Syncs>,
    _folder: TempDir,
}

impl Kept {
    /// With syncs as a daemon makes them, or none.
    pub(crate) fn new(with_syncs: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let syncs = Arc::new(Syncs { count: AtomicU64::new(0), are_done: with_syncs });
        let storage = Arc::new(Watched(Arc::clone(&syncs)));
        let (journal, _) = Journal::open_on(storage, folder.path()).unwrap();
        let table = Arc::new(Table::default());
        let clock: Clock = Arc::new(|| NOW);
        let handle = journal.start(Arc::clone(&table), Params::default(), clock, |_| {}).unwrap();
        Self { table, handle, syncs, _folder: folder }
    }

    /// Syncs of files so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.count.load(Relaxed)
    }

    /// Restricts and lifts again, and waits each time until it is on disk: two
    /// changes.
    pub(crate) async fn change_twice(&self, who: &Entity) {
        let (_, seq) = self.table.restrict(who, NOW, |case| restriction(who, case));
        self.handle.durable(seq.unwrap()).await.unwrap();
        let by = Actor::Operator("anna".into());
        let (_, seq) = self.table.lift(who, NOW, by, "cleaned", Duration::ZERO).unwrap();
        self.handle.durable(seq).await.unwrap();
    }
}

impl Kept {
    /// How long it takes to make so many changes, by so many who each wait for
    /// theirs before the next one. At least one change twice for each.
    pub(crate) fn time_of(self: &Arc<Self>, waiters: usize, changes: usize) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let each = changes.div_ceil(2 * waiters);
        runtime.block_on(async {
            let begun = Instant::now();
            let waiting: Vec<_> = (0..waiters)
                .map(|number| {
                    let (kept, who) = (Arc::clone(self), entity(number));
                    tokio::spawn(async move {
                        for _ in 0..each {
                            kept.change_twice(&who).await;
                        }
                    })
                })
                .collect();
            for waiter in waiting {
                waiter.await.unwrap();
            }
            begun.elapsed()
        })
    }
}

/// The entity with this number.
pub(crate) fn entity(number: usize) -> Entity {
    format!("login:user{number}").parse().unwrap()
}

fn restriction(who: &Entity, case: CaseId) -> Restriction {
    Restriction {
        entity: who.clone(),
        case,
        action: Action::Tempfail,
        scope: Scope::Relayed,
        since: NOW,
        until: None,
        reject_from: None,
        by: Actor::Judgement,
        reason: "9 of 9 messages from unregistered domains".into(),
        mark: false,
        findings: Vec::new(),
        samples: Vec::new(),
        passed_messages: 9,
        passed_recipients: 12,
        keys: Vec::new(),
    }
}
