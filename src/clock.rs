//! Engine time, and the only place that reads a clock.
//!
//! Engine time is the wall clock at the start plus monotonic time, slewed
//! towards the wall clock by at most one part in twenty: a clock that somebody
//! sets an hour ahead expires nothing, and time never goes back.

#![allow(clippy::disallowed_methods, reason = "this is where clocks are read")]

use crate::timestamp::Timestamp;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime},
};

/// The slew is at most the elapsed time divided by this.
const SLEW: u64 = 20;

/// A clock. Its clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System(Mutex<Slewed>),
    Manual(AtomicU64),
}

/// Engine time at a moment of the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Slewed {
    time_ms: u64,
    at: Instant,
}

impl Clock {
    /// Engine time of this machine, beginning with the wall clock.
    pub fn system() -> Self {
        let start = Slewed { time_ms: wall_ms(), at: Instant::now() };
        Self(Arc::new(Source::System(Mutex::new(start))))
    }

    /// A clock that only [`Clock::advance`] moves.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual(AtomicU64::new(start.as_millis()))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(match &*self.0 {
            Source::System(slewed) => {
                let slewed = *slewed.lock().unwrap_or_else(PoisonError::into_inner);
                slewed.time_ms.saturating_add(millis(slewed.at.elapsed()))
            }
            Source::Manual(millis) => millis.load(SeqCst),
        })
    }

    /// The wall clock now, by which others stamp what they log; a manual clock is
    /// its own.
    pub fn wall(&self) -> Timestamp {
        match &*self.0 {
            Source::System(_) => Timestamp::from_millis(wall_ms()),
            Source::Manual(_) => self.now(),
        }
    }

    /// Draws engine time a little towards the wall clock. To be called about
    /// once a second; does nothing to a manual clock.
    pub fn slew(&self) {
        if let Source::System(slewed) = &*self.0 {
            let mut slewed = slewed.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let elapsed = millis(now.saturating_duration_since(slewed.at));
            slewed.time_ms =
                slewed.time_ms.saturating_add(slewed_by(slewed.time_ms, elapsed, wall_ms()));
            slewed.at = now;
        }
    }

    /// Moves a manual clock forward; does nothing to another one.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(time) = &*self.0 {
            time.fetch_add(millis(by), SeqCst);
        }
    }
}

/// How far engine time goes while `elapsed` milliseconds pass.
fn slewed_by(time_ms: u64, elapsed: u64, wall_ms: u64) -> u64 {
    let unslewed = time_ms.saturating_add(elapsed);
    let most = elapsed / SLEW;
    if wall_ms > unslewed {
        elapsed + most.min(wall_ms - unslewed)
    } else {
        elapsed - most.min(unslewed - wall_ms)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn wall_ms() -> u64 {
    millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_is_drawn_out() {
        const HOUR: u64 = 3_600_000;
        assert_eq!(slewed_by(HOUR, 1000, 2 * HOUR), 1050);
        assert_eq!(slewed_by(HOUR, 1000, 0), 950);
        assert_eq!(slewed_by(HOUR, 1000, HOUR + 1000), 1000);
        assert_eq!(slewed_by(HOUR, 1000, HOUR + 1010), 1010);
    }

    #[test]
    fn time_goes_on() {
        let clock = Clock::manual(Timestamp::from_seconds(5));
        clock.clone().advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Timestamp::from_seconds(7));
        let system = Clock::system();
        let before = system.now();
        system.slew();
        assert!(system.now() >= before);
    }
}
