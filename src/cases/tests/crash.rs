//! The power fails: each case is the one that was written last, or the one before.

use super::*;
use crate::storage::memory::{Lie, Memory};
use std::collections::HashMap;

const STATE: &str = "/state";

fn store(disk: &Memory) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(STATE))
}

fn case(number: u64, refused: u64) -> CaseFile {
    let mut file = CaseFile { refused, ..CaseFile::new(CaseId(number), erp(), NOW) };
    file.material.helos.note(&"x".repeat(200), true);
    file
}

/// What of each case must be there, and what may be.
#[derive(Default)]
struct Written {
    surely: HashMap<u64, u64>,
    maybe: HashMap<u64, u64>,
}

/// Writes two cases three times, and begins a third one, then a restart and once more;
/// nothing where the power failed.
fn write_some(disk: &Memory, written: &mut Written) -> Option<()> {
    for (run, rounds) in [(0, 1..=3), (1, 4..=4)] {
        let mut store = store(disk);
        let loaded = store.load();
        assert!(run == 0 || disk.is_down() || loaded.files.len() == 3, "{:?}", loaded.warnings);
        for round in rounds {
            let numbers = if round == 1 { 1..=2_u64 } else { 1..=3 };
            store.prepare().ok()?;
            for number in numbers.clone() {
                written.maybe.insert(number, round);
                store.save(&case(number, round)).ok()?;
            }
            store.sync().ok()?;
            written.surely.extend(numbers.map(|number| (number, round)));
        }
    }
    Some(())
}

/// Gives how often the power failed, or what was wrong first.
fn fail_everywhere(lies: &[Lie]) -> Result<usize, String> {
    let mut count = 0;
    // After the call that makes the state directory.
    for fails_at in 1.. {
        let disk = Memory::default();
        disk.make_folder(Path::new(STATE)).unwrap();
        disk.lie(lies);
        disk.fail_at(fails_at);
        let mut written = Written::default();
        let went_through = write_some(&disk, &mut written).is_some();
        for torn in disk.tears() {
            count += 1;
            let loaded = store(&disk.crash(torn)).load();
            let found: HashMap<u64, u64> =
                loaded.files.iter().map(|file| (file.case.0, file.refused)).collect();
            let is_whole = loaded.files.iter().all(|it| *it == case(it.case.0, it.refused));
            let is_there = written
                .surely
                .iter()
                .all(|(number, round)| found.get(number).is_some_and(|found| round <= found));
            let is_true = found.iter().all(|(number, round)| *round <= written.maybe[number]);
            if !(loaded.warnings.is_empty() && is_whole && is_there && is_true) {
                return Err(format!("{fails_at} {torn:?}: {found:?} {:?}", loaded.warnings));
            }
        }
        if went_through {
            return Ok(count);
        }
    }
    unreachable!()
}

#[test]
fn whenever_the_power_fails_a_case_is_the_last_one_or_the_one_before() {
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
