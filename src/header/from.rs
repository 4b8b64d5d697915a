//! The addresses of a From header (RFC 5322 section 3.6.2, with the obsolete
//! forms of section 4.4).
//!
//! What counts is where a reply would go, not what is shown: the text between
//! `<` and `>`, whatever the display name looks like. Without one, what looks
//! like an address outside quotes and comments. The structure is parsed first
//! and nothing is decoded after it, so an encoded word can't become an address.
//!
//! | written | read |
//! |---|---|
//! | `"x@y.test" <z@w.test>` | `z@w.test` |
//! | `Team: a@x.test, b@y.test;` | both |
//! | `<@a.test,@b.test:u@c.test>` | `u@c.test`: the route is dropped |
//! | `jane . doe @ x(office).test` | `jane.doe@x.test` |
//! | `"a b"@x.test.` | `"a b"@x.test`: quotes stay, the last dot goes |
//! | `<a@b.test> <c@d.test>` | both |
//! | `"Jane <a@b.test`, `<a@b.test` | `a@b.test`: what is never closed is skipped |
//! | `a@b@c.test` | `a@b@c.test`, of the domain `c.test`, as Postfix reads it |
//! | `<mailto:a@b.test>` | `a@b.test` |
//! | `"a@b.test"`, `a@b.test <>` | `a@b.test`, only because nothing better is there |
//! | `=?utf-8?Q?a@b.test?=` | broken |
//!
//! This is own code and not `mailparse::addrparse_header`: that function gives
//! up the whole header at the first fault (an unclosed quote, two addresses
//! without a comma, a word without `@`), knows no quoted local part, and keeps
//! white space and routes inside the address. For a mail program that is a
//! choice; here each of them would let the sender hide a foreign address.

use super::{
    lexer::{Kind, Lexer, Token, is_special},
    plain::{self, plain},
};
use smallvec::SmallVec;

/// Addresses kept of one message. What a reader sees stands first.
pub const MAX_ADDRESSES: usize = 32;
/// Bytes kept of a local part; a longer one is cut, so that its length can't
/// hide the domain.
pub const MAX_LOCAL: usize = 256;
/// Bytes of the longest domain; DNS knows none longer, so such an address is
/// none.
pub const MAX_DOMAIN: usize = 255;

/// Words of a display name, or of an address, that are looked at without an
/// allocation.
const WORDS: usize = 32;

/// Words in a row.
type Run<'a> = SmallVec<[Token<'a>; WORDS]>;

/// What a From header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromField {
    /// The addresses in the order of the header: at least one, at most
    /// [`MAX_ADDRESSES`]. What an address is: see [`Addresses`].
    Addresses(Vec<String>),
    /// Well-formed and without an address: nothing but white space, comments,
    /// `<>`, or a group without members.
    Empty,
    /// Some text, and no address in it.
    Broken,
}

impl FromField {
    /// The addresses; none if empty or broken.
    pub fn addresses(&self) -> &[String] {
        match self {
            Self::Addresses(addresses) => addresses,
            Self::Empty | Self::Broken => &[],
        }
    }
}

/// Reads the addresses from the value of a From header: the bytes after the
/// colon, folds included.
pub fn from_addresses(value: &[u8]) -> FromField {
    let mut found = Addresses::default();
    let words = found.read(value);
    found.texts.truncate(found.used);
    match (found.texts.is_empty(), words) {
        (false, _) => FromField::Addresses(found.texts),
        (true, false) => FromField::Empty,
        (true, true) => FromField::Broken,
    }
}

/// The addresses of the From headers of one message, in buffers that serve for
/// the next one too: where these are large enough, nothing is allocated for an
/// ordinary header.
///
/// Each is whole, `local@domain`, without comments, folds and white space around
/// its parts and without control characters; the case is as written. The local
/// part, of at most [`MAX_LOCAL`] bytes, has its quotes. The domain, of at most
/// [`MAX_DOMAIN`] bytes, has no trailing dots and no `@`, and is otherwise not
/// normalized or checked; a domain literal has its brackets. Neither is empty.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Those found, then buffers that are free.
    texts: Vec<String>,
    used: usize,
}

