//! What a source keeps of an SMTP session and of the transaction in it. The
//! source owns both; the engine reads and updates them.

use super::Settings;
use crate::{
    connector::Identities,
    directory::Resolution,
    domain,
    message::{Direction, Sender},
    sender,
};
use std::sync::Arc;

/// Who a session is, with the settings by which that was found out.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) settings: Arc<Settings>,
    pub(super) resolution: Resolution,
}

/// One SMTP session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(super) identities: Identities,
    /// Who that is.
    pub(super) settled: Option<Arc<Settled>>,
    /// Our refusals in this session, and whether any recipient was accepted.
    pub(super) refusals: u32,
    pub(super) accepted: bool,
    pub(super) ignored: bool,
    /// Its name in HELO or EHLO.
    pub(super) helo: String,
    /// The name of this host, folded, where it is known.
    pub(super) host: String,
    /// The sender of the transaction.
    pub(super) sender: Envelope,
}

/// The envelope sender of a transaction, in the buffers of its session.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope {
    /// As [`sender::fold`] gives it; empty for the null sender.
    pub(super) folded: String,
    /// Its domain, folded; empty where it has none.
    pub(super) domain: String,
    /// It is an address, and the client gave a domain.
    pub(super) qualified: bool,
}

impl Envelope {
    pub(super) fn set(&mut self, sender: &Sender<'_>) {
        self.folded.clear();
        self.domain.clear();
        self.folded.push_str(&sender::fold(sender.as_str()));
        self.domain.push_str(&sender.domain().unwrap_or_default());
        self.qualified = matches!(sender, Sender::Address { qualified: true, .. });
    }
}

impl Session {
    /// Tells what the session has shown of itself by now. Who it is gets
    /// settled at its next MAIL.
    pub fn identify(&mut self, identities: Identities) {
        if self.identities != identities {
            self.identities = identities;
            self.settled = None;
        }
    }

    /// Tells the name that the client gave in HELO or EHLO, as it came.
    pub fn greet(&mut self, helo: &str) {
        self.helo.clear();
        self.helo.push_str(helo);
    }

    /// Tells the name of this host, which is registered by nature.
    pub fn serve(&mut self, host: &str) {
        self.host.clear();
        self.host.push_str(&domain::fold(host).unwrap_or_default());
    }

    /// Who it is, unless it is left alone or was never settled.
    pub(super) fn settled(&self) -> Option<&Arc<Settled>> {
        self.settled.as_ref().filter(|_| !self.ignored)
    }

    /// What it has shown of itself.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Leaves this session alone: its mail was, or will be, seen elsewhere.
    pub fn ignore(&mut self) {
        self.ignored = true;
    }

    /// Whether it is left alone.
    pub fn is_ignored(&self) -> bool {
        self.ignored
    }
}

/// One transaction: from MAIL to its end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Transaction {
    /// Accepted inbound recipients.
    pub inbound: u32,
    /// Accepted relayed recipients.
    pub relayed: u32,
    /// Recipients that Postfix refused as unknown.
    pub unknown: u32,
    /// Hashes of the accepted relayed recipients, of [`MAX_LOOKED_AT`] at the
    /// most.
    pub(super) recipients: Vec<u64>,
    /// The same of those that Postfix refused as unknown.
    pub(super) unknown_recipients: Vec<u64>,
    /// The domains of the accepted relayed recipients, folded, of
    /// [`MAX_DOMAINS`] at the most, with how many there are of each.
    pub(super) domains: Vec<(Box<str>, u32)>,
}

/// So many recipients of a message are looked at one by one.
pub(super) const MAX_LOOKED_AT: usize = 1024;
/// So many domains of its recipients are told apart.
pub(super) const MAX_DOMAINS: usize = 16;

impl Transaction {
    /// Counts a recipient of this domain.
    pub(super) fn note_domain(&mut self, domain: &str) {
        let folded = domain::fold(domain).unwrap_or_default();
        if let Some((_, count)) = self.domains.iter_mut().find(|(known, _)| **known == *folded) {
            *count = count.saturating_add(1);
        } else if self.domains.len() < MAX_DOMAINS {
            self.domains.push(((*folded).into(), 1));
        }
    }

    pub(super) fn accept(&mut self, direction: Direction) {
        match direction {
            Direction::Inbound => self.inbound = self.inbound.saturating_add(1),
            Direction::Relayed => self.relayed = self.relayed.saturating_add(1),
        }
    }
}
