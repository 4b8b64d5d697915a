//! Many threads at one connector, through the calls that sources of mail,
//! operators and the clock use: nothing is lost, nothing happens twice, and
//! nothing waits for ever.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod changes;
mod harness;
mod trials;
