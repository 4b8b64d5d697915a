//! The MTA side of the milter protocol at full speed, and what a comparison of
//! two servers needs. Used by the benches, and by tests that count round trips.
//!
//! ```text
//! mail     what is sent: clients, senders, recipients, ids
//! macros   what Postfix says beside each command
//! frame    octets of the protocol
//! script   a message as writes and the replies between them
//! talk     one connection
//! run      many of them: Profile in, Figures out
//! process  CPU seconds and memory of the server
//! pairs    A B B A ..., medians and quartiles of the ratios
//! results  sections of a Markdown file, each owned by one bench
//! noop     a milter that does nothing, with the stages of connguard
//! daemon   connguard in a folder of its own
//! ```
//!
//! The generator shares the machine with what it measures, so it is cheap: one
//! thread, one write up to each needed reply, octets appended to a buffer that
//! is reused, headers and macros that stay the same made once.
#![allow(dead_code, unused_imports, reason = "each bench uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "how long it takes is what is measured")]

pub(crate) mod daemon;
pub(crate) mod figures;
pub(crate) mod frame;
pub(crate) mod macros;
pub(crate) mod mail;
pub(crate) mod mail_log;
pub(crate) mod noop;
pub(crate) mod pairs;
pub(crate) mod process;
#[path = "../results/mod.rs"]
pub(crate) mod results;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod talk;

pub(crate) use figures::Figures;
pub(crate) use mail::Mail;
pub(crate) use run::{Address, Profile, Until, run};
