//! What reaches a terminal. What an attacker chose (addresses, names, texts)
//! is escaped on the way.

#![allow(clippy::print_stderr, reason = "this is where errors are printed")]

use comfy_table::{ContentArrangement, Table, presets};
use std::{
    borrow::Cow,
    io::{self, Write},
};

/// One message on standard error.
pub(super) fn complain(message: &str) {
    eprintln!("connguard: {}", clean_lines(message));
}

/// Text with everything escaped that could move a cursor or break a line.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() && !is_invisible(c);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if harmless(c) {
            cleaned.push(c);
        } else {
            cleaned.extend(c.escape_default());
        }
    }
    Cow::Owned(cleaned)
}

/// The same for a message of our own that may have several lines.
pub(super) fn clean_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.lines().map(clean).collect();
    lines.join("\n")
}

/// Bidirectional controls and characters without width: what is shown would
/// not be what is there.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A table without lines around it, in columns.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell).into_owned()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// An array of JSON values that is written as they come.
pub(super) struct JsonArray<W: Write> {
    out: W,
    empty: bool,
}

impl<W: Write> JsonArray<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, empty: true }
    }

    pub(super) fn push(&mut self, value: &serde_json::Value) -> io::Result<()> {
        self.out.write_all(if self.empty { b"[\n" } else { b",\n" })?;
        self.empty = false;
        serde_json::to_writer(&mut self.out, value)?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(if self.empty { b"[]\n" } else { b"\n]\n" })?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[31mb\r\nc"), "a\\u{1b}[31mb\\r\\nc");
        assert_eq!(clean("gro\u{df} \u{202e}evil"), "gro\u{df} \\u{202e}evil");
    }

    #[test]
    fn an_array_is_json_at_every_length() {
        for length in 0..3 {
            let mut out = Vec::new();
            let mut array = JsonArray::new(&mut out);
            for n in 0..length {
                assert!(array.push(&n.into()).is_ok());
            }
            assert!(array.finish().is_ok());
            let read: Result<Vec<u32>, _> = serde_json::from_slice(&out);
            assert_eq!(read.ok().map(|read| read.len()), usize::try_from(length).ok());
        }
    }
}
