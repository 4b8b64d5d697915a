//! Screens in README.md that tests make from real output.
//!
//! A screen stands between `<!-- screen: NAME -->` and `<!-- end -->`, indented by four. A
//! test gives what was printed; where README says something else it fails. With
//! `UPDATE_SCREENS=1` it writes the screen instead. What differs from run to run (ids of
//! messages, and how many blanks follow from their length) is left out of the comparison.

use regex::Regex;
use std::{env, fmt::Write as _, fs, path::Path};

/// A session at a terminal: commands and what they print.
#[derive(Default)]
pub(crate) struct Screen(String);

impl Screen {
    /// A command as it is typed, and its output.
    pub(crate) fn add(&mut self, command: &str, output: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        writeln!(self.0, "{gap}$ {command}\n{}", output.trim_end()).unwrap();
    }

    /// README shows just this.
    #[track_caller]
    pub(crate) fn check(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let readme = fs::read_to_string(&path).unwrap();
        let begin = format!("<!-- screen: {name} -->\n");
        let (before, rest) = readme.split_once(&begin).expect("a screen of this name");
        let (shown, after) = rest.split_once("<!-- end -->").expect("its end");
        let shown: String = shown
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect();
        if compared(&shown) == compared(&self.0) {
            return;
        }
        if env::var_os("UPDATE_SCREENS").is_some() {
            let lines = self.0.lines().map(|line| format!("    {line}").trim_end().to_owned());
            let lines: Vec<_> = lines.collect();
            let text = format!("{before}{begin}\n{}\n\n<!-- end -->{after}", lines.join("\n"));
            fs::write(&path, text).unwrap();
            return;
        }
        panic!(
            "README's screen {name:?} is not what is printed (UPDATE_SCREENS=1 writes it):\n{}\nREADME has:\n{shown}",
            self.0
        );
    }
}

/// What has to be the same.
fn compared(screen: &str) -> String {
    let queue_id = Regex::new(r"(?-u:\b)[0-9A-F]{8,14}(?-u:\b)").unwrap();
    let message_id = Regex::new("[0-9]+@client[.]test").unwrap();
    let blanks = Regex::new(r"[ -]{2,}").unwrap();
    let lines = screen.trim().lines().map(|line| {
        let line = queue_id.replace_all(line, "QUEUE-ID");
        let line = message_id.replace_all(&line, "MESSAGE-ID");
        blanks.replace_all(line.trim_end(), "  ").into_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
