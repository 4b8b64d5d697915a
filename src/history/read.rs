//! From the bytes to what was saved, leaving out what is not whole.

use super::format::{self, End, HEADER, Head, Header, Kind, PRELUDE, Prelude, VERSION};
use crate::connector::ConnectorKey;
use serde::de::DeserializeOwned;
use std::io::{self, Read};

/// Why nothing of a file can be used.
#[derive(Debug)]
pub(super) enum Unfit {
    /// Not a history.
    Foreign,
    /// Of another version.
    Other { version: u32, schema: u32 },
    /// Its beginning is not whole.
    Damaged,
    /// The system does not give it to us.
    Unreadable(String),
}

impl Unfit {
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged | Self::Unreadable(_))
    }
}

/// What could be read.
#[derive(Debug)]
pub(super) struct Contents<C, F, M> {
    pub(super) head: Head,
    pub(super) connectors: Vec<(ConnectorKey, C)>,
    pub(super) filters: Option<F>,
    pub(super) messages: Vec<M>,
    pub(super) place: Option<Vec<u8>>,
    /// Blocks that were stepped over.
    pub(super) damaged: usize,
    /// From which byte on nothing could be read, and why.
    pub(super) lost: Option<(u64, String)>,
    /// How many connectors and messages there were, where that is known.
    pub(super) saved: Option<(u64, u64)>,
}

impl<C, F, M> Contents<C, F, M> {
    /// Connectors that could not be read, where that is known.
    pub(super) fn missing(&self) -> Option<u64> {
        Some(self.saved?.0.saturating_sub(self.connectors.len() as u64))
    }

    /// Messages that could not be read, where that is known.
    pub(super) fn missing_messages(&self) -> Option<u64> {
        Some(self.saved?.1.saturating_sub(self.messages.len() as u64))
    }

    pub(super) fn is_whole(&self) -> bool {
        let all_blocks = self.damaged == 0 && self.lost.is_none();
        all_blocks && self.filters.is_some() && self.missing() == Some(0)
    }
}

/// Reads a history whose payloads are of this schema.
pub(super) fn read<C, F, M>(input: impl Read, schema: u32) -> Result<Contents<C, F, M>, Unfit>
where
    C: DeserializeOwned,
    F: DeserializeOwned,
    M: DeserializeOwned,
{
    let mut blocks = Blocks { input, at: 0, payload: Vec::new() };
    blocks.prelude(schema)?;
    let head = match blocks.next() {
        Next::Whole(Kind::Head) => postcard::from_bytes(&blocks.payload).ok(),
        _ => None,
    };
    let contents = Contents {
        head: head.ok_or(Unfit::Damaged)?,
        connectors: Vec::new(),
        filters: None,
        messages: Vec::new(),
        place: None,
        damaged: 0,
        lost: None,
        saved: None,
    };
    let mut reading = Reading { contents, pieces: Some(Vec::new()) };
    loop {
        match blocks.next() {
            Next::Whole(kind) => reading.whole(kind, &blocks.payload),
            Next::Damaged(kind) => reading.damaged(kind),
            Next::Lost(why) => reading.contents.lost = Some((blocks.at, why)),
        }
        if reading.contents.saved.is_some() || reading.contents.lost.is_some() {
            return Ok(reading.contents);
        }
    }
}

struct Reading<C, F, M> {
    contents: Contents<C, F, M>,
    /// Of the filters so far; none once one is missing.
    pieces: Option<Vec<u8>>,
}

impl<C: DeserializeOwned, F: DeserializeOwned, M: DeserializeOwned> Reading<C, F, M> {
    fn whole(&mut self, kind: Kind, payload: &[u8]) {
        let good = match kind {
            Kind::Head => false,
            Kind::Filters => self.piece(payload),
            Kind::LastFilters => self.piece(payload) && self.filters(),
            Kind::Connectors => connectors(payload, &mut self.contents.connectors),
            Kind::Messages => messages(payload, &mut self.contents.messages),
            Kind::Place => {
                self.contents.place = decode(payload);
                self.contents.place.is_some()
            }
            Kind::End => {
                let end: Option<End> = decode(payload);
                self.contents.saved = end.map(|end| (end.connectors, end.messages));
                self.contents.saved.is_some()
            }
        };
        if !good {
            self.damaged(kind);
        }
    }

