//! What a source keeps of an SMTP session and of the transaction in it. The
//! source owns both; the engine reads and updates them.

use super::Settings;
use crate::{
    connector::Identities,
    directory::Resolution,
    domain,
    fingerprint::Fingerprints,
    message::{Direction, Sender},
    organization::Counts,
    sender,
    verdict::{Class, Reply},
};
use std::sync::{Arc, OnceLock};

/// Refusals in a session without an accepted recipient, after which it is
/// ended: a client that only retries must not occupy an smtpd process.
const REFUSALS_BEFORE_DISCONNECT: u32 = 8;

/// Who a session is, with the settings by which that was found out.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) settings: Arc<Settings>,
    pub(super) resolution: Resolution,
    /// What is counted for its organization, where domains are registered.
    pub(super) organization: Option<Arc<Counts>>,
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
    /// The domains of its From header, at its end.
    pub(super) from: Names,
    /// The domain of a recipient while it is looked at.
    pub(super) domain: String,
    /// The buffers of the last transaction for the next one, empty.
    pub(super) spare: Transaction,
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
    /// A hash of [`Envelope::folded`].
    pub(super) hash: u64,
    /// The same as [`Envelope::folded`] for look-ups among restricted senders, made
    /// at the first one.
    shared: OnceLock<Arc<str>>,
}

impl Envelope {
    pub(super) fn set(&mut self, sender: &Sender<'_>, fingerprints: &Fingerprints) {
        sender::fold_into(sender.as_str(), &mut self.folded);
        self.domain.clear();
        if let Sender::Address { address, .. } = sender {
            domain::fold_into(domain::of_address(address).unwrap_or(""), &mut self.domain);
        }
        self.qualified = matches!(sender, Sender::Address { qualified: true, .. });
        self.hash = fingerprints.of_text(&self.folded);
        if self.shared.get().is_some_and(|shared| **shared != *self.folded) {
            self.shared = OnceLock::new();
        }
    }

    pub(super) fn shared(&self) -> &Arc<str> {
        self.shared.get_or_init(|| self.folded.as_str().into())
    }
}

/// Folded domains in one buffer, which goes from one transaction to the next.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Names {
    text: String,
    /// Where each ends, and how often it was noted.
    ends: Vec<(usize, u32)>,
}

impl Names {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each, with how often it was noted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut from = 0;
        self.ends.iter().map(move |(end, count)| {
            let name = self.text.get(from..*end).unwrap_or("");
            from = *end;
            (name, *count)
        })
    }

    /// Adds the domain of an address, if it has one.
    pub(super) fn add_of(&mut self, address: &str) {
        let domain = domain::of_address(address);
        if domain.is_some_and(|domain| domain::fold_into(domain, &mut self.text)) {
            self.ends.push((self.text.len(), 1));
        }
    }

    /// Counts a folded name, as one of `most` at the most.
    pub(super) fn note(&mut self, folded: &str, most: usize) {
        let found = self.iter().position(|(name, _)| name == folded);
        if let Some((_, count)) = found.and_then(|at| self.ends.get_mut(at)) {
            *count = count.saturating_add(1);
        } else if self.ends.len() < most {
            self.text.push_str(folded);
            self.ends.push((self.text.len(), 1));
        }
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

    /// Counts a refusal of ours; a client that only retries is sent away.
    pub(super) fn refuse(&mut self, class: Class, text: &str) -> Reply {
        self.refusals = self.refusals.saturating_add(1);
        let only_refused = !self.accepted && self.refusals > REFUSALS_BEFORE_DISCONNECT;
        Reply::new(if only_refused { Class::Disconnect } else { class }, text)
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
    pub(super) domains: Names,
}

/// So many recipients of a message are looked at one by one.
pub(super) const MAX_LOOKED_AT: usize = 1024;
/// So many domains of its recipients are told apart.
pub(super) const MAX_DOMAINS: usize = 16;

impl Transaction {
    /// Its buffers, empty.
    pub(super) fn emptied(mut self) -> Self {
        let Self { recipients, unknown_recipients, domains, .. } = &mut self;
        recipients.clear();
        unknown_recipients.clear();
        domains.clear();
        Self { inbound: 0, relayed: 0, unknown: 0, ..self }
    }

    /// Of the recipients that were accepted so far Postfix kept only so many. Which ones
    /// it does not say: those of this site, whose names it can look up, go first.
    pub fn keep(&mut self, kept: u32) {
        let beyond = self.inbound.saturating_add(self.relayed).saturating_sub(kept);
        let inbound = beyond.min(self.inbound);
        self.inbound -= inbound;
        self.relayed = self.relayed.saturating_sub(beyond - inbound);
        self.recipients.truncate(self.relayed as usize);
    }

    pub(super) fn accept(&mut self, direction: Direction) {
        match direction {
            Direction::Inbound => self.inbound = self.inbound.saturating_add(1),
            Direction::Relayed => self.relayed = self.relayed.saturating_add(1),
        }
    }
}
