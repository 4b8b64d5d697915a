//! What the log tells of one identity: a login, a certificate, an address.

use super::{days::Days, uses::Uses};
use crate::{
    connector::client_network, connector::parent_network, message::Outcome, replay::Mail,
    timestamp::Timestamp,
};
use std::{collections::HashSet, sync::Arc};

/// Networks of a login, and domains that it wrote to, that are told apart.
const MOST_NETWORKS: usize = 512;
const MOST_TARGETS: usize = 32;
/// From so many recipients on a message goes to a crowd.
const CROWD: u64 = 5;

/// The figures of one identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Messages that had a relayed recipient, and these recipients.
    pub(super) messages: u64,
    pub(super) recipients: u64,
    /// Recipients that Postfix refused as unknown.
    pub(super) unknown: u64,
    /// Relayed recipients that were delivered to, and that were refused.
    pub(super) delivered: u64,
    pub(super) refused: u64,
    /// Messages with the null sender, with one that SRS made of a foreign one,
    /// and with one that has the recipient in it (VERP).
    pub(super) null: u64,
    pub(super) srs: u64,
    pub(super) verp: u64,
    /// Messages to a crowd, and the largest number of recipients.
    pub(super) crowds: u64,
    pub(super) most_recipients: u64,
    /// Messages through a submission service.
    pub(super) submitted: u64,
    /// By day.
    pub(super) days: Days,
    /// Sender domains of the envelope, and of From where it is logged.
    pub(super) senders: Uses,
    pub(super) from: Uses,
    /// Hashes of the networks (/24, /48) that it came from.
    pub(super) networks: HashSet<u64>,
    /// Hashes of the first domains that it wrote to.
    pub(super) targets: HashSet<u64>,
    /// Its last name in the DNS, if it has one.
    pub(super) name: Option<Arc<str>>,
}

/// What a message shows, with the hashes that the survey made.
pub(super) struct Seen<'a> {
    pub(super) mail: &'a Mail,
    /// Relayed recipients.
    pub(super) relayed: u64,
    /// Folded domain of the envelope sender, and its hash.
    pub(super) sender: Option<(&'a str, u64)>,
    /// The same of From.
    pub(super) from: Vec<(String, u64)>,
    /// Hashes of the domains of relayed recipients.
    pub(super) targets: &'a [u64],
}

impl Figures {
    /// A message with relayed recipients.
    pub(super) fn message(&mut self, seen: &Seen<'_>, hash: impl Fn(&[u8]) -> u64) {
        let Seen { mail, relayed, .. } = *seen;
        let day = mail.at.day();
        self.messages += 1;
        self.recipients += relayed;
        self.unknown += mail.unknown.len() as u64;
        self.crowds += u64::from(relayed >= CROWD);
        self.most_recipients = self.most_recipients.max(relayed);
        self.submitted += u64::from(is_submission(&mail.service));
        let counted = u32::try_from(relayed).unwrap_or(u32::MAX);
        self.days.message(mail.at, counted, seen.sender.map(|(_, hash)| hash));
        match shape(&mail.from) {
            Shape::Null => self.null += 1,
            Shape::Srs => self.srs += 1,
            Shape::Verp => self.verp += 1,
            Shape::Plain => {}
        }
        if let Some((domain, hash)) = seen.sender {
            self.senders.note(domain, hash, day);
        }
        for (domain, hash) in &seen.from {
            self.from.note(domain, *hash, day);
        }
        for target in seen.targets {
            if self.targets.len() < MOST_TARGETS {
                self.targets.insert(*target);
            }
        }
        if let Some(client) = mail.who.client
            && self.networks.len() < MOST_NETWORKS
        {
            let network = parent_network(client_network(client));
            self.networks.insert(hash(network.to_string().as_bytes()));
        }
        let name = &mail.who.client_name;
        if !name.is_empty() && &**name != "unknown" && self.name.as_ref() != Some(name) {
            self.name = Some(Arc::clone(name));
        }
    }

    /// A deciding delivery result of a relayed recipient.
    pub(super) fn result(&mut self, outcome: Outcome, at: Timestamp) {
        match outcome {
            Outcome::Delivered => self.delivered += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Deferred => return,
        }
        self.days.result(at, outcome == Outcome::Refused);
    }

    /// The figures of several that are taken for one.
    pub(super) fn merged<'a>(parts: impl Iterator<Item = &'a Figures> + Clone) -> Figures {
        let days = Days::merged(parts.clone().map(|part| &part.days));
        let mut all = Figures { days, ..Figures::default() };
        for part in parts {
            all.messages += part.messages;
            all.recipients += part.recipients;
            all.unknown += part.unknown;
            all.delivered += part.delivered;
            all.refused += part.refused;
            all.null += part.null;
            all.srs += part.srs;
            all.verp += part.verp;
            all.crowds += part.crowds;
            all.most_recipients = all.most_recipients.max(part.most_recipients);
            all.submitted += part.submitted;
            all.senders.absorb(&part.senders);
            all.from.absorb(&part.from);
            all.networks.extend(&part.networks);
            all.targets.extend(&part.targets);
            all.name = all.name.or_else(|| part.name.clone());
        }
        all
    }

    /// Days with mail.
    pub(super) fn active_days(&self) -> u32 {
        self.days.active()
    }

    /// Share of relayed recipients that were refused; nothing where no result is
    /// known.
    pub(super) fn refused_share(&self) -> Option<f64> {
        let all = self.delivered + self.refused;
        (all > 0).then(|| share(self.refused, all))
    }

    /// The domain that it sends as most often.
    pub(super) fn main_domain(&self) -> Option<&str> {
        self.senders.sorted().first().map(|one| &*one.domain)
    }
}

/// A part of a whole, 0 to 1.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What an envelope sender looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    Plain,
    Null,
    Srs,
    Verp,
}

fn shape(from: &str) -> Shape {
    if from.is_empty() {
        return Shape::Null;
    }
    let local = from.rsplit_once('@').map_or(from, |(local, _)| local).as_bytes();
    let begins = |prefix: &[u8]| {
        local.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let separator = local.get(4).is_some_and(|byte| b"=-+".contains(byte));
    if (begins(b"srs0") || begins(b"srs1")) && separator {
        Shape::Srs
    } else if local.contains(&b'=') && !begins(b"prvs=") && !begins(b"btv1==") {
        Shape::Verp
    } else {
        Shape::Plain
    }
}

/// Whether a service is one for clients that log in.
fn is_submission(service: &str) -> bool {
    let name = service.rsplit('/').next().unwrap_or(service);
    ["submission", "smtps", "587", "465"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_have_shapes() {
        for (from, expected) in [
            ("", Shape::Null),
            ("SRS0=xYz=AB=example.net=bob@example.org", Shape::Srs),
            ("srs1+x=y@example.org", Shape::Srs),
            ("srs0ren@example.org", Shape::Plain),
            ("news-bounces+bob=example.net@example.org", Shape::Verp),
            ("prvs=0123abcdef=alice@example.org", Shape::Plain),
            ("alice@example.org", Shape::Plain),
            ("root", Shape::Plain),
            ("é=@x", Shape::Verp),
        ] {
            assert_eq!(shape(from), expected, "{from}");
        }
    }

    #[test]
    fn submission_services_are_known_by_their_names() {
        assert!(is_submission("postfix/submission") && is_submission("postfix/smtps"));
        assert!(!is_submission("postfix") && !is_submission("postfix/10025"));
    }
}