impl Addresses {
    /// Forgets the addresses, and keeps the buffers.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds those in the value of a From header, as [`from_addresses`] finds
    /// them, up to [`MAX_ADDRESSES`] in all.
    pub fn add(&mut self, value: &[u8]) {
        self.read(value);
    }

    /// The addresses.
    pub fn as_slice(&self) -> &[String] {
        self.texts.get(..self.used).unwrap_or_default()
    }

    /// The same; says whether there was any text that is neither a comment nor
    /// the name of a group.
    fn read(&mut self, value: &[u8]) -> bool {
        let before = self.used;
        let mut reader = Reader::new(self);
        for token in Lexer::new(value) {
            if reader.found.is_full() {
                break;
            }
            reader.token(token);
        }
        reader.flush();
        let words = reader.words;
        if self.used == before && words {
            anywhere(value, self);
        }
        words
    }

    fn is_full(&self) -> bool {
        self.used >= MAX_ADDRESSES
    }

    /// Adds the addresses in a run of words, as long as there is room.
    fn collect(&mut self, run: &[Token<'_>]) {
        for chunk in run.chunk_by(|left, right| joined(*left, *right)) {
            if self.is_full() {
                return;
            }
            if self.used == self.texts.len() {
                self.texts.push(String::new());
            }
            if let Some(text) = self.texts.get_mut(self.used) {
                text.clear();
                self.used += usize::from(address(chunk, text).is_some());
            }
        }
    }
}

/// The state between two tokens of an address list.
struct Reader<'a, 'f> {
    found: &'f mut Addresses,
    /// The words since the last mark.
    run: Run<'a>,
    /// Between `<` and `>`.
    angle: bool,
    /// This mailbox has had its address between `<` and `>`: what follows up to
    /// the comma is none.
    done: bool,
    /// There was text that is neither comment nor name of a group.
    words: bool,
}

impl<'a, 'f> Reader<'a, 'f> {
    fn new(found: &'f mut Addresses) -> Self {
        Self { found, run: Run::new(), angle: false, done: false, words: false }
    }

    fn token(&mut self, token: Token<'a>) {
        match token.kind {
            Kind::Mark(b'<') => self.open(),
            Kind::Mark(b'>') => {
                self.flush();
                self.angle = false;
            }
            Kind::Mark(b':') => self.colon(),
            Kind::Mark(_) => {
                self.flush();
                self.done &= self.angle;
            }
            _ => self.run.push(token),
        }
    }

    /// What stood before a `<` was the display name, unless that `<` came
    /// before the `>` of another one.
    fn open(&mut self) {
        if self.angle {
            self.flush();
        }
        self.words |= !self.run.is_empty();
        self.run.clear();
        self.angle = true;
    }

    /// Before a colon stands the name of a group, a route, or `mailto`. The
    /// name of a group is no text without an address, unless it has an `@`.
    fn colon(&mut self) {
        let at = self.run.iter().any(|token| token.kind == Kind::At);
        self.words |= at || (self.angle && !self.run.is_empty());
        self.run.clear();
    }

