//! Headers in which a spam filter before connguard leaves its verdict.
//!
//! An entry is `Name: expression`. The name is compared without case. The
//! expression is a regular expression (crate `regex`, on bytes, ASCII classes)
//! without case, and must match at the beginning of the value, after unfolding
//! and trimming; the end is open. So `Yes` matches `Yes, score=12` and not
//! `No, score=1`. It also matches `Yesterday`: the verdict headers in use
//! begin with one of a few fixed words and append scores in several forms, so
//! the open end fits all of them, and none has a word that begins with the one
//! for spam and means something else. Who wants the end too writes `YES$`.

use regex::bytes::{Regex, RegexBuilder};
use smallvec::SmallVec;
use thiserror::Error;

/// The verdict headers of SpamAssassin, amavis and rspamd.
pub const DEFAULT_SPAM_HEADERS: [&str; 4] = [
    "X-Spam-Flag: YES",
    "X-Spam: Yes",
    "X-Spam-Status: Yes",
    "X-Rspamd-Action: (reject|add header|rewrite subject)",
];

/// Bytes that a compiled expression may take, so that a mistake such as
/// `.{1000}{1000}` is an error and not a daemon without memory.
const MAX_EXPRESSION: usize = 1 << 20;

/// Bytes of a folded value that are unfolded without an allocation: X-Spam-Status
/// lists the names of the tests, and has some hundreds.
const UNFOLDED: usize = 1024;

/// The headers that say that a message is spam. By default none.
#[derive(Debug, Clone, Default)]
pub struct SpamHeaders {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    value: Regex,
}

/// An entry that says no header and expression.
#[derive(Debug, Error)]
pub enum SpamHeaderError {
    /// There is no colon, or nothing before or after it.
    #[error(
        "{entry:?} is not a spam verdict header: write a header name, a colon and a regular expression, as in \"X-Spam-Flag: YES\""
    )]
    Form {
        /// The entry as configured.
        entry: String,
    },
    /// The header name holds a character that none may have.
    #[error(
        "{entry:?} names no header: {name:?} has a character that a header name can't have; use letters, digits and hyphens, as in \"X-Spam-Flag: YES\""
    )]
    Name {
        /// The entry as configured.
        entry: String,
        /// What stands before the colon.
        name: String,
    },
    /// The expression is none.
    #[error(
        "{entry:?} has no valid regular expression after its colon (put a backslash before a character that is meant literally): {source}"
    )]
    Expression {
        /// The entry as configured.
        entry: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
}

impl SpamHeaders {
    /// Reads entries such as those of [`DEFAULT_SPAM_HEADERS`].
    ///
    /// # Errors
    /// The first entry that is none; see [`SpamHeaderError`].
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, SpamHeaderError> {
        let entries = entries.iter().map(|entry| Entry::parse(entry.as_ref()));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Whether the value of a header of this name matters.
    pub fn wants(&self, name: &[u8]) -> bool {
        self.entries.iter().any(|entry| entry.is_named(name))
    }

    /// Whether this header says that its message is spam. `value` is what
    /// stands after the colon, folds included.
    pub fn matches(&self, name: &[u8], value: &[u8]) -> bool {
        let mut wanted = self.entries.iter().filter(|entry| entry.is_named(name));
        let Some(first) = wanted.next() else {
            return false;
        };
        let mut unfolded = SmallVec::new();
        let value = unfold(value.trim_ascii(), &mut unfolded);
        first.value.is_match(value) || wanted.any(|entry| entry.value.is_match(value))
    }
}

impl Entry {
    fn parse(entry: &str) -> Result<Self, SpamHeaderError> {
        let form = || SpamHeaderError::Form { entry: entry.to_owned() };
        let (name, value) = entry.split_once(':').ok_or_else(form)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err(form());
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SpamHeaderError::Name { entry: entry.to_owned(), name: name.to_owned() });
        }
        // First alone: the error shows what was written, and an unbalanced
        // parenthesis can't get out of the group that anchors it.
        let value = expression(value)
            .and_then(|_| expression(&format!(r"\A(?:{value})")))
            .map_err(|source| SpamHeaderError::Expression {
                entry: entry.to_owned(),
                source: Box::new(source),
            })?;
        Ok(Self { name: name.to_owned(), value })
    }

    fn is_named(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes())
    }
}

fn expression(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(true).unicode(false).size_limit(MAX_EXPRESSION).build()
}

/// Each line end becomes one space, together with the white space after it.
fn unfold<'a>(value: &'a [u8], unfolded: &'a mut SmallVec<[u8; UNFOLDED]>) -> &'a [u8] {
    let is_newline = |byte: &u8| matches!(byte, b'\r' | b'\n');
    if !value.iter().any(is_newline) {
        return value;
    }
    let lines = value.split(is_newline).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    for line in lines {
        if !unfolded.is_empty() {
            unfolded.push(b' ');
        }
        unfolded.extend_from_slice(line);
    }
    unfolded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn default_headers() {
        check("X-Spam-Flag", " YES", true);
        check("x-spam-FLAG", "yes\r\n", true);
        check("X-Spam-Flag", "NO", false);
        check("X-Spam", "Yes", true);
        check("X-Spam-Status", "Yes, score=12.1\r\n\trequired=5", true);
        check("X-Spam-Status", "No, score=1 yes", false);
        check("X-Rspamd-Action", "add header", true);
        check("X-Rspamd-Action", "add\r\n\theader", true);
        check("X-Rspamd-Action", "Reject", true);
        check("X-Rspamd-Action", "soft reject", false);
        check("X-Rspamd-Action", "no action", false);
        check("X-Spam-Score", "YES", false);
        check("X-Spam-Flag ", "YES", false);
        check("", "", false);
    }

    #[test]
    fn anchored_at_the_start_only() {
        let headers = SpamHeaders::parse(&["X-A: b|c", "X-A : ^d$"]).unwrap();
        for (value, expected) in [("bb", true), ("ac", false), ("d", true), ("dd", false)] {
            assert_eq!(headers.matches(b"x-a", value.as_bytes()), expected, "{value}");
        }
        assert!(headers.wants(b"X-a") && !headers.wants(b"X-B"));
        assert!(headers.matches(b"X-A", b"b \xff"), "8-bit values are met");
    }

    #[test]
    fn errors_name_the_entry_and_what_is_expected() {
        for (entry, expected) in [
            ("X-Spam-Flag", "as in \"X-Spam-Flag: YES\""),
            (": YES", "a header name, a colon"),
            ("X-Spam-Flag: ", "a regular expression"),
            ("X Spam: YES", "\"X Spam\" has a character"),
            ("X-Späm: YES", "\"X-Späm\" has a character"),
            ("X-A: (b", "unclosed group"),
            ("X-A: b)|(c", "unopened group"),
            ("X-A: .{1000}{1000}", "size limit"),
        ] {
            let error = SpamHeaders::parse(&[entry]).unwrap_err().to_string();
            assert!(error.contains(&format!("{entry:?}")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(value in proptest::collection::vec(any::<u8>(), 0..500)) {
            let headers = SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap();
            let spam = value.trim_ascii().to_ascii_lowercase().starts_with(b"yes");
            prop_assert_eq!(headers.matches(b"X-Spam", &value), spam);
            prop_assert!(!headers.matches(&value, &value));
        }
    }

    #[track_caller]
    fn check(name: &str, value: &str, expected: bool) {
        let headers = SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap();
        let matches = headers.matches(name.as_bytes(), value.as_bytes());
        assert_eq!(matches, expected, "{name}: {value:?}");
    }
}
