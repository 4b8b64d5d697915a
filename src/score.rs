//! One score: a log-likelihood ratio in nats that trials raise and lower,
//! that forgets with a half-life and never leaves 0 to its cap (Page's CUSUM
//! with exponential forgetting).
//!
//! The score (f32) and the second at which it was last changed (u32) share one
//! word that compare-and-swap replaces: no trial is lost, and no reader sees
//! the score of one moment with the time of another. Atomics are here for the
//! absence of waiting, not for speed.
//!
//!   S <- clamp(S * 2^(-dt / halflife) + delta, 0, cap)

use crate::{
    atomics::{AtomicU64, Ordering::SeqCst},
    halves,
    timestamp::Timestamp,
};

/// A score.
#[derive(Debug, Default)]
pub struct Score(AtomicU64);

impl Score {
    /// Adds a trial's weight of `delta` nats at `now`; gives the score before,
    /// already decayed, and after. Sequentially consistent, so that of several
    /// concurrent messages the one that judges last sees the trials of all.
    pub fn add(&self, delta: f32, halflife_s: f32, cap: f32, now: Timestamp) -> (f32, f32) {
        let now = now.as_seconds();
        let mut word = self.0.load(SeqCst);
        // Most trials of most connectors are good ones at zero.
        if delta <= 0.0 && split(word).0 == 0.0 {
            return (0.0, 0.0);
        }
        loop {
            let before = decayed(word, halflife_s, now);
            // Another thread may have found a larger cap in the meantime: ours
            // keeps the score from rising, it does not lower it.
            let after = (before + delta).clamp(0.0, cap.max(before));
            // Seconds may come a little out of order: never turn time back.
            let at = split(word).1.max(now);
            match self.0.compare_exchange_weak(word, join(after, at), SeqCst, SeqCst) {
                Ok(_) => return (before, after),
                Err(current) => word = current,
            }
        }
    }

    /// The score at `now`.
    pub fn get(&self, halflife_s: f32, now: Timestamp) -> f32 {
        decayed(self.0.load(SeqCst), halflife_s, now.as_seconds())
    }

    /// Whether it is zero at any time from now on, without trials.
    pub fn is_zero(&self) -> bool {
        split(self.0.load(SeqCst)).0 == 0.0
    }

    /// The word that holds it, to be kept across a restart.
    pub fn word(&self) -> u64 {
        self.0.load(SeqCst)
    }

    /// The score of a word; one that can't be is zero.
    pub fn of_word(word: u64) -> Self {
        let (score, _) = split(word);
        Self(AtomicU64::new(if score.is_finite() && score >= 0.0 { word } else { 0 }))
    }

    /// Keeps so much of it, 0 to 1.
    pub fn keep(&self, share: f32) {
        let part = |word: u64| {
            let (score, at) = split(word);
            Some(join(score * share.clamp(0.0, 1.0), at))
        };
        let _ = self.0.fetch_update(SeqCst, SeqCst, part);
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.0.store(0, SeqCst);
    }
}

fn decayed(word: u64, halflife_s: f32, now: u32) -> f32 {
    let (score, at) = split(word);
    let elapsed = now.saturating_sub(at);
    if score == 0.0 || elapsed == 0 {
        return score;
    }
    score * (-(elapsed as f32) / halflife_s).exp2()
}

fn split(word: u64) -> (f32, u32) {
    let (score, at) = halves::split(word);
    (f32::from_bits(score), at)
}

fn join(score: f32, at: u32) -> u64 {
    halves::join(score.to_bits(), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: f32 = 86_400.0;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    #[test]
    fn it_halves_stops_at_its_cap_and_never_goes_below_zero() {
        let score = Score::default();
        assert_eq!(score.add(8.0, DAY, 21.0, at(0)), (0.0, 8.0));
        assert!((score.get(DAY, at(86_400)) - 4.0).abs() < 1e-4);
        assert_eq!(score.add(30.0, DAY, 21.0, at(86_400)).1, 21.0);
        assert_eq!(score.add(-30.0, DAY, 21.0, at(86_400)).1, 0.0);
    }

    #[test]
    fn threads_lose_no_trial() {
        let score = Score::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        score.add(0.5, DAY, 1e9, at(0));
                    }
                });
            }
        });
        assert_eq!(score.get(DAY, at(0)), 20_000.0);
    }
}

#[cfg(all(test, connguard_loom))]
mod loom_tests {
    use super::*;
    use loom::{model, sync::Arc, thread};

    const DAY: f32 = 86_400.0;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_000_000)
    }

    #[test]
    fn no_trial_is_lost() {
        model(|| {
            let score = Arc::new(Score::default());
            let threads: Vec<_> = [1.0, 2.0]
                .into_iter()
                .map(|delta| {
                    let score = Arc::clone(&score);
                    thread::spawn(move || score.add(delta, DAY, 21.0, now()))
                })
                .collect();
            score.add(4.0, DAY, 21.0, now());
            for thread in threads {
                assert!(thread.join().is_ok());
            }
            assert_eq!(score.get(DAY, now()), 7.0);
        });
    }

    /// A message as the engine takes it: all its trials, then a look at all
    /// scores.
    fn message(scores: &[Score; 2]) -> f32 {
        for score in scores {
            score.add(1.0, DAY, 21.0, now());
        }
        scores.iter().map(|score| score.get(DAY, now())).sum()
    }

    #[test]
    fn of_two_messages_at_least_one_sees_the_trials_of_both() {
        model(|| {
            let scores = Arc::new([Score::default(), Score::default()]);
            let other = {
                let scores = Arc::clone(&scores);
                thread::spawn(move || message(&scores))
            };
            let here = message(&scores);
            let there = other.join().unwrap_or_default();
            assert_eq!(here.max(there), 4.0, "{here} and {there}");
        });
    }
}
