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

use std::fmt;

use super::lexer::{Kind, Lexer, Token, is_special};

/// Addresses kept of one header. What a reader sees stands first.
pub const MAX_ADDRESSES: usize = 32;
/// Bytes kept of a local part; a longer one is cut, so that its length can't
/// hide the domain.
pub const MAX_LOCAL: usize = 256;
/// Bytes of the longest domain; DNS knows none longer, so such an address is
/// none.
pub const MAX_DOMAIN: usize = 255;

/// What a From header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromField {
    /// The addresses in the order of the header: at least one, at most
    /// [`MAX_ADDRESSES`].
    Addresses(Vec<FromAddress>),
    /// Well-formed and without an address: nothing but white space, comments,
    /// `<>`, or a group without members.
    Empty,
    /// Some text, and no address in it.
    Broken,
}

impl FromField {
    /// The addresses; none if empty or broken.
    pub fn addresses(&self) -> &[FromAddress] {
        match self {
            Self::Addresses(addresses) => addresses,
            Self::Empty | Self::Broken => &[],
        }
    }
}

/// One address of a From header, without comments, folds and white space
/// around its parts. Holds no control characters. The case is as written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FromAddress {
    text: String,
    at: usize,
}

impl FromAddress {
    /// The whole address, `local@domain`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the last `@` that is not quoted, with its quotes.
    /// Never empty, at most [`MAX_LOCAL`] bytes.
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The domain as written, without trailing dots and otherwise not
    /// normalized or checked; a domain literal has its brackets. Never empty,
    /// at most [`MAX_DOMAIN`] bytes.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }
}

impl fmt::Display for FromAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for FromAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Reads the addresses from the value of a From header: the bytes after the
/// colon, folds included.
pub fn from_addresses(value: &[u8]) -> FromField {
    let mut reader = Reader::default();
    for token in Lexer::new(value) {
        if reader.found.len() >= MAX_ADDRESSES {
            break;
        }
        reader.token(token);
    }
    reader.flush();
    let mut found = reader.found;
    if found.is_empty() && reader.words {
        found = anywhere(value);
    }
    found.truncate(MAX_ADDRESSES);
    match (found.is_empty(), reader.words) {
        (false, _) => FromField::Addresses(found),
        (true, false) => FromField::Empty,
        (true, true) => FromField::Broken,
    }
}

/// The state between two tokens of an address list.
#[derive(Default)]
struct Reader<'a> {
    found: Vec<FromAddress>,
    /// The words since the last mark.
    run: Vec<Token<'a>>,
    /// Between `<` and `>`.
    angle: bool,
    /// This mailbox has had its address between `<` and `>`: what follows up to
    /// the comma is none.
    done: bool,
    /// There was text that is neither comment nor name of a group.
    words: bool,
}

impl<'a> Reader<'a> {
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
            let before = self.found.len();
            collect(&self.run, &mut self.found);
            self.done |= self.angle && self.found.len() > before;
        }
        self.run.clear();
    }
}

/// The last resort: whatever looks like an address in text that a mail program
/// shows as a name; inside quotes only if nothing is found outside them.
fn anywhere(value: &[u8]) -> Vec<FromAddress> {
    let mut found = Vec::new();
    let tokens: Vec<Token<'_>> = Lexer::new(value).collect();
    for run in tokens.split(|token| matches!(token.kind, Kind::Mark(_))) {
        collect(run, &mut found);
    }
    if found.is_empty() {
        let quoted = tokens.iter().filter(|token| token.kind == Kind::Quoted);
        for token in quoted {
            let tokens: Vec<Token<'_>> = Lexer::inside_quotes(token.text).collect();
            for run in tokens.split(|token| matches!(token.kind, Kind::Mark(_))) {
                collect(run, &mut found);
            }
        }
    }
    found
}

/// Adds the addresses in a run of words; stops at [`MAX_ADDRESSES`].
fn collect(run: &[Token<'_>], found: &mut Vec<FromAddress>) {
    let chunks = run.chunk_by(|left, right| joined(*left, *right));
    let room = MAX_ADDRESSES.saturating_sub(found.len());
    found.extend(chunks.filter_map(address).take(room));
}

/// Whether two neighbours belong to one address. Around `.` and `@` the
/// obsolete syntax allows white space and comments.
fn joined(left: Token<'_>, right: Token<'_>) -> bool {
    let glue = |token: Token<'_>| matches!(token.kind, Kind::Dot | Kind::At);
    let word = |token: Token<'_>| matches!(token.kind, Kind::Atom | Kind::Encoded);
    glue(left) || glue(right) || (!right.gap && word(left) && word(right))
}

fn address(chunk: &[Token<'_>]) -> Option<FromAddress> {
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
    let mut local = text(local, MAX_LOCAL);
    let domain = text(domain, MAX_DOMAIN + 1);
    if domain.len() > MAX_DOMAIN {
        return None;
    }
    // 'jane@x.test': quotes that no standard knows and people type.
    let domain = match domain.strip_suffix('\'') {
        Some(domain) => {
            if local.len() > 1 && local.starts_with('\'') {
                local.remove(0);
            }
            domain
        }
        None => &domain,
    };
    let domain = domain.trim_end_matches(|char: char| char == '.' || char.is_whitespace());
    let unclosed = domain.starts_with('[') && !domain.ends_with(']');
    if local.is_empty() || domain.is_empty() || unclosed {
        return None;
    }
    let at = local.len();
    Some(FromAddress { text: local + "@" + domain, at })
}

/// The text of the tokens as UTF-8 without folds and control characters, cut
/// after at most `limit` bytes.
fn text(tokens: &[Token<'_>], limit: usize) -> String {
    let mut text = String::new();
    for token in tokens {
        // Bytes beyond the limit can't matter, and would be decoded in vain.
        let bytes = token.text.get(..=limit).unwrap_or(token.text);
        for char in String::from_utf8_lossy(bytes).chars() {
            let char = match char {
                '\r' | '\n' => continue,
                '\t' => ' ',
                char if char.is_control() => char::REPLACEMENT_CHARACTER,
                char => char,
            };
            if text.len() + char.len_utf8() > limit {
                return text;
            }
            text.push(char);
        }
    }
    text
}

#[cfg(test)]
mod tests;
