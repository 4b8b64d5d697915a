//! What the text of a failed delivery says about the client that sent the mail.
//!
//! One table ([`table`]) gives each text its class, with the reason in words.
//! Only what another host said of this mail or its recipient can speak against
//! the client; what Postfix says itself never does, except that the recipient's
//! domain does not exist. What the table does not know counts as [`Class::Other`]
//! and against nobody: a class that is missing costs a little evidence, a wrong
//! one could stop a legitimate client.

mod table;

use crate::{
    domain,
    maillog::{self, Attempt, Status},
    message::Outcome,
};
use memchr::memchr2_iter;

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
pub fn class(attempt: &Attempt<'_>) -> Option<Class> {
    explain(attempt).map(|(class, _)| class)
}

/// Why an attempt failed, and what makes it count as that, in words.
pub fn explain(attempt: &Attempt<'_>) -> Option<(Class, &'static str)> {
    match attempt.status {
        Status::Sent => None,
        Status::Expired => Some((Class::Own, "it was too long in the queue")),
        Status::Probe => Some((Class::Own, "a probe is no mail")),
        Status::Deferred | Status::Bounced => Some(table::look_up(&Answer::of(attempt))),
    }
}

/// What the table is asked.
#[derive(Debug)]
struct Answer {
    by: By,
    /// 4 or 5: try again, or never.
    digit: u8,
    /// Reply code, 0 where there is none.
    code: u16,
    /// Enhanced status code.
    dsn: String,
    /// Lower case, without addresses.
    text: String,
    /// The domain that Postfix looked up in vain is the recipient's.
    own_domain: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    /// Postfix itself.
    Postfix,
    /// The other host, when it was connected to.
    Greeting,
    /// The other host, of the sender.
    Sender,
    /// The other host, of the recipient or the message.
    Mail,
}

impl Answer {
    fn of(attempt: &Attempt<'_>) -> Self {
        let reply = attempt.said();
        let (code, dsn, _) = maillog::reply(reply.unwrap_or(""));
        let dsn = if dsn.is_empty() { attempt.dsn } else { dsn };
        let by = match attempt.in_reply_to() {
            None => By::Postfix,
            Some(_) if attempt.refused_to_talk() => By::Greeting,
            Some(command) if command.starts_with("MAIL FROM") => By::Sender,
            Some(_) => By::Mail,
        };
        let digit = match (code / 100, dsn.as_bytes().first()) {
            (4, _) | (0, Some(b'4')) => 4,
            (5, _) | (0, Some(b'5')) => 5,
            _ if attempt.status == Status::Bounced => 5,
            _ => 4,
        };
        let text = reply.unwrap_or(attempt.text);
        Self {
            by,
            digit,
            code,
            dsn: dsn.to_owned(),
            own_domain: looked_up(attempt),
            text: folded(text),
        }
    }
}

/// Lower case, cut at a length that no reply needs, and without the addresses
/// that it repeats: who chose them would choose the class.
fn folded(text: &str) -> String {
    const LONGEST: usize = 1000;
    let mut folded = String::with_capacity(text.len().min(LONGEST));
    for word in text.split_ascii_whitespace() {
        if folded.len() + word.len() > LONGEST {
            break;
        }
        if !word.contains('@') {
            folded.extend(word.chars().map(|c| c.to_ascii_lowercase()));
            folded.push(' ');
        }
    }
    folded
}

/// Whether Postfix says of the recipient's own domain, not of a next hop that is
/// configured, that DNS does not know it.
fn looked_up(attempt: &Attempt<'_>) -> bool {
    let Some(domain) = domain::of_address(attempt.to) else { return false };
    let named = |name: &str| name.eq_ignore_ascii_case(domain);
    if let Some((_, rest)) = attempt.text.split_once(" for name=") {
        return rest.split(' ').next().is_some_and(named);
    }
    let rest = attempt.text.strip_prefix("Domain ");
    rest.and_then(|rest| rest.split(' ').next()).is_some_and(named)
}

/// What an attempt means for the judgement that failed because of `class`, as
/// [`class`] says, or did not fail.
pub fn outcome(attempt: &Attempt<'_>, class: Option<Class>) -> Outcome {
    match class {
        None if was_discarded(attempt) => Outcome::Deferred,
        None => Outcome::Delivered,
        Some(class) if class.speaks_against() => Outcome::Refused,
        Some(_) => Outcome::Deferred,
    }
}

/// Whether who took it says that it goes no further, as a content filter does
/// with spam (`250 2.7.0 Ok, discarded, id=…`): nobody got it, so it must not
/// speak for the client.
fn was_discarded(attempt: &Attempt<'_>) -> bool {
    const WORD: &[u8] = b"discarded";
    let text = attempt.text.as_bytes();
    memchr2_iter(b'd', b'D', text)
        .any(|at| text.get(at..at + WORD.len()).is_some_and(|part| part.eq_ignore_ascii_case(WORD)))
}

#[cfg(test)]
mod tests;
