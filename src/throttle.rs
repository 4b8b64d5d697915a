//! What a suspicious connector may still send: a token bucket in relayed
//! recipients, and a limit on messages whose fate is not yet known.
//!
//!   rate   = max(60 x class, 1.5 x busiest hour)   recipients an hour
//!   burst  = max(20, rate / 12)                     recipients
//!   tokens <- min(burst, tokens + elapsed whole seconds x rate / 3600)
//!   a message of n recipients costs min(n, 20)
//!
//! class is 1 for a login and 8 for every other profile. The bucket is filled
//! with 20 tokens when its connector becomes suspicious, looked at at RCPT
//! (at least one token lets a recipient through) and charged at the end of the
//! message. Messages that were let through side by side may leave a debt. The
//! cost is capped because charging all recipients of a crowd starves the
//! judgement of the evidence that it waits for.
//!
//! Tokens (f32) and the second up to which they were credited (u32) share one
//! word that compare-and-swap replaces: no charge is lost and no second is
//! credited twice. Time moves by whole seconds, all of them credited, so that
//! frequent charges don't round a slow refill away.

use crate::{
    atomics::{AtomicU64, Ordering::SeqCst},
    connector::Profile,
    halves,
    model::Model,
    timestamp::Timestamp,
};

/// What a message costs at most, and what a bucket is filled with.
const MOST: u32 = 20;
const FULL: f32 = 20.0;
/// The debt ends here, where an f32 still holds one second of the slowest
/// refill to within 2 %. It takes 400 messages side by side to get there.
const DEEPEST: f32 = -8192.0;
/// Recipients an hour; keeps every figure finite.
const FASTEST: f32 = 1e9;

/// How fast a bucket fills, in recipients an hour: 60 to 1,000,000,000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f32);

impl Rate {
    /// The rate of a connector of this profile, whose busiest hour so far had
    /// `busiest_recipients`, counted as the reference of the volume counts
    /// them. (What is not a number is taken as no history.)
    pub fn of(profile: Profile, busiest_recipients: f32, model: &Model) -> Self {
        let class = match profile {
            Profile::Login => 1.0,
            Profile::Relay | Profile::Bulk | Profile::Forwarder => model.volume.class,
        };
        let busiest = model.volume.over_busiest * busiest_recipients;
        Self((model.throttle_rate * class).max(busiest).min(FASTEST))
    }

    /// Recipients an hour.
    pub fn per_hour(self) -> f32 {
        self.0
    }

    /// Recipients that a full bucket lets through at once, at least 20.
    pub fn burst(self) -> f32 {
        FULL.max(self.0 / 12.0)
    }
}

/// How many accepted messages of a suspicious connector may be on their way,
/// their fate not known, while its busiest hour so far had `busiest_messages`:
/// max(10, busiest / 20), a part of a message counting as one. It lets the
/// delivery results catch up with a flood.
pub fn in_flight_limit(busiest_messages: f32, model: &Model) -> u32 {
    let limit = (busiest_messages / 20.0).max(model.throttle_in_flight).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 10, and the cast stops at the largest u32"
    )]
    let limit = limit as u32;
    limit
}

/// The tokens of one connector. A new bucket is full.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Starts afresh with 20 tokens: its connector has become suspicious.
    pub fn fill(&self, now: Timestamp) {
        self.0.store(join(FULL, now.as_seconds()), SeqCst);
    }

    /// Whether there is a token for one more recipient. Changes nothing.
    pub fn has(&self, rate: Rate, now: Timestamp) -> bool {
        self.tokens(rate, now) >= 1.0
    }

    /// The tokens; negative where messages side by side left a debt.
    pub fn tokens(&self, rate: Rate, now: Timestamp) -> f32 {
        refilled(self.0.load(SeqCst), rate, now.as_seconds()).0
    }

    /// Charges a message of `recipients`, at most 20 tokens.
    pub fn charge(&self, recipients: u32, rate: Rate, now: Timestamp) {
        let (cost, now) = (recipients.min(MOST) as f32, now.as_seconds());
        let mut word = self.0.load(SeqCst);
        loop {
            let (tokens, at) = refilled(word, rate, now);
            let charged = join((tokens - cost).max(DEEPEST), at);
            match self.0.compare_exchange_weak(word, charged, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(current) => word = current,
            }
        }
    }
}

