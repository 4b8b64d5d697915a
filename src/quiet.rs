//! Log lines that others can cause, now and then only.

use crate::timestamp::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Shortest time between two log lines of the same kind, in milliseconds.
const QUIET_MS: u64 = 60_000;

/// Lets one log line of its kind through in a minute.
#[derive(Debug, Default)]
pub(crate) struct Quiet(AtomicU64);

impl Quiet {
    /// Whether a line may be written now.
    pub(crate) fn allows(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        let next = self.0.load(Relaxed);
        now >= next
            && self.0.compare_exchange(next, now.saturating_add(QUIET_MS), Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_minute() {
        let quiet = Quiet::default();
        let at = |seconds| quiet.allows(Timestamp::from_seconds(seconds));
        assert!(at(1_000));
        assert!(!at(1_059));
        assert!(at(1_060));
    }
}
