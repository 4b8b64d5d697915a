//! Which addresses relay, which of them belong together, and what to call them.
//!
//! An address without login relays if it lies in the known relay networks or is
//! a private one, or if it wrote to three domains that are nobody's inbound ones. A
//! domain to which ten or more networks of strangers wrote may be one for which
//! this site is a gateway (`relay_domains`), and says nothing.
//!
//! Neighbours (same /24 or /48) whose names in the DNS differ in numbers only, as
//! `web1` and `web2`, and that mostly send as the same domain are one connector.
//! Others of one site stay apart: what one does must not fall back on all.

use super::{
    figures::Figures,
    survey::{Survey, is_private},
    trade::{self, Trouble},
};
use crate::{
    connector::{ConnectorKey, parent_network},
    domain,
};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Domains that only a client that may relay can write to.
const DOMAINS: usize = 3;
/// Networks of strangers that make a domain look like one of this site.
const STRANGERS: usize = 10;
/// Characters of a name.
const MOST_NAME: usize = 40;

/// Addresses or a certificate that are to be one connector.
#[derive(Debug)]
pub(super) struct Group {
    /// By number.
    pub(super) keys: Vec<ConnectorKey>,
    pub(super) figures: Figures,
    pub(super) trouble: Option<Trouble>,
}

/// Domains that get mail from many strangers over a transport that is not local.
pub(super) fn gateway_domains(survey: &Survey) -> BTreeSet<&str> {
    let many = survey
        .targets
        .iter()
        .filter(|(name, target)| target.strangers.len() >= STRANGERS && !survey.is_inbound(name));
    many.map(|(name, _)| &**name).collect()
}

/// Whether a client may relay for its address.
pub(super) fn relays(
    survey: &Survey,
    gateway: &HashSet<u64>,
    network: IpNet,
    figures: &Figures,
) -> bool {
    survey.is_in_known_networks(network)
        || is_private(network)
        || figures.targets.difference(gateway).count() >= DOMAINS
}

/// Those that belong together, by messages. What looks taken over stays alone.
pub(super) fn groups<'a>(
    members: impl Iterator<Item = (&'a ConnectorKey, &'a Figures)>,
) -> Vec<Group> {
    let mut together: BTreeMap<Place<'_>, Vec<(&ConnectorKey, &Figures)>> = BTreeMap::new();
    let mut groups = Vec::new();
    for (key, figures) in members {
        let trouble = trade::trouble(figures);
        match place(key, figures).filter(|_| trouble.is_none()) {
            Some(place) => together.entry(place).or_default().push((key, figures)),
            None => {
                groups.push(Group { keys: vec![key.clone()], figures: figures.clone(), trouble })
            }
        }
    }
    for mut members in together.into_values() {
        members.sort_by_key(|(key, _)| *key);
        let figures = match &members[..] {
            [(_, alone)] => Figures::clone(alone),
            _ => Figures::merged(members.iter().map(|(_, figures)| *figures)),
        };
        let keys = members.into_iter().map(|(key, _)| key.clone()).collect();
        groups.push(Group { keys, figures, trouble: None });
    }
    groups.sort_by(|a, b| {
        b.figures.messages.cmp(&a.figures.messages).then_with(|| a.keys.cmp(&b.keys))
    });
    groups
}

/// What neighbours have in common: network, name in the DNS without its numbers,
/// domain.
type Place<'a> = (IpNet, String, &'a str);

fn place<'a>(key: &ConnectorKey, figures: &'a Figures) -> Option<Place<'a>> {
    let ConnectorKey::Client(network) = key else { return None };
    let name = figures.name.as_deref()?;
    let pattern = name.replace(|c: char| c.is_ascii_digit(), "");
    (pattern != name).then_some(())?;
    Some((parent_network(*network), pattern, figures.main_domain()?))
}

/// A name for a connector that none of `taken` has, which is added.
pub(super) fn name(group: &Group, taken: &mut BTreeSet<String>) -> String {
    let mut base = base(group);
    base.truncate(MOST_NAME);
    let base = match base.trim_matches(['.', '-']) {
        "" => "client".to_owned(),
        base => base.to_owned(),
    };
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.unwrap_or(base);
    taken.insert(name.clone());
    name
}

fn base(group: &Group) -> String {
    let Some(key) = group.keys.first() else { return "client".into() };
    match key {
        ConnectorKey::Login(login) => plain(login, &['@', '.']),
        ConnectorKey::Certificate(name) => plain(name.subject(), &['.']),
        ConnectorKey::Client(network) if network.addr().is_loopback() => Some("this-host".into()),
        _ => by_dns(group).or_else(|| plain(group.figures.main_domain()?, &['.'])),
    }
    .unwrap_or_else(|| match key {
        ConnectorKey::Client(network) => format!("client-{}", network.addr()),
        _ => "client".into(),
    })
}

/// The first label of a name that somebody gave; for several without its number.
fn by_dns(group: &Group) -> Option<String> {
    let name = domain::fold(group.figures.name.as_deref()?)?;
    let (first, above) = name.split_once('.')?;
    // What a provider made of the address says nothing.
    let digits = first.bytes().filter(u8::is_ascii_digit).count();
    if digits >= 4 {
        return None;
    }
    if group.keys.len() == 1 {
        return plain(first, &[]);
    }
    let bare = first.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    plain(bare, &[]).or_else(|| plain(domain::organizational(above), &['.']))
}

/// A text of which nothing has to be escaped anywhere, or nothing.
fn plain(text: &str, others: &[char]) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || others.contains(&c);
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_ascii_lowercase())
}
