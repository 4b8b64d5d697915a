//! Points in time and spans of time, as the rest of the program is given them.
//!
//! Nothing below the edges reads a clock: time is an argument. A
//! [`Timestamp`] counts milliseconds since 1970-01-01 00:00 UTC (without leap
//! seconds) and is written as RFC 3339, in UTC in files and in the local zone
//! for people.

mod plain;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, time::Duration};

/// Length of a day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// A point in time with a resolution of one millisecond.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since 1970-01-01 00:00 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds since 1970-01-01 00:00 UTC.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 00:00 UTC; the largest `u32` from 2106 on.
    pub fn as_seconds(self) -> u32 {
        u32::try_from(self.0 / 1000).unwrap_or(u32::MAX)
    }

    /// Days since 1970-01-01 (UTC).
    pub fn day(self) -> u32 {
        u32::try_from(self.0 / DAY_MS).unwrap_or(u32::MAX)
    }

    /// The time from `earlier` to `self`; zero where `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This point plus `span`, at most the largest representable one.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// RFC 3339 in the local time zone, whole seconds, for people.
    pub fn local(self) -> String {
        match self.to_jiff() {
            Some(at) => at
                .to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string(),
            None => self.to_string(),
        }
    }

    fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(i64::try_from(self.0).ok()?).ok()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds; from the year 10000 on, which that can't say,
    /// the number of milliseconds. Either is read again as the same time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match plain::write(self.0) {
            Some(text) => f.write_str(text.as_str()),
            None => match self.to_jiff() {
                Some(at) => write!(f, "{}", at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")),
                None => write!(f, "{} ms", self.0),
            },
        }
    }
}

/// What was found instead of an RFC 3339 time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a time as 2026-11-22T08:30:00Z")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(millis) = plain::read(text.as_bytes()) {
            return Ok(Self(millis));
        }
        if let Some(millis) = text.strip_suffix(" ms").and_then(|millis| millis.parse().ok()) {
            return Ok(Self(millis));
        }
        let at: jiff::Timestamp = text.parse().map_err(|_| TimestampError(text.into()))?;
        u64::try_from(at.as_millisecond()).map(Self).map_err(|_| TimestampError(text.into()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::parsed(deserializer)
    }
}

/// What was found instead of a span of time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is not a duration: write a whole number and a unit, as 90s, 10m, 6h or 2d, of at most 100 years"
)]
pub struct SpanError(String);

/// Reads a span as the configuration and the command line write it: a whole
/// number followed by `s`, `m`, `h` or `d`.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let error = || SpanError(text.to_owned());
    let unit_at = text.len().checked_sub(1).ok_or_else(error)?;
    let (number, unit) = text.split_at_checked(unit_at).ok_or_else(error)?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    let number: u64 = number.parse().map_err(|_| error())?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(error()),
    };
    // A hundred years is longer than anything here may last.
    match number.checked_mul(unit) {
        Some(seconds) if seconds <= 36_525 * 86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(error()),
    }
}

/// Writes a span as [`parse_span`] reads it, in the largest unit that keeps
/// it whole (parts of a second are dropped).
pub fn format_span(span: Duration) -> String {
    let seconds = span.as_secs();
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "m")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        for millis in [0, 1, 1_795_000_000_123, 4_102_444_800_000] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        }
        // As a trust for very many years ends.
        for millis in [253_402_300_799_999, 253_402_300_800_000, u64::MAX] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        }
        assert_eq!(Timestamp::from_seconds(86_400).to_string(), "1970-01-02T00:00:00.000Z");
        for text in ["2026-11-22T08:30:00.000+01:00", "2026-11-22 08:30:00Z", "20261122T083000Z"] {
            assert!(text.parse::<Timestamp>().is_ok(), "{text}");
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
    }

    #[test]
    fn spans_are_read_and_written() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("6h", 21_600), ("2d", 172_800)] {
            let span = parse_span(text).unwrap();
            assert_eq!(span.as_secs(), seconds);
            assert_eq!(format_span(span), text);
        }
        for text in ["", "s", "5", "5 m", "-5m", "5w", "1.5h", "é", "99999999999d"] {
            assert!(parse_span(text).is_err(), "{text:?} must be refused");
        }
    }
}
