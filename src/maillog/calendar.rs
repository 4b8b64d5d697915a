//! When a line was logged: traditional stamps get their year and their zone.
//!
//! A stamp without a year could be of any year. Two rules give it one:
//!
//!   of a file   the first line is in the last year that puts it not later than
//!               `anchor` + 1 day. Each next one is in the first year that puts
//!               it not earlier than the line before it - 1 day; where that is
//!               later than `anchor` + 1 day, in the last year that is not.
//!   live        each line is in the last year that puts it not later than
//!               now + 1 day.
//!
//! So December is followed by January of the next year, lines that are out of
//! order around New Year stay where they belong, and nothing lies in the future.
//! 29 February is only in years that have one. A file that is longer than a year
//! can't be told apart from a shorter one and ends where `anchor` is: logs of
//! many years need stamps with a year.
//!
//! Stamps are in the local zone. The hour that a step back from summer time
//! repeats: of a file the first of the two, unless that is more than 5 minutes
//! before the line before it; live the last of the two that is not later than
//! now + 5 minutes. An hour that a step forward leaves out is taken as if the
//! clock had not been put forward yet.
//!
//! Cost: the zone is asked once an hour of the log, the rest is arithmetic.

use super::Stamp;
use crate::timestamp::Timestamp;
use jiff::{
    civil,
    tz::{AmbiguousOffset, TimeZone},
};
use std::time::Duration;

/// How much later than the anchor, or earlier than the line before it, a line
/// may be.
const DAY: Duration = Duration::from_secs(86_400);
/// How much out of order lines are within a repeated hour.
const DISORDER: Duration = Duration::from_secs(300);
/// From one 29 February to the next one, at most: 1896 to 1904.
const LEAP: i16 = 8;

/// Gives traditional stamps their year: the one that puts the first line
/// closest before a known time, the next one whenever a line jumps back from
/// the end of a year to its beginning.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    anchor: Timestamp,
    last: Option<Timestamp>,
    hour: Option<Hour>,
}

/// An hour of the local zone through which its offset stays the same.
#[derive(Clone, Copy, Debug)]
struct Hour {
    month: u8,
    day: u8,
    hour: u32,
    start: Timestamp,
}

/// What a stamp without a year says.
#[derive(Clone, Copy, Debug)]
struct Day {
    month: u8,
    day: u8,
    second: u32,
}

impl Calendar {
    /// A calendar for a log whose first line to be read is not younger than
    /// `anchor` (by more than a day): now, or the time of the file's last change.
    pub fn new(anchor: Timestamp) -> Self {
        Self::in_zone(anchor, TimeZone::system())
    }

    /// The same, of a host in another zone.
    pub fn in_zone(anchor: Timestamp, zone: TimeZone) -> Self {
        Self { zone, anchor, last: None, hour: None }
    }

    /// When a line of a file was logged. To be asked in the order of the lines.
    pub fn at(&mut self, stamp: Stamp) -> Timestamp {
        let at = match stamp {
            Stamp::Full(at) => at,
            Stamp::Yearless { month, day, second } => {
                let day = Day { month, day, second };
                self.of_hour(day).unwrap_or_else(|| self.in_order(day))
            }
        };
        self.last = Some(at);
        at
    }

    /// When a line was logged that is read as it is written, or was written
    /// while nobody read. Lines may come in any order.
    pub fn at_now(&mut self, stamp: Stamp, now: Timestamp) -> Timestamp {
        self.anchor = now;
        let at = match stamp {
            Stamp::Full(at) => at,
            Stamp::Yearless { month, day, second } => {
                let day = Day { month, day, second };
                self.of_hour(day).unwrap_or_else(|| self.before_anchor(day))
            }
        };
        self.last = None;
        at
    }

    /// The stamp's time, where it is in the hour that was asked last and the
    /// rules would give the same.
    fn of_hour(&self, day: Day) -> Option<Timestamp> {
        let hour = self.hour?;
        if (hour.month, hour.day, hour.hour) != (day.month, day.day, day.second / 3600) {
            return None;
        }
        let at = hour.start.plus(Duration::from_secs(u64::from(day.second % 3600)));
        let near = |a: Timestamp, b: Timestamp| a.since(b) <= DAY && b.since(a) <= DAY;
        let fits = at <= self.anchor.plus(DAY)
            && match self.last {
                Some(last) => near(at, last),
                None => self.anchor.since(at) < 300 * DAY,
            };
        fits.then_some(at)
    }

