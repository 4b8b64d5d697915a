//! What is to leave, in the order of its time.

use super::result::Answered;
use crate::timestamp::Timestamp;
use std::{collections::VecDeque, time::Duration};

/// Events that wait, at most.
const MOST_EVENTS: usize = 100_000;
/// Nothing leaves earlier after its time.
const SLACK: Duration = Duration::from_secs(60);
/// How long a message waits for what is not known of it.
const WINDOW: Duration = Duration::from_secs(300);

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// The message of a draft came to its end.
    Mail(u64),
    /// The transaction of a draft was given up.
    Abandoned(u64),
    /// A transaction without a queue id.
    Transaction(u64),
    /// A delivery result.
    Answer(Answered),
    /// The queue file of a draft was removed.
    Gone(u64),
}

/// One event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// See the head of this module.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// The oldest first; of the same time, the one that came first. Nearly every
    /// event comes behind all others, where a queue is quicker than a heap.
    queue: VecDeque<Event>,
    /// Time of the youngest line.
    now: Timestamp,
    /// Time of what left last.
    left: Timestamp,
    late: u64,
}

/// Why an event may leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// Its time has come.
    Time,
    /// There are too many.
    Crowd,
}

impl Events {
    /// A line of this time was read.
    pub(super) fn note(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    pub(super) fn push(&mut self, at: Timestamp, what: What) {
        if at < self.left {
            self.late += 1;
        }
        // What has left stands: nothing goes back in time.
        let at = at.max(self.left);
        if self.queue.back().is_none_or(|last| last.at <= at) {
            self.queue.push_back(Event { at, what });
        } else {
            let place = self.queue.partition_point(|other| other.at <= at);
            self.queue.insert(place, Event { at, what });
        }
    }

    /// The oldest, and whether it is due; `is_complete` is asked of a message.
    pub(super) fn due(&self, is_complete: impl FnOnce(u64) -> bool) -> Option<Due> {
        let oldest = self.queue.front()?;
        let age = self.now.since(oldest.at);
        let waits = || matches!(oldest.what, What::Mail(number) if !is_complete(number));
        if age >= WINDOW || age >= SLACK && !waits() {
            Some(Due::Time)
        } else {
            (self.queue.len() > MOST_EVENTS).then_some(Due::Crowd)
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.left = event.at;
        Some(event)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn late(&self) -> u64 {
        self.late
    }
}
