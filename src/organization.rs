//! What is counted for an organization: how much of its recent relayed mail is
//! bad.
//!
//! Two counts, of judged relayed messages and of bad ones among them, which both
//! halve in [`HALFLIFE_S`]: six hours, so that the mail of a night still counts
//! beside that of the day before, and a burst of a few hours beside both. What was
//! refused is not counted, nor what a declared forwarder sends from foreign
//! addresses.
//!
//! An organization is bad where
//!
//!   bad > all / 2, of at least [`LEAST_BAD`] bad messages,
//!   and at least [`LEAST_CONNECTORS`] of its connectors were restricted by
//!   judgement (they, or one of their senders) within [`WITHIN`].
//!
//! Each thread counts apart from the others, since every message of a house counts
//! here; both counts are summed when they are looked at.
//!
//! Both counts are kept in memory only: a restart begins them anew. It errs on
//! the side of letting pass, and its connectors stay restricted one by one. What
//! was restricted is in the journal.

use crate::{score::Score, stripes::Stripes, timestamp::Timestamp};
use dashmap::DashMap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

/// Half-life of both counts, in seconds.
pub const HALFLIFE_S: f32 = 6.0 * 3600.0;
/// So many connectors of an organization must be restricted.
pub const LEAST_CONNECTORS: usize = 3;
/// How long a restriction of a connector speaks against its organization.
pub const WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Fewer bad messages than this say nothing.
pub const LEAST_BAD: f32 = 10.0;
/// Counts stop here.
const MOST: f32 = 1.0e7;
/// Seconds between two looks at the restricted connectors of an organization
/// whose mail is bad.
const LOOK_AGAIN_S: u32 = 10;

/// What is counted for one organization.
#[derive(Debug, Default)]
pub struct Counts {
    scores: Stripes<Scores>,
    /// When its connectors were last looked at, in seconds.
    looked: AtomicU32,
    /// Connectors restricted before this second are forgiven.
    forgiven: AtomicU32,
}

#[derive(Debug, Default)]
struct Scores {
    all: Score,
    bad: Score,
}

/// How much of the recent mail of an organization is bad; both decay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Bad messages.
    pub bad: f32,
    /// All messages.
    pub all: f32,
}

impl Share {
    /// Whether it is more than half, of enough messages.
    pub fn is_most(self) -> bool {
        self.bad >= LEAST_BAD && self.bad > self.all / 2.0
    }
}

/// Organizations, by name. There are as many as are configured.
#[derive(Debug, Default)]
pub struct Organizations(DashMap<Arc<str>, Arc<Counts>>);

impl Organizations {
    /// What is counted for this organization, by which its messages count: a session
    /// keeps it, since the look-up would be at one shard for all messages of a house.
    pub fn counts(&self, organization: &Arc<str>) -> Arc<Counts> {
        self.get(organization)
            .unwrap_or_else(|| Arc::clone(&self.0.entry(Arc::clone(organization)).or_default()))
    }

    /// How much of its recent mail is bad.
    pub fn share(&self, organization: &str, now: Timestamp) -> Share {
        self.get(organization).map(|counts| counts.share(now)).unwrap_or_default()
    }

    /// Since when restricted connectors speak against it, at the earliest: they
    /// were forgiven before.
    pub fn counts_from(&self, organization: &str, now: Timestamp) -> Timestamp {
        let earliest = now.as_millis().saturating_sub(millis(WITHIN));
        let forgiven = self.get(organization).map_or(0, |counts| counts.forgiven.load(SeqCst));
        Timestamp::from_millis(earliest.max(u64::from(forgiven) * 1000))
    }

    /// What speaks against it starts again from zero.
    pub fn forget(&self, organization: &Arc<str>, now: Timestamp) {
        let counts = self.counts(organization);
        // The second that has begun is forgiven too.
        counts.forgiven.fetch_max(now.as_seconds().saturating_add(1), SeqCst);
        for scores in counts.scores.iter() {
            scores.all.reset();
            scores.bad.reset();
        }
    }

    fn get(&self, organization: &str) -> Option<Arc<Counts>> {
        self.0.get(organization).map(|counts| Arc::clone(&counts))
    }
}

impl Counts {
    /// A relayed message of a connector of this organization was judged; `bad`
    /// says that it made a bad trial. Gives whether it is time to look at the
    /// connectors: most of its mail is bad, and nobody looked just now.
    pub fn note(&self, bad: bool, now: Timestamp) -> bool {
        let scores = self.scores.mine();
        scores.all.add(1.0, HALFLIFE_S, MOST, now);
        if !bad {
            return false;
        }
        scores.bad.add(1.0, HALFLIFE_S, MOST, now);
        if !self.share(now).is_most() {
            return false;
        }
        let (at, last) = (now.as_seconds(), self.looked.load(SeqCst));
        let due = last == 0 || at.saturating_sub(last) >= LOOK_AGAIN_S;
        due && self.looked.compare_exchange(last, at, SeqCst, SeqCst).is_ok()
    }

    fn share(&self, now: Timestamp) -> Share {
        let sum = |of: fn(&Scores) -> &Score| {
            self.scores.iter().map(|scores| of(scores).get(HALFLIFE_S, now)).sum()
        };
        Share { bad: sum(|scores| &scores.bad), all: sum(|scores| &scores.all) }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    #[test]
    fn most_is_more_than_half_of_enough() {
        let organizations = Organizations::default();
        let name: Arc<str> = "default".into();
        for n in 0..9 {
            assert!(!organizations.counts(&name).note(true, at(n)), "{n} is too few");
        }
        for n in 9..30 {
            organizations.counts(&name).note(false, at(n));
        }
        for n in 30..40 {
            assert!(!organizations.counts(&name).note(true, at(n)), "{n} is not most");
        }
        // Nine and fifteen of forty-five are most; one look is enough.
        let looks = (40..50).filter(|n| organizations.counts(&name).note(true, at(*n))).count();
        assert_eq!(looks, 1);
        let share = organizations.share(&name, at(50));
        assert!(share.is_most(), "{share:?}");
        organizations.forget(&name, at(51));
        assert_eq!(organizations.share(&name, at(51)), Share::default());
        assert!(organizations.counts_from(&name, at(51)) > at(51));
    }

    #[test]
    fn both_counts_halve_in_six_hours() {
        let organizations = Organizations::default();
        let name: Arc<str> = "default".into();
        for _ in 0..40 {
            organizations.counts(&name).note(true, at(0));
        }
        let later = organizations.share(&name, at(6 * 3600));
        assert!((later.bad - 20.0).abs() < 0.01 && (later.all - 20.0).abs() < 0.01, "{later:?}");
        assert_eq!(organizations.share("other", at(0)), Share::default());
    }
}
