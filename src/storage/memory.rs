//! A disk in memory that crashes: it keeps what is durable apart from what is not.
//!
//! A file is appended to only, so that of its bytes a first part is durable. Creations,
//! renames and removals wait until their folder is synced. At a crash ([`Memory::crash`])
//! a test chooses what of all that waits reached the disk: see [`Torn`].

use super::{FolderError, Lock, Storage, StorageFile, Whose};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that reach a disk together.
pub(crate) const PAGE: usize = 4096;

/// What is asked of a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    MakeFolder,
    List,
    Open,
    Create,
    Append,
    Sync,
    Rename,
    Link,
    Remove,
    SyncFolder,
}

/// What of the names that wait for their folder's sync reaches the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Names {
    /// The first so many changes.
    First(usize),
    /// Those of these bits.
    These(u32),
    /// The first so many, but the last one, a rename, leaves the old name too.
    Both(usize),
}

/// What of the bytes that wait for their file's sync reaches the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bytes {
    /// The first so many.
    First(usize),
    /// All, with this bit turned.
    Flipped(usize),
    /// All pages of these bits; the others are zeros.
    Pages(u32),
}

/// How the last writes are torn by a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Torn {
    pub(crate) names: Names,
    pub(crate) bytes: Bytes,
}

impl Torn {
    /// Only what was synced is left.
    pub(crate) const ALL: Self = Self { names: Names::First(0), bytes: Bytes::First(0) };
    /// Everything is left.
    pub(crate) const NOTHING: Self =
        Self { names: Names::First(usize::MAX), bytes: Bytes::First(usize::MAX) };
}

/// The disk. A clone is the same disk.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<World>>);

#[derive(Clone, Default)]
struct World {
    nodes: Vec<Node>,
    folders: BTreeSet<PathBuf>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    waiting: Vec<Change>,
    calls: Vec<(Call, PathBuf)>,
    /// The power fails in this call.
    fails_at: Option<usize>,
    is_down: bool,
    /// Syncs that are said to have worked, and did nothing.
    lies: Vec<Lie>,
}

/// Which syncs do nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lie {
    /// Those of files that have not got their name yet.
    Unfinished,
    /// Those of files that have.
    Finished,
    /// Those of folders.
    Folder,
}

#[derive(Clone, Default)]
struct Node {
    bytes: Vec<u8>,
    durable: usize,
}

/// A change of names.
#[derive(Clone)]
enum Change {
    Put(PathBuf, usize),
    Take(PathBuf),
    Move(PathBuf, PathBuf, usize),
}

impl Memory {
    /// Lets the power fail in call number `at`, from 0: it does what it does, but
    /// nothing becomes durable by it, and nothing works from then on.
    pub(crate) fn fail_at(&self, at: usize) {
        self.lock().fails_at = Some(at);
    }

    /// Lets these syncs do nothing.
    pub(crate) fn lie(&self, lies: &[Lie]) {
        self.lock().lies = lies.to_vec();
    }

    /// All calls so far, with what they were about.
    pub(crate) fn calls(&self) -> Vec<(Call, PathBuf)> {
        self.lock().calls.clone()
    }

    /// Whether the power failed.
    pub(crate) fn is_down(&self) -> bool {
        self.lock().is_down
    }

    /// All files and their bytes.
    pub(crate) fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.lock();
        let file =
            |(path, node): (&PathBuf, &usize)| (path.clone(), world.nodes[*node].bytes.clone());
        world.live.iter().map(file).collect()
    }

    /// Puts a durable file there.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.lock();
        let node = world.nodes.len();
        world.nodes.push(Node { bytes: bytes.to_vec(), durable: bytes.len() });
        world.folders.extend(path.parent().map(Path::to_owned));
        world.live.insert(path.to_owned(), node);
        world.durable.insert(path.to_owned(), node);
    }

    /// How many changes of names and bytes wait; of bytes those of the file of which
    /// most do.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let world = self.lock();
        let bytes = world.nodes.iter().map(|node| node.bytes.len() - node.durable);
        (world.waiting.len(), bytes.max().unwrap_or(0))
    }

    /// The disk as it is found after a crash at this moment.
    pub(crate) fn crash(&self, torn: Torn) -> Self {
        let world = self.lock();
        let mut live = world.durable.clone();
        for (at, change) in world.waiting.iter().enumerate() {
            let is_kept = match torn.names {
                Names::First(kept) | Names::Both(kept) => at < kept,
                Names::These(kept) => kept & 1 << at.min(31) != 0,
            };
            if is_kept {
                apply(&mut live, change);
                if torn.names == Names::Both(at + 1)
                    && let Change::Move(from, _, node) = change
                {
                    live.insert(from.clone(), *node);
                }
            }
        }
        let nodes = world.nodes.iter().map(|node| {
            let bytes = node.after(torn.bytes);
            Node { durable: bytes.len(), bytes }
        });
        let after = World {
            nodes: nodes.collect(),
            folders: world.folders.clone(),
            durable: live.clone(),
            live,
            ..World::default()
        };
        Self(Arc::new(Mutex::new(after)))
    }

    /// Every kind of tear of what waits at this moment.
    pub(crate) fn tears(&self) -> Vec<Torn> {
        let (names, bytes) = self.waiting();
        let all_names = (0..=names)
            .map(Names::First)
            .chain((1..=names).map(Names::Both))
            .chain((0..1 << names.min(6)).map(Names::These));
        let few = [0, bytes / 2, bytes].map(Bytes::First);
        let mut tears: Vec<Torn> =
            all_names.flat_map(|names| few.map(|bytes| Torn { names, bytes })).collect();
        // Every byte where little waits, else some of them.
        let step = bytes.div_ceil(150).max(1);
        let cuts = (0..bytes).step_by(step).chain(bytes.checked_sub(1)).map(Bytes::First);
        let flips = (0..bytes).step_by(step).map(|at| Bytes::Flipped(at * 8 + at % 8));
        let pages = (0..1_u32 << bytes.div_ceil(PAGE).min(5)).map(Bytes::Pages);
        let names = Names::First(names);
        tears.extend(cuts.chain(flips).chain(pages).map(|bytes| Torn { names, bytes }));
        tears
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call. Gives the world, and whether this is the last one.
    fn begin(&self, call: Call, path: &Path) -> io::Result<(MutexGuard<'_, World>, bool)> {
        let mut world = self.lock();
        if world.is_down {
            return Err(down());
        }
        world.is_down = world.fails_at == Some(world.calls.len());
        world.calls.push((call, path.to_owned()));
        let is_last = world.is_down;
        Ok((world, is_last))
    }
}

