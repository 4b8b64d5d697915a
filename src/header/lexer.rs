//! The lexical tokens of an address header (RFC 5322 section 3.2), read from
//! bytes without copying.
//!
//! What separates and means nothing is dropped and only noted as a gap before
//! the next token: white space, folds, control characters (NUL too), comments,
//! and the openers and closers that have no partner. So a lone `"` or `(` costs
//! itself and hides nothing after it.
//!
//! An encoded word is one opaque token wherever it stands: its text may hold a
//! `<` or an `@`, raw or encoded, and neither may become part of the structure
//! (RFC 2047 section 5).
//!
//! Time is linear: a search for a missing partner of `"` or `(` that ran to
//! the end is not repeated, and the other searches stop at the next byte at
//! which they could begin again (an encoded word: at the third such byte).

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run of ordinary characters, 8-bit ones included.
    Atom,
    /// `=?charset?Q?text?=`, whole.
    Encoded,
    /// `"…"`, with its quotes.
    Quoted,
    /// `[…]` after an `@`, with its brackets.
    Literal,
    /// `.`
    Dot,
    /// `@`
    At,
    /// One of `< > , ; :`
    Mark(u8),
}

/// A token, and what stood before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
    /// White space, a comment or the like separates it from the token before.
    pub(super) gap: bool,
}

/// Iterator over the tokens of a header value.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    quotes: bool,
    comments: bool,
    after_at: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { rest: value, quotes: true, comments: true, after_at: false }
    }

    /// For what stands inside a quoted string: a `"` there opens nothing.
    pub(super) fn inside_quotes(text: &'a [u8]) -> Self {
        Self { quotes: false, ..Self::new(text) }
    }

    fn advance(&mut self, length: usize) -> &'a [u8] {
        let (text, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        text
    }

    /// Skips what means nothing; whether there was any.
    fn skip_gap(&mut self) -> bool {
        let before = self.rest.len();
        while let Some(&byte) = self.rest.first() {
            let length = match byte {
                0..=b' ' | 0x7f | b')' | b']' => 1,
                b'(' => self.comment().unwrap_or(1),
                b'[' if !self.after_at || literal(self.rest).is_none() => 1,
                b'"' if self.quoted().is_none() => 1,
                _ => break,
            };
            self.advance(length);
        }
        self.rest.len() < before
    }

    /// Length of the comment, nested ones included, that begins here.
    fn comment(&mut self) -> Option<usize> {
        if !self.comments {
            return None;
        }
        let mut depth = 0_usize;
        let mut bytes = self.rest.iter().enumerate();
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'\\' => drop(bytes.next()),
                b'(' => depth += 1,
                b')' if depth == 1 => return Some(at + 1),
                b')' => depth -= 1,
                _ => {}
            }
        }
        self.comments = false;
        None
    }

    /// Length of the quoted string that begins here.
    fn quoted(&mut self) -> Option<usize> {
        if !self.quotes {
            return None;
        }
        let mut bytes = self.rest.iter().enumerate().skip(1);
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'\\' => drop(bytes.next()),
                b'"' => return Some(at + 1),
                _ => {}
            }
        }
        self.quotes = false;
        None
    }

    fn atom(&self) -> usize {
        let ends = |(at, &byte): (usize, &u8)| {
            is_special(byte) || (at > 0 && byte == b'=' && self.encoded_at(at).is_some())
        };
        let mut bytes = self.rest.iter().enumerate();
        bytes.position(ends).unwrap_or(self.rest.len()).max(1)
    }

    fn encoded_at(&self, at: usize) -> Option<usize> {
        encoded_word(self.rest.get(at..)?)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let gap = self.skip_gap();
        let (kind, length) = match *self.rest.first()? {
            b'@' => (Kind::At, 1),
            b'.' => (Kind::Dot, 1),
            byte @ (b'<' | b'>' | b',' | b';' | b':') => (Kind::Mark(byte), 1),
            // `skip_gap` leaves these two only where their partner exists.
            b'"' => (Kind::Quoted, self.quoted().unwrap_or(1)),
            b'[' => (Kind::Literal, literal(self.rest).unwrap_or(1)),
            _ => match self.encoded_at(0) {
                Some(length) => (Kind::Encoded, length),
                None => (Kind::Atom, self.atom()),
            },
        };
        self.after_at = kind == Kind::At;
        let text = self.advance(length);
        Some(Token { kind, text, gap })
    }
}

/// Whether the byte can't stand in an atom. The backslash can: names like
/// `EXAMPLE\jane` are met in local parts.
pub(super) fn is_special(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | 0x7f) || b"()<>@,;:\".[]".contains(&byte)
}

/// Length of the domain literal that begins here.
fn literal(text: &[u8]) -> Option<usize> {
    let (at, &end) =
        text.iter().enumerate().skip(1).find(|&(_, &byte)| b"[]<>\"@,;()".contains(&byte))?;
    (end == b']').then_some(at + 1)
}

/// Length of the encoded word that begins here. White space ends one, as
/// RFC 2047 has it; specials don't, as mail programs have it.
fn encoded_word(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"=?")?;
    let part = |rest: &[u8]| {
        let end = rest.iter().position(|&byte| byte == b'?' || byte <= b' ' || byte == 0x7f)?;
        (rest.get(end) == Some(&b'?')).then_some(end)
    };
    let charset = part(rest)?;
    let rest = rest.get(charset + 1..)?;
    let &[b'B' | b'b' | b'Q' | b'q', b'?', ..] = rest else {
        return None;
    };
    let rest = rest.get(2..)?;
    let words = part(rest)?;
    let closed = charset > 0 && rest.get(words + 1) == Some(&b'=');
    // `=?`, charset, `?`, encoding, `?`, words, `?=`
    closed.then_some(2 + charset + 1 + 2 + words + 2)
}
