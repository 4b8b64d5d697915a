//! What the text of a failed delivery says about the client that sent the mail.

use crate::{maillog::Attempt, message::Outcome};

/// Why a delivery failed, as far as it matters to the judgement.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// No such recipient: speaks against the client.
    UnknownRecipient,
    /// It is spam, or a virus: speaks against the client.
    Spam,
    /// Policy, reputation or a block list: speaks against the client, or against
    /// this host.
    Policy,
    /// Too much mail at once, says the other host: speaks against the client, or
    /// against this host.
    RateLimit,
    /// Try again later, you are new here: speaks against nobody.
    Greylisted,
    /// The mailbox is full or the message too large: speaks against nobody.
    Full,
    /// The other host could not be reached or has trouble of its own.
    Connection,
    /// Our own resolver, or the other domain's DNS.
    Resolver,
    /// Postfix decided itself.
    Own,
    /// None of these is recognized.
    Other,
}

impl Class {
    /// Whether it speaks against the client.
    pub fn speaks_against(self) -> bool {
        matches!(self, Self::UnknownRecipient | Self::Spam | Self::Policy | Self::RateLimit)
    }

    /// Whether it may be about this host's address instead of the client's mail.
    pub fn may_mean_us(self) -> bool {
        matches!(self, Self::Spam | Self::Policy | Self::RateLimit)
    }
}

/// Why an attempt failed; nothing where it did not.
pub fn class(_attempt: &Attempt<'_>) -> Option<Class> {
    None
}

/// What an attempt means for the judgement.
pub fn outcome(attempt: &Attempt<'_>) -> Outcome {
    match class(attempt) {
        None => Outcome::Delivered,
        Some(class) if class.speaks_against() => Outcome::Refused,
        Some(_) => Outcome::Deferred,
    }
}
