//! Suggest: a configuration learned from old mail logs.
//!
//!   replay's assembler -> Survey -> Plan -> text
//!                         (what   (what is  (connguard.toml with
//!                          was)    proposed) comments)
//!                          ^
//!   postconf -> Postfix ---+
//!
//! It stands beside `config`, whose language it writes and whose judgement of
//! what it wrote it asks for; it takes what `replay` puts together.
//!
//! What it promises:
//!
//! - The text is a configuration that `check` accepts, in observe mode.
//! - Memory is bounded however long the logs are ([`Survey`]).
//! - The same logs give the same text.
//! - Nothing that a client chose gets out of a comment or a string.
//! - **Who is in the log may be an attacker.** A domain is registered, and
//!   volume called usual, only for what came back on several days; what looks
//!   taken over gets no profile, and a hard limit is never proposed.

mod days;
mod domains;
mod figures;
mod plan;
mod postfix;
mod quote;
mod relays;
mod survey;
mod trade;
mod uses;
mod write;

pub use postfix::{Postfix, PostfixError};
pub use survey::{Known, Survey};

use crate::config;
use std::path::Path;

/// Days that a log must have to tell what is usual.
pub const ENOUGH_DAYS: u32 = 7;

/// Where the configuration comes from, for its first lines.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The logs, as they were named.
    pub logs: Vec<String>,
    /// Whether not all of them was read.
    pub is_partial: bool,
    /// Why Postfix was not asked, where it was not.
    pub without_postfix: Option<String>,
}

/// What is proposed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Suggestion {
    /// A configuration, with comments.
    pub text: String,
    /// What whoever asked should know before using it, a sentence each; the text
    /// has these too.
    pub warnings: Vec<String>,
}

/// What these logs, and this Postfix where it was asked, suggest.
///
/// # Errors
/// What is wrong with the configuration that came out, which is a fault of ours.
pub fn suggest(
    survey: &Survey,
    postfix: Option<&Postfix>,
    origin: &Origin,
) -> Result<Suggestion, config::Faults> {
    let plan = plan::plan(survey, postfix, origin);
    let text = write::write(&plan);
    config::parse(Path::new("connguard.toml"), text.as_bytes(), &[])?;
    Ok(Suggestion { text, warnings: plan.warnings })
}

#[cfg(test)]
mod tests;
