//! Every file of the fuzz targets' corpora through the functions that the targets run:
//! what was once found stays found, and the targets still do something.
//!
//! `tests/fuzz` looks for more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]
// Taken as they are: the targets are a crate of their own.
#[allow(unreachable_pub, reason = "there it is public")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{fs, panic::catch_unwind, path::Path};

/// Fewer files are a corpus that got lost.
const LEAST: usize = 10;

fn corpus(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= LEAST, "{} holds {} files", folder.display(), files.len());
    for file in files {
        let input = fs::read(&file).unwrap();
        let done = catch_unwind(|| run(&input));
        assert!(done.is_ok(), "{} breaks a promise: see above", file.display());
    }
}

macro_rules! corpora {
    ($($target:ident),* $(,)?) => {
        $(
            #[test]
            fn $target() {
                corpus(stringify!($target), targets::$target::run);
            }
        )*
    };
}
corpora! {
    case_file,
    config,
    control,
    from_header,
    history,
    journal,
    mail_log,
    milter,
    old_log,
    policy,
}
