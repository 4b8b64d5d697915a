//! What is counted for one connector.
//!
//! Everything that a message changes is an atomic: a message never waits for
//! another one, and no update is lost. (Atomics are here for the absence of
//! waiting, not for speed. The one lock, around the samples of bad messages,
//! is taken for bad messages only, to push or copy a few strings.)
//!
//! All trials of a message are made before the first score is read for the
//! judgement, so the last of several concurrent messages sees them all. One
//! thread wins the roll of the day, by compare-and-swap on the day.

use crate::{
    judge::{COMPROMISED, Judgement, Scores, fuse},
    record::{Finding, Sample, SignalName},
    restriction::Attempts,
    signal::unregistered::Unregistered,
    timestamp::Timestamp,
    window::Window,
};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
};

/// Samples kept of a connector.
const SAMPLES: usize = 10;

/// Totals since the daemon began to count this connector.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Relayed messages that passed.
    pub messages: u64,
    /// Their relayed recipients.
    pub recipients: u64,
    /// Of the messages, those with the null sender.
    pub null_senders: u64,
    /// Of the messages, those with an unregistered sender.
    pub unregistered: u64,
    /// Recipients that Postfix refused as unknown.
    pub unknown_recipients: u64,
    /// Recipients that we refused.
    pub refused: u64,
    /// Recipients that we would have refused in enforce mode.
    pub would_refuse: u64,
}

/// The counters behind [`Totals`].
#[derive(Debug, Default)]
pub struct Counters {
    /// See [`Totals::messages`].
    pub messages: AtomicU64,
    /// See [`Totals::recipients`].
    pub recipients: AtomicU64,
    /// See [`Totals::null_senders`].
    pub null_senders: AtomicU64,
    /// See [`Totals::unregistered`].
    pub unregistered: AtomicU64,
    /// See [`Totals::unknown_recipients`].
    pub unknown_recipients: AtomicU64,
    /// See [`Totals::refused`].
    pub refused: AtomicU64,
    /// See [`Totals::would_refuse`].
    pub would_refuse: AtomicU64,
}

impl Counters {
    /// The counts now.
    pub fn totals(&self) -> Totals {
        Totals {
            messages: self.messages.load(Relaxed),
            recipients: self.recipients.load(Relaxed),
            null_senders: self.null_senders.load(Relaxed),
            unregistered: self.unregistered.load(Relaxed),
            unknown_recipients: self.unknown_recipients.load(Relaxed),
            refused: self.refused.load(Relaxed),
            would_refuse: self.would_refuse.load(Relaxed),
        }
    }
}

/// One connector's counters and scores.
#[derive(Debug)]
pub struct Tally {
    /// Totals.
    pub counters: Counters,
    /// Relayed messages of the last hour.
    pub messages: Window,
    /// Relayed recipients of the last hour.
    pub recipients: Window,
    /// What went beyond a hard limit of the configuration.
    pub over_limit: Attempts,
    unregistered: Unregistered,
    /// Messages and recipients that passed since a score left zero.
    passed_messages: AtomicU32,
    passed_recipients: AtomicU32,
    first_seen: Timestamp,
    last_seen: AtomicU64,
    day: AtomicU32,
    days_learned: AtomicU32,
    day_suspicious: AtomicBool,
    day_restricted: AtomicBool,
    judgement: AtomicU8,
    /// Second of the last warning, 0 for none.
    warned: AtomicU32,
    /// Second of the last notice of a hard limit, 0 for none.
    limit_told: AtomicU32,
    samples: Mutex<Vec<Sample>>,
}