    /// The first year that is not before the last line.
    fn in_order(&mut self, day: Day) -> Timestamp {
        let Some(last) = self.last else { return self.before_anchor(day) };
        let year = self.year_of(last);
        for year in year - 1..=year + LEAP {
            let Some((first, second)) = self.in_year(day, year) else { continue };
            let at = if last.since(first) > DISORDER { second } else { first };
            if at > self.anchor.plus(DAY) {
                break;
            }
            if last.since(at) <= DAY {
                self.remember(day, at, first == second);
                return at;
            }
        }
        self.before_anchor(day)
    }

    /// The last year that is not after the anchor.
    fn before_anchor(&mut self, day: Day) -> Timestamp {
        let year = self.year_of(self.anchor) + 1;
        for year in (year - LEAP - 1..=year).rev() {
            let Some((first, second)) = self.in_year(day, year) else { continue };
            let at = if second.since(self.anchor) > DISORDER { first } else { second };
            if at <= self.anchor.plus(DAY) {
                self.remember(day, at, first == second);
                return at;
            }
        }
        // Before 1970: nobody's log.
        self.anchor
    }

    fn year_of(&self, at: Timestamp) -> i16 {
        let at = i64::try_from(at.as_millis()).ok();
        at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
            .map_or(1970, |at| self.zone.to_datetime(at).year())
    }

