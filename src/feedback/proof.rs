//! Whether the log tells of our messages, or of those of another Postfix.
//!
//! The first result of a message that the engine knows is the proof. It is taken
//! back when twenty messages were accepted since the last result and the first of
//! them was accepted ten minutes ago: an own log is not silent for so long.

use crate::timestamp::Timestamp;
use std::time::Duration;

/// So many messages without any result are too many.
const MANY: u64 = 20;
/// So long they may be without.
const LONG: Duration = Duration::from_secs(600);

/// What is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof {
    results: u64,
    /// Messages that were waited for, up to the last result.
    awaited: u64,
    /// Since when there are more.
    unanswered: Option<Timestamp>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    /// Neither.
    #[default]
    Open,
    /// It tells of our messages.
    Proven,
    /// It says nothing of them.
    Doubtful,
}

impl Proof {
    /// Begins anew: the log is another one.
    pub(super) fn new(results: u64, awaited: u64) -> Self {
        Self { results, awaited, ..Self::default() }
    }

    /// Takes in how many results of known messages there were, and how many
    /// messages that are waited for.
    pub(super) fn update(&mut self, results: u64, awaited: u64, now: Timestamp) -> State {
        if results > self.results {
            *self = Self { results, awaited, unanswered: None, state: State::Proven };
        } else if awaited > self.awaited {
            let since = *self.unanswered.get_or_insert(now);
            if awaited - self.awaited >= MANY && now.since(since) >= LONG {
                self.state = State::Doubtful;
            }
        }
        self.state
    }

    pub(super) fn state(&self) -> State {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    #[test]
    fn a_result_proves_it_and_a_long_silence_takes_that_back() {
        let mut proof = Proof::new(5, 100);
        assert_eq!(proof.update(5, 100, at(0)), State::Open);
        assert_eq!(proof.update(6, 101, at(1)), State::Proven);
        // A quiet night, then a burst.
        assert_eq!(proof.update(6, 101, at(9_000)), State::Proven);
        assert_eq!(proof.update(6, 150, at(9_001)), State::Proven);
        assert_eq!(proof.update(6, 150, at(9_600)), State::Proven);
        assert_eq!(proof.update(6, 150, at(9_601)), State::Doubtful);
        assert_eq!(proof.update(7, 150, at(9_602)), State::Proven);
    }

    #[test]
    fn few_messages_say_nothing() {
        let mut proof = Proof::new(0, 0);
        assert_eq!(proof.update(0, 1, at(0)), State::Open);
        assert_eq!(proof.update(0, 19, at(9_000)), State::Open);
        assert_eq!(proof.update(0, 20, at(9_000)), State::Doubtful);
    }
}
