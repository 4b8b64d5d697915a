//! A configuration whose files are in memory, for its fuzz target.

use super::{
    Config, Faults,
    files::{FileError, Files},
};
use std::path::Path;

/// Reads a configuration with these octets; each file that it names has the octets
/// that `files` gives for its path, or is missing.
///
/// # Errors
/// All faults.
pub fn parse(
    path: &Path,
    octets: &[u8],
    files: impl Fn(&Path) -> Option<Vec<u8>>,
) -> Result<Config, Faults> {
    let files = |path: &Path| files(path).ok_or(FileError::Missing);
    super::parse_with(path, octets, &["mx.example.org".to_owned()], Files(&files))
}