    /// The two times of a stamp in a year: the same one, except in an hour that is
    /// repeated. None where the year has no such day.
    fn in_year(&self, day: Day, year: i16) -> Option<(Timestamp, Timestamp)> {
        let number = |value: u32| i8::try_from(value).ok();
        let local = civil::DateTime::new(
            year,
            i8::try_from(day.month).ok()?,
            i8::try_from(day.day).ok()?,
            number(day.second / 3600)?,
            number(day.second / 60 % 60)?,
            number(day.second % 60)?,
            0,
        )
        .ok()?;
        let (before, after) = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Gap { before, .. } => (before, before),
            AmbiguousOffset::Fold { before, after } => (before, after),
        };
        let at = |offset: jiff::tz::Offset| {
            let second = offset.to_timestamp(local).ok()?.as_second();
            u64::try_from(second).ok().map(Timestamp::from_seconds)
        };
        Some((at(before)?, at(after)?))
    }

    /// Keeps the hour of a stamp if each of its seconds has the same offset.
    fn remember(&mut self, day: Day, at: Timestamp, plain: bool) {
        let within = u64::from(day.second % 3600);
        let start = at.as_millis().checked_sub(within * 1000).map(Timestamp::from_millis);
        self.hour = start.filter(|_| plain).and_then(|start| {
            let hour = day.second / 3600;
            let year = self.year_of(at);
            let whole = [(0, 0), (3599, 3599)].into_iter().all(|(second, after)| {
                let edge = Day { second: hour * 3600 + second, ..day };
                let expected = start.plus(Duration::from_secs(after));
                self.in_year(edge, year) == Some((expected, expected))
            });
            whole.then_some(Hour { month: day.month, day: day.day, hour, start })
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::maillog::stamp;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn zone(name: &str) -> TimeZone {
        TimeZone::posix(name).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn stamp(text: &str) -> Stamp {
        stamp::read(&format!("{text} mx")).unwrap().0
    }

    /// The lines of a file whose last change is at `anchor`.
    fn file(anchor: &str, lines: &[(&str, &str)]) {
        let mut calendar = Calendar::in_zone(time(anchor), zone(BERLIN));
        for (line, expected) in lines {
            assert_eq!(calendar.at(stamp(line)), time(expected), "{line} of {lines:?}");
        }
    }

    #[test]
    fn a_file_goes_on_after_new_year() {
        file(
            "2024-01-08T00:00:00Z",
            &[
                ("Dec 31 23:59:58", "2023-12-31T22:59:58Z"),
                ("Jan  1 00:00:01", "2023-12-31T23:00:01Z"),
                // Out of order by a few seconds.
                ("Dec 31 23:59:59", "2023-12-31T22:59:59Z"),
                ("Jan  1 00:00:02", "2023-12-31T23:00:02Z"),
                ("Jan  7 12:00:00", "2024-01-07T11:00:00Z"),
            ],
        );
    }

    #[test]
    fn a_file_of_less_than_a_year_may_have_long_gaps() {
        file(
            "2024-11-02T00:00:00Z",
            &[
                ("Dec  1 00:00:00", "2023-11-30T23:00:00Z"),
                ("Sep 30 12:00:00", "2024-09-30T10:00:00Z"),
                ("Nov  1 12:00:00", "2024-11-01T11:00:00Z"),
            ],
        );
    }

    #[test]
    fn lines_around_the_anchor_are_of_its_year() {
        file(
            "2024-03-01T12:00:00Z",
            &[
                ("Mar  1 12:59:59", "2024-03-01T11:59:59Z"),
                ("Mar  1 13:00:10", "2024-03-01T12:00:10Z"),
                ("Mar  1 12:59:58", "2024-03-01T11:59:58Z"),
            ],
        );
        file("2024-03-01T12:00:00Z", &[("Mar  3 12:00:00", "2023-03-03T11:00:00Z")]);
    }

    #[test]
    fn nothing_lies_in_the_future() {
        // Somebody gave the older file last.
        file(
            "2024-07-10T00:00:00Z",
            &[
                ("Jul  1 12:00:00", "2024-07-01T10:00:00Z"),
                ("Jun  1 12:00:00", "2024-06-01T10:00:00Z"),
            ],
        );
    }

    #[test]
    fn the_leap_day_is_in_a_leap_year() {
        file(
            "2026-11-22T00:00:00Z",
            &[
                ("Feb 29 12:00:00", "2024-02-29T11:00:00Z"),
                ("Mar  1 12:00:00", "2024-03-01T11:00:00Z"),
            ],
        );
        file("1972-01-01T00:00:00Z", &[("Feb 29 12:00:00", "1972-01-01T00:00:00Z")]);
    }

    #[test]
    fn the_repeated_hour_is_told_apart_by_its_order() {
        file(
            "2023-11-01T00:00:00Z",
            &[
                ("Oct 29 01:59:59", "2023-10-28T23:59:59Z"),
                ("Oct 29 02:00:00", "2023-10-29T00:00:00Z"),
                ("Oct 29 02:59:59", "2023-10-29T00:59:59Z"),
                ("Oct 29 02:59:50", "2023-10-29T00:59:50Z"),
                ("Oct 29 02:00:00", "2023-10-29T01:00:00Z"),
                ("Oct 29 02:40:00", "2023-10-29T01:40:00Z"),
                ("Oct 29 02:39:59", "2023-10-29T01:39:59Z"),
                ("Oct 29 03:00:00", "2023-10-29T02:00:00Z"),
            ],
        );
    }

    #[test]
    fn an_hour_that_was_left_out_goes_on() {
        file(
            "2023-11-01T00:00:00Z",
            &[
                ("Mar 26 01:59:59", "2023-03-26T00:59:59Z"),
                ("Mar 26 02:10:00", "2023-03-26T01:10:00Z"),
                ("Mar 26 03:00:00", "2023-03-26T01:00:00Z"),
            ],
        );
    }

    #[test]
    fn live_lines_are_of_the_last_year() {
        let mut calendar = Calendar::in_zone(time("2020-01-01T00:00:00Z"), zone(BERLIN));
        for (now, line, expected) in [
            ("2023-12-31T22:59:59Z", "Dec 31 23:59:59", "2023-12-31T22:59:59Z"),
            ("2023-12-31T23:00:02Z", "Dec 31 23:59:59", "2023-12-31T22:59:59Z"),
            ("2023-12-31T23:00:02Z", "Jan  1 00:00:02", "2023-12-31T23:00:02Z"),
            // The writer's clock is ahead.
            ("2023-12-31T22:59:59Z", "Jan  1 00:00:02", "2023-12-31T23:00:02Z"),
            // Nobody read for months, and again.
            ("2024-06-01T00:00:00Z", "Jan  1 00:00:02", "2023-12-31T23:00:02Z"),
            ("2024-12-31T23:00:02Z", "Jan  1 00:00:02", "2024-12-31T23:00:02Z"),
            // The repeated hour, and it again a day later.
            ("2024-10-27T00:30:00Z", "Oct 27 02:30:00", "2024-10-27T00:30:00Z"),
            ("2024-10-27T01:30:00Z", "Oct 27 02:30:00", "2024-10-27T01:30:00Z"),
            ("2024-10-28T01:30:00Z", "Oct 27 02:30:00", "2024-10-27T01:30:00Z"),
        ] {
            let at = calendar.at_now(stamp(line), time(now));
            assert_eq!(at, time(expected), "{line} read at {now}");
        }
    }

    #[test]
    fn stamps_with_a_year_say_all_themselves() {
        let mut calendar = Calendar::in_zone(time("2020-01-01T00:00:00Z"), zone(BERLIN));
        let line = stamp("2026-11-22T08:30:00+01:00");
        assert_eq!(calendar.at(line), time("2026-11-22T07:30:00Z"));
        assert_eq!(
            calendar.at_now(line, time("2020-01-01T00:00:00Z")),
            time("2026-11-22T07:30:00Z")
        );
    }
}
