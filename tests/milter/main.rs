//! The milter front-end with a real engine behind it, over real sockets, as
//! an MTA sees it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod agreement;
mod exhaustion;
mod faults;
mod flow;
mod harness;
mod identity;
mod lifecycle;
#[path = "../../benches/load/mod.rs"]
mod load;
mod miltertest;
mod round_trips;
