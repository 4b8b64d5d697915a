//! Lines together with what they say, kept until their turn comes.
//!
//! What is read from a line borrows from its text, and the line waits in
//! [`Order`](super::Order): held together, each line is read once. Reading it again
//! when it leaves took a fifth of all instructions of a replay. Lines that were read
//! together share their memory, which goes with the last of them: with a text and an
//! allocation for each line a replay took a tenth longer.

use crate::maillog::{self, Line, Skip};
use memchr::memchr;
use self_cell::self_cell;
use std::rc::Rc;

/// The longest line in octets; what goes beyond is cut. Postfix cuts at 2,000.
pub(super) const LONGEST: usize = 16 * 1024;
/// Octets of most lines, at least: for so many lines there is room at once.
const SHORT: usize = 96;

type Said<'a> = Vec<Result<Line<'a>, Skip>>;

self_cell!(
    /// A text of several lines, and what each of them says.
    struct Block {
        owner: String,
        #[covariant]
        dependent: Said,
    }

    impl {Debug}
);

/// Lines that were read together.
#[derive(Debug, Default)]
pub struct Lines {
    block: Option<Rc<Block>>,
    next: usize,
}

/// One of them, which is understood.
#[derive(Debug)]
pub struct Kept {
    block: Rc<Block>,
    at: usize,
}

impl Lines {
    /// The lines of a text as it stands in a file, with line ends between them.
    pub fn read(text: String) -> Self {
        let block = Block::new(text, |text| {
            let mut said = Vec::with_capacity(text.len() / SHORT + 1);
            said.extend(each(text).map(|line| maillog::parse(bare(line))));
            said
        });
        Self { block: Some(Rc::new(block)), next: 0 }
    }
}

impl Iterator for Lines {
    type Item = Result<Kept, Skip>;

    /// The next line, or why it says nothing about mail.
    fn next(&mut self) -> Option<Self::Item> {
        let block = self.block.as_ref()?;
        let at = self.next;
        self.next += 1;
        match block.borrow_dependent().get(at) {
            Some(Ok(_)) => Some(Ok(Kept { block: Rc::clone(block), at })),
            Some(Err(skip)) => Some(Err(*skip)),
            None => {
                self.block = None;
                None
            }
        }
    }
}

impl Kept {
    /// What it says.
    pub fn line(&self) -> Option<&Line<'_>> {
        self.block.borrow_dependent().get(self.at)?.as_ref().ok()
    }
}

/// The lines of a text.
fn each(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr(b'\n', text.as_bytes());
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}

/// A line without what is none of it: NULs, which who goes on writing to a log that
/// was truncated leaves before it, what is beyond [`LONGEST`], and `\r` at its end.
fn bare(line: &str) -> &str {
    let line = line.trim_start_matches('\0');
    let line = line.get(..line.floor_char_boundary(LONGEST)).unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn each_line_is_read_as_if_it_stood_alone() {
        let line = |id: &str| format!("Nov 22 06:25:01 mx postfix/qmgr[9]: {id}: removed");
        let text = format!("\0\0{}\r\n\nno line\n{}", line("AAAA01"), line("AAAA02"));
        let mut lines = Lines::read(text);
        let first = lines.next().unwrap().unwrap();
        assert_eq!(first.line(), maillog::parse(&line("AAAA01")).as_ref().ok());
        assert_eq!(lines.next().unwrap().err(), Some(Skip::Empty));
        assert_eq!(lines.next().unwrap().err(), Some(Skip::NoTime));
        let last = lines.next().unwrap().unwrap();
        assert!(lines.next().is_none());
        assert!(lines.next().is_none());
        drop(lines);
        assert_eq!(last.line(), maillog::parse(&line("AAAA02")).as_ref().ok());
        assert!(Lines::read(String::new()).next().unwrap().is_err());
    }
}
