//! What is counted for an organization: how much of its recent relayed mail is
//! bad, and on how many of its connectors.

use crate::timestamp::Timestamp;

/// Organizations, by name.
#[derive(Debug, Default)]
pub struct Organizations {}

impl Organizations {
    /// A relayed message of a connector of this organization was judged; `bad` says
    /// that it made a bad trial.
    pub fn note(&self, _organization: &str, _bad: bool, _now: Timestamp) {}
}
