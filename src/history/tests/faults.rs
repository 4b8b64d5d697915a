//! A disk that refuses, and a reader beside a writer.

use super::*;
use crate::history::disk::{Disk, DiskFile};
use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

/// A disk with so many bytes left; whether its syncs work.
struct Full(u64, bool);

struct FullFile(Box<dyn DiskFile>, u64, bool);

impl Disk for Full {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FullFile(FileSystem.create(path)?, self.0, self.1)))
    }
}

impl Write for FullFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.1).unwrap().min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.0.write(&bytes[..room])?;
        self.1 -= u64::try_from(written).unwrap();
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for FullFile {
    fn sync(&mut self) -> io::Result<()> {
        if self.2 { self.0.sync() } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let (folder, mut store) = place(10, 40);
    let old = fs::read(store.path()).unwrap();
    let given = connectors(1000);
    let needed = {
        let (_folder, mut elsewhere) = place(0, 0);
        elsewhere.save(saved(&given, filters(3 << 20))).unwrap().bytes
    };
    let mut room: Vec<u64> = (0..needed).step_by(700_001).collect();
    room.extend([1, 19, 20, 21, 33, needed - 1]);
    for (room, syncs) in room.into_iter().map(|room| (room, true)).chain([(needed, false)]) {
        store.disk = Box::new(Full(room, syncs));
        let error = store.save(saved(&given, filters(3 << 20))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "room for {room}");
        assert_eq!(fs::read(store.path()).unwrap(), old);
        assert_eq!(names(folder.path()), ["history"]);
    }
    store.disk = Box::new(Full(needed, true));
    store.save(saved(&given, filters(3 << 20))).unwrap();
    assert!(load(&store).connectors == given);
}

#[test]
fn a_directory_that_is_gone_is_an_error() {
    let (folder, mut store) = place(1, 1);
    fs::remove_dir_all(folder.path()).unwrap();
    let error = store.save(saved(&connectors(1), filters(1))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_an_earlier_run_left_unfinished_is_not_in_the_way() {
    let (folder, mut store) = place(1, 1);
    let unfinished = folder.path().join("history.new");
    fs::write(&unfinished, "half of it").unwrap();
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load(&store).losses.is_empty());
    store.save(saved(&connectors(2), filters(1))).unwrap();
    assert!(load(&store).connectors == connectors(2));
    assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["history"]);
}

#[test]
fn who_reads_while_it_is_written_sees_one_of_the_two() {
    let (folder, mut store) = place(300, 40);
    let reads = Arc::new(AtomicU64::new(0));
    let saving = {
        let reads = Arc::clone(&reads);
        std::thread::spawn(move || {
            let mut saves = 0;
            while reads.load(SeqCst) < 50 {
                let count = if saves % 2 == 0 { 600 } else { 300 };
                store.save(saved(&connectors(count), filters(40))).unwrap();
                saves += 1;
            }
        })
    };
    let reader = Store::open(folder.path(), SCHEMA);
    let both = [connectors(300), connectors(600)];
    while reads.fetch_add(1, SeqCst) < 50 {
        let loaded = load(&reader);
        assert_eq!(loaded.losses, Vec::<String>::new());
        assert!(both.contains(&loaded.connectors));
    }
    saving.join().unwrap();
}
