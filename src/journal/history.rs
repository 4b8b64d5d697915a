//! The audit trail: all changes that the segments hold.

use super::{
    OpenError,
    format::{self, Newer},
    recovery,
};
use crate::{
    connector::Entity,
    record::Record,
    storage::{Disk, Storage},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    path::Path,
};

/// Changes, oldest first, each once.
#[derive(Debug, Default)]
pub struct History {
    /// The changes.
    pub records: Vec<Record>,
    /// What could not be read, one sentence each.
    pub warnings: Vec<String>,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HistoryError(#[from] OpenError);

/// Reads all changes of `entity` and its senders, or of everybody, from the segments in
/// `folder`. May be called while a daemon writes there. Damage and files of
/// newer formats are left out with a warning.
///
/// # Errors
///
/// Where the folder can't be read.
pub fn history(folder: &Path, entity: Option<&Entity>) -> Result<History, HistoryError> {
    let mut history = History::default();
    let mut known: HashMap<u64, usize> = HashMap::new();
    for (_, path) in recovery::segments(&Disk, folder)? {
        let bytes = match Disk.read(&path, None) {
            Ok(bytes) => bytes,
            // Pruned meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let warning = format!("cannot read {}: {error}", path.display());
                history.warnings.push(warning);
                continue;
            }
        };
        match format::parse(&bytes) {
            Ok(segment) => {
                if segment.is_damaged() {
                    let warning = format!("{} is damaged: changes may be missing", path.display());
                    history.warnings.push(warning);
                }
                history.add(segment.records, entity, &mut known);
            }
            Err(Newer(version)) => history.warnings.push(format!(
                "{} is of format {version}, which only a newer connguard reads",
                path.display()
            )),
        }
    }
    history.records.sort_by_key(|record| record.seq);
    Ok(history)
}

impl History {
    /// A record can stand in two segments: when the sync of the first failed.
    fn add(
        &mut self,
        records: Vec<Record>,
        entity: Option<&Entity>,
        known: &mut HashMap<u64, usize>,
    ) {
        for record in records {
            let of = record.event.entity();
            // What is done to a sender is done at its connector too.
            if entity.is_some_and(|entity| entity != of && *entity != of.root()) {
                continue;
            }
            match known.entry(record.seq) {
                Entry::Occupied(at) if self.records.get(*at.get()) == Some(&record) => continue,
                entry => entry.insert_entry(self.records.len()),
            };
            self.records.push(record);
        }
    }
}
