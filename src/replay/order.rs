//! Lines of a log that stand there a little out of order.
//!
//! What came over the network, or from processes that write at the same time, is
//! a few seconds late at times. A line waits until one that is half a minute younger
//! was read, and leaves in the order of its time; of the same time, in the order
//! of reading. At most 20,000 wait: a busy log is put in order over a shorter
//! time.

use super::Kept;
use crate::timestamp::Timestamp;
use std::{collections::VecDeque, time::Duration};

/// How late a line may be.
const LATE: Duration = Duration::from_secs(30);
/// Lines that wait, at most.
const MOST: usize = 20_000;

/// See the head of this module.
#[derive(Debug, Default)]
pub struct Order {
    waiting: VecDeque<(Timestamp, Kept)>,
    youngest: Timestamp,
}

impl Order {
    /// Takes a line.
    pub fn push(&mut self, at: Timestamp, line: Kept) {
        self.youngest = self.youngest.max(at);
        if self.waiting.back().is_none_or(|(last, _)| *last <= at) {
            self.waiting.push_back((at, line));
        } else {
            let place = self.waiting.partition_point(|(other, _)| *other <= at);
            self.waiting.insert(place, (at, line));
        }
    }

    /// The next line whose time has come.
    pub fn pop(&mut self) -> Option<(Timestamp, Kept)> {
        let is_full = self.waiting.len() > MOST;
        let youngest = self.youngest;
        self.waiting.pop_front_if(|(at, _)| is_full || youngest.since(*at) >= LATE)
    }

    /// The next line, whether or not others may still come before it.
    pub fn flush(&mut self) -> Option<(Timestamp, Kept)> {
        self.waiting.pop_front()
    }

    /// Lines that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{maillog::Event, replay::Lines};

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    /// A line with a word that tells it from others.
    fn line(word: &str) -> Kept {
        let text = format!("Nov 22 06:25:01 mx postfix/pickup[7]: 4F4F4F4F: uid=0 from=<{word}>");
        Lines::read(text).next().unwrap().unwrap()
    }

    fn word((at, line): (Timestamp, Kept)) -> (Timestamp, String) {
        let Event::Submitted { from, .. } = line.line().unwrap().event else {
            return (at, String::new());
        };
        (at, from.to_owned())
    }

    fn rest(order: &mut Order) -> Vec<String> {
        std::iter::from_fn(|| order.flush().map(|line| word(line).1)).collect()
    }

    #[test]
    fn late_lines_find_their_place_and_those_of_one_second_stay() {
        let mut order = Order::default();
        for (second, text) in [(10, "a"), (12, "d"), (11, "b"), (11, "c"), (12, "e"), (9, "0")] {
            order.push(at(second), line(text));
        }
        assert!(order.pop().is_none());
        order.push(at(40), line("f"));
        assert_eq!(order.pop().map(word), Some((at(9), "0".into())));
        assert_eq!(order.pop().map(word), Some((at(10), "a".into())));
        assert!(order.pop().is_none());
        assert_eq!(rest(&mut order), ["b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_flood_in_one_second_does_not_pile_up() {
        let mut order = Order::default();
        let mut left = 0;
        for n in 0..3 * MOST {
            order.push(at(7), line("x"));
            while order.pop().is_some() {
                left += 1;
            }
            assert!(order.len() <= MOST, "{n}");
        }
        assert_eq!(left, 2 * MOST);
    }
}
