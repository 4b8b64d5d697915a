//! What is wrong with a configuration, said so that it can be put right:
//! `FILE:LINE:COLUMN: key: what is wrong; what was expected`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A place in a file, both counted from 1; a column is one character.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The file, spelt as it was given.
    pub file: PathBuf,
    /// Where in the file; nothing if it is about the file as a whole.
    pub position: Option<Position>,
    /// The key, with its sections: `milter.listen`.
    pub key: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Everything that is wrong, in order of position; files in the order in
/// which they were read. Displayed one a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn sorted(mut faults: Vec<Fault>, files: &[PathBuf]) -> Self {
        faults.sort_by_key(|fault| {
            let file = files.iter().position(|file| *file == fault.file);
            (file, fault.position)
        });
        Self(faults)
    }

    pub(super) fn of_file(file: &Path, position: Option<Position>, message: String) -> Self {
        Self(vec![Fault { file: file.to_owned(), position, key: None, message }])
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The beginnings of the lines of a text.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Where the octet at `offset` stands.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        // A byte order mark takes no room in an editor.
        let column = before.chars().filter(|c| *c != '\u{feff}').count() + 1;
        Position { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let lines = Lines::new("\u{feff}a = 1\nüß = 2\n");
        let at = |offset| {
            let position = lines.position(offset);
            (position.line, position.column)
        };
        assert_eq!(at(3), (1, 1));
        assert_eq!(at(9), (2, 1));
        assert_eq!(at(16), (2, 6));
        assert_eq!(at(18), (3, 1), "the end of the text");
        assert_eq!(at(99), (3, 1));
    }
}
