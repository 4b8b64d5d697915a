//! What a connector never showed before: the address of its client, the issuer of
//! its certificate, its HELO name, a sender domain that is not registered.
//!
//! They are remembered where the recipients are, in the Bloom filter that all
//! connectors share, so that they cost nothing beside: a message asks for up to four
//! pairs, and puts in those that are new when it passes. In doubt a trait is known.
//! A client that is counted under its own address has no other one, so that it is not
//! asked for (1,000 of the 15,500 instructions of a message).
//! A connector that was counted for less than [`SETTLED`] shows nothing new, nor does
//! any while that memory was lost a short time ago.

use super::{
    Notice,
    end::{Counted, End, Met},
};
use crate::{
    case::{self, Change, Trait},
    connector::{ConnectorKey, client_network},
    known, roster,
    signal::{Observation, Origin},
};
use std::{net::IpAddr, time::Duration};

/// How long a connector is counted before anything of it can be new.
const SETTLED: Duration = Duration::from_secs(24 * 3600);
/// How long before it is told beside a case.
const KNOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// One trait of a message.
#[derive(Clone, Copy)]
struct Shown<'a> {
    what: Trait,
    hash: u64,
    value: Value<'a>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Address(IpAddr),
}

impl Shown<'_> {
    fn pair(&self, counted: &Counted<'_>) -> u64 {
        let kind = match self.what {
            Trait::ClientAddress => 1,
            Trait::CertificateIssuer => 2,
            Trait::HeloName => 3,
            Trait::UnregisteredDomain => 4,
        };
        known::trait_pair(counted.tally.id(), kind, self.hash)
    }
}

impl End<'_> {
    /// What of this message its connector never showed before; `met` notes what of it
    /// was found.
    pub(super) fn changes(
        &self,
        counted: &Counted<'_>,
        seen: &Observation,
        met: &mut Met,
    ) -> Vec<Change> {
        let Counted { tally, context, .. } = counted;
        if context.muted || self.now.since(tally.first_seen()) < SETTLED {
            return Vec::new();
        }
        let memory = &self.engine.known.recipients;
        let shown = self.shown(counted, seen).into_iter().zip(&mut met.traits);
        let new = shown.filter_map(|(shown, found)| {
            let shown = shown?;
            *found = memory.find(shown.pair(counted), self.now);
            (!found.is_known() && !self.began_as(counted, shown.what)).then_some(shown)
        });
        new.map(|shown| Change {
            what: shown.what,
            value: match shown.value {
                Value::Text(text) => case::cut(text).into(),
                Value::Address(address) => address.to_string().into(),
            },
            at: self.now,
        })
        .collect()
    }

    /// Remembers what a message showed that passes.
    pub(super) fn remember(&self, counted: &Counted<'_>, seen: &Observation, met: &Met) {
        let (tally, memory) = (&counted.tally, &self.engine.known.recipients);
        for (shown, found) in self.shown(counted, seen).into_iter().zip(met.traits) {
            if let Some(shown) = shown {
                memory.keep(shown.pair(counted), found, &tally.recipients_share, self.now);
            }
        }
    }

    /// Tells that a connector shows another identity, where that is something: a
    /// person travels and a discovered address is its own identity, but a named host
    /// or a certificate that was the same for a week has a reason to change.
    pub(super) fn tell_of_change(&self, counted: &Counted<'_>, changes: &[Change]) {
        let Counted { key, tally, .. } = counted;
        let identity = |change: &&Change| change.what != Trait::UnregisteredDomain;
        let is_host = matches!(key, ConnectorKey::Named(_) | ConnectorKey::Certificate(_))
            && self.session.identities.login.is_none();
        if !is_host || self.now.since(tally.first_seen()) < KNOWN {
            return;
        }
        let changes: Vec<Change> = changes.iter().filter(identity).cloned().collect();
        if !changes.is_empty() && tally.change_notice_is_due(self.now) {
            self.engine.notices.push(Notice::Changed(key.clone(), changes));
        }
    }

    /// Whether this trait is the client under whose address the connector was counted
    /// before it got a name: that was not remembered.
    fn began_as(&self, counted: &Counted<'_>, what: Trait) -> bool {
        let client = self.client.filter(|_| what == Trait::ClientAddress);
        let key = client.map(|client| ConnectorKey::Client(client_network(client)));
        key.is_some_and(|key| counted.tally.id() == roster::id_of(&key))
    }

    fn shown(&self, counted: &Counted<'_>, seen: &Observation) -> [Option<Shown<'_>>; 4] {
        let Self { engine, session, .. } = *self;
        let fingerprints = &engine.fingerprints;
        let client = self.client.map(|client| (client, client_network(client)));
        let client = client.filter(|(_, network)| counted.key != ConnectorKey::Client(*network));
        let client = client.map(|(client, network)| Shown {
            what: Trait::ClientAddress,
            hash: fingerprints.of_network(&network),
            value: Value::Address(client),
        });
        let text =
            |what, text| Shown { what, hash: fingerprints.of_text(text), value: Value::Text(text) };
        let certificate = session.identities.certificate.as_ref();
        let issuer = certificate.map(|it| text(Trait::CertificateIssuer, it.issuer()));
        let helo = Some(session.helo.as_str()).filter(|helo| !helo.is_empty());
        let domain = match seen.sender {
            Origin::Odd(hash) => Some(Shown {
                what: Trait::UnregisteredDomain,
                hash: hash.into(),
                value: Value::Text(&session.sender.domain),
            }),
            _ => None,
        };
        [client, issuer, helo.map(|helo| text(Trait::HeloName, helo)), domain]
    }
}
