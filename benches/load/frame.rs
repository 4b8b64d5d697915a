//! Octets of the milter protocol, version 6.
//!
//! ```text
//! frame      = length (4 octets, big endian, of what follows) kind (1 octet) data
//! negotiate  = 'O' version actions options (4 octets each)
//!              the reply: and for each stage whose macros it chooses:
//!              stage (4 octets) names, separated by spaces, NUL
//! macros     = 'D' kind of the command that follows, then name NUL value NUL ...
//! connect    = 'C' host name NUL '4' port (2 octets) address NUL
//! helo       = 'H' name NUL            mail, rcpt = 'M', 'R' argument NUL ...
//! header     = 'L' name NUL value NUL  body = 'B' octets
//! data, end of headers, end of message, abort, quit = 'T', 'N', 'E', 'A', 'Q'
//! ```

use std::io;

/// Every action and every protocol option of version 6: what Postfix 3.7 offers.
const ACTIONS: u32 = 0x1ff;
const OPTIONS: u32 = 0x1f_ffff;
const VERSION: u32 = 6;

/// A stage is not sent.
pub(crate) const NO_CONNECT: u32 = 0x1;
pub(crate) const NO_HELO: u32 = 0x2;
pub(crate) const NO_MAIL: u32 = 0x4;
pub(crate) const NO_RCPT: u32 = 0x8;
pub(crate) const NO_BODY: u32 = 0x10;
pub(crate) const NO_HEADERS: u32 = 0x20;
pub(crate) const NO_EOH: u32 = 0x40;
pub(crate) const NO_DATA: u32 = 0x200;
/// A stage is not answered.
pub(crate) const SILENT_HEADER: u32 = 0x80;
pub(crate) const SILENT_CONNECT: u32 = 0x1000;
pub(crate) const SILENT_HELO: u32 = 0x2000;
pub(crate) const SILENT_MAIL: u32 = 0x4000;
pub(crate) const SILENT_RCPT: u32 = 0x8000;
pub(crate) const SILENT_DATA: u32 = 0x1_0000;
pub(crate) const SILENT_EOH: u32 = 0x4_0000;
pub(crate) const SILENT_BODY: u32 = 0x8_0000;
/// The value of a header is sent with the space before it.
pub(crate) const LEADING_SPACE: u32 = 0x10_0000;

/// Stages as the reply to a negotiation numbers them.
pub(crate) const STAGES: usize = 7;

/// The offer that begins every connection.
pub(crate) fn negotiate() -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, b'O', |data| {
        for word in [VERSION, ACTIONS, OPTIONS] {
            data.extend_from_slice(&word.to_be_bytes());
        }
    });
    out
}

/// Appends a frame whose data `write` appends.
pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    write(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// What a server asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Negotiated {
    /// Options, as `NO_` and `SILENT_` above.
    pub(crate) options: u32,
    /// Names of macros by stage; none: those that Postfix sends by itself.
    pub(crate) macros: [Option<String>; STAGES],
}

impl Negotiated {
    /// Reads the data of the reply.
    ///
    /// # Errors
    /// It is no reply to a negotiation.
    pub(crate) fn parse(data: &[u8]) -> io::Result<Self> {
        let mut rest = data;
        let (_version, _actions) = (word(&mut rest)?, word(&mut rest)?);
        let mut found = Self { options: word(&mut rest)?, ..Self::default() };
        while !rest.is_empty() {
            let stage = usize::try_from(word(&mut rest)?).unwrap_or(usize::MAX);
            let end = rest.iter().position(|octet| *octet == 0).ok_or_else(unreadable)?;
            let (names, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or(&[]);
            let place = found.macros.get_mut(stage).ok_or_else(unreadable)?;
            *place = Some(String::from_utf8_lossy(names).into_owned());
        }
        Ok(found)
    }

    /// Whether this option was asked for.
    pub(crate) fn has(&self, option: u32) -> bool {
        self.options & option != 0
    }
}

fn word(rest: &mut &[u8]) -> io::Result<u32> {
    let (word, after) = rest.split_first_chunk::<4>().ok_or_else(unreadable)?;
    *rest = after;
    Ok(u32::from_be_bytes(*word))
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is no reply to a negotiation")
}

/// A reply, or an action on the message before the reply to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Continue,
    Accept,
    Tempfail,
    Reject,
    Discard,
    Skip,
    Quarantine,
    /// Headers, recipients or body changed: no reply yet.
    Change,
    /// Still at work: no reply yet.
    Progress,
    /// The server asks to end the session.
    Shutdown,
    Unknown,
}

impl Reply {
    /// The meaning of a frame.
    pub(crate) fn of(kind: u8, data: &[u8]) -> Self {
        match kind {
            b'c' => Self::Continue,
            b'a' => Self::Accept,
            b't' => Self::Tempfail,
            b'r' => Self::Reject,
            b'd' => Self::Discard,
            b's' => Self::Skip,
            b'q' => Self::Quarantine,
            b'p' => Self::Progress,
            b'4' | b'F' => Self::Shutdown,
            b'y' if data.first() == Some(&b'4') => Self::Tempfail,
            b'y' => Self::Reject,
            b'h' | b'i' | b'm' | b'+' | b'2' | b'-' | b'b' | b'e' => Self::Change,
            _ => Self::Unknown,
        }
    }

    /// Whether it ends the waiting.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Quarantine | Self::Change | Self::Progress)
    }

    /// Whether the message goes on its way.
    pub(crate) fn passes(self) -> bool {
        matches!(self, Self::Continue | Self::Accept | Self::Skip)
    }
}

/// The first frame of `octets` as kind and data, and its length; none while it
/// is not whole.
pub(crate) fn split(octets: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (kind, data) = rest.get(..length)?.split_first()?;
    Some((*kind, data, length + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_to_a_negotiation() {
        let words = [6, 0x20, NO_BODY | SILENT_HEADER, 3].map(u32::to_be_bytes);
        let data = [words.as_flattened(), b"j {rcpt_addr}\0"].concat();
        let found = Negotiated::parse(&data).unwrap();
        assert!(found.has(NO_BODY) && found.has(SILENT_HEADER) && !found.has(NO_DATA));
        assert_eq!(found.macros[3].as_deref(), Some("j {rcpt_addr}"));
        assert_eq!(found.macros[0], None);
        for cut in [0, 11, 13, data.len() - 1] {
            assert!(Negotiated::parse(&data[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn replies() {
        assert_eq!(split(b"\0\0\0\x01c\0\0"), Some((b'c', &b""[..], 5)));
        assert_eq!(split(b"\0\0\0\x05y451"), None);
        assert_eq!(Reply::of(b'y', b"451 4.7.1 no\0"), Reply::Tempfail);
        assert_eq!(Reply::of(b'y', b"550 5.7.1 no\0"), Reply::Reject);
        assert!(Reply::of(b'c', b"").is_final() && !Reply::of(b'q', b"why\0").is_final());
    }
}
