//! From the files to what was in force.

use super::{
    OpenError, Recovered,
    format::{self, Newer, Segment},
};
use crate::{
    record::{Actor, Event, Live, Record, Snapshot},
    restriction::replay,
    storage::Storage,
    timestamp::Timestamp,
};
use std::path::{Path, PathBuf};

/// The file of segment `number`.
pub(super) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal-{number:06}.log"))
}

/// The file of segment `number` while it is not finished.
pub(super) fn unfinished_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal-{number:06}.tmp"))
}

/// All segments in the order of their numbers.
pub(super) fn segments(
    storage: &dyn Storage,
    folder: &Path,
) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let names = storage
        .list(folder)
        .map_err(|source| OpenError::List { path: folder.to_owned(), source })?;
    let mut segments: Vec<(u64, PathBuf)> = names
        .iter()
        .filter_map(|name| {
            let number = name.strip_prefix("journal-")?.strip_suffix(".log")?;
            Some((number.parse().ok()?, folder.join(name)))
        })
        .collect();
    segments.sort();
    Ok(segments)
}

/// All files that were set aside, by name; none where the folder can't be
/// read.
pub(super) fn set_aside(storage: &dyn Storage, folder: &Path) -> Vec<PathBuf> {
    let mut names = storage.list(folder).unwrap_or_default();
    names.retain(|name| name.starts_with("damaged-"));
    names.sort();
    names.iter().map(|name| folder.join(name)).collect()
}

/// Removes what an earlier run could not finish.
pub(super) fn remove_unfinished(storage: &dyn Storage, folder: &Path) {
    let names = storage.list(folder).unwrap_or_default();
    for name in names {
        if name.starts_with("journal-") && name.ends_with(".tmp") {
            // What stays is overwritten, and never read.
            let _ = storage.remove(&folder.join(name));
        }
    }
}

/// Reads the newest segment, and where its snapshot is damaged as many of
/// those before as it takes; gives the changes in the newest one and its length, too.
pub(super) fn recover(
    storage: &dyn Storage,
    folder: &Path,
    segments: &[(u64, PathBuf)],
) -> Result<(Recovered, (u64, u64)), OpenError> {
    let mut newest = None;
    let mut warnings = Vec::new();
    let mut parts: Vec<Segment> = Vec::new();
    for (number, path) in segments.iter().rev() {
        let (bytes, mut segment) = match read(storage, path) {
            Ok(read) => read,
            // What was newer than this one is known at least.
            Err(error) if !parts.is_empty() => {
                warnings.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        if parts.is_empty() {
            segment.doubt(bytes.len());
        }
        newest.get_or_insert((segment.records.len() as u64, bytes.len() as u64));
        if segment.is_damaged() {
            let kept = keep_aside(storage, folder, (*number, path), &bytes);
            warnings.push(damage(path, &segment, kept));
        } else if segment.torn > 0 && parts.is_empty() {
            warnings.push(format!(
                "{}: the last {} bytes were cut off by a crash before they were complete, and are left out",
                path.display(),
                segment.torn
            ));
        }
        let whole = segment.is_whole();
        parts.push(segment);
        if whole {
            break;
        }
    }
    let set_aside = set_aside(storage, folder);
    let recovered = Recovered { snapshot: merge(parts), warnings, set_aside };
    Ok((recovered, newest.unwrap_or_default()))
}

fn read(storage: &dyn Storage, path: &Path) -> Result<(Vec<u8>, Segment), OpenError> {
    let bytes = storage
        .read(path, None)
        .map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
    match format::parse(&bytes) {
        Ok(segment) => Ok((bytes, segment)),
        Err(Newer(version)) => Err(OpenError::Newer { path: path.to_owned(), version }),
    }
}

/// What `parts` say together; of those only the last may have a whole
/// snapshot.
pub(super) fn merge(mut parts: Vec<Segment>) -> Snapshot {
    let mut snapshot = Snapshot { seq: 0, next_case: 1, live: Vec::new() };
    let heads: Vec<_> = parts.iter().filter_map(|part| part.head.clone()).collect();
    if let Some(last) = parts.last_mut().filter(|part| part.is_whole()) {
        snapshot.live = std::mem::take(&mut last.live);
        snapshot.seq = last.head.as_ref().map_or(0, |head| head.seq);
    }
    // A live line of a damaged snapshot tells all about its entity, as of the
    // number of that entity's last change; so it stands before that change.
    let mut records = Vec::new();
    for part in &mut parts {
        records.extend(part.live.drain(..).map(whole_standing));
    }
    for part in parts {
        records.extend(part.records);
    }
    let mut snapshot = replay(snapshot, records);
    for head in heads {
        snapshot.seq = snapshot.seq.max(head.seq);
        snapshot.next_case = snapshot.next_case.max(head.next_case);
    }
    snapshot
}

fn whole_standing(live: Live) -> Record {
    Record {
        seq: live.seq,
        at: Timestamp::default(),
        by: Actor::Daemon,
        event: Event::Inherited {
            from: live.entity.clone(),
            entity: live.entity,
            standing: live.standing,
        },
    }
}

/// Keeps a damaged segment under a name of its own, beyond pruning; a second
/// start does not keep it twice.
fn keep_aside(
    storage: &dyn Storage,
    folder: &Path,
    (number, path): (u64, &Path),
    bytes: &[u8],
) -> std::io::Result<PathBuf> {
    let mut count = 1_u32;
    loop {
        let aside = folder.join(format!("damaged-{number:06}-{count}.log"));
        match storage.read(&aside, None) {
            Ok(kept) if kept == bytes => return Ok(aside),
            Ok(_) => count += 1,
            Err(_) => {
                storage.link(path, &aside)?;
                storage.sync_folder(folder)?;
                return Ok(aside);
            }
        }
    }
}

fn damage(path: &Path, segment: &Segment, kept: std::io::Result<PathBuf>) -> String {
    let mut lines: Vec<String> = segment.bad.iter().take(5).map(usize::to_string).collect();
    if segment.bad.len() > lines.len() {
        lines.push("…".into());
    }
    let what = match (lines.as_slice(), segment.is_whole()) {
        ([], _) => "its beginning is incomplete".to_owned(),
        ([line], _) => format!("line {line} can't be read"),
        (lines, _) => format!("lines {} can't be read", lines.join(", ")),
    };
    let behind = match segment.left_out {
        0 => String::new(),
        1 => ", and with it an exemption that was written together with it".to_owned(),
        n => format!(", and with it {n} changes that were written together with it"),
    };
    let earlier = if segment.is_whole() {
        ""
    } else {
        "; what was in force is completed from the segments before it"
    };
    let kept = match kept {
        Ok(aside) => format!("the file is kept as {}", aside.display()),
        Err(error) => format!("setting the file aside failed: {error}"),
    };
    format!(
        "{} is damaged: {what}{behind}{earlier}. Everything else was read; {kept}",
        path.display()
    )
}
