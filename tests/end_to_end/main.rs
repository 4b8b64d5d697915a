//! connguard in a real Postfix, end to end: what a client, a recipient and an
//! administrator notice.
//!
//! Needs root (as Postfix does), Postfix 3.7 or newer, swaks, smtp-source and
//! openssl. A missing program is an error that names it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and their deadlines read the clock"
)]

mod harness;
#[path = "../screens/mod.rs"]
mod screens_of_readme;

mod access;
mod actions;
mod activated;
mod alerts;
mod blatant;
mod clocked;
mod completions;
mod direction;
mod durability;
mod exhaustion;
mod faults;
mod flood;
mod forgive;
mod harness_itself;
mod hostile;
mod identities;
mod judgement;
mod kills;
mod load;
mod mail_log;
mod mail_log_files;
mod mail_log_replayed;
mod metrics;
mod observe;
mod ordinary;
mod organization;
mod policy;
mod queue;
mod queue_hold;
mod reload;
mod screens;
mod senders;
mod sendmail;
mod soak;
mod state;
mod throttle;
mod under_load;
mod webhook;