    fn damaged(&mut self, kind: Kind) {
        self.contents.damaged += 1;
        if matches!(kind, Kind::Filters | Kind::LastFilters) {
            self.pieces = None;
        }
    }

    /// Says whether it has all pieces so far.
    fn piece(&mut self, payload: &[u8]) -> bool {
        if let Some(pieces) = &mut self.pieces {
            pieces.extend_from_slice(payload);
        }
        self.pieces.is_some()
    }

    /// Says whether the pieces make filters.
    fn filters(&mut self) -> bool {
        self.contents.filters = self.pieces.take().as_deref().and_then(decode);
        self.contents.filters.is_some()
    }
}

/// The blocks of a file.
struct Blocks<R> {
    input: R,
    /// The byte at which the next block begins.
    at: u64,
    /// Of the last block.
    payload: Vec<u8>,
}

enum Next {
    /// Its payload is there.
    Whole(Kind),
    /// Its payload is wrong.
    Damaged(Kind),
    /// There is no next one, and no way to find the one after it.
    Lost(String),
}

impl<R: Read> Blocks<R> {
    fn prelude(&mut self, schema: u32) -> Result<(), Unfit> {
        self.fill(PRELUDE as u64).map_err(|error| Unfit::Unreadable(error.to_string()))?;
        self.at += PRELUDE as u64;
        match format::parse_prelude(&self.payload) {
            Prelude::History { version, schema: found }
                if (version, found) == (VERSION, schema) =>
            {
                Ok(())
            }
            Prelude::History { version, schema } => Err(Unfit::Other { version, schema }),
            Prelude::Damaged => Err(Unfit::Damaged),
            Prelude::Foreign => Err(Unfit::Foreign),
        }
    }

    fn next(&mut self) -> Next {
        self.block().unwrap_or_else(|error| Next::Lost(format!("can't be read: {error}")))
    }

    fn block(&mut self) -> io::Result<Next> {
        let cut = || Ok(Next::Lost("was cut off".to_owned()));
        self.fill(HEADER as u64)?;
        let Ok(header) = <&[u8; HEADER]>::try_from(self.payload.as_slice()) else {
            return cut();
        };
        let Some(header) = Header::parse(header) else {
            return Ok(Next::Lost("is damaged".to_owned()));
        };
        let length = u64::from(header.length);
        self.fill(length)?;
        if (self.payload.len() as u64) < length {
            return cut();
        }
        self.at += HEADER as u64 + length;
        let whole = header.fits(&self.payload);
        Ok(if whole { Next::Whole(header.kind) } else { Next::Damaged(header.kind) })
    }

    /// Reads `length` bytes, or as many as there are.
    fn fill(&mut self, length: u64) -> io::Result<()> {
        self.payload.clear();
        self.input.by_ref().take(length).read_to_end(&mut self.payload)?;
        Ok(())
    }
}

/// Appends the connectors of a block; says whether these are all.
fn connectors<C: DeserializeOwned>(
    payload: &[u8],
    connectors: &mut Vec<(ConnectorKey, C)>,
) -> bool {
    let mut rest = payload;
    let mut all = true;
    while !rest.is_empty() {
        let Ok(((key, learned), behind)) = postcard::take_from_bytes::<(&str, C)>(rest) else {
            return false;
        };
        rest = behind;
        match key.parse() {
            Ok(key) => connectors.push((key, learned)),
            // Another version may know other keys: only this one is lost.
            Err(_) => all = false,
        }
    }
    all
}

/// Appends the messages of a block; says whether these are all.
fn messages<M: DeserializeOwned>(payload: &[u8], messages: &mut Vec<M>) -> bool {
    let mut rest = payload;
    while !rest.is_empty() {
        let Ok((message, behind)) = postcard::take_from_bytes(rest) else {
            return false;
        };
        rest = behind;
        messages.push(message);
    }
    true
}

/// A value that is all there is.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, behind) = postcard::take_from_bytes(bytes).ok()?;
    behind.is_empty().then_some(value)
}
