//! What a case is made of: collected of one connector while its score is above
//! zero. Of a fixed size whatever clients do: see the constants here, in `top.rs`
//! and in `timeline.rs`.

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

impl Trait {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ClientAddress, Self::CertificateIssuer, Self::HeloName, Self::UnregisteredDomain];
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
    /// Bad messages, oldest first: the first ones and the newest.
    pub samples: Vec<Sample>,
    /// What was new.
    pub changes: Vec<Change>,
}

impl Material {
    /// Takes in one message.
    pub fn note(&mut self, seen: &Seen<'_>, now: Timestamp) {
        if self.since == Timestamp::default() {
            self.since = now;
        }
        self.timeline.note(1, 0, now);
        let sender = if seen.sender.is_empty() { "<>" } else { seen.sender };
        self.senders.note(sender, seen.bad);
        if !seen.sender_domain.is_empty() {
            self.sender_domains.note(seen.sender_domain, seen.bad);
        }
        if let Some(client) = seen.client {
            self.clients.note(&client.to_string(), seen.bad);
        }
        if !seen.helo.is_empty() {
            self.helos.note(seen.helo, seen.bad);
        }
        for (domain, recipients) in seen.recipient_domains {
            self.recipient_domains.add(domain, u64::from(*recipients), seen.bad);
        }
        self.external = self.external.saturating_add(seen.relayed.into());
        self.local = self.local.saturating_add(seen.inbound.into());
        for change in seen.changes {
            self.change(change);
        }
    }

    /// Keeps a bad message: the first ones and the newest.
    pub fn keep(&mut self, sample: Sample) {
        if self.samples.len() >= MOST_SAMPLES {
            self.samples.remove(MOST_SAMPLES / 2);
        }
        self.samples.push(sample);
    }

    /// Keeps what was new: the first ones of each kind, each once.
    pub fn change(&mut self, change: &Change) {
        let mut alike = self.changes.iter().filter(|known| known.what == change.what);
        let known = alike.clone().any(|known| known.value == change.value);
        if !known && alike.by_ref().count() < MOST_CHANGES / Trait::ALL.len() {
            self.changes.push(change.clone());
        }
    }

    /// Gives up most of the names and samples; what is counted in all stays.
    pub fn thin(&mut self) {
        const STAY: usize = 2;
        let Self { senders, sender_domains, recipient_domains, clients, helos, .. } = self;
        for top in [senders, sender_domains, recipient_domains, clients, helos] {
            top.counts.truncate(STAY);
            top.counts.shrink_to_fit();
        }
        let newest = self.samples.len().saturating_sub(STAY);
        if newest > STAY {
            self.samples.drain(STAY..newest);
        }
        self.samples.shrink_to_fit();
        self.changes.truncate(2 * STAY);
    }

    /// Adds what was collected later.
    pub fn merge(&mut self, later: &Self) {
        if self.since == Timestamp::default() {
            self.since = later.since;
        }
        self.timeline.merge(&later.timeline);
        for (mine, theirs) in [
            (&mut self.senders, &later.senders),
            (&mut self.sender_domains, &later.sender_domains),
            (&mut self.recipient_domains, &later.recipient_domains),
            (&mut self.clients, &later.clients),
            (&mut self.helos, &later.helos),
        ] {
            mine.merge(theirs);
        }
        self.external = self.external.saturating_add(later.external);
        self.local = self.local.saturating_add(later.local);
        later.samples.iter().cloned().for_each(|sample| self.keep(sample));
        later.changes.iter().for_each(|change| self.change(change));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    #[test]
    fn a_message_is_counted_by_all_that_it_shows() {
        let mut material = Material::default();
        let domains = [("a.test".into(), 3), ("b.test".into(), 1)];
        let changes = [Change { what: Trait::HeloName, value: "laptop".into(), at: NOW }];
        let seen = Seen {
            sender: "",
            sender_domain: "",
            client: Some([192, 0, 2, 7].into()),
            helo: "laptop",
            recipient_domains: &domains,
            relayed: 4,
            inbound: 2,
            bad: true,
            changes: &changes,
        };
        material.note(&seen, NOW);
        material.note(&seen, NOW);
        let first = |top: &Top| (top.counts[0].name.to_string(), top.counts[0].count, top.total);
        assert_eq!(first(&material.senders), ("<>".into(), 2, 2));
        assert_eq!(first(&material.clients), ("192.0.2.7".into(), 2, 2));
        assert_eq!(first(&material.recipient_domains), ("a.test".into(), 6, 8));
        assert_eq!(material.sender_domains.total, 0);
        assert_eq!((material.external, material.local), (8, 4));
        // What is new is told once.
        assert_eq!(material.changes, changes);
        assert_eq!(material.since, NOW);
    }

    #[test]
    fn the_first_and_the_newest_samples_stay() {
        let mut material = Material::default();
        for number in 0..100 {
            material.keep(Sample {
                at: NOW,
                queue_id: None,
                message_id: None,
                sender: number.to_string().into(),
                from: None,
                recipients: 1,
                passed: true,
            });
        }
        let kept: Vec<&str> = material.samples.iter().map(|sample| &*sample.sender).collect();
        assert_eq!(kept.len(), MOST_SAMPLES);
        assert_eq!((kept[0], kept[9], kept[10], kept[19]), ("0", "9", "90", "99"));
    }

    #[test]
    fn made_up_domains_leave_room_for_other_changes() {
        let mut material = Material::default();
        let mut change = |what, number: u32| {
            material.change(&Change { what, value: number.to_string().into(), at: NOW });
        };
        (0..50).for_each(|number| change(Trait::UnregisteredDomain, number));
        change(Trait::ClientAddress, 1);
        assert_eq!(material.changes.len(), 6);
    }
}
