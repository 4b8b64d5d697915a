//! How the queue files of one host hang together: a message that a content
//! filter hands back, or that an alias sends on, gets a second queue id.

use crate::{maillog::Attempt, timestamp::Timestamp};
use std::{net::IpAddr, sync::Arc};

/// The queue files of a log.
#[derive(Debug, Default)]
pub struct Trail {}

/// What an attempt to deliver is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// It tells what became of a recipient of the message `root`: the queue id
    /// under which the client's message was accepted, or the attempt's own where
    /// nothing else is known.
    Result {
        /// That queue id.
        root: Arc<str>,
    },
    /// A content filter took it and handed it back as `next`, whose results are
    /// those of this message; nothing where the log has not shown it.
    HandedOn {
        /// The queue id under which it came back.
        next: Option<Arc<str>>,
    },
    /// An alias or a `.forward` of this host sent it on as `next`: whom that goes
    /// to, the client did not choose.
    Expanded {
        /// The queue id of what was sent on.
        next: Arc<str>,
    },
}

impl Trail {
    /// A message came in: from a client at `client`, or from nobody with an
    /// address; `original` is the queue id that it had before a content filter,
    /// where that is logged (XFORWARD).
    pub fn came(
        &mut self,
        _queue_id: &str,
        _client: Option<IpAddr>,
        _original: Option<&str>,
        _at: Timestamp,
    ) {
    }

    /// An attempt to deliver was logged.
    pub fn attempt(&mut self, attempt: &Attempt<'_>, _at: Timestamp) -> Step {
        Step::Result { root: attempt.queue_id.into() }
    }

    /// Under which queue id the client's message was accepted of which `queue_id`
    /// is the latest form.
    pub fn root(&self, queue_id: &str) -> Arc<str> {
        queue_id.into()
    }

    /// Whether this file is not the client's own: a filter handed it back, or an
    /// alias sent it on.
    pub fn is_derived(&self, _queue_id: &str) -> bool {
        false
    }

    /// A queue file is gone. Gives the root when nothing of its message is left.
    pub fn removed(&mut self, queue_id: &str, _at: Timestamp) -> Option<Arc<str>> {
        Some(queue_id.into())
    }

    /// Queue files that are remembered.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        true
    }
}
