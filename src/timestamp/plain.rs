//! `2026-11-22T08:30:00.123Z`, as we write it ourselves, read and written by hand.
//!
//! A journal has eight times in a line of a restriction. By way of a calendar
//! library they were more than half of what it takes to read or write one.
//!
//! Days are counted in years that begin in March, so that the day that is there in
//! leap years only is the last one: of a year `y` so counted, the days before it are
//! `365 y + y/4 - y/100 + y/400`, and of its month `m` (March is 0) `(153 m + 2) / 5`.

const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: u64 = 719_468;
/// Days of 400 years.
const ERA: u64 = 146_097;
/// From here on a year has five digits, in milliseconds since 1970.
const YEAR_10000: u64 = 253_402_300_800_000;

/// The text of a time.
pub(super) struct Text([u8; 24]);

impl Text {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

/// Milliseconds since 1970 as text; nothing from the year 10000 on.
pub(super) fn write(millis: u64) -> Option<Text> {
    if millis >= YEAR_10000 {
        return None;
    }
    let (year, month, day) = date(millis / DAY_MS);
    let rest = millis % DAY_MS;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let parts = [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, rest / 3_600_000),
        (14..16, rest / 60_000 % 60),
        (17..19, rest / 1000 % 60),
        (20..23, rest % 1000),
    ];
    for (place, mut number) in parts {
        for digit in text.get_mut(place)?.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).ok()?;
            number /= 10;
        }
    }
    Some(Text(text))
}

/// Milliseconds since 1970; nothing of what we did not write just so, which may
/// still be a time.
pub(super) fn read(text: &[u8]) -> Option<u64> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let [
        a,
        b,
        c,
        d,
        b'-',
        e,
        f,
        b'-',
        g,
        h,
        b'T',
        i,
        j,
        b':',
        k,
        l,
        b':',
        m,
        n,
        b'.',
        o,
        p,
        q,
        b'Z',
    ] = *text
    else {
        return None;
    };
    let (year, month, day) = (number(&[a, b, c, d])?, number(&[e, f])?, number(&[g, h])?);
    let (hour, minute, second) = (number(&[i, j])?, number(&[k, l])?, number(&[m, n])?);
    if year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day)?;
    Some(days * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1000 + number(&[o, p, q])?)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        Some(number * 10 + u64::from(digit))
    })
}

/// Days from 1970-01-01 to a date from then on; nothing where there is no such day.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = (365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1) - EPOCH;
    // A 31st of a month of thirty is the first of the next one.
    (date(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of so many days since 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH;
    let (era, of_era) = (days / ERA, days % ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let m = (5 * of_year + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    let year = 400 * era + year + u64::from(month < 3);
    (year, month, of_year - (153 * m + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn each_day_of_a_thousand_years_is_that_of_the_calendar() {
        for day in 0..366_000 {
            let millis = day * DAY_MS + day * 191 % DAY_MS;
            let at = jiff::Timestamp::from_millisecond(i64::try_from(millis).unwrap()).unwrap();
            let expected = at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
            assert_eq!(write(millis).unwrap().as_str(), expected);
            assert_eq!(read(expected.as_bytes()), Some(millis));
        }
    }

    #[test]
    fn what_is_no_day_is_not_read() {
        for text in [
            "2026-02-29T00:00:00.000Z",
            "2026-04-31T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "1969-12-31T23:59:59.999Z",
            "2026-01-01T00:00:00.00xZ",
            "2026-01-01 00:00:00.000Z",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert!(write(YEAR_10000 - 1).unwrap().as_str().starts_with("9999-12-31T23:59:59"));
        assert!(write(YEAR_10000).is_none());
    }
}
