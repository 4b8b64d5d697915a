//! Passes for our own alerts: a HELO name that only the daemon knows.
//!
//!   pass-<128 random bits as 32 hex digits>.<host>
//!
//! Good for the first transaction of one session that begins within a minute.
//! Whoever gives it uses it up, so that the name is worth nothing by the time
//! at which it stands in the Received header of the alert. Guessing one of those
//! that are out takes 2^120 tries. While none is out nobody takes a lock.

use crate::timestamp::Timestamp;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// How long a pass is good for.
pub const VALID: Duration = Duration::from_secs(60);
/// Passes that are out at once, at the most; beyond it the oldest goes.
const MOST: usize = 256;
const PREFIX: &str = "pass-";
const DIGITS: usize = 32;

/// Passes that were given out and not used.
#[derive(Default)]
pub struct Passes {
    /// How many there are in the map.
    out: AtomicUsize,
    /// When each was given out. (Its hashes are keyed at random: how long a look
    /// at it takes says nothing of what is in it.)
    issued: Mutex<HashMap<u128, Timestamp>>,
}

impl Passes {
    /// A new HELO name below `host`, good for one session that greets with it
    /// within a minute. Where the system gives no random bits it is `host`, which
    /// is no pass.
    pub fn issue(&self, host: &str, now: Timestamp) -> String {
        let mut bits = [0; 16];
        if getrandom::fill(&mut bits).is_err() {
            return host.to_owned();
        }
        let secret = u128::from_ne_bytes(bits);
        let mut issued = self.lock();
        issued.retain(|_, at| is_good(*at, now));
        if issued.len() >= MOST
            && let Some(oldest) = issued.iter().min_by_key(|(_, at)| **at).map(|(key, _)| *key)
        {
            issued.remove(&oldest);
        }
        issued.insert(secret, now);
        self.out.store(issued.len(), SeqCst);
        format!("{PREFIX}{secret:032x}.{host}")
    }

    /// Whether this HELO name is a pass; it is used up then.
    pub fn redeem(&self, helo: &str, now: Timestamp) -> bool {
        if self.out.load(SeqCst) == 0 {
            return false;
        }
        let Some(secret) = secret(helo) else { return false };
        let mut issued = self.lock();
        let at = issued.remove(&secret);
        self.out.store(issued.len(), SeqCst);
        at.is_some_and(|at| is_good(at, now))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Timestamp>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Passes {
    /// Not what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passes").field("out", &self.out).finish_non_exhaustive()
    }
}

fn is_good(issued: Timestamp, now: Timestamp) -> bool {
    now.since(issued) <= VALID
}

/// What a HELO name holds that may be a pass.
fn secret(helo: &str) -> Option<u128> {
    let (digits, host) = helo.strip_prefix(PREFIX)?.split_at_checked(DIGITS)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !host.starts_with('.') || !digits.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + second)
    }

    #[test]
    fn a_pass_is_good_once() {
        let passes = Passes::default();
        let first = passes.issue("mx.example.org", at(0));
        let second = passes.issue("mx.example.org", at(0));
        assert_ne!(first, second);
        assert_eq!(first.len(), "pass-".len() + 32 + ".mx.example.org".len());
        assert!(passes.redeem(&first, at(60)));
        assert!(!passes.redeem(&first, at(60)), "it is used up");
        assert!(passes.redeem(&second, at(0)));
        assert!(!passes.redeem(&second, at(0)));
    }

    #[test]
    fn a_pass_is_good_for_a_minute() {
        let passes = Passes::default();
        let late = passes.issue("mx", at(0));
        assert!(!passes.redeem(&late, at(61)));
        assert!(!passes.redeem(&late, at(0)), "whoever came late used it up");
    }

    #[test]
    fn other_names_are_none() {
        let passes = Passes::default();
        let pass = passes.issue("mx", at(0));
        for helo in [
            "",
            "mx",
            "pass-.mx",
            "pass-00000000000000000000000000000000.mx",
            "pass-+0000000000000000000000000000000.mx",
            "pass-é0000000000000000000000000000000.mx",
            &pass.to_uppercase(),
            pass.trim_end_matches(".mx"),
            &format!("{}.mx", pass.trim_end_matches(".mx").trim_end_matches(|_| true)),
        ] {
            assert!(!passes.redeem(helo, at(0)), "{helo:?}");
        }
        assert!(passes.redeem(&pass, at(0)));
    }

    #[test]
    fn those_that_nobody_uses_are_bounded() {
        let passes = Passes::default();
        let first = passes.issue("mx", at(0));
        for _ in 0..MOST {
            passes.issue("mx", at(1));
        }
        assert!(!passes.redeem(&first, at(1)), "the oldest went");
        let last = passes.issue("mx", at(100));
        assert!(passes.redeem(&last, at(100)));
        assert!(passes.lock().is_empty(), "those that are over went too");
        assert!(!format!("{passes:?}").contains("pass-"));
    }
}