impl Tally {
    /// A tally that begins at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            counters: Counters::default(),
            messages: Window::default(),
            recipients: Window::default(),
            over_limit: Attempts::default(),
            unregistered: Unregistered::default(),
            passed_messages: AtomicU32::new(0),
            passed_recipients: AtomicU32::new(0),
            first_seen: now,
            last_seen: AtomicU64::new(now.as_millis()),
            day: AtomicU32::new(now.day()),
            days_learned: AtomicU32::new(0),
            day_suspicious: AtomicBool::new(false),
            day_restricted: AtomicBool::new(false),
            judgement: AtomicU8::new(0),
            warned: AtomicU32::new(0),
            limit_told: AtomicU32::new(0),
            samples: Mutex::new(Vec::new()),
        }
    }

    /// Marks the connector as seen and ends the days that are over. Whoever
    /// wins the roll commits the pending baselines: whole for a quiet day,
    /// half for one with suspicion, nothing for one with a restriction.
    pub fn touch(&self, now: Timestamp) {
        self.last_seen.fetch_max(now.as_millis(), Relaxed);
        let (today, last) = (now.day(), self.day.load(SeqCst));
        if today <= last || self.day.compare_exchange(last, today, SeqCst, SeqCst).is_err() {
            return;
        }
        let restricted = self.day_restricted.swap(false, SeqCst);
        let suspicious = self.day_suspicious.swap(self.judgement() != Judgement::Normal, SeqCst);
        let share = match (restricted, suspicious) {
            (true, _) => 0.0,
            (false, true) => 0.5,
            (false, false) => 1.0,
        };
        self.unregistered.commit(today - last, share);
        if !restricted {
            self.days_learned.fetch_add(1, Relaxed);
        }
    }

    /// A message whose sender is unregistered (`odd`, a hash of its domain) or
    /// registered: one trial of U.
    pub fn trial(&self, odd: Option<u32>, now: Timestamp) {
        let moved = self.unregistered.trial(odd, now);
        // Not for every good message: there is a lock in it.
        if moved.after <= 0.0 && moved.before > 0.0 {
            self.forget_evidence();
        }
    }

    /// Counts a message of `recipients` relayed ones as passed.
    pub fn pass(&self, recipients: u32, now: Timestamp) {
        self.counters.messages.fetch_add(1, Relaxed);
        self.counters.recipients.fetch_add(recipients.into(), Relaxed);
        self.messages.add(1, now);
        self.recipients.add(recipients, now);
        if fuse(&self.scores(now)) > 0.0 {
            self.passed_messages.fetch_add(1, Relaxed);
            self.passed_recipients.fetch_add(recipients, Relaxed);
        }
    }

    /// All scores at `now`.
    pub fn scores(&self, now: Timestamp) -> Scores {
        Scores::default().with(SignalName::UnregisteredSender, self.unregistered.score(now))
    }

    /// All scores that are above zero, made readable, the largest first.
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.unregistered.finding(COMPROMISED, now).into_iter().collect();
        findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        findings
    }

    /// What it was last taken for.
    pub fn judgement(&self) -> Judgement {
        match self.judgement.load(SeqCst) {
            0 => Judgement::Normal,
            _ => Judgement::Suspicious,
        }
    }

    /// Remembers what it is taken for; says whether a warning is due, which
    /// is once in 24 hours.
    pub fn set_judgement(&self, judgement: Judgement, now: Timestamp) -> bool {
        let suspicious = judgement != Judgement::Normal;
        self.judgement.store(suspicious.into(), SeqCst);
        if !suspicious {
            return false;
        }
        self.day_suspicious.store(true, SeqCst);
        is_due(&self.warned, 86_400, now)
    }

    /// Whether it is time to tell that a hard limit was reached, which is once
    /// an hour; of several threads one is told so.
    pub fn limit_notice_is_due(&self, now: Timestamp) -> bool {
        is_due(&self.limit_told, 3600, now)
    }

    /// Evidence starts again from zero. With `restricted` the day is not
    /// learned.
    pub fn reset(&self, restricted: bool) {
        self.unregistered.reset();
        self.forget_evidence();
        self.judgement.store(0, SeqCst);
        if restricted {
            self.day_restricted.store(true, SeqCst);
        }
    }

    /// Keeps a bad message as evidence.
    pub fn keep(&self, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES {
            samples.remove(0);
        }
        samples.push(sample);
    }

    /// The samples, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Messages and recipients that passed since a score left zero.
    pub fn passed(&self) -> (u32, u32) {
        (self.passed_messages.load(Relaxed), self.passed_recipients.load(Relaxed))
    }

    /// When it was first counted.
    pub fn first_seen(&self) -> Timestamp {
        self.first_seen
    }

    /// When it was last counted.
    pub fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.last_seen.load(Relaxed))
    }

    /// Days that went into its baselines.
    pub fn days_learned(&self) -> u32 {
        self.days_learned.load(Relaxed)
    }

    fn forget_evidence(&self) {
        self.passed_messages.store(0, Relaxed);
        self.passed_recipients.store(0, Relaxed);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if !samples.is_empty() {
            *samples = Vec::new();
        }
    }
}

/// Whether `every_s` seconds are over since the last time, and if so takes
/// this time as the last one.
fn is_due(last_time: &AtomicU32, every_s: u32, now: Timestamp) -> bool {
    let (now, last) = (now.as_seconds(), last_time.load(SeqCst));
    let due = last == 0 || now.saturating_sub(last) >= every_s;
    due && last_time.compare_exchange(last, now, SeqCst, SeqCst).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(86_400 * 20_000 + seconds)
    }

    #[test]
    fn it_fits_its_budget() {
        assert!(size_of::<Tally>() <= 1024, "{}", size_of::<Tally>());
    }

    #[test]
    fn one_warning_in_a_day() {
        let tally = Tally::new(at(0));
        assert!(tally.set_judgement(Judgement::Suspicious, at(0)));
        assert!(!tally.set_judgement(Judgement::Normal, at(5)));
        assert!(!tally.set_judgement(Judgement::Suspicious, at(3600)));
        assert!(tally.set_judgement(Judgement::Suspicious, at(90_000)));
    }

    #[test]
    fn one_thread_wins_the_roll_of_the_day() {
        let tally = Tally::new(at(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (1..=50).for_each(|day| tally.touch(at(day * 86_400))));
            }
        });
        assert_eq!(tally.days_learned(), 50);
    }

    #[test]
    fn a_day_with_a_restriction_is_not_learned() {
        let tally = Tally::new(at(0));
        tally.reset(true);
        tally.touch(at(86_400));
        assert_eq!(tally.days_learned(), 0);
        tally.touch(at(2 * 86_400));
        assert_eq!(tally.days_learned(), 1);
    }
}
