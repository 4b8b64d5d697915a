//! Which senders of one connector the evidence speaks against, while its score
//! is above zero.

use crate::{
    record::Finding,
    signal::{Context, Observation},
};

/// Senders of a connector that are told apart; the rest counts as one.
pub const MOST: usize = 32;

/// The senders of one connector.
#[derive(Debug, Default)]
pub struct Senders {
    trials: u64,
}

impl Senders {
    /// A message of the sender with this hash and address: all its trials.
    pub fn observe(
        &mut self,
        _hash: u64,
        _address: &str,
        _seen: &Observation,
        _context: &Context<'_>,
    ) {
        self.trials += 1;
    }

    /// What the scores of a sender say, the largest first.
    pub fn findings(&self, _hash: u64, _context: &Context<'_>) -> Vec<Finding> {
        Vec::new()
    }
}
