//! Panics, which are faults of connguard: each is logged with its thread and place and
//! counted, so that `status` and an alert tell of them. Whoever runs what panicked
//! decides what follows; nothing here ends or starts anything.
//!
//! What panicked may have been working on what a client chose: its words are escaped
//! and cut.

use crate::text::clean;
use std::{
    panic::PanicHookInfo,
    sync::{Mutex, PoisonError},
    thread,
};

/// Characters of a panic's words that are kept.
const LONGEST: usize = 300;

/// What is known of the panics of this process since [`watch`].
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Panics {
    /// How many there were.
    pub count: u64,
    /// The last one: thread, place, words.
    pub last: Option<String>,
}

impl Panics {
    /// What an operator is told of them, with the name of that trouble: it is another one
    /// after the second, fourth, eighth ... of them, so that they are told again.
    pub fn trouble(&self) -> Option<(String, String)> {
        let last = self.last.as_ref()?;
        let text = format!(
            "connguard itself failed {} times since its start, last in {last}: what failed was started again and restrictions hold; please report it, with the log",
            self.count
        );
        Some((format!("panics:{}", self.count.checked_ilog2().unwrap_or(0)), text))
    }
}

static SEEN: Mutex<Panics> = Mutex::new(Panics { count: 0, last: None });

/// Watches for panics from now on, in all of this process. With `RUST_BACKTRACE` each
/// also goes to standard error as without us.
pub fn watch() {
    let before = std::panic::take_hook();
    let with_trace = std::env::var_os("RUST_BACKTRACE").is_some();
    std::panic::set_hook(Box::new(move |info| {
        note(info);
        if with_trace {
            before(info);
        }
    }));
}

/// What was seen.
pub fn seen() -> Panics {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn note(info: &PanicHookInfo<'_>) {
    let words = info.payload_as_str().unwrap_or("without words");
    let words: String = clean(words).chars().take(LONGEST).collect();
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let last = format!("thread {} at {place}: {words}", thread.name().unwrap_or("without a name"));
    let count = {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.count += 1;
        seen.last = Some(last.clone());
        seen.count
    };
    // A fault that clients can cause must not fill the log: 1, 2, 4, 8, ...
    if count.is_power_of_two() {
        tracing::error!("panic number {count}, a fault of connguard, please report it: {last}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn the_second_fourth_and_eighth_are_another_trouble() {
        assert_eq!(Panics::default().trouble(), None);
        let key = |count| Panics { count, last: Some("a: b".into()) }.trouble().unwrap().0;
        let new = (2..=20).filter(|count| key(*count) != key(count - 1));
        assert_eq!(new.collect::<Vec<_>>(), [2, 4, 8, 16]);
    }
}