    fn flush(&mut self) {
        self.words |= !self.run.is_empty();
        if self.angle || !self.done {
            let before = self.found.used;
            self.found.collect(&self.run);
            self.done |= self.angle && self.found.used > before;
        }
        self.run.clear();
    }
}

/// The last resort: whatever looks like an address in text that a mail program
/// shows as a name; inside quotes only if nothing is found outside them.
fn anywhere(value: &[u8], found: &mut Addresses) {
    let before = found.used;
    let tokens: Run<'_> = Lexer::new(value).collect();
    for run in tokens.split(|token| matches!(token.kind, Kind::Mark(_))) {
        found.collect(run);
    }
    if found.used == before {
        let quoted = tokens.iter().filter(|token| token.kind == Kind::Quoted);
        for token in quoted {
            let tokens: Run<'_> = Lexer::inside_quotes(token.text).collect();
            for run in tokens.split(|token| matches!(token.kind, Kind::Mark(_))) {
                found.collect(run);
            }
        }
    }
}

/// Whether two neighbours belong to one address. Around `.` and `@` the
/// obsolete syntax allows white space and comments.
fn joined(left: Token<'_>, right: Token<'_>) -> bool {
    let glue = |token: Token<'_>| matches!(token.kind, Kind::Dot | Kind::At);
    let word = |token: Token<'_>| matches!(token.kind, Kind::Atom | Kind::Encoded);
    glue(left) || glue(right) || (!right.gap && word(left) && word(right))
}

/// Writes the address that a chunk of words is; nothing where it is none, and
/// then what was written means nothing.
fn address(chunk: &[Token<'_>], text: &mut String) -> Option<()> {
    let at = chunk.iter().rposition(|token| token.kind == Kind::At)?;
    let (local, domain) = (chunk.get(..at)?, chunk.get(at + 1..)?);
    // In an address an encoded word is plain text; one that isn't even plain
    // text is no local part, and none is a domain.
    let hidden = |token: &Token<'_>| {
        token.kind == Kind::Encoded && token.text.iter().copied().any(is_special)
    };
    let foreign = |token: &Token<'_>| matches!(token.kind, Kind::Encoded | Kind::Quoted);
    if local.iter().any(hidden) || domain.iter().any(foreign) {
        return None;
    }
    write(local, MAX_LOCAL, text);
    trim(text, 0);
    let at = text.len();
    text.push('@');
    write(domain, MAX_DOMAIN + 1, text);
    if text.len() - (at + 1) > MAX_DOMAIN {
        return None;
    }
    trim(text, at + 1);
    let domain = text.get(at + 1..)?;
    // 'jane@x.test': quotes that no standard knows and people type, some more than once.
    let bare =
        domain.trim_end_matches(|char: char| matches!(char, '.' | '\'') || char.is_whitespace());
    let quoted = bare.len() < domain.len()
        && domain.get(bare.len()..).is_some_and(|rest| rest.contains('\''));
    let domain = bare;
    let unclosed = domain.starts_with('[') && !domain.ends_with(']');
    if at == 0 || domain.is_empty() || unclosed {
        return None;
    }
    let end = at + 1 + domain.len();
    text.truncate(end);
    if quoted && text.starts_with('\'') {
        let local = text.get(..at)?;
        let bare = local.trim_start_matches(|char: char| char == '\'' || char.is_whitespace());
        // Nothing but quotes: the last one is all there is.
        text.drain(..(at - bare.len()).min(at - 1));
    }
    Some(())
}

/// Takes away the white space around what stands there from an octet on: that beyond
/// ASCII is nothing to the lexer.
fn trim(text: &mut String, from: usize) {
    let part = text.get(from..).unwrap_or("");
    let is_plain = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
    if is_plain(part.as_bytes().first()) && is_plain(part.as_bytes().last()) {
        return;
    }
    let end = from + part.trim_end().len();
    let begin = (from + part.len() - part.trim_start().len()).min(end);
    text.truncate(end);
    text.drain(from..begin);
}

/// Adds what the tokens say as UTF-8 without folds and control characters, cut
/// after at most `limit` bytes.
fn write(tokens: &[Token<'_>], limit: usize, text: &mut String) {
    let end = text.len() + limit;
    for token in tokens {
        // Bytes beyond the limit can't matter, and would be decoded in vain.
        let bytes = token.text.get(..=limit).unwrap_or(token.text);
        if let Some(plain) = plain(bytes)
            && text.len() + plain.len() <= end
        {
            text.push_str(plain);
            continue;
        }
        for char in plain::chars(bytes) {
            let char = match char {
                '\r' | '\n' => continue,
                '\t' => ' ',
                char if char.is_control() => char::REPLACEMENT_CHARACTER,
                char => char,
            };
            if text.len() + char.len_utf8() > end {
                return;
            }
            text.push(char);
        }
    }
}

#[cfg(test)]
mod tests;
