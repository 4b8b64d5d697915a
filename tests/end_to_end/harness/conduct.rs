//! How the servers that the sink plays treat a recipient. The address says it:
//! the words at the front of its local part, one for each attempt to deliver.
//!
//! | word | what the recipient meets |
//! |---|---|
//! | `dead` | no such user, at RCPT |
//! | `policy` | refused for policy, at RCPT |
//! | `limit` | too much mail at once, at RCPT, for now |
//! | `full` | a full mailbox, at RCPT, for now |
//! | `spam` | refused as spam after the message |
//! | `grey` | greylisted, at RCPT |
//! | `drop` | the connection breaks off at RCPT |
//! | `cut` | the connection breaks off after the message |
//! | `stall` | no reply at RCPT before the test says so |
//!
//! `grey-dead-7@remote.test` is greylisted and then unknown. A server keeps to
//! the first five words; the others are over with one attempt, and what
//! has no word (left) is accepted.

use std::collections::HashMap;
use std::sync::Mutex;

use super::sink::lock;

/// What a recipient meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    Accept,
    /// This reply to RCPT.
    Refuse(&'static str),
    /// This reply after the message.
    RefuseContent(&'static str),
    /// No reply at RCPT any more.
    Drop,
    /// No reply after the message any more.
    Cut,
    /// A yes, when the test says so.
    Stall,
}

/// What is remembered of recipients: how often each was tried.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    attempts: Mutex<HashMap<String, usize>>,
}

impl Conduct {
    /// What this recipient meets at this attempt.
    pub(crate) fn at_recipient(&self, address: &str) -> Treatment {
        let mut attempts = lock(&self.attempts);
        let attempt = attempts.entry(address.to_owned()).or_default();
        *attempt += 1;
        treatment(address, *attempt - 1)
    }

    /// How often this recipient was tried.
    pub(crate) fn attempts(&self, address: &str) -> usize {
        lock(&self.attempts).get(address).copied().unwrap_or_default()
    }
}

fn treatment(address: &str, attempts_before: usize) -> Treatment {
    let local = address.split('@').next().unwrap_or_default();
    let mut left = attempts_before;
    for word in local.split('-') {
        let (treatment, stays) = match word {
            "dead" => (Treatment::Refuse("550 5.1.1 No such user here"), true),
            "policy" => (Treatment::Refuse("554 5.7.1 Rejected by local policy"), true),
            "limit" => (
                Treatment::Refuse("450 4.7.1 Rate limit exceeded, too many messages from you"),
                true,
            ),
            "full" => (Treatment::Refuse("452 4.2.2 Mailbox full"), true),
            "spam" => (Treatment::RefuseContent("554 5.7.1 Message rejected as spam"), true),
            "grey" => (Treatment::Refuse("450 4.7.1 Greylisted, please try again later"), false),
            "drop" => (Treatment::Drop, false),
            "cut" => (Treatment::Cut, false),
            "stall" => (Treatment::Stall, false),
            _ => return Treatment::Accept,
        };
        if stays || left == 0 {
            return treatment;
        }
        left -= 1;
    }
    Treatment::Accept
}
