//! What of a connector's mail may still be in the queue of Postfix.
//!
//! Kept from the moment that a message passes, or goes to the hold queue, until
//! the log says `removed`; followed through content filters. Without a log nobody
//! says that, so that who shows them asks Postfix which are really there.

use crate::{connector::ConnectorKey, timestamp::Timestamp};

/// A message that may be in the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InQueue {
    /// The queue id that it has now.
    pub queue_id: Box<str>,
    /// When it passed.
    pub since: Timestamp,
    /// Connguard put it on hold.
    pub held: bool,
}

/// Messages that may be in the queue.
#[derive(Debug, Default)]
pub struct Queued {}

impl Queued {
    /// A message passed, or went to the hold queue.
    pub fn enter(
        &self,
        _queue_id: &str,
        _key: &ConnectorKey,
        _sender: u64,
        _held: bool,
        _now: Timestamp,
    ) {
    }

    /// A content filter handed the message back under another queue id.
    pub fn follow(&self, _root: &str, _next: &str, _now: Timestamp) {}

    /// Postfix removed the queue file.
    pub fn remove(&self, _queue_id: &str) {}

    /// What may be in the queue of this connector, or of one of its senders by the
    /// hash of its address; oldest first.
    pub fn of(&self, _key: &ConnectorKey, _sender: Option<u64>) -> Vec<InQueue> {
        Vec::new()
    }
}
