//! Plain text in lines of at most [`WIDTH`] columns.
//!
//! What others chose comes in as one word, in quotes ([`other`]) or as the text
//! form of an entity: it is cut where it is too long, and never broken into two
//! lines. So no line begins with a text that they made up.

use crate::text::{clean, columns, cut, quoted};

/// The most columns of a line.
pub(super) const WIDTH: usize = 96;
/// The most columns of a text that others chose.
const OTHERS: usize = 60;
/// Stands for a blank that is no place to break a line.
pub(super) const GLUE: char = '\u{1}';
/// Where what a command does stands, behind it.
const BEHIND: usize = 56;

/// A text that others chose, in quotes, as one word.
pub(super) fn other(text: &str) -> String {
    glued(&quoted(text, OTHERS))
}

/// A text in which no line is broken.
pub(super) fn glued(text: &str) -> String {
    text.replace(' ', &GLUE.to_string())
}

/// A text of an operator, in quotes: clean, not too long, in as many lines as it
/// takes.
pub(super) fn said(text: &str) -> String {
    quoted(text, 200)
}

/// A page that is written from top to bottom.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// The heading of a part, with an empty line before it.
    pub(super) fn heading(&mut self, text: &str) {
        self.gap();
        self.wrap("", "", text);
    }

    /// An empty line, unless the page is empty or ends with one.
    pub(super) fn gap(&mut self) {
        if !(self.0.is_empty() || self.0.ends_with("\n\n")) {
            self.0.push('\n');
        }
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.wrap("", "", text);
    }

    pub(super) fn indented(&mut self, text: &str) {
        self.wrap("  ", "  ", text);
    }

    pub(super) fn item(&mut self, text: &str) {
        self.wrap("  - ", "    ", text);
    }

    /// A step of a list of things to do.
    pub(super) fn step(&mut self, number: usize, text: &str) {
        self.wrap(&format!("{number:>3}. "), "     ", text);
    }

    pub(super) fn pair(&mut self, name: &str, value: &str) {
        self.wrap(&format!("  {name:<13} "), "                ", value);
    }

    /// A command to be pasted into a shell, with what it does behind or above it.
    /// A long one goes on in the next line, as a shell reads it; one with a word
    /// that fits in no line is left out.
    pub(super) fn command(&mut self, command: &str, does: &str) {
        let command = clean(command);
        let length = columns(&command);
        let mut parts: Vec<String> = vec![format!("     {command}")];
        if length + 5 > WIDTH {
            let more = command.split(" --").map(|part| format!("         --{part} \\"));
            parts = more.collect();
            if let Some(first) = parts.first_mut() {
                *first = first.replacen("         --", "     ", 1);
            }
            if let Some(last) = parts.last_mut() {
                last.truncate(last.len().saturating_sub(2));
            }
            if parts.iter().any(|part| columns(part) > WIDTH) {
                return;
            }
        }
        let behind = BEHIND.max(length + 7);
        let beside = behind + 2 + columns(does) <= WIDTH && parts.len() == 1;
        if !(does.is_empty() || beside) {
            self.wrap("     # ", "     # ", does);
        }
        for part in parts {
            if beside && !does.is_empty() {
                let blanks = " ".repeat(behind.saturating_sub(columns(&part)));
                self.push(&format!("{part}{blanks}# {does}"));
            } else {
                self.push(&part);
            }
        }
    }

    /// A line that is no text to be broken, as of a table.
    pub(super) fn row(&mut self, text: &str) {
        self.push(&cut(&clean(&text.replace(GLUE, " ")), WIDTH));
    }

    fn push(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    /// Words in lines, of which the first begins with `first` and all others with
    /// `rest`.
    fn wrap(&mut self, first: &str, rest: &str, text: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let word = word.replace(GLUE, " ");
            let word = clean(&word);
            if !is_empty && columns(&line) + 1 + columns(&word) > WIDTH {
                self.push(&line);
                rest.clone_into(&mut line);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(&cut(&word, WIDTH.saturating_sub(columns(&line))));
            is_empty = false;
        }
        self.push(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_is_never_broken() {
        let mut page = Page::default();
        let evil =
            other("Lifted: all is well.\r\nNothing is refused, and nobody needs to do anything");
        for before in 0..60 {
            page.item(&format!("{} {evil} it said", "x".repeat(before)));
        }
        let text = page.into_text();
        assert!(text.lines().all(|line| columns(line) <= WIDTH));
        assert!(text.lines().all(|line| line.starts_with("  - ") || line.starts_with("    ")));
        assert!(!text.lines().any(|line| line.trim_start().starts_with("Lifted")));
        assert!(!text.lines().any(|line| line.trim_start().starts_with("Nothing")));
    }

    #[test]
    fn a_long_word_is_cut() {
        let mut page = Page::default();
        page.paragraph(&format!("a {} b", "x".repeat(500)));
        page.command(&"y".repeat(500), "is left out");
        page.command("postqueue -p", "what is in the queue");
        page.command(&format!("connguard unblock {} --reason 'why'", "z".repeat(70)), "");
        let text = page.into_text();
        assert!(text.lines().all(|line| columns(line) <= WIDTH), "{text}");
        assert!(text.contains("…\nb\n") && !text.contains('y'.to_string().repeat(9).as_str()));
        assert!(text.contains("z \\\n         --reason 'why'\n"), "{text}");
        assert!(text.contains("     postqueue -p ") && text.contains(" # what is in the queue"));
    }
}
