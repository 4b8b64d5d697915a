//! What is to leave, in the order of its time.

use super::result::Answered;
use crate::timestamp::Timestamp;
use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

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
    number: u64,
    pub(super) what: What,
}

impl Ord for Event {
    /// The oldest is the greatest; of the same time, the one that came first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

/// See the head of this module.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Event>,
    next: u64,
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
        self.next += 1;
        // What has left stands: nothing goes back in time.
        self.heap.push(Event { at: at.max(self.left), number: self.next, what });
    }

    /// The oldest, and whether it is due; `is_complete` is asked of a message.
    pub(super) fn due(&self, is_complete: impl FnOnce(u64) -> bool) -> Option<Due> {
        let oldest = self.heap.peek()?;
        let age = self.now.since(oldest.at);
        let waits = || matches!(oldest.what, What::Mail(number) if !is_complete(number));
        if age >= WINDOW || age >= SLACK && !waits() {
            Some(Due::Time)
        } else {
            (self.heap.len() > MOST_EVENTS).then_some(Due::Crowd)
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.heap.pop()?;
        self.left = event.at;
        Some(event)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn late(&self) -> u64 {
        self.late
    }
}
