//! The log of real sites, line by line, and lines that never were.
//!
//! Real logs are no part of the project: they are read where `../shared/traces`
//! is there, and their tests say so and pass where it is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they left out"
)]

mod cases;
mod properties;
mod traces;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// A file of the traces, unpacked; none, with a note, where it is not there.
fn unpacked(name: &str) -> Option<Vec<u8>> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces").join(name);
    let Ok(file) = File::open(&path) else {
        println!("LEFT OUT: {} is not there", path.display());
        return None;
    };
    let mut bytes = Vec::new();
    let mut reader = lzma_rust2::XzReader::new(file, true);
    reader.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(bytes)
}
