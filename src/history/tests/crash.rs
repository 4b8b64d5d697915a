//! The power fails: the file is whole, or it is the one before.

use super::*;
use crate::storage::memory::{Lie, Memory, Torn};

const FOLDER: &str = "/state";

fn store(disk: &Memory) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(FOLDER), SCHEMA)
}

/// Saves one connector, then two, then three; gives how many were saved surely.
fn three_saves(disk: &Memory) -> u64 {
    disk.make_folder(Path::new(FOLDER)).unwrap_or_default();
    let saves = (1..=3)
        .take_while(|count| store(disk).save(saved(&connectors(*count), filters(5000))).is_ok());
    saves.last().unwrap_or(0)
}

/// Gives how often the power failed, or what was wrong first.
fn fail_everywhere(lies: &[Lie]) -> Result<usize, String> {
    let mut count = 0;
    for fails_at in 0.. {
        let disk = Memory::default();
        disk.lie(lies);
        disk.fail_at(fails_at);
        let surely = three_saves(&disk);
        for torn in disk.tears() {
            count += 1;
            let loaded = load(&store(&disk.crash(torn)));
            let found = loaded.connectors.len() as u64;
            let is_right = loaded.losses.is_empty()
                && (found == surely || found == surely + 1)
                && loaded.connectors == connectors(found)
                && (found == 0 || loaded.filters == Some(filters(5000)))
                && (found == 0 || loaded.messages == messages(2));
            if !is_right {
                let losses = loaded.losses;
                return Err(format!("{fails_at} {torn:?}: {found} of {surely}, {losses:?}"));
            }
        }
        if surely == 3 {
            return Ok(count);
        }
    }
    unreachable!()
}

#[test]
fn whenever_the_power_fails_the_file_is_whole_or_the_one_before() {
    let count = fail_everywhere(&[]).unwrap();
    assert!(count > 1000, "{count} crashes");
}

/// That the test above sees what it is there for: a disk that only says that it synced.
#[test]
fn a_sync_that_is_missing_is_noticed() {
    for lie in [Lie::Unfinished, Lie::Folder] {
        assert!(fail_everywhere(&[lie]).is_err(), "{lie:?}");
    }
}

/// Of a damaged file what is whole is used, at every start until the next save.
#[test]
fn a_damaged_file_is_kept_aside_whenever_the_power_fails() {
    let whole = Memory::default();
    assert_eq!(three_saves(&whole), 3);
    let path = Path::new(FOLDER).join("history");
    let mut bytes = whole.read(&path, None).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    for fails_at in 0..8 {
        let disk = Memory::default();
        disk.put(&path, &bytes);
        disk.fail_at(fails_at);
        let _ = load(&store(&disk));
        for torn in [Torn::ALL, Torn::NOTHING] {
            let disk = disk.crash(torn);
            let loaded = load(&store(&disk));
            assert_eq!(loaded.connectors, connectors(3));
            assert_eq!(loaded.losses.len(), 2, "{:?}", loaded.losses);
            assert_eq!(disk.read(&path.with_extension("damaged"), None).unwrap(), bytes);
        }
    }
}
