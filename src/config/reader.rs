//! A typed reader over a parsed TOML file, which records what it does not
//! like, with its place, and goes on.
//!
//! A [`Table`] gives out the keys that it is asked for. Asking is the schema:
//! what nobody asked for when a table goes out of scope is an unknown key and
//! a fault, so that nothing is ever ignored in silence. Whoever gets nothing
//! for a key uses its default; if that was for a fault, the result is thrown
//! away in the end.

mod table;

pub(super) use table::{Item, Spot, Table, Text};

use super::{
    fault::{Fault, Faults, Lines, Position},
    files::{FileError, Files},
    hint,
    syntax::SyntaxFault,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};
use toml::de::DeTable;

/// What is recorded while a file is read.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    file: &'t Path,
    /// Where other files come from.
    octets: Files<'t>,
    lines: Lines<'t>,
    /// Whether the file is valid TOML; if not, what is absent may be there.
    whole: bool,
    /// From here on the parser's reading is not believed.
    end: usize,
    broken_lines: HashSet<usize>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<(Option<Position>, String)>>,
    files: RefCell<Vec<PathBuf>>,
    known: RefCell<BTreeMap<String, BTreeSet<&'static str>>>,
    unknown: RefCell<Vec<(String, String, usize)>>,
}

impl<'t> Reader<'t> {
    /// A reader of a file with this text, in which the parser found these
    /// faults and which is believed up to the octet `end`.
    pub(super) fn new(
        file: &'t Path,
        text: &'t str,
        (syntax, end): (Vec<SyntaxFault>, usize),
        octets: Files<'t>,
    ) -> Self {
        let lines = Lines::new(text);
        let fault = |fault: &SyntaxFault| Fault {
            file: file.to_owned(),
            position: Some(lines.position(fault.at)),
            key: None,
            message: fault.message.clone(),
        };
        let faults: Vec<Fault> = syntax.iter().map(fault).collect();
        let lines_of = |fault: &Fault| fault.position.map(|position| position.line);
        Self {
            file,
            octets,
            whole: faults.is_empty(),
            end,
            broken_lines: faults.iter().filter_map(lines_of).collect(),
            faults: RefCell::new(faults),
            warnings: RefCell::default(),
            files: RefCell::new(vec![file.to_owned()]),
            known: RefCell::default(),
            unknown: RefCell::default(),
            lines,
        }
    }

    /// The whole file as a table.
    pub(super) fn top<'r>(&'r self, entries: DeTable<'t>) -> Table<'r, 't> {
        Table::top(self, entries)
    }

    /// Records a fault of another file.
    pub(super) fn fault_elsewhere(&self, file: &Path, position: Position, message: String) {
        self.faults.borrow_mut().push(Fault {
            file: file.to_owned(),
            position: Some(position),
            key: None,
            message,
        });
    }

    /// The octets of another file, which is part of the configuration from now on.
    pub(super) fn read_file(&self, file: &Path) -> Result<Vec<u8>, FileError> {
        self.add_file(file);
        (self.octets.0)(file)
    }

    /// Keys that were asked for so far, with their sections.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        let known = self.known.borrow();
        let names = |(section, keys): (&String, &BTreeSet<&'static str>)| {
            keys.iter().map(|key| joined(section, key)).collect::<Vec<_>>()
        };
        known.iter().flat_map(names).collect()
    }

    fn add_file(&self, file: &Path) {
        let mut files = self.files.borrow_mut();
        if !files.iter().any(|known| known == file) {
            files.push(file.to_owned());
        }
    }

    /// Records something odd that has no place in the file.
    pub(super) fn warn(&self, message: String) {
        self.warnings.borrow_mut().push((None, message));
    }

    /// The files that were read and the warnings, or all faults.
    pub(super) fn finish(self) -> Result<(Vec<PathBuf>, Vec<String>), Faults> {
        for (section, key, at) in self.unknown.take() {
            self.record(at, Some(&joined(&section, &key)), self.explain(&section, &key));
        }
        let files = self.files.into_inner();
        let faults = self.faults.into_inner();
        if faults.is_empty() {
            let mut warnings = self.warnings.into_inner();
            // Those of a place first, in order.
            warnings.sort_by_key(|(place, _)| (place.is_none(), *place));
            Ok((files, warnings.into_iter().map(|(_, text)| text).collect()))
        } else {
            Err(Faults::sorted(faults, &files))
        }
    }

    fn record(&self, at: usize, key: Option<&str>, message: String) {
        let position = self.lines.position(at);
        if at < self.end && !self.broken_lines.contains(&position.line) {
            self.faults.borrow_mut().push(Fault {
                file: self.file.to_owned(),
                position: Some(position),
                key: key.filter(|key| !key.is_empty()).map(str::to_owned),
                message,
            });
        }
    }

    /// What is wrong with an unknown key, and what may have been meant.
    fn explain(&self, section: &str, key: &str) -> String {
        let known = self.known.borrow();
        let own = known.get(section).cloned().unwrap_or_default();
        let place = title(section);
        let what = if section.is_empty() {
            "is not known here".to_owned()
        } else {
            format!("is no key of {place}")
        };
        if let Some(meant) = hint::nearest(key, own.iter().copied()) {
            return format!("{what}; did you mean {meant}?");
        }
        let elsewhere = known.iter().filter(|(_, keys)| keys.contains(key));
        let homes: Vec<String> = elsewhere
            .map(|(home, _)| match home.as_str() {
                "" => "at the top of the file, before the first [section]".to_owned(),
                home => format!("in {}", title(home)),
            })
            .collect();
        if !homes.is_empty() {
            return format!("{what}; it belongs {}", homes.join(" or "));
        }
        let names: Vec<&str> = own.into_iter().collect();
        format!("{what}; known are {}", names.join(", "))
    }
}

/// A section as it is written.
fn title(section: &str) -> String {
    match section {
        "connector" | "organization" => format!("[[{section}]]"),
        _ if section.contains('.') => section.to_owned(),
        _ => format!("[{section}]"),
    }
}

fn joined(section: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let key = if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        let short: String = key.chars().take(60).collect();
        format!("{short:?}")
    };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}
