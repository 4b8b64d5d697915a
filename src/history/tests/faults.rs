//! A disk that refuses, and a reader beside a writer.

use super::*;
use crate::storage::{
    memory::Call,
    refusing::{ALWAYS, Refusing},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let (folder, mut store) = place(10, 40);
    let old = fs::read(store.path()).unwrap();
    let given = connectors(1000);
    let needed = {
        let (_folder, mut elsewhere) = place(0, 0);
        elsewhere.save(saved(&given, filters(3 << 20))).unwrap().bytes
    };
    let needed = usize::try_from(needed).unwrap();
    let disk = Refusing::default();
    store.storage = Arc::new(disk.clone());
    let rooms = (0..needed).step_by(700_001).chain([1, 19, 20, 21, 33, needed - 1]);
    for room in rooms {
        disk.leave_room(Some(room));
        let error = store.save(saved(&given, filters(3 << 20))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "room for {room}");
        assert_eq!(fs::read(store.path()).unwrap(), old);
        assert_eq!(names(folder.path()), ["history"]);
    }
    disk.leave_room(Some(needed));
    store.save(saved(&given, filters(3 << 20))).unwrap();
    assert!(load(&store).connectors == given);
}

/// After a failed sync nobody knows what the kernel still has: the next save begins
/// with a new file.
#[test]
fn a_failed_call_leaves_the_old_file_and_the_next_save_begins_anew() {
    for call in [Call::Create, Call::Append, Call::Sync, Call::Rename] {
        let (folder, mut store) = place(10, 40);
        let old = fs::read(store.path()).unwrap();
        let disk = Refusing::default();
        store.storage = Arc::new(disk.clone());
        disk.refuse(&[call], ALWAYS);
        for _ in 0..2 {
            store.save(saved(&connectors(20), filters(40))).unwrap_err();
            assert_eq!(fs::read(store.path()).unwrap(), old, "{call:?}");
            assert_eq!(names(folder.path()), ["history"], "{call:?}");
        }
        disk.refuse(&[], 0);
        store.save(saved(&connectors(20), filters(40))).unwrap();
        assert!(load(&store).connectors == connectors(20));
    }
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
