//! A man page as roff, with the macros of man(7).
//!
//! Texts are plain; what stands between backticks is bold. Nothing in a text is taken for
//! roff, and what is copied out of a page is what was meant: a hyphen is a hyphen, not a
//! dash, and quotes stay straight. The crate `roff` leaves `~`, `^` and arguments of
//! macros as they are, so that this is our own.

use std::fmt::Write as _;

/// Columns after which a line of the source is broken.
const WIDTH: usize = 78;

/// A page that is being written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// A page `name(section)`, with the date of its release and what it is in a line.
    pub(super) fn new(name: &str, section: u8, date: &str, about: &str) -> Self {
        let mut page = Self { text: String::new() };
        let volume = match section {
            1 => "User Commands",
            5 => "File Formats",
            _ => "System Administration",
        };
        let version = concat!("connguard ", env!("CARGO_PKG_VERSION"));
        // The date as it is: mandoc(1) knows it only without escapes.
        let _ = writeln!(
            page.text,
            ".TH {} {section} {date} {} {}",
            quoted(&name.to_uppercase()),
            quoted(version),
            quoted(volume)
        );
        // Values and names of keys are copied: they stay in one piece.
        page.text.push_str(".nh\n.ad l\n");
        page.heading("Name");
        // Without markup: this line goes into the index of pages.
        let _ = writeln!(page.text, "{} \\- {}", escape(name), escape(about));
        page
    }

    /// A heading; those of the first order are in capitals.
    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.text, ".SH {}", quoted(&text.to_uppercase()));
    }

    /// A heading below it.
    pub(super) fn subheading(&mut self, text: &str) {
        let _ = writeln!(self.text, ".SS {}", quoted(text));
    }

    /// A paragraph.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.text.push_str(".P\n");
        self.lines(text);
    }

    /// A paragraph right below a heading, where the macro for one would be empty.
    pub(super) fn first(&mut self, text: &str) {
        self.lines(text);
    }

    /// Something with its explanation.
    pub(super) fn term(&mut self, tag: &str, text: &str) {
        let _ = writeln!(self.text, ".TP\n{}", inline(tag));
        self.lines(text);
    }

    /// One more paragraph of the explanation before.
    pub(super) fn more(&mut self, text: &str) {
        self.text.push_str(".IP\n");
        self.lines(text);
    }

    /// Lines as they are.
    pub(super) fn example(&mut self, text: &str) {
        self.text.push_str(".P\n.RS 4\n.EX\n");
        for line in text.lines() {
            let _ = writeln!(self.text, "{}", guarded(&escape(line)));
        }
        self.text.push_str(".EE\n.RE\n");
    }

    /// The source of the page.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Text in lines of at most [`WIDTH`] columns; a sentence begins a line.
    fn lines(&mut self, text: &str) {
        let text = inline(text);
        let mut line = String::new();
        for word in text.split_whitespace() {
            let is_sentence = line.ends_with('.') || line.ends_with(".\\fR");
            if !line.is_empty() && (is_sentence || line.len() + word.len() >= WIDTH) {
                let _ = writeln!(self.text, "{}", guarded(&line));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            // Where it may be broken, as it is longer than any line.
            let word = if word.len() > WIDTH { word.replace(':', ":\\:") } else { word.to_owned() };
            line.push_str(&word);
        }
        let _ = writeln!(self.text, "{}", guarded(&line));
    }
}

/// A text whose parts between backticks are bold.
fn inline(text: &str) -> String {
    let mut roff = String::new();
    for (at, part) in text.split('`').enumerate() {
        let part = escape(part);
        if at % 2 == 1 {
            let _ = write!(roff, "\\fB{part}\\fR");
        } else {
            roff.push_str(&part);
        }
    }
    roff
}

/// A text in which roff finds nothing of its own, within a line.
fn escape(text: &str) -> String {
    let mut roff = String::new();
    for c in text.chars() {
        match c {
            '\\' => roff.push_str("\\e"),
            '-' => roff.push_str("\\-"),
            '\'' => roff.push_str("\\(aq"),
            '"' => roff.push_str("\\(dq"),
            '`' => roff.push_str("\\(ga"),
            '^' => roff.push_str("\\(ha"),
            '~' => roff.push_str("\\(ti"),
            ' '..='~' => roff.push(c),
            c if c.is_control() => roff.push(' '),
            c => {
                let _ = write!(roff, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    roff
}

/// A line that is no request, whatever it begins with.
fn guarded(line: &str) -> String {
    if line.starts_with('.') { format!("\\&{line}") } else { line.to_owned() }
}

/// An argument of a macro.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_roff() {
        for (text, expected) in [
            ("--for 2h", "\\-\\-for 2h"),
            ("a\\fBb", "a\\efBb"),
            ("'x' \"y\" ~^", "\\(aqx\\(aq \\(dqy\\(dq \\(ti\\(ha"),
            ("bücher\t", "b\\[u00FC]cher "),
        ] {
            assert_eq!(escape(text), expected);
        }
        let mut page = Page { text: String::new() };
        page.first(".SH no heading");
        page.first("'br no break");
        page.first("a sentence.  `-x`, bold");
        page.example(".TH\n  x");
        page.subheading("say \"no\"");
        assert_eq!(
            page.finish(),
            "\\&.SH no heading\n\\(aqbr no break\na sentence.\n\\fB\\-x\\fR, bold\n\
             .P\n.RS 4\n.EX\n\\&.TH\n  x\n.EE\n.RE\n.SS \"say \\(dqno\\(dq\"\n"
        );
    }

    #[test]
    fn no_line_begins_with_a_request_wherever_it_is_broken() {
        for before in 0..WIDTH {
            let mut page = Page { text: String::new() };
            page.first(&format!("{} .in 5 .example.net", "x".repeat(before)));
            assert!(page.finish().lines().all(|line| !line.starts_with('.')), "{before}");
        }
    }
}
