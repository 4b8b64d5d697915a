//! What operators ask the daemon, and how it answers: the vocabulary of the
//! control socket.
//!
//! A request is one line of JSON, `{"v":1,"do":{"unblock":{…}}}`, of at most
//! [`MAX_REQUEST`] octets. It is answered by any number of lines
//! `{"item":…}` and one last line, `{"done":…}` or `{"failed":{…}}`.

use crate::verdict::Action;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of this protocol.
pub const VERSION: u32 = 1;
/// Longest request in octets, its line end included.
pub const MAX_REQUEST: usize = 64 * 1024;

/// A request.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Request {
    /// Version of the protocol that the client speaks.
    pub v: u32,
    /// What it asks for.
    #[serde(rename = "do")]
    pub command: Command,
}

/// What an operator can ask for. Entities are given as they were typed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// How the daemon is.
    Status,
    /// What is restricted.
    List {
        /// Trusted, in grace and suspicious ones too.
        all: bool,
    },
    /// One entity or case in full.
    Show {
        /// An entity or a case.
        what: String,
    },
    /// Restrict by hand.
    Block {
        /// An entity.
        entity: String,
        /// Why.
        reason: String,
        /// For how many seconds, if not for ever.
        span_s: Option<u64>,
        /// What its mail meets, if not what is configured.
        action: Option<Action>,
    },
    /// Lift a restriction or mark.
    Unblock {
        /// An entity or a case.
        what: String,
        /// Why.
        reason: String,
        /// Length of the grace in seconds, if not the configured one.
        grace_s: Option<u64>,
        /// The block was wrong: from now on it takes more to restrict this entity.
        #[serde(default)]
        false_positive: bool,
        /// Lift it although the entity still sends bad mail.
        #[serde(default)]
        force: bool,
    },
    /// Exempt for a time.
    Trust {
        /// An entity.
        entity: String,
        /// For how many seconds.
        span_s: u64,
        /// Why.
        reason: String,
    },
    /// End an exemption.
    Untrust {
        /// An entity.
        entity: String,
        /// Why.
        reason: String,
    },
    /// How an entity is judged at present, signal by signal.
    Explain {
        /// An entity.
        entity: String,
    },
    /// Declare what an entity sends now to be usual.
    Normal {
        /// An entity.
        entity: String,
        /// Why.
        reason: String,
    },
    /// Who did what, when and why.
    History {
        /// Of one entity only.
        entity: Option<String>,
    },
    /// Connectors by what they send.
    Top,
    /// What was told, newest first.
    Alerts,
    /// Send an alert through every channel.
    TestAlerts,
    /// What of an entity may be in the queue of Postfix.
    Queue {
        /// An entity or a case.
        what: String,
    },
    /// Note in the case of an entity what was done to its mail in the queue.
    Queued {
        /// An entity or a case.
        what: String,
        /// Messages that were put on hold, ...
        held: u64,
        /// ... or let go.
        released: u64,
    },
    /// Read the configuration again.
    Reload,
}

impl Command {
    /// Reads the line of a request.
    ///
    /// # Errors
    /// What to tell who asked.
    pub fn parse(line: &str) -> Result<Self, Failure> {
        let version: Value = serde_json::from_str(line)
            .map_err(|error| Failure::usage(format!("the request is no JSON: {error}")))?;
        match version.get("v").and_then(Value::as_u64) {
            Some(v) if v == u64::from(VERSION) => {}
            _ => {
                return Err(Failure::usage(format!(
                    "this daemon speaks version {VERSION} of the control protocol; is another version of connguard installed? Restart the daemon"
                )));
            }
        }
        let request: Request = serde_json::from_value(version)
            .map_err(|error| Failure::usage(format!("the request can't be understood: {error}")))?;
        Ok(request.command)
    }
}

/// One line of an answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A part of the answer.
    Item(Value),
    /// The answer is complete.
    Done(Value),
    /// There is no answer, or no more of it.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// What to tell, in words that say what to do.
    pub message: String,
}

/// The kinds of failure, which settle the exit code.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The answer is no: not restricted, nothing found.
    No,
    /// The request can't be understood.
    Usage,
    /// The daemon refuses to do it, or can't.
    Refused,
}

impl Failure {
    /// The answer is no.
    pub fn no(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::No, message: message.into() }
    }

    /// The request can't be understood.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Usage, message: message.into() }
    }

    /// The daemon refuses to do it, or can't.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Refused, message: message.into() }
    }
}
