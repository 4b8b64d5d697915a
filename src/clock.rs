//! Engine time, and the only place that reads a clock.
//!
//! Engine time is the wall clock at the start plus monotonic time, slewed
//! towards the wall clock by at most one part in twenty: a clock that somebody
//! sets an hour ahead expires nothing, and time never goes back: where it is
//! slewed back it goes on more slowly, and nobody waits for the one who slews.

#![allow(clippy::disallowed_methods, reason = "this is where clocks are read")]

use crate::{fault, timestamp::Timestamp};
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc, LazyLock,
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
    System(ArcSwap<Slewed>),
    Manual(AtomicU64),
}

/// Engine time and the wall clock at a moment of the monotonic clock. From there
/// engine time is drawn towards where the wall clock would be by now.
#[derive(Clone, Copy, Debug)]
struct Slewed {
    time_ms: u64,
    wall_ms: u64,
    at: Instant,
}

impl Slewed {
    /// Engine time when `elapsed` milliseconds have passed since.
    fn after(&self, elapsed: u64) -> u64 {
        let wall_ms = self.wall_ms.saturating_add(elapsed);
        self.time_ms.saturating_add(slewed_by(self.time_ms, elapsed, wall_ms))
    }

    /// From `elapsed` milliseconds later on, when the wall clock says `wall_ms`.
    fn anew(&self, elapsed: u64, wall_ms: u64) -> Self {
        // By whole milliseconds, so that none is lost or counted twice.
        let at = self.at.checked_add(Duration::from_millis(elapsed)).unwrap_or(self.at);
        Self { time_ms: self.after(elapsed), wall_ms, at }
    }
}

impl Clock {
    /// Engine time of this machine, beginning with the wall clock.
    pub fn system() -> Self {
        let now = wall_ms();
        let start = Slewed { time_ms: now, wall_ms: now, at: Instant::now() };
        Self(Arc::new(Source::System(ArcSwap::from_pointee(start))))
    }

    /// A clock that only [`Clock::advance`] moves.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual(AtomicU64::new(start.as_millis()))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(match &*self.0 {
            Source::System(slewed) => {
                let slewed = slewed.load();
                slewed.after(millis(slewed.at.elapsed()))
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
            let old = slewed.load();
            slewed.store(Arc::new(old.anew(millis(old.at.elapsed()), wall_ms())));
        }
    }

    /// Moves a manual clock forward; does nothing to another one.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(time) = &*self.0 {
            time.fetch_add(millis(by), SeqCst);
        }
    }
}

/// Nanoseconds of the monotonic clock, since some moment: for how long something takes.
pub fn nanos() -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
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
    let wall = millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    // Tests set it, by milliseconds.
    wall.saturating_add_signed(fault::number("wall clock").unwrap_or(0))
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
    fn time_never_goes_back_nor_jumps() {
        let mut slewed = Slewed { time_ms: 1_000_000, wall_ms: 1_000_000, at: Instant::now() };
        let mut last = slewed.time_ms;
        // Somebody sets the wall clock an hour back, then ten seconds ahead.
        for wall_ms in [0, 0, 1_010_000, 1_010_000] {
            for elapsed in 0..=1000 {
                let now = slewed.after(elapsed);
                assert!((last..=last + 2).contains(&now), "{last} to {now}");
                last = now;
            }
            slewed = slewed.anew(1000, wall_ms);
        }
        assert_eq!(last, 1_000_000 + 1000 + 2 * 950 + 1050);
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
