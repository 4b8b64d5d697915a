//! Reading the files of a configuration.

use super::fault::{Lines, Position};
use std::{fmt, fs::File, io::ErrorKind, io::Read, os::unix::fs::PermissionsExt, path::Path};

/// Octets of the largest file that is read: a list of two million domains.
const MAX_FILE: u64 = 64 << 20;

/// Why a file gives no text.
#[derive(Debug)]
pub(super) enum FileError {
    /// It is not there.
    Missing,
    /// It can't be read, for this reason.
    Unreadable(String),
    /// It is no text from this place on.
    NotText(Position, String),
}

/// Where the octets of files come from.
#[derive(Clone, Copy)]
pub(super) struct Files<'f>(pub(super) &'f dyn Fn(&Path) -> Result<Vec<u8>, FileError>);

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

/// The octets of a file.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, FileError> {
    let error = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => FileError::Missing,
        ErrorKind::PermissionDenied => FileError::Unreadable(
            "can't be read: permission denied; let the user that runs connguard read it".into(),
        ),
        ErrorKind::IsADirectory => {
            FileError::Unreadable("is a directory; name the file in it".into())
        }
        _ => FileError::Unreadable(format!("can't be read: {error}")),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(error)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE) {
        Ok(bytes)
    } else {
        let message = format!("is larger than {} MiB; is it the right file?", MAX_FILE >> 20);
        Err(FileError::Unreadable(message))
    }
}

/// A warning, if everybody can write this file.
pub(super) fn open_to_all(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & 0o002 != 0).then(|| {
        format!("everybody can write {shown}, and so decide whose mail is refused and what program is run; chmod o-w {shown}")
    })
}

/// The text of a file's octets.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, FileError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, bad) = bytes.split_at(error.valid_up_to());
        let octet = bad.first().copied().unwrap_or(0);
        let good = std::str::from_utf8(good).unwrap_or("");
        FileError::NotText(
            Lines::new(good).position(good.len()),
            format!("octet 0x{octet:02X} is not UTF-8; save the file in the encoding UTF-8"),
        )
    })
}
