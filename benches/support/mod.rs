//! What the benches share: engines, sessions, mail, a journal, log lines. Each
//! bench uses a part of it.

#![allow(dead_code, reason = "each bench uses a part")]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

pub(crate) mod disk;
pub(crate) mod mail;
#[path = "../results/mod.rs"]
pub(crate) mod results;
pub(crate) mod text;

use connguard::timestamp::Timestamp;

/// When it is, all the time.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// Whether cargo was asked to measure: `cargo test --all-targets` runs benches
/// too, without that word.
pub(crate) fn is_wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
