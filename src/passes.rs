//! Passes for our own alerts: a HELO name that only the daemon knows, good for
//! one session. It stands in the Received header of the alert afterwards, and is
//! worth nothing by then.

use crate::timestamp::Timestamp;

/// Passes that were given out and not used.
#[derive(Debug, Default)]
pub struct Passes {}

impl Passes {
    /// A new HELO name below `host`, good for one session within a minute.
    pub fn issue(&self, host: &str, _now: Timestamp) -> String {
        host.to_owned()
    }

    /// Whether this HELO name is a pass; it is used up then.
    pub fn redeem(&self, _helo: &str, _now: Timestamp) -> bool {
        false
    }
}
