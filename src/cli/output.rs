//! What reaches a terminal. What an attacker chose (addresses, names, texts)
//! is escaped on the way.

#![allow(clippy::print_stderr, reason = "this is where errors are printed")]

pub(super) use crate::text::{clean, clean_lines};

use crate::text::clean_json;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, Write};

/// One message on standard error.
pub(super) fn complain(message: &str) {
    eprintln!("connguard: {}", clean_lines(message));
}

/// A JSON document and the end of its line.
pub(super) fn json(mut out: impl Write, value: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", clean_json(&serde_json::to_string(value)?))
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
        self.out.write_all(clean_json(&value.to_string()).as_bytes())
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
