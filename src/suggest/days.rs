//! What one identity did, day by day (UTC, as the engine counts them).

use crate::timestamp::Timestamp;
use std::collections::{BTreeMap, HashSet};

/// Days that are remembered; the oldest make room.
const MOST_DAYS: usize = 120;
/// Sender domains of a day that are told apart.
const MOST_DOMAINS: usize = 64;
const HOUR_S: u32 = 3600;

/// Relayed messages and their recipients in an hour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Hour {
    pub(super) messages: u32,
    pub(super) recipients: u32,
}

/// One day: 36 octets, since there may be many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Day {
    /// Days since 1970-01-01.
    pub(super) number: u32,
    pub(super) all: Hour,
    /// Its busiest clock hour, by messages and by recipients.
    pub(super) busiest: Hour,
    /// Recipients that were delivered to, and that were refused.
    pub(super) delivered: u32,
    pub(super) refused: u32,
    /// Sender domains, up to [`MOST_DOMAINS`].
    pub(super) domains: u32,
}

/// All days with mail, by time.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    list: Vec<Day>,
    /// All days with mail, those that made room too.
    active: u32,
    /// Number and counts of the present hour.
    hour: (u32, Hour),
    domains: HashSet<u64>,
}

impl Days {
    /// A message to so many recipients; `domain` is the hash of its sender's.
    pub(super) fn message(&mut self, at: Timestamp, recipients: u32, domain: Option<u64>) {
        let hour = at.as_seconds() / HOUR_S;
        if self.hour.0 != hour {
            self.hour = (hour, Hour::default());
        }
        self.hour.1.messages += 1;
        self.hour.1.recipients += recipients;
        let present = self.hour.1;
        if self.list.last().is_none_or(|last| last.number < at.day()) {
            self.domains.clear();
        }
        if let Some(domain) = domain
            && self.domains.len() < MOST_DOMAINS
        {
            self.domains.insert(domain);
        }
        let domains = u32::try_from(self.domains.len()).unwrap_or(u32::MAX);
        let day = self.day(at.day());
        day.all.messages += 1;
        day.all.recipients += recipients;
        day.busiest.messages = day.busiest.messages.max(present.messages);
        day.busiest.recipients = day.busiest.recipients.max(present.recipients);
        day.domains = domains;
    }

    /// What became of a recipient; on a day without mail it counts for the last
    /// one that has any.
    pub(super) fn result(&mut self, at: Timestamp, refused: bool) {
        let Some(day) = self.list.iter_mut().rev().find(|day| day.number <= at.day()) else {
            return;
        };
        if refused {
            day.refused += 1;
        } else {
            day.delivered += 1;
        }
    }

    /// The days with mail that are remembered, by time.
    pub(super) fn list(&self) -> &[Day] {
        &self.list
    }

    /// How many days had mail.
    pub(super) fn active(&self) -> u32 {
        self.active
    }

    /// The busiest hour of all.
    pub(super) fn busiest(&self) -> Hour {
        let most = |of: fn(&Day) -> u32| self.list.iter().map(of).max().unwrap_or(0);
        Hour {
            messages: most(|day| day.busiest.messages),
            recipients: most(|day| day.busiest.recipients),
        }
    }

    /// The busiest hour that 95 % of the days don't exceed.
    pub(super) fn ordinary(&self) -> Hour {
        let at = |of: fn(&Day) -> u32| {
            let mut values: Vec<u32> = self.list.iter().map(of).collect();
            values.sort_unstable();
            let place = (values.len() * 95).div_ceil(100).saturating_sub(1);
            values.get(place).copied().unwrap_or(0)
        };
        Hour {
            messages: at(|day| day.busiest.messages),
            recipients: at(|day| day.busiest.recipients),
        }
    }

    /// The busiest hour that came back: another day came at least half as far.
    /// Zero where none did. One burst alone, which may be an attack, is none.
    pub(super) fn repeated(&self) -> Hour {
        let of = |of: fn(&Day) -> u32| {
            let mut values: Vec<u32> = self.list.iter().map(of).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            let pairs = values.iter().zip(values.iter().skip(1));
            pairs
                .filter(|(most, next)| **next >= (**most).div_ceil(2))
                .map(|(most, _)| *most)
                .next()
                .unwrap_or(0)
        };
        Hour {
            messages: of(|day| day.busiest.messages),
            recipients: of(|day| day.busiest.recipients),
        }
    }

