//! What a case is made of: collected of one connector while its score is above
//! zero.

use super::{Timeline, Top};
use crate::{record::Sample, timestamp::Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Samples of bad messages that are kept.
pub const MOST_SAMPLES: usize = 20;
/// Changes that are kept.
pub const MOST_CHANGES: usize = 20;

/// What of a connector can be new.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trait {
    /// The address of its client.
    ClientAddress,
    /// The issuer of its certificate.
    CertificateIssuer,
    /// The name in its HELO or EHLO.
    HeloName,
    /// A sender domain that is not registered.
    UnregisteredDomain,
}

/// Something that this connector never showed before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Change {
    /// What.
    pub what: Trait,
    /// Its value, as it came.
    pub value: Box<str>,
    /// When.
    pub at: Timestamp,
}

/// What one message shows, for a case.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The sender as [`crate::sender::fold`] gives it; empty for the null sender.
    pub sender: &'a str,
    /// The domain of the sender, folded.
    pub sender_domain: &'a str,
    /// The client.
    pub client: Option<IpAddr>,
    /// The name in its HELO or EHLO.
    pub helo: &'a str,
    /// The domains of its relayed recipients, with how many there are of each.
    pub recipient_domains: &'a [(Box<str>, u32)],
    /// Relayed recipients.
    pub relayed: u32,
    /// Inbound recipients.
    pub inbound: u32,
    /// It made a bad trial.
    pub bad: bool,
    /// What its connector never showed before.
    pub changes: &'a [Change],
}

/// What a case is made of.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Material {
    /// When collecting began.
    pub since: Timestamp,
    /// Messages and refusals over time.
    pub timeline: Timeline,
    /// Senders.
    pub senders: Top,
    /// Their domains.
    pub sender_domains: Top,
    /// Domains of recipients.
    pub recipient_domains: Top,
    /// Client addresses.
    pub clients: Top,
    /// HELO names.
    pub helos: Top,
    /// Relayed recipients.
    pub external: u64,
    /// Inbound recipients of the same messages.
    pub local: u64,
    /// Bad messages, oldest first.
    pub samples: Vec<Sample>,
    /// What was new.
    pub changes: Vec<Change>,
}

impl Material {
    /// Takes in one message.
    pub fn note(&mut self, seen: &Seen<'_>, now: Timestamp) {
        let _ = (seen, now);
    }

    /// Keeps a bad message.
    pub fn keep(&mut self, sample: Sample) {
        if self.samples.len() == MOST_SAMPLES {
            self.samples.remove(0);
        }
        self.samples.push(sample);
    }
}
