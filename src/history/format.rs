//! The prelude and the header of a block, as the head of [`super`] describes
//! them.

use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::io;

/// The version of the format that is read and written.
pub(super) const VERSION: u32 = 1;
/// Length of the prelude, in bytes.
pub(super) const PRELUDE: usize = 20;
/// Length of a block's header, in bytes.
pub(super) const HEADER: usize = 13;
/// No payload is longer, in bytes.
pub(super) const LONGEST: usize = 16 << 20;

const MAGIC: [u8; 8] = *b"CGHISTRY";

/// What a block holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Head = 1,
    Filters = 2,
    LastFilters = 3,
    Connectors = 4,
    End = 5,
    Messages = 6,
    Place = 7,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Head,
        Self::Filters,
        Self::LastFilters,
        Self::Connectors,
        Self::End,
        Self::Messages,
        Self::Place,
    ];
}

/// The payload of the first block.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Head {
    pub(super) key: [u8; 16],
    saved_ms: u64,
    muted_until_ms: Option<u64>,
}

impl Head {
    pub(super) fn new(key: [u8; 16], saved_at: Timestamp, muted_until: Option<Timestamp>) -> Self {
        let muted_until_ms = muted_until.map(Timestamp::as_millis);
        Self { key, saved_ms: saved_at.as_millis(), muted_until_ms }
    }

    pub(super) fn saved_at(&self) -> Timestamp {
        Timestamp::from_millis(self.saved_ms)
    }

    pub(super) fn muted_until(&self) -> Option<Timestamp> {
        self.muted_until_ms.map(Timestamp::from_millis)
    }
}

/// The payload of the last block.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct End {
    pub(super) connectors: u64,
    pub(super) messages: u64,
}

/// What the first bytes of a file say.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Prelude {
    /// A history, maybe of another version.
    History { version: u32, schema: u32 },
    /// Of a history, and not whole.
    Damaged,
    /// Something else.
    Foreign,
}

/// The first bytes of a file.
pub(super) fn prelude(schema: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PRELUDE);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(schema.to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Reads the first [`PRELUDE`] bytes of a file, or as many as there are.
pub(super) fn parse_prelude(bytes: &[u8]) -> Prelude {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Prelude::Foreign;
    }
    let read = || {
        let (checked, sum) = bytes.split_last_chunk()?;
        let (_, numbers) = checked.split_first_chunk::<8>()?;
        let (version, schema) = (numbers.first_chunk()?, numbers.last_chunk()?);
        let whole = bytes.len() == PRELUDE && crc32c::crc32c(checked) == u32::from_le_bytes(*sum);
        whole.then(|| Prelude::History {
            version: u32::from_le_bytes(*version),
            schema: u32::from_le_bytes(*schema),
        })
    };
    read().unwrap_or(Prelude::Damaged)
}

/// The header of a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) length: u32,
    sum: u32,
}

impl Header {
    /// The header of a block with this payload.
    pub(super) fn of(kind: Kind, payload: &[u8]) -> io::Result<Self> {
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= LONGEST);
        let length = length.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a connector, a message or a place is too large for history (more than 16 MiB)",
            )
        })?;
        Ok(Self { kind, length, sum: crc32c::crc32c(payload) })
    }

    /// Whether this is the payload it was made for.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        usize::try_from(self.length) == Ok(payload.len()) && crc32c::crc32c(payload) == self.sum
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.push(self.kind as u8);
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.sum.to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// None where it can't be trusted.
    pub(super) fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let (checked, sum) = bytes.split_last_chunk()?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (number, numbers) = checked.split_first()?;
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == *number)?;
        let length = u32::from_le_bytes(*numbers.first_chunk()?);
        let sum = u32::from_le_bytes(*numbers.last_chunk()?);
        let short = usize::try_from(length).is_ok_and(|length| length <= LONGEST);
        short.then_some(Self { kind, length, sum })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    /// The bytes of version 1 must stay what they are.
    #[test]
    fn the_bytes_are_those_of_the_document() {
        let bytes = prelude(7);
        assert_eq!(bytes[..16], *b"CGHISTRY\x01\0\0\0\x07\0\0\0");
        assert_eq!(bytes.len(), PRELUDE);
        assert_eq!(parse_prelude(&bytes), Prelude::History { version: 1, schema: 7 });

        let header = Header::of(Kind::Connectors, b"123456789").unwrap();
        let bytes = header.bytes();
        // 0xe3069283 is the check value of CRC-32C.
        assert_eq!(bytes[..9], [4, 9, 0, 0, 0, 0x83, 0x92, 0x06, 0xe3]);
        assert_eq!(Header::parse(&bytes.try_into().unwrap()), Some(header));
    }

    #[test]
    fn what_is_too_long_is_neither_written_nor_read() {
        let long = vec![0; LONGEST + 1];
        Header::of(Kind::Filters, &long[1..]).unwrap();
        Header::of(Kind::Filters, &long).unwrap_err();
        let header = Header { kind: Kind::Filters, length: 16 << 20, sum: 0 };
        assert!(Header::parse(&header.bytes().try_into().unwrap()).is_some());
        let header = Header { length: (16 << 20) + 1, ..header };
        assert!(Header::parse(&header.bytes().try_into().unwrap()).is_none());
    }
}
