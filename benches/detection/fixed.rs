//! What is used elsewhere, on the same mail: fixed limits on recipients in a
//! sliding window, and SPOT (Duan et al.): Wald's test on late refusals with
//! p0 = .2, p1 = .9 and error rates of .01. An alarm mutes for a day.

use crate::{replay::Amount, stream::Stream};
use std::collections::VecDeque;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Names, in the order of [`all`].
pub(crate) const NAMES: [&str; 5] =
    ["100 rcpts/h", "150/day + 10/min", "500/h", "1,000/24 h", "SPOT (.2/.9, .01)"];

/// What one of them did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Alarms {
    /// How often it blocked.
    pub(crate) count: u64,
    /// Of an attack: what was accepted before it blocked, if it did.
    pub(crate) before: Option<Amount>,
}

/// All of them.
pub(crate) fn all(stream: &Stream) -> [Alarms; NAMES.len()] {
    [
        limits(stream, &[(100, HOUR)]),
        limits(stream, &[(150, DAY), (10, HOUR / 60)]),
        limits(stream, &[(500, HOUR)]),
        limits(stream, &[(1000, DAY)]),
        spot(stream),
    ]
}

/// What of the attack comes before message `alarm`; nothing where the attack
/// has not begun by then.
fn before(stream: &Stream, alarm: usize) -> Option<Amount> {
    let first = stream.mails.iter().position(|mail| mail.draft.attack)?;
    let earlier = stream.mails.get(first..alarm)?.iter().filter(|mail| mail.draft.attack);
    Some(earlier.fold(Amount::default(), |sum, mail| Amount {
        messages: sum.messages + 1,
        recipients: sum.recipients + mail.to.len() as u64,
    }))
}

impl Alarms {
    fn alarm(&mut self, stream: &Stream, mail: usize) {
        self.count += 1;
        if self.before.is_none() {
            self.before = before(stream, mail);
        }
    }
}

fn limits(stream: &Stream, limits: &[(u64, u64)]) -> Alarms {
    let mut alarms = Alarms::default();
    let mut windows: Vec<(VecDeque<(u64, u64)>, u64)> = vec![Default::default(); limits.len()];
    let mut muted_until = 0;
    for (number, mail) in stream.mails.iter().enumerate() {
        let recipients = mail.to.len() as u64;
        let mut over = false;
        for ((seen, sum), (limit, span)) in windows.iter_mut().zip(limits) {
            while let Some((_, old)) = seen.pop_front_if(|(at, _)| *at + span <= mail.at) {
                *sum -= old;
            }
            seen.push_back((mail.at, recipients));
            *sum += recipients;
            over |= *sum > *limit;
        }
        if over && mail.at >= muted_until {
            muted_until = mail.at + DAY;
            alarms.alarm(stream, number);
        }
    }
    alarms
}

fn spot(stream: &Stream) -> Alarms {
    let (refused, delivered) = ((0.9f64 / 0.2).ln(), (0.1f64 / 0.8).ln());
    let limit = (0.99f64 / 0.01).ln();
    let mut results: Vec<(u64, usize)> = stream
        .mails
        .iter()
        .enumerate()
        .map(|(number, mail)| (mail.at + (mail.draft.lag_s * 1000.0) as u64, number))
        .collect();
    results.sort_unstable();
    let mut alarms = Alarms::default();
    let (mut score, mut muted_until) = (0.0, 0);
    for (at, number) in results {
        let mail = &stream.mails[number];
        if at < muted_until || mail.at < muted_until {
            continue;
        }
        let bad = mail.to.iter().filter(|target| target.refused).count();
        score += if bad > 0 && bad * 2 >= mail.to.len() { refused } else { delivered };
        if score <= -limit {
            score = 0.0;
        } else if score >= limit {
            score = 0.0;
            muted_until = at + DAY;
            // All that came until now was accepted.
            alarms.alarm(stream, stream.mails.partition_point(|mail| mail.at <= at));
        }
    }
    alarms
}