impl Node {
    /// Its bytes after a crash.
    fn after(&self, torn: Bytes) -> Vec<u8> {
        let (kept, waiting) = self.bytes.split_at(self.durable);
        let mut bytes = kept.to_vec();
        match torn {
            Bytes::First(count) => bytes.extend(&waiting[..count.min(waiting.len())]),
            Bytes::Flipped(bit) => {
                bytes.extend(waiting);
                if bit / 8 < waiting.len() {
                    bytes[self.durable + bit / 8] ^= 1 << (bit % 8);
                }
            }
            Bytes::Pages(pages) => {
                let first = self.durable / PAGE;
                let page_of = |at: usize| (self.durable + at) / PAGE - first;
                let is_kept = |at: usize| pages & 1 << page_of(at).min(31) != 0;
                bytes.extend(
                    waiting.iter().enumerate().map(|(at, it)| if is_kept(at) { *it } else { 0 }),
                );
            }
        }
        bytes
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &Change) {
    match change {
        Change::Put(path, node) => drop(names.insert(path.clone(), *node)),
        Change::Take(path) => drop(names.remove(path)),
        Change::Move(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

impl World {
    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.waiting.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.live.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check_folder(&self, folder: Option<&Path>) -> io::Result<()> {
        let is_there = folder.is_some_and(|folder| self.folders.contains(folder));
        if is_there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn down() -> io::Error {
    io::Error::other("the power failed")
}

/// Gives an error where this was the last call.
fn end<T>(is_last: bool, value: T) -> io::Result<T> {
    if is_last { Err(down()) } else { Ok(value) }
}

impl Storage for Memory {
    fn claim(&self, folder: &Path, _: Whose) -> Result<Lock, FolderError> {
        self.make_folder(folder)
            .map_err(|source| FolderError::Unusable { path: folder.to_owned(), source })?;
        Ok(Lock::of_nothing())
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut world, is_last) = self.begin(Call::MakeFolder, folder)?;
        world.folders.insert(folder.to_owned());
        end(is_last, ())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let (world, is_last) = self.begin(Call::List, folder)?;
        world.check_folder(Some(folder))?;
        let here = world.live.keys().filter(|path| path.parent() == Some(folder));
        let names = here.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        end(is_last, names.collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let (world, is_last) = self.begin(Call::Open, path)?;
        let bytes = world.nodes[world.find(path)?].bytes.clone();
        end(is_last, Box::new(Cursor::new(bytes)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let (mut world, is_last) = self.begin(Call::Create, path)?;
        world.check_folder(path.parent())?;
        if world.live.contains_key(path) {
            world.change(Change::Take(path.to_owned()));
        }
        let node = world.nodes.len();
        world.nodes.push(Node::default());
        world.change(Change::Put(path.to_owned(), node));
        end(is_last, Box::new(MemoryFile { disk: self.clone(), node, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut world, is_last) = self.begin(Call::Rename, to)?;
        let node = world.find(from)?;
        world.change(Change::Move(from.to_owned(), to.to_owned(), node));
        end(is_last, ())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut world, is_last) = self.begin(Call::Link, to)?;
        let node = world.find(from)?;
        if world.live.contains_key(to) {
            world.change(Change::Take(to.to_owned()));
        }
        world.change(Change::Put(to.to_owned(), node));
        end(is_last, ())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut world, is_last) = self.begin(Call::Remove, path)?;
        world.find(path)?;
        world.change(Change::Take(path.to_owned()));
        end(is_last, ())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut world, is_last) = self.begin(Call::SyncFolder, folder)?;
        world.check_folder(Some(folder))?;
        if !is_last && !world.lies.contains(&Lie::Folder) {
            let is_here = |change: &mut Change| {
                let (Change::Put(path, _) | Change::Take(path) | Change::Move(path, ..)) = change;
                path.parent() == Some(folder)
            };
            let here: Vec<Change> = world.waiting.extract_if(.., is_here).collect();
            here.iter().for_each(|change| apply(&mut world.durable, change));
        }
        end(is_last, ())
    }
}

struct MemoryFile {
    disk: Memory,
    node: usize,
    /// Its first name.
    path: PathBuf,
}

impl StorageFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut world, is_last) = self.disk.begin(Call::Append, &self.path)?;
        world.nodes[self.node].bytes.extend(bytes);
        end(is_last, ())
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut world, is_last) = self.disk.begin(Call::Sync, &self.path)?;
        let is_unfinished = world.live.get(&self.path) == Some(&self.node);
        let lie = if is_unfinished { Lie::Unfinished } else { Lie::Finished };
        if !is_last && !world.lies.contains(&lie) {
            world.nodes[self.node].durable = world.nodes[self.node].bytes.len();
        }
        end(is_last, ())
    }

    fn is_at(&self, path: &Path) -> bool {
        self.disk.lock().live.get(path) == Some(&self.node)
    }
}
