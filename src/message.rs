//! What a source of mail (the milter, later the policy service and a replayed
//! log) tells the engine of a transaction. All of it borrows from the
//! source's buffers.

use crate::{domain, timestamp::Timestamp};
use std::borrow::Cow;

/// The envelope sender of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender<'a> {
    /// `<>`, as delivery reports have it.
    Null,
    /// An address. One that the client wrote without a domain got this host's
    /// own origin, which is registered by nature.
    Address {
        /// The address as Postfix completed it.
        address: &'a str,
        /// The client gave a domain.
        qualified: bool,
    },
}

impl<'a> Sender<'a> {
    /// The address, empty for the null sender.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Null => "",
            Self::Address { address, .. } => address,
        }
    }

    /// The domain as [`domain::fold`] gives it; nothing where there is none.
    pub fn domain(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Null => None,
            Self::Address { address, .. } => domain::of_address(address).and_then(domain::fold),
        }
    }
}

/// What Postfix itself made of a recipient before we were asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// Postfix would accept it.
    Accepted,
    /// Postfix refused it with a bare 5.1.x: no such recipient. This speaks
    /// against the client.
    Unknown,
    /// Postfix refused it for another reason (a resolver that is down,
    /// greylisting, a refusal of sender or client). This speaks against
    /// nobody.
    Refused,
}

/// One recipient of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// The address, in any spelling, without brackets.
    pub address: &'a str,
    /// Name of the transport that Postfix chose, where the source knows it.
    pub transport: Option<&'a str>,
    /// What Postfix itself made of it.
    pub fate: Fate,
}

impl<'a> Recipient<'a> {
    /// Domain of the address, in any spelling; empty where it has none.
    pub fn domain(&self) -> &'a str {
        domain::of_address(self.address).unwrap_or("")
    }
}

/// Where a recipient's mail goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// To this site: no relaying.
    Inbound,
    /// To somewhere else.
    Relayed,
}

/// A transaction at its end, when headers and queue id are known.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Envelope sender.
    pub sender: Sender<'a>,
    /// Queue id of Postfix.
    pub queue_id: Option<&'a str>,
    /// Message-ID header.
    pub message_id: Option<&'a str>,
    /// Addresses of the From header (RFC 5322).
    pub from: &'a [String],
    /// What a spam filter before us said, where one said anything.
    pub spam: Option<bool>,
    /// Size that the client declared (RFC 1870), in octets.
    pub size: Option<u64>,
    /// It says of itself that it is a delivery report, see
    /// [`crate::header::is_delivery_report`].
    pub report: bool,
    /// Name of this host, which is registered by nature.
    pub host: Option<&'a str>,
}

/// What became of one recipient of a message that was accepted, as one attempt to
/// deliver showed it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Delivered, or taken over by the next host.
    Delivered,
    /// Refused: a permanent failure, or a temporary one by policy or rate limit
    /// (not greylisting). This speaks against the client.
    Refused,
    /// Not yet: a temporary failure that says nothing about the client.
    Deferred,
}

/// A delivery result.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Queue id of Postfix under which the message was accepted from its client.
    pub queue_id: &'a str,
    /// The recipient, as it was given at RCPT.
    pub recipient: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// Who answered for it, where somebody else did.
    pub by: Option<Provider<'a>>,
    /// When it was logged, in engine time, where that is known: a result that is
    /// older than the message is of another one with the same queue id.
    pub logged: Option<Timestamp>,
}

/// Who answered for a recipient.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Provider<'a> {
    /// Its organizational domain in lower case, or its address where it has no
    /// name.
    pub name: &'a str,
    /// A refusal may be about this host's address instead of the client's mail
    /// (policy, spam, rate limit), as no refusal of an unknown recipient is.
    pub may_mean_us: bool,
}

impl<'a> Delivery<'a> {
    /// A result of which nothing else is known.
    pub fn new(queue_id: &'a str, recipient: &'a str, outcome: Outcome) -> Self {
        Self { queue_id, recipient, outcome, by: None, logged: None }
    }
}
