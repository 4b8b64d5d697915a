//! The time at the beginning of a line.
//!
//!   Nov  2 06:25:01 …                      traditional syslog, maillog_file
//!   2026-11-02T06:25:01.123456+01:00 …     RFC 3339, as rsyslog writes it
//!
//! A leading priority as `<22>` is passed over. Written by hand because every
//! line has one.

use crate::timestamp::Timestamp;

/// The time of a line, as it stands there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stamp {
    /// With its year and zone (RFC 3339).
    Full(Timestamp),
    /// As traditional syslog writes it, in the local zone of the host.
    Yearless {
        /// 1 to 12.
        month: u8,
        /// 1 to 31.
        day: u8,
        /// Seconds since midnight.
        second: u32,
    },
}

/// The time of a line, and what stands behind it and one blank.
pub(super) fn read(line: &str) -> Option<(Stamp, &str)> {
    let line = without_priority(line);
    match line.as_bytes().first()? {
        b'0'..=b'9' => full(line),
        _ => yearless(line),
    }
}

fn without_priority(line: &str) -> &str {
    line.strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .filter(|(number, _)| number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit()))
        .map_or(line, |(_, rest)| rest)
}

fn yearless(line: &str) -> Option<(Stamp, &str)> {
    let &[m1, m2, m3, b' ', d1, d2, b' ', ref time @ .., b' '] = line.as_bytes().get(..16)? else {
        return None;
    };
    let month = match &[m1, m2, m3] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let day = if d1 == b' ' { digit(d2)? } else { two(d1, d2)? };
    let second = second_of_day(time)?;
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day < 1 || day > longest {
        return None;
    }
    let day = u8::try_from(day).ok()?;
    Some((Stamp::Yearless { month, day, second }, line.get(16..)?))
}

/// `06:25:01`; a leap second is the second before it.
fn second_of_day(text: &[u8]) -> Option<u32> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = text else { return None };
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

fn full(line: &str) -> Option<(Stamp, &str)> {
    let (date, rest) = line.as_bytes().split_at_checked(19)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', ref time @ ..] = date else {
        return None;
    };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    let (millis, rest) = fraction(rest)?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let (zone, rest) = (rest.get(..end)?, line.get(line.len() - rest.len() + end + 1..)?);
    let local = days_from_civil(year, month, day) * 86_400 + i64::from(second_of_day(time)?);
    let seconds = u64::try_from(local - offset(zone)?).ok()?;
    Some((Stamp::Full(Timestamp::from_millis(seconds * 1000 + millis)), rest))
}

/// Milliseconds of `.123456`, and what is behind it.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = match text {
        [b'.', rest @ ..] => rest,
        _ => return Some((0, text)),
    };
    let (mut millis, mut scale) = (0, 100);
    while let [byte, behind @ ..] = rest
        && let Some(digit) = digit(*byte)
    {
        millis += u64::from(digit) * scale;
        scale /= 10;
        rest = behind;
    }
    (!rest.is_empty()).then_some((millis, rest))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match *zone {
        [b'Z'] => return Some(0),
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, h1, h2, m1, m2),
        _ => return None,
    };
    let seconds = i64::from(two(h1, h2)? * 3600 + two(m1, m2)? * 60);
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar, which counts its
/// years from March so that the leap day is the last of them.
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    i64::from(days) - 719_469
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn digit(byte: u8) -> Option<u32> {
    byte.is_ascii_digit().then(|| u32::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn stamps_of_syslog_and_of_rfc_3339_are_read() {
        for (line, expected) in [
            ("Nov  2 06:25:01 mx", Stamp::Yearless { month: 11, day: 2, second: 23_101 }),
            ("Nov 02 06:25:01 mx", Stamp::Yearless { month: 11, day: 2, second: 23_101 }),
            ("<22>Feb 29 23:59:60 mx", Stamp::Yearless { month: 2, day: 29, second: 86_399 }),
        ] {
            assert_eq!(read(line), Some((expected, "mx")), "{line}");
        }
        for (stamp, same) in [
            ("2023-03-14T00:00:31.185246+01:00", "2023-03-13T23:00:31.185Z"),
            ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"),
            ("2000-03-01T00:00:00.5-0330", "2000-03-01T03:30:00.500Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2100-12-31T23:00:00-01:00", "2101-01-01T00:00:00Z"),
        ] {
            let line = format!("{stamp} mx");
            assert_eq!(read(&line), Some((Stamp::Full(same.parse().unwrap()), "mx")), "{stamp}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in [
            "",
            " ",
            "Nov",
            "Nov  2 06:25:01",
            "Nov  0 06:25:01 mx",
            "Nov 31 06:25:01 mx",
            "Nov  2 24:25:01 mx",
            "nov  2 06:25:01 mx",
            "2023-03-14T00:00:31 mx",
            "2023-13-14T00:00:31Z mx",
            "2023-03-14T00:00:31.+01:00x mx",
            "1969-12-31T00:00:00Z mx",
            "2023-03-14 00:00:31Z mx",
            "Ñov 2 06:25:01 mxxxx",
            "<22",
            "<22>",
            "99999",
        ] {
            assert_eq!(read(line), None, "{line:?}");
        }
    }
}
