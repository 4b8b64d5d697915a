//! What reaches a terminal. What an attacker chose (addresses, names, texts)
//! is escaped on the way.

#![allow(clippy::print_stderr, reason = "this is where errors are printed")]

pub(super) use crate::text::{clean, clean_lines};

use crate::text::{clean_json, columns};
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
    render(head, rows).0
}

/// The same, and how wide its columns became.
fn render(head: &[&str], rows: Vec<Vec<String>>) -> (String, Vec<u16>) {
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
    (text, table.column_max_content_widths())
}

/// Rows that are printed while more are coming. The first [`MEASURED`] settle how wide
/// the columns are; where a later cell is wider, the rest of its line moves.
pub(super) struct Rows<'a, W> {
    out: W,
    head: &'a [&'a str],
    measured: Vec<Vec<String>>,
    widths: Option<Vec<u16>>,
}

/// Rows that are looked at before the first is printed. A list that is not longer is
/// printed as a table.
const MEASURED: usize = 200;

impl<'a, W: Write> Rows<'a, W> {
    pub(super) fn new(head: &'a [&'a str], out: W) -> Self {
        Self { out, head, measured: Vec::new(), widths: None }
    }

    pub(super) fn push(&mut self, row: Vec<String>) -> io::Result<()> {
        if let Some(widths) = &self.widths {
            return self.out.write_all(line(&row, widths).as_bytes());
        }
        self.measured.push(row);
        if self.measured.len() < MEASURED { Ok(()) } else { self.print_measured() }
    }

    /// Prints what is left, or `none` where there was nothing.
    pub(super) fn finish(mut self, none: &str) -> io::Result<()> {
        if self.widths.is_none() && self.measured.is_empty() {
            writeln!(self.out, "{none}")?;
        } else if self.widths.is_none() {
            self.print_measured()?;
        }
        self.out.flush()
    }

    fn print_measured(&mut self) -> io::Result<()> {
        let (text, widths) = render(self.head, std::mem::take(&mut self.measured));
        self.widths = Some(widths);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// A row under columns of these widths.
fn line(row: &[String], widths: &[u16]) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let cell = clean(cell);
        let missing = usize::from(*width).saturating_sub(columns(&cell));
        text.push_str(&cell);
        text.extend(std::iter::repeat_n(' ', missing + 2));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
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
    fn a_long_list_looks_as_a_short_one_and_wider_cells_move_their_line() {
        let head = ["ENTITY", "WHY"];
        let row = |n: usize| vec![format!("client:192.0.2.{}", n % 250), format!("reason {n}")];
        for length in [0, 1, MEASURED - 1, MEASURED, MEASURED + 1, 3 * MEASURED] {
            let mut out = Vec::new();
            let mut rows = Rows::new(&head, &mut out);
            assert!((0..length).all(|n| rows.push(row(n)).is_ok()));
            assert!(rows.finish("nothing").is_ok());
            let expected = match length {
                0 => "nothing\n".to_owned(),
                _ => table(&head, (0..length).map(row).collect()),
            };
            assert_eq!(String::from_utf8_lossy(&out), expected, "{length}");
        }
        let wide = ["login:a-very-long-one@example.org".to_owned(), "why".to_owned()];
        assert_eq!(line(&wide, &[15, 10]), "login:a-very-long-one@example.org  why\n");
        assert_eq!(line(&wide, &[40, 10]), format!("{:<42}why\n", wide[0]));
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
