//! Replay: old logs of Postfix through the engine.
//!
//!   files -> input -> order -> assemble -> Sink
//!   (gz, xz,  lines   by time   messages,   (a lane with an engine of its
//!    stdin)                     results      own, or whoever else reads logs)
//!
//! Everything streams: what is held at a time is bounded however long the logs
//! are.

mod assemble;
mod input;
mod kept;
mod lane;
mod mail;
mod order;
mod read;
mod report;

pub use assemble::{Assembler, Tidings};
pub use input::{Counts, Input, InputError, Next};
pub use kept::{Kept, Lines};
pub use lane::{Case, Lane, NearMiss, Outcomes, Params, Slowed, Suspicion};
pub use mail::{Abandoned, Answer, End, Mail, Provider, Recipient, Sink, Who};
pub use order::Order;
pub use read::{Ended, Progress, read};
pub use report::{
    Compared, LaneReport, NearMissReport, Replay, Report, RestrictionReport, Rewritten,
    SlowedReport, SuspicionReport,
};
