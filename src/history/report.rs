//! The sentences that say what was lost.

use super::{
    format::VERSION,
    read::{Contents, Unfit},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A file of which nothing was used.
pub(super) fn unfit(path: &Path, unfit: &Unfit, schema: u32, kept: io::Result<PathBuf>) -> String {
    let path = path.display();
    let kept = aside(kept);
    let empty = "every connector starts without history, and signals that ask whether something is new are silent for a day";
    match unfit {
        Unfit::Foreign => {
            format!("{path} is no history of connguard, and is not used: {empty}; {kept}")
        }
        Unfit::Other { version, schema: found } => format!(
            "{path} was written by another version of connguard (format {version}, content {found}; this one reads format {VERSION}, content {schema}), and is not used: {empty}; {kept}. To go back, stop connguard, give that file the name {path} again and start the version that wrote it"
        ),
        Unfit::Damaged => format!("the beginning of {path} is damaged: {empty}; {kept}"),
        Unfit::Unreadable(error) => format!("{path} can't be read ({error}): {empty}; {kept}"),
    }
}

/// A file of which a part was used.
pub(super) fn damage<C, F, M>(
    path: &Path,
    contents: &Contents<C, F, M>,
    kept: io::Result<PathBuf>,
) -> Vec<String> {
    let path = path.display();
    let what = match (&contents.lost, contents.damaged) {
        (Some((at, why)), 0) => format!("what follows byte {at} of {path} {why}"),
        (Some((at, why)), 1) => {
            format!("what follows byte {at} of {path} {why}, and a block before it is damaged")
        }
        (Some((at, why)), n) => {
            format!("what follows byte {at} of {path} {why}, and {n} blocks before it are damaged")
        }
        (None, _) => format!("a part of {path} is damaged"),
    };
    let read = contents.connectors.len();
    let follows = match (contents.missing(), contents.saved) {
        (Some(0), _) => "the history of every connector was read".to_owned(),
        (Some(missing), Some((saved, _))) => {
            format!("{missing} of {saved} connectors start without history")
        }
        _ => format!(
            "the history of {read} connectors was read, and the others, if there were more, start without one"
        ),
    };
    let mut sentences = vec![format!("{what}: {follows}; {}", aside(kept))];
    if contents.filters.is_none() {
        sentences.push(format!(
            "the filters in {path}, which know whom each connector wrote to, are lost: signals that ask whether something is new are silent for a day"
        ));
    }
    if contents.missing_messages() != Some(0) {
        sentences.push(format!(
            "messages in {path} that were on their way are lost: what becomes of their recipients makes no difference"
        ));
    }
    sentences
}

fn aside(kept: io::Result<PathBuf>) -> String {
    match kept {
        Ok(aside) => format!("it is kept as {}", aside.display()),
        Err(error) => format!("keeping it aside failed ({error}), so the next save replaces it"),
    }
}
