//! Which sender domains are registered.
//!
//! For the organization:
//! - what this site receives mail for;
//! - a domain of a login's own name: who gave out `alice@example.org` means it;
//! - a host below one of these, on two days or half of somebody's mail;
//! - a domain that three or more identities use, over half of the log's time.
//!
//! For one connector alone, what nobody else needs to send as: a domain in
//! **steady** use. That is one on three days and on half of the days on which the
//! connector sent, with 2 % of its messages, by one that has at most 20 domains
//! (or 20 % of its messages), and from before the day on which it looks taken
//! over, if it does. So an attack of some days registers nothing.
//!
//! The rest is told of in a comment.

use super::{
    figures::{Figures, share},
    survey::Survey,
    trade::Trouble,
    uses::Use,
};
use crate::{
    connector::ConnectorKey,
    domain::{self, DomainSet},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const STEADY_DAYS: u32 = 3;
const STEADY_SHARE: f64 = 0.02;
const MANY_DOMAINS: usize = 20;
const LARGE_SHARE: f64 = 0.2;
/// Users of a domain that is everybody's.
const USERS: usize = 3;

/// An identity with what was made of it.
pub(super) struct Identity<'a> {
    pub(super) key: &'a ConnectorKey,
    pub(super) figures: &'a Figures,
    pub(super) trouble: Option<&'a Trouble>,
}

/// What is registered, and what is not.
#[derive(Debug, Default)]
pub(super) struct Registered {
    /// For all: as it is to be written, with a leading dot for trees.
    pub(super) organization: Vec<String>,
    set: DomainSet,
    own: HashMap<ConnectorKey, BTreeSet<Box<str>>>,
    /// Domains that nobody may send as, with messages, days and identities; those
    /// with the most messages first.
    pub(super) others: Vec<(Box<str>, u64, u32, usize)>,
}

/// Who uses a domain, and how.
#[derive(Default)]
struct Claim<'a> {
    users: Vec<(&'a Identity<'a>, &'a Use)>,
}

/// Decides. `inbound` is what this site receives mail for, with leading dots.
pub(super) fn registered(
    survey: &Survey,
    inbound: &[String],
    identities: &[Identity<'_>],
) -> Registered {
    let mut registered = Registered::default();
    for name in inbound.iter().filter(|name| is_likely(name)) {
        registered.add(name);
    }
    let log_days = survey.days();
    let mut claims: BTreeMap<&str, Claim<'_>> = BTreeMap::new();
    for identity in identities {
        let Figures { senders, from, .. } = identity.figures;
        for one in senders.sorted().into_iter().chain(from.sorted()) {
            claims.entry(&one.domain).or_default().users.push((identity, one));
        }
    }
    // Hosts below a domain come after it: it may have been registered meanwhile.
    let (whole, hosts): (Vec<_>, Vec<_>) =
        claims.into_iter().partition(|(name, _)| domain::organizational(name) == *name);
    for (name, claim) in whole.into_iter().chain(hosts) {
        registered.decide(name, &claim, log_days);
    }
    registered
        .organization
        .sort_by(|a, b| a.trim_start_matches('.').cmp(b.trim_start_matches('.')));
    registered.others.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    registered
}

impl Registered {
    /// What is registered for this one alone, by name.
    pub(super) fn own<'a>(&'a self, key: &ConnectorKey) -> impl Iterator<Item = &'a str> {
        self.own.get(key).into_iter().flatten().map(AsRef::as_ref)
    }

    /// Share of messages from domains that are registered neither for the
    /// organization nor for these keys.
    pub(super) fn foreign_share(&self, keys: &[ConnectorKey], figures: &Figures) -> f64 {
        let listed = figures.senders.sorted();
        let is_own = |name: &str| keys.iter().flat_map(|key| self.own(key)).any(|own| own == name);
        let known = listed
            .iter()
            .filter(|one| self.set.contains_folded(&one.domain) || is_own(&one.domain));
        let known: u64 = known.map(|one| one.messages).sum();
        share(figures.senders.messages().saturating_sub(known), figures.senders.messages())
    }

    fn add(&mut self, name: &str) {
        if self.set.insert(name).is_ok() && !self.organization.iter().any(|known| known == name) {
            self.organization.push(name.to_owned());
        }
    }

    fn decide(&mut self, name: &str, claim: &Claim<'_>, log_days: u32) {
        if self.set.contains_folded(name) || DomainSet::default().insert(name).is_err() {
            return;
        }
        if claim.is_of_a_login(name)
            || claim.is_host_of(&self.set, name)
            || claim.is_common(log_days)
        {
            return self.add(name);
        }
        let mut rest: Vec<&(&Identity<'_>, &Use)> = Vec::new();
        for user in &claim.users {
            let (identity, one) = user;
            match identity.key {
                _ if !is_steady(identity, one) => rest.push(user),
                // It has no [[connector]] of its own.
                ConnectorKey::Local => return self.add(name),
                key => drop(self.own.entry(key.clone()).or_default().insert(name.into())),
            }
        }
        if !rest.is_empty() {
            let messages = rest.iter().map(|(_, one)| one.messages).sum();
            let days = rest.iter().map(|(_, one)| one.days).max().unwrap_or(0);
            let users: BTreeSet<_> = rest.iter().map(|(identity, _)| identity.key).collect();
            self.others.push((name.into(), messages, days, users.len()));
        }
    }
}

impl Claim<'_> {
    fn is_of_a_login(&self, name: &str) -> bool {
        self.users.iter().any(|(identity, _)| match identity.key {
            ConnectorKey::Login(login) => {
                identity.trouble.is_none() && domain::of_address(login) == Some(name)
            }
            _ => false,
        })
    }

    fn is_host_of(&self, set: &DomainSet, name: &str) -> bool {
        let organization = domain::organizational(name);
        organization != name
            && organization.contains('.')
            && set.contains_folded(organization)
            && self.users.iter().any(|(identity, one)| {
                let part = share(one.messages, identity.figures.messages);
                identity.trouble.is_none() && (one.days >= 2 || part >= 0.5)
            })
    }

    fn is_common(&self, log_days: u32) -> bool {
        let users = self.users.iter().filter(|(identity, one)| {
            let part = share(one.messages, identity.figures.messages);
            one.days >= 2 && part >= STEADY_SHARE && was_before_trouble(identity, one)
        });
        let (mut keys, mut first, mut last) = (BTreeSet::new(), u32::MAX, 0);
        for (identity, one) in users {
            keys.insert(identity.key);
            first = first.min(one.first);
            last = last.max(one.last);
        }
        let days = last.saturating_sub(first) + 1;
        keys.len() >= USERS && days >= STEADY_DAYS && 2 * days >= log_days
    }
}

fn is_steady(identity: &Identity<'_>, one: &Use) -> bool {
    let figures = identity.figures;
    let part = share(one.messages, figures.messages);
    one.days >= STEADY_DAYS
        && 2 * one.days >= figures.active_days()
        && part >= STEADY_SHARE
        && (figures.senders.distinct() <= MANY_DOMAINS || part >= LARGE_SHARE)
        && was_before_trouble(identity, one)
}

fn was_before_trouble(identity: &Identity<'_>, one: &Use) -> bool {
    identity.trouble.is_none_or(|trouble| one.first < trouble.day)
}

/// Whether clients are likely to send as an inbound domain: not as a name of
/// a single host without a domain.
fn is_likely(name: &str) -> bool {
    let name = name.trim_start_matches('.');
    name.contains('.') && !name.starts_with("localhost.")
}
