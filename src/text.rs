//! Text that others chose (addresses, HELO names, headers) on its way to a
//! person: a terminal, a mail, a log.
//!
//! Every character that could move a cursor, break a line, hide itself or turn
//! the direction of what follows is written as an escape of Rust (`\n`,
//! `\u{1b}`). All else stays as it is, `%s` too: nothing here is a format.

use serde::{Deserializer, de};
use std::{borrow::Cow, fmt, fmt::Write as _, marker::PhantomData, str::FromStr};

/// Whether a character may reach a person as it is: it is no control character,
/// has a width, keeps its line and leaves the direction of others alone.
pub fn is_harmless(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    // They stack up over the lines around.
    let combining = matches!(c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}');
    !(c.is_control() || hidden || combining)
}

/// Text in which everything that is not harmless is escaped: one line.
pub fn clean(text: &str) -> Cow<'_, str> {
    if is_plain(text) || text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmless(c) {
            cleaned.push(c);
        } else {
            cleaned.extend(c.escape_default());
        }
    }
    Cow::Owned(cleaned)
}

/// The same for a message of our own that may have several lines.
pub fn clean_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.lines().map(clean).collect();
    lines.join("\n")
}

/// A JSON document in one line, in which everything that is not harmless is
/// `\uXXXX`. Such a character stands in strings only, so that it means the same.
pub fn clean_json(json: &str) -> Cow<'_, str> {
    if is_plain(json) || json.chars().all(is_harmless) {
        return Cow::Borrowed(json);
    }
    let mut cleaned = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if is_harmless(c) {
            cleaned.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(cleaned, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(cleaned)
}

/// Whether it is printable ASCII, which nearly all is: asked byte by byte, it takes
/// a tenth of the time.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Reads a value that is written as text, without a copy of that text.
pub(crate) fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    struct Parsed<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Parsed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Parsed(PhantomData))
}

/// How many columns a clean text takes on a screen: at least as many as any
/// terminal gives it.
pub fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The beginning of a clean text in at most so many columns, with `…` at its end
/// where something is left out.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if columns(text) <= most {
        return Cow::Borrowed(text);
    }
    let mut left = most.saturating_sub(1);
    let mut kept = String::new();
    for c in text.chars() {
        match left.checked_sub(width(c)) {
            Some(rest) => left = rest,
            None => break,
        }
        kept.push(c);
    }
    kept.push('…');
    Cow::Owned(kept)
}

/// Text that others chose in double quotes, clean and cut to so many columns
/// with them. Quotes and backslashes in it are escaped, so that it ends where
/// its quotes end.
pub fn quoted(text: &str, most: usize) -> String {
    let mut inner = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => inner.extend(['\\', c]),
            c if is_harmless(c) => inner.push(c),
            c => inner.extend(c.escape_default()),
        }
    }
    let mut quoted = String::with_capacity(inner.len() + 2);
    let _ = write!(quoted, "\"{}\"", cut(&inner, most.saturating_sub(2)));
    quoted
}

/// A clean text as one word of a POSIX shell.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

fn width(c: char) -> usize {
    let may_be_wide = matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2300}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{2e80}'..);
    if may_be_wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[31mb\r\nc"), "a\\u{1b}[31mb\\r\\nc");
        assert_eq!(clean("gro\u{df} \u{202e}evil"), "gro\u{df} \\u{202e}evil");
        assert_eq!(clean("a\u{2028}b\u{9b}c\u{301}d"), "a\\u{2028}b\\u{9b}c\\u{301}d");
        assert_eq!(clean("%s %n 100%"), "%s %n 100%");
        assert_eq!(clean_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn json_means_the_same_and_has_no_control_character() {
        let text = "a\u{9b}31m\u{7f} \u{1b}\n \u{202e}\u{e0041} gro\u{df} \"\\ \u{1f600}";
        let value = serde_json::json!({ text: [text, 1, null] });
        let json = value.to_string();
        let written = clean_json(&json);
        assert!(written.chars().all(is_harmless), "{written:?}");
        assert!(written.contains("a\\u009b31m\\u007f "), "{written}");
        assert!(written.contains("\\udb40\\udc41 gro\u{df} "), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }

    #[test]
    fn what_is_quoted_ends_where_its_quotes_end() {
        assert_eq!(quoted("mail\" LIFTED \"", 40), r#""mail\" LIFTED \"""#);
        assert_eq!(quoted(r"a\", 40), r#""a\\""#);
        assert_eq!(quoted("abcdefgh", 8), "\"abcde…\"");
    }

    #[test]
    fn a_shell_reads_one_word() {
        for (text, word) in [
            ("login:a@b.example", "login:a@b.example"),
            ("", "''"),
            ("it's $(id)", r"'it'\''s $(id)'"),
            ("a;b`c`!#*~", "'a;b`c`!#*~'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_harmless_line_of_its_length(text in any::<String>(), most in 4..80_usize) {
            let line = quoted(&text, most);
            prop_assert!(line.chars().all(is_harmless));
            prop_assert!(columns(&line) <= most);
            prop_assert!(clean(&text).chars().all(is_harmless));
        }
    }
}
