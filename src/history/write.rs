//! From what is to be saved to the bytes, block by block.

use super::{
    Saved, Written,
    format::{self, End, Head, Header, Kind},
};
use crate::{connector::ConnectorKey, storage::StorageFile};
use serde::Serialize;
use std::io::{self, Write};

/// No block of connectors or of messages has more of them.
pub(super) const A_BLOCK: u64 = 256;
/// A block of connectors or of messages ends with the one that reaches this
/// length; a piece of the filters is this long. In bytes.
const BLOCK: usize = 1 << 20;
/// So much is written between two syncs, in bytes: others who sync, first of
/// all the journal, must not wait until a large history is on the disk.
const UNSYNCED: u64 = 32 << 20;

/// Writes all of `saved`, without the last sync.
pub(super) fn write<C, F, I, M>(
    file: &mut dyn StorageFile,
    schema: u32,
    saved: Saved<I, F, M>,
) -> io::Result<Written>
where
    C: Serialize,
    F: Serialize,
    M: Iterator<Item: Serialize>,
    I: Iterator<Item = (ConnectorKey, C)>,
{
    let prelude = format::prelude(schema);
    file.append(&prelude)?;
    let mut blocks = Blocks { file, payload: Vec::new(), bytes: prelude.len() as u64, unsynced: 0 };
    blocks.one(Kind::Head, &Head::new(saved.key, saved.saved_at, saved.muted_until))?;
    blocks.filters(&saved.filters)?;
    let connectors = blocks.several(Kind::Connectors, saved.connectors)?;
    // Not before: see the head of `super`.
    let messages = blocks.several(Kind::Messages, saved.messages)?;
    if let Some(place) = saved.place {
        blocks.one(Kind::Place, &place)?;
    }
    blocks.one(Kind::End, &End { connectors, messages })?;
    Ok(Written { bytes: blocks.bytes, connectors, messages })
}

struct Blocks<'a> {
    file: &'a mut dyn StorageFile,
    /// Of the block that is being put together.
    payload: Vec<u8>,
    /// Length of the file.
    bytes: u64,
    /// Bytes since the last sync.
    unsynced: u64,
}

impl Blocks<'_> {
    /// A block with one value.
    fn one(&mut self, kind: Kind, value: &impl Serialize) -> io::Result<()> {
        postcard::to_io(value, &mut self.payload).map_err(unencodable)?;
        self.put(kind)
    }

    fn filters(&mut self, filters: &impl Serialize) -> io::Result<()> {
        let mut pieces = Pieces { blocks: self, error: None };
        let encoded = postcard::to_io(filters, &mut pieces).map(drop);
        match pieces.error.take() {
            Some(error) => return Err(error),
            None => encoded.map_err(unencodable)?,
        }
        self.put(Kind::LastFilters)
    }

    /// Says how many there were.
    fn several(&mut self, kind: Kind, values: impl Iterator<Item: Serialize>) -> io::Result<u64> {
        let mut count: u64 = 0;
        for value in values {
            postcard::to_io(&value, &mut self.payload).map_err(unencodable)?;
            count += 1;
            if count.is_multiple_of(A_BLOCK) || BLOCK <= self.payload.len() {
                self.put(kind)?;
            }
        }
        if !self.payload.is_empty() {
            self.put(kind)?;
        }
        Ok(count)
    }

    /// Writes the block that was put together.
    fn put(&mut self, kind: Kind) -> io::Result<()> {
        let header = Header::of(kind, &self.payload)?.bytes();
        self.file.append(&header)?;
        self.file.append(&self.payload)?;
        let length = (header.len() + self.payload.len()) as u64;
        self.payload.clear();
        self.bytes += length;
        self.unsynced += length;
        if UNSYNCED <= self.unsynced {
            self.unsynced = 0;
            self.file.sync()?;
        }
        Ok(())
    }
}

/// Writes what it is given as pieces of the filters. What does not fill one
/// stays in the payload.
struct Pieces<'a, 'b> {
    blocks: &'a mut Blocks<'b>,
    /// The encoder tells only that there was one.
    error: Option<io::Error>,
}

impl Write for Pieces<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK.saturating_sub(self.blocks.payload.len());
        let fits = bytes.get(..room).unwrap_or(bytes);
        self.blocks.payload.extend_from_slice(fits);
        if self.blocks.payload.len() == BLOCK
            && let Err(error) = self.blocks.put(Kind::Filters)
        {
            let kind = error.kind();
            self.error = Some(error);
            return Err(kind.into());
        }
        Ok(fits.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unencodable(error: postcard::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("history can't be encoded: {error}"))
}