/// The tokens at second `now`, and up to when they are credited. Seconds may
/// come a little out of order: time is never turned back.
fn refilled(word: u64, rate: Rate, now: u32) -> (f32, u32) {
    let (tokens, at) = halves::split(word);
    let elapsed = now.saturating_sub(at);
    let tokens = f32::from_bits(tokens) + elapsed as f32 * rate.0 / 3600.0;
    (tokens.min(rate.burst()), at.max(now))
}

fn join(tokens: f32, at: u32) -> u64 {
    halves::join(tokens.to_bits(), at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// Recipients in messages of one that get through at `now`.
    fn through(bucket: &Bucket, rate: Rate, now: Timestamp) -> u32 {
        let mut passed = 0;
        while bucket.has(rate, now) {
            bucket.charge(1, rate, now);
            passed += 1;
        }
        passed
    }

    #[test]
    fn a_rate_is_drawn_from_history_and_never_falls_below_the_class() {
        for (profile, busiest, rate, burst) in [
            (Profile::Login, 0.0, 60.0, 20.0),
            (Profile::Login, 400.0, 600.0, 50.0),
            (Profile::Relay, 100.0, 480.0, 40.0),
            (Profile::Bulk, 0.0, 480.0, 40.0),
            (Profile::Forwarder, 1000.0, 1500.0, 125.0),
            (Profile::Login, f32::NAN, 60.0, 20.0),
            (Profile::Login, -5.0, 60.0, 20.0),
        ] {
            let found = Rate::of(profile, busiest, &Model::default());
            assert_eq!((found.per_hour(), found.burst()), (rate, burst), "{profile} {busiest}");
        }
        assert!(Rate::of(Profile::Relay, f32::INFINITY, &Model::default()).per_hour().is_finite());
    }

    #[test]
    fn the_limit_in_flight_grows_with_the_busiest_hour() {
        for (busiest, limit) in
            [(0.0, 10), (200.0, 10), (201.0, 11), (10_000.0, 500), (f32::NAN, 10), (-1.0, 10)]
        {
            assert_eq!(in_flight_limit(busiest, &Model::default()), limit, "{busiest}");
        }
    }

    #[test]
    fn a_suspicious_login_sends_twenty_then_one_a_minute() {
        let (bucket, rate) = (Bucket::default(), Rate::of(Profile::Login, 0.0, &Model::default()));
        bucket.fill(at(0));
        assert_eq!(through(&bucket, rate, at(0)), 20);
        assert_eq!(through(&bucket, rate, at(59)), 0);
        assert_eq!(through(&bucket, rate, at(60)), 1);
        assert_eq!(through(&bucket, rate, at(660)), 10);
        // A quiet day saves up no more than the burst.
        assert_eq!(through(&bucket, rate, at(90_000)), 20);
    }

    #[test]
    fn a_crowd_costs_twenty_and_messages_side_by_side_leave_a_debt() {
        let (bucket, rate) = (Bucket::default(), Rate::of(Profile::Login, 0.0, &Model::default()));
        bucket.fill(at(0));
        for _ in 0..3 {
            bucket.charge(5000, rate, at(0));
        }
        assert!(!bucket.has(rate, at(40 * 60)));
        assert!(bucket.has(rate, at(41 * 60)));
    }

    #[test]
    fn a_clock_that_steps_back_credits_nothing_twice() {
        let (bucket, rate) = (Bucket::default(), Rate::of(Profile::Login, 0.0, &Model::default()));
        bucket.fill(at(0));
        bucket.charge(20, rate, at(600));
        // The 600 seconds are spent: 20 + 10 were cut to 20.
        bucket.charge(0, rate, at(0));
        assert!(!bucket.has(rate, at(600)));
        assert!(!bucket.has(rate, at(659)));
        assert!(bucket.has(rate, at(660)));
    }

    proptest! {
        /// However often it is charged with nothing, an hour of refill is an
        /// hour of refill.
        #[test]
        fn no_refill_is_rounded_away(
            steps in prop::collection::vec(0_u64..3_000, 1..2_000),
            debt in 1_u32..20,
            busiest in 0.0_f32..100_000.0,
        ) {
            let (bucket, rate) = (Bucket::default(), Rate::of(Profile::Login, busiest, &Model::default()));
            let begun = at(0).as_millis();
            bucket.fill(at(0));
            for _ in 0..=debt {
                bucket.charge(20, rate, at(0));
            }
            let owed = 20.0 * debt as f32;
            let mut now = begun;
            for step in steps {
                now += step;
                bucket.charge(0, rate, Timestamp::from_millis(now));
            }
            let tokens = refilled(bucket.0.load(SeqCst), rate, 0).0;
            let seconds = (now / 1000 - begun / 1000) as f32;
            let credit = seconds * rate.per_hour() / 3600.0;
            let expected = (credit - owed).min(rate.burst());
            prop_assert!(
                (tokens - expected).abs() < 0.01 + 0.002 * credit,
                "{tokens} instead of {expected}"
            );
        }

        #[test]
        fn tokens_stay_finite_and_never_exceed_the_burst(
            charges in prop::collection::vec((any::<u32>(), any::<f32>(), any::<u64>()), 0..100),
        ) {
            let bucket = Bucket::default();
            for (recipients, busiest, now) in charges {
                let rate = Rate::of(Profile::Relay, busiest, &Model::default());
                bucket.charge(recipients, rate, Timestamp::from_millis(now));
                let tokens = refilled(bucket.0.load(SeqCst), rate, 0).0;
                prop_assert!(tokens.is_finite());
                prop_assert!((DEEPEST..=rate.burst()).contains(&tokens));
            }
        }
    }
}

#[cfg(all(test, connguard_loom))]
mod loom_tests {
    use super::*;
    use loom::{model, sync::Arc, thread};

    const START: u64 = 1_795_000_000;

    fn rate() -> Rate {
        Rate::of(Profile::Login, 0.0, &Model::default())
    }

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(START + seconds)
    }

    /// Charges each of `charges` (recipients, seconds) in a thread of its own.
    fn charge_all(bucket: &Arc<Bucket>, charges: &[(u32, u64)]) {
        let threads: Vec<_> = charges
            .iter()
            .map(|&(recipients, seconds)| {
                let bucket = Arc::clone(bucket);
                thread::spawn(move || bucket.charge(recipients, rate(), after(seconds)))
            })
            .collect();
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn tokens(bucket: &Bucket) -> f32 {
        refilled(bucket.0.load(SeqCst), rate(), 0).0
    }

    #[test]
    fn no_charge_is_lost() {
        model(|| {
            let bucket = Arc::new(Bucket::default());
            bucket.fill(after(0));
            charge_all(&bucket, &[(3, 0), (5, 0), (20, 0)]);
            assert_eq!(tokens(&bucket), -8.0);
        });
    }

    #[test]
    fn no_refill_is_credited_twice() {
        model(|| {
            let bucket = Arc::new(Bucket::default());
            bucket.fill(after(0));
            bucket.charge(20, rate(), after(0));
            // One minute, and two minutes, after the bucket was emptied.
            charge_all(&bucket, &[(1, 60), (4, 120)]);
            assert_eq!(tokens(&bucket), -3.0);
        });
    }

    #[test]
    fn a_look_sees_whole_charges() {
        model(|| {
            let bucket = Arc::new(Bucket::default());
            bucket.fill(after(0));
            let looker = {
                let bucket = Arc::clone(&bucket);
                thread::spawn(move || bucket.has(rate(), after(0)))
            };
            bucket.charge(19, rate(), after(0));
            assert!(looker.join().unwrap_or(false), "one token was left at all times");
        });
    }
}
