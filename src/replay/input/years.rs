//! Puts logs into another year than the one that their files suggest.

use super::Waiting;
use crate::{maillog::Calendar, timestamp::Timestamp};
use jiff::{ToSpan, Zoned, civil, tz::TimeZone};

/// Moves all logs by as many years as put the first line of the oldest into
/// `year`; nothing where there is no such year.
pub(super) fn shift(logs: &mut [Waiting], year: i16) -> Option<()> {
    let known = logs.iter().map(|log| log.first).filter(|first| *first > Timestamp::default());
    let oldest = known.min().map(zoned);
    for log in logs {
        log.anchor = match &oldest {
            Some(oldest) => {
                let by = i64::from(year) - i64::from(oldest.as_ref()?.year());
                if log.first > Timestamp::default() {
                    log.first = moved(log.first, by)?;
                }
                moved(log.anchor, by)?
            }
            None => end_of(year)?,
        };
        if let Some(source) = &mut log.opened {
            source.set_calendar(Calendar::new(log.anchor));
        }
    }
    Some(())
}

fn zoned(at: Timestamp) -> Option<Zoned> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()?;
    Some(at.to_zoned(TimeZone::system()))
}

fn moved(at: Timestamp, years: i64) -> Option<Timestamp> {
    let span = jiff::Span::new().try_years(years).ok()?;
    timestamp(&zoned(at)?.checked_add(span).ok()?)
}

fn end_of(year: i16) -> Option<Timestamp> {
    let next = civil::Date::new(year, 12, 31).ok()?.checked_add(1.day()).ok()?;
    timestamp(&next.to_zoned(TimeZone::system()).ok()?.checked_sub(1.second()).ok()?)
}

fn timestamp(at: &Zoned) -> Option<Timestamp> {
    Some(Timestamp::from_millis(u64::try_from(at.timestamp().as_millisecond()).ok()?))
}
