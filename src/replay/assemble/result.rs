//! What an attempt to deliver says of a recipient.

use super::{Map, draft::Draft};
use crate::{
    domain,
    maillog::{Attempt, Peer, provider_name},
    message::Outcome,
    refusal::{self, Class},
    replay::mail::{Answer, Provider},
    timestamp::Timestamp,
};
use std::sync::Arc;

/// Hosts whose providers are remembered.
const MOST_HOSTS: usize = 4096;

/// The providers of hosts that mail went to. To find one in the list of public
/// suffixes takes a thousand instructions.
#[derive(Debug, Default)]
pub(super) struct Providers(Map<Box<str>, Arc<str>>);

impl Providers {
    /// As [`provider_name`] says.
    fn of(&mut self, relay: &Peer<'_>) -> Option<Arc<str>> {
        relay.address?;
        if let Some(known) = self.0.get(relay.name) {
            return Some(Arc::clone(known));
        }
        let name: Arc<str> = provider_name(relay)?.into();
        // Others count by their address.
        if relay.name != "unknown" && domain::fold(relay.name).is_some() {
            if self.0.len() >= MOST_HOSTS {
                self.0.clear();
            }
            self.0.insert(relay.name.into(), Arc::clone(&name));
        }
        Some(name)
    }
}

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
    pub(super) fn of(number: u64, attempt: &Attempt<'_>, providers: &mut Providers) -> Self {
        let class = refusal::class(attempt);
        let recipient = attempt.original_to.unwrap_or(attempt.to);
        let is_same = recipient == attempt.to;
        let outcome = if is_same || domain::is_rewritten_within(recipient, attempt.to) {
            refusal::outcome(attempt, class)
        } else {
            Outcome::Deferred
        };
        let by = attempt
            .relay
            .as_ref()
            .and_then(|relay| providers.of(relay))
            .map(|name| Provider { name, may_mean_us: class.is_some_and(Class::may_mean_us) });
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