    /// The days of several identities as those of one. Their busiest hours need
    /// not be the same, so what comes out may be too much.
    pub(super) fn merged<'a>(parts: impl IntoIterator<Item = &'a Days>) -> Days {
        let mut days: BTreeMap<u32, Day> = BTreeMap::new();
        let mut active = 0;
        let parts = parts.into_iter().inspect(|part| active = active.max(part.active));
        for part in parts.flat_map(|part| &part.list) {
            let day =
                days.entry(part.number).or_insert(Day { number: part.number, ..Day::default() });
            day.all.messages = day.all.messages.saturating_add(part.all.messages);
            day.all.recipients = day.all.recipients.saturating_add(part.all.recipients);
            day.busiest.messages = day.busiest.messages.saturating_add(part.busiest.messages);
            day.busiest.recipients = day.busiest.recipients.saturating_add(part.busiest.recipients);
            day.delivered = day.delivered.saturating_add(part.delivered);
            day.refused = day.refused.saturating_add(part.refused);
            day.domains = day.domains.max(part.domains);
        }
        let list: Vec<Day> = days.into_values().collect();
        let active = active.max(u32::try_from(list.len()).unwrap_or(u32::MAX));
        Days { list, active, ..Days::default() }
    }

    fn day(&mut self, number: u32) -> &mut Day {
        // Results of a merge by time may be a little late.
        let at = self.list.partition_point(|day| day.number < number);
        if self.list.get(at).is_none_or(|day| day.number != number) {
            self.list.insert(at, Day { number, ..Day::default() });
            self.active += 1;
        }
        let at = if self.list.len() > MOST_DAYS {
            self.list.remove(0);
            at.saturating_sub(1)
        } else {
            at
        };
        #[expect(clippy::indexing_slicing, reason = "it was put there a few lines above")]
        &mut self.list[at]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests fail by panicking")]
    use super::*;

    const DAY: u64 = 86_400;

    fn days(counts: &[u32]) -> Days {
        let mut days = Days::default();
        for (day, count) in counts.iter().enumerate() {
            for n in 0..u64::from(*count) {
                let at = Timestamp::from_seconds((20_000 + day as u64) * DAY + n % 2);
                days.message(at, 2, Some(n));
            }
        }
        days
    }

    #[test]
    fn one_burst_is_not_what_is_usual() {
        for (counts, messages) in [
            (&[10, 10, 500, 10][..], 10),
            (&[10, 300, 500, 10], 500),
            (&[500], 0),
            (&[1000, 400, 300], 400),
            (&[], 0),
        ] {
            let repeated = days(counts).repeated();
            assert_eq!(repeated, Hour { messages, recipients: 2 * messages }, "{counts:?}");
        }
    }

    #[test]
    fn a_day_in_twenty_may_be_beyond_the_ordinary() {
        let mut counts = [5; 40];
        counts[7] = 90;
        counts[8] = 90;
        assert_eq!(days(&counts).ordinary().messages, 5);
        assert_eq!(days(&counts).busiest().messages, 90);
        assert_eq!(days(&[5, 90]).ordinary().messages, 90);
    }

    #[test]
    fn hours_and_results_fall_into_their_days() {
        let mut days = Days::default();
        for second in [0, 3599, 3600, DAY, DAY + 1] {
            days.message(Timestamp::from_seconds(20_000 * DAY + second), 1, Some(second % 2));
        }
        days.result(Timestamp::from_seconds(20_000 * DAY + 10), true);
        days.result(Timestamp::from_seconds(20_005 * DAY), false);
        let [first, second] = days.list() else { panic!("{days:?}") };
        assert_eq!((first.all.messages, first.busiest.messages, first.domains), (3, 2, 2));
        assert_eq!((second.all.messages, second.busiest.messages, second.domains), (2, 2, 2));
        assert_eq!((first.refused, second.delivered), (1, 1));
    }

    #[test]
    fn only_so_many_days_are_remembered() {
        let many = days(&[1; 500]);
        assert_eq!((many.list().len(), many.active()), (MOST_DAYS, 500));
        assert_eq!(many.list().last().map(|day| day.number), Some(20_499));
        let both = Days::merged([&many, &days(&[3; 500])]);
        assert_eq!(both.busiest().messages, 4);
    }
}
