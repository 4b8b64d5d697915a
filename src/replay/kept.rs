//! A line together with what it says, kept until its turn comes.
//!
//! What is read from a line borrows from its text, and the line waits in
//! [`Order`](super::Order): held together, each line is read once. Reading it again
//! when it leaves took a fifth of all instructions of a replay.

use crate::maillog::{self, Line, Skip};
use self_cell::self_cell;

self_cell!(
    /// See the head of this module.
    pub struct Kept {
        owner: String,
        #[covariant]
        dependent: Line,
    }

    impl {Debug}
);

impl Kept {
    /// A line as it stands in a file, without its line end.
    ///
    /// # Errors
    /// Why it says nothing about mail; with its text, whose room can be used again.
    pub fn read(text: String) -> Result<Self, (String, Skip)> {
        Self::try_new_or_recover(text, |text| maillog::parse(text))
    }

    /// What it says.
    pub fn line(&self) -> &Line<'_> {
        self.borrow_dependent()
    }

    /// The line.
    pub fn text(&self) -> &str {
        self.borrow_owner()
    }
}
