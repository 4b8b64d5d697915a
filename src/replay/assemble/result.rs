//! What an attempt to deliver says of a recipient.

use super::draft::Draft;
use crate::{
    domain,
    maillog::{Attempt, provider_name},
    message::Outcome,
    refusal::{self, Class},
    replay::mail::{Answer, Provider},
    timestamp::Timestamp,
};
use std::sync::Arc;

/// A result of a queue file.
#[derive(Debug)]
pub(super) struct Answered {
    /// Number of its draft.
    pub(super) number: u64,
    recipient: Box<str>,
    outcome: Outcome,
    class: Option<Class>,
    by: Option<Provider>,
}

impl Answered {
    pub(super) fn of(number: u64, attempt: &Attempt<'_>) -> Self {
        let class = refusal::class(attempt);
        let recipient = attempt.original_to.unwrap_or(attempt.to);
        let outcome = if domain::is_rewritten_within(recipient, attempt.to) {
            refusal::outcome(attempt, class)
        } else {
            Outcome::Deferred
        };
        let by = attempt.relay.as_ref().and_then(provider_name).map(|name| Provider {
            name: name.into(),
            may_mean_us: class.is_some_and(Class::may_mean_us),
        });
        Self { number, recipient: recipient.into(), outcome, class, by }
    }

    /// The same, as a result of the message that the client gave.
    pub(super) fn of_root(self, root: &Draft, at: Timestamp) -> Answer {
        let Self { recipient, outcome, class, by, .. } = self;
        Answer {
            at,
            host: Arc::clone(&root.host),
            queue_id: Arc::clone(&root.queue_id),
            who: Arc::clone(&root.who),
            recipient,
            outcome,
            class,
            by,
        }
    }
}
