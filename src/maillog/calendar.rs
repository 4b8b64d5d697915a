//! When a line was logged.

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

/// Gives traditional stamps their year: the one that puts the first line
/// closest before a known time, the next one whenever a line jumps back from
/// the end of a year to its beginning.
#[derive(Clone, Debug)]
pub struct Calendar {
    anchor: Timestamp,
}

impl Calendar {
    /// A calendar for a log whose first line to be read is not younger than
    /// `anchor` (by more than a day): now, or the time of the file's last change.
    pub fn new(anchor: Timestamp) -> Self {
        Self { anchor }
    }

    /// When a line was logged. To be asked in the order of the lines.
    pub fn at(&mut self, stamp: Stamp) -> Timestamp {
        match stamp {
            Stamp::Full(at) => at,
            Stamp::Yearless { .. } => self.anchor,
        }
    }
}
