//! Results of queue files that nobody knows yet.
//!
//! Postfix logs what became of a message that a content filter handed back often
//! before the reply that ties it to the client's message. So the results of
//! files that came from a filter are kept: at most [`MOST`], for ten minutes, the
//! oldest make room. The same holds for the memory of which files those are.

use crate::{
    message::{Outcome, Provider},
    timestamp::Timestamp,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Results, and files from filters, that are kept.
const MOST: usize = 10_000;
const KEPT: Duration = Duration::from_secs(600);

/// A result, without its queue id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Told {
    /// The recipient as it is delivered to.
    pub(super) to: Box<str>,
    /// As it was given to Postfix, where that differs.
    pub(super) original: Option<Box<str>>,
    pub(super) outcome: Outcome,
    /// Who answered, and whether it may mean this host.
    pub(super) by: Option<(Box<str>, bool)>,
    pub(super) logged: Timestamp,
}

impl Told {
    pub(super) fn provider(&self) -> Option<Provider<'_>> {
        let (name, may_mean_us) = self.by.as_ref()?;
        Some(Provider { name, may_mean_us: *may_mean_us })
    }
}

/// Files that came from a filter, with their results so far.
#[derive(Debug)]
pub(super) struct Waiting {
    files: HashMap<Arc<str>, File>,
    /// The files in the order of their coming; with some that came anew.
    order: VecDeque<(Arc<str>, Timestamp)>,
    results: usize,
    most: usize,
}

#[derive(Debug)]
struct File {
    came: Timestamp,
    results: Vec<Told>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl Waiting {
    fn with_room_for(most: usize) -> Self {
        Self { files: HashMap::new(), order: VecDeque::new(), results: 0, most }
    }

    /// A file came from a filter. Gives how many results were given up.
    pub(super) fn came(&mut self, queue_id: &str, now: Timestamp) -> usize {
        let queue_id: Arc<str> = queue_id.into();
        let file = File { came: now, results: Vec::new() };
        let before = self.files.insert(Arc::clone(&queue_id), file);
        let lost = before.map_or(0, |file| file.results.len());
        self.results -= lost;
        self.order.push_back((queue_id, now));
        lost + self.make_room(now)
    }

    /// Keeps a result, if it is of such a file. Gives how many were given up.
    pub(super) fn keep(&mut self, queue_id: &str, told: Told, now: Timestamp) -> usize {
        let Some(file) = self.files.get_mut(queue_id) else {
            return 1;
        };
        file.results.push(told);
        self.results += 1;
        self.make_room(now)
    }

    /// The results of a file; nothing is waited for any more.
    pub(super) fn take(&mut self, queue_id: &str) -> Vec<Told> {
        let results = self.files.remove(queue_id).map(|file| file.results).unwrap_or_default();
        self.results -= results.len();
        results
    }

    fn make_room(&mut self, now: Timestamp) -> usize {
        let mut lost = 0;
        while let Some((queue_id, came)) = self.order.front() {
            let is_over = self.order.len() > self.most
                || self.results > self.most
                || now.since(*came) >= KEPT;
            let holds = self.files.get(queue_id).is_some_and(|file| file.came == *came);
            if holds && is_over {
                lost += self.take(&Arc::clone(queue_id)).len();
            } else if holds {
                break;
            }
            self.order.pop_front();
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests fail by panicking"
    )]
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn told(to: &str) -> Told {
        let outcome = Outcome::Delivered;
        Told { to: to.into(), original: None, outcome, by: None, logged: at(0) }
    }

    #[test]
    fn results_of_files_from_filters_are_kept_once() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.keep("A", told("nobody's"), at(0)), 1);
        assert_eq!(waiting.came("A", at(0)), 0);
        assert_eq!(waiting.keep("A", told("a"), at(1)), 0);
        assert_eq!(waiting.keep("A", told("b"), at(2)), 0);
        assert_eq!(waiting.take("A"), [told("a"), told("b")]);
        assert!(waiting.take("A").is_empty());
    }

    #[test]
    fn after_ten_minutes_they_are_given_up() {
        let mut waiting = Waiting::default();
        waiting.came("A", at(0));
        waiting.keep("A", told("a"), at(0));
        assert_eq!(waiting.came("B", at(599)), 0);
        assert_eq!(waiting.came("C", at(600)), 1);
        assert!(waiting.take("A").is_empty());
        assert_eq!((waiting.files.len(), waiting.order.len(), waiting.results), (2, 2, 0));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut waiting = Waiting::with_room_for(3);
        for name in ["A", "B", "C"] {
            waiting.came(name, at(0));
            waiting.keep(name, told("a"), at(0));
        }
        assert_eq!(waiting.keep("C", told("b"), at(0)), 1);
        assert!(waiting.take("A").is_empty());
        assert_eq!(waiting.take("C").len(), 2);
        // A queue id that comes again is another file.
        waiting.came("B", at(1));
        assert!(waiting.take("B").is_empty());
        for number in 0..10 {
            waiting.came(&number.to_string(), at(1));
        }
        assert!(waiting.files.len() <= 3 && waiting.order.len() <= 3);
        assert_eq!(waiting.results, 0);
    }
}
