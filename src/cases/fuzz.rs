//! The bytes of a case without a disk, for its fuzz target.

use crate::{case::CaseFile, record::CaseId};
use std::{io, path::Path};

/// The case in the octets of its file, unless they are none.
pub fn read(octets: &[u8], case: CaseId) -> Option<CaseFile> {
    super::decode(octets, Path::new("case.json"), case).ok()
}

/// What the file of a case holds.
///
/// # Errors
/// Where it can't be encoded.
pub fn write(file: &CaseFile) -> io::Result<String> {
    super::encode(file)
}
