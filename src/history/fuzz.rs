//! The bytes of a history without a disk, for its fuzz target.

use super::{
    Loaded, Saved,
    format::{self, Header, Kind},
    read, write,
};
use crate::{connector::ConnectorKey, storage::StorageFile};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, path::Path};

/// What can be read of these bytes; nothing where they are no history of this schema.
pub fn read<C, F, M>(bytes: &[u8], schema: u32) -> Option<Loaded<C, F, M>>
where
    C: DeserializeOwned,
    F: DeserializeOwned,
    M: DeserializeOwned,
{
    let contents = read::read::<C, F, M>(bytes, schema).ok()?;
    let losses = if contents.is_whole() { Vec::new() } else { vec!["it is not whole".to_owned()] };
    Some(Loaded::of(contents, losses))
}

/// The bytes of a history.
///
/// # Errors
/// Where something can't be encoded.
pub fn write<C, F, I, M>(schema: u32, saved: Saved<I, F, M>) -> io::Result<Vec<u8>>
where
    C: Serialize,
    F: Serialize,
    M: Iterator<Item: Serialize>,
    I: Iterator<Item = (ConnectorKey, C)>,
{
    let mut bytes = Memory(Vec::new());
    write::write(&mut bytes, schema, saved)?;
    Ok(bytes.0)
}

/// The bytes that every history of this schema begins with.
pub fn prelude(schema: u32) -> Vec<u8> {
    format::prelude(schema)
}

/// A block with this payload and the checksums that belong to it; nothing where there
/// is no such kind.
pub fn block(kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let kind = Kind::ALL.into_iter().find(|one| *one as u8 == kind)?;
    let header = Header::of(kind, payload).ok()?.bytes();
    Some([&header, payload].concat())
}

struct Memory(Vec<u8>);

impl StorageFile for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn is_at(&self, _: &Path) -> bool {
        true
    }
}
