//! What holds for the whole site: what it receives mail for, who may relay, which
//! services are filters' ways back.

use super::{Material, Proposed, words};
use crate::{
    connector::{ConnectorKey, parent_network},
    domain::DomainSet,
    suggest::{
        quote::shown,
        relays::{Group, gateway_domains},
        survey::{Survey, is_mailbox_pipe},
    },
};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// As connguard has without configuration.
const LOCAL_TRANSPORTS: [&str; 6] = ["local", "virtual", "lmtp", "discard", "error", "retry"];
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// Neighbours that are named by their network.
const NEIGHBOURS: usize = 4;
/// Domains that are listed in a comment.
const SHOWN: usize = 20;
/// Logins with and without a realm that make it sure.
const PAIRS: usize = 2;

/// `inbound_domains`.
pub(super) fn inbound(material: &Material<'_>) -> Proposed {
    let survey = material.survey;
    let mut proposed = Proposed::default();
    let mut set = DomainSet::default();
    if let Some(postfix) = material.postfix {
        proposed.values.clone_from(&postfix.inbound);
        proposed.notes.clone_from(&postfix.notes);
        set = postfix.inbound_set();
    }
    let mut here: Vec<(&str, u64)> = Vec::new();
    for (name, target) in &survey.targets {
        if target.is_delivered_here()
            && !set.contains_folded(name)
            && DomainSet::default().insert(name).is_ok()
        {
            here.push((name, target.local));
        }
    }
    here.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    if !here.is_empty() {
        let delivered = here.iter().take(SHOWN).map(|(name, recipients)| {
            format!("{} ({})", shown(name), words::count(*recipients, "recipient"))
        });
        let delivered: Vec<String> = delivered.collect();
        let more = here.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let besides = if material.postfix.is_some() { " besides what Postfix lists" } else { "" };
        proposed.notes.push(format!(
            "Delivered on this host{besides}, says the log: {}{more}.",
            delivered.join(", ")
        ));
    }
    proposed.values.extend(here.into_iter().map(|(name, _)| name.to_owned()));
    proposed.notes.extend(gateway(survey));
    proposed
}

/// Domains that may be inbound.
fn gateway(survey: &Survey) -> Option<String> {
    let names = gateway_domains(survey);
    (!names.is_empty()).then(|| {
        let what = if names.len() == 1 { "it is a domain" } else { "these are domains" };
        format!(
            "Many clients that are not known to relay wrote to {}, which is delivered elsewhere: \
             if {what} for which this host is a gateway (relay_domains), add it here.",
            words::names(names.iter().copied().collect::<Vec<_>>().into_iter())
        )
    })
}

/// `local_transports`, where a pipe serves mailboxes.
pub(super) fn local_transports(survey: &Survey) -> Proposed {
    let mut proposed = Proposed::default();
    for (name, (count, domains)) in &survey.pipes {
        let of = words::names(domains.iter().map(AsRef::as_ref).collect::<Vec<_>>().into_iter());
        let told = format!("{} of {of}", words::count(*count, "recipient"));
        if is_mailbox_pipe(name) && is_transport(name) {
            proposed.values.push(name.to_string());
            proposed.notes.push(format!("The pipe {} delivered to {told}.", shown(name)));
        } else {
            proposed.notes.push(format!(
                "The transport {} took {told}: if it delivers on this host, and is no content \
                 filter, add it to local_transports.",
                shown(name)
            ));
        }
    }
    if !proposed.values.is_empty() {
        proposed.values.splice(0..0, LOCAL_TRANSPORTS.map(str::to_owned));
    }
    proposed
}

fn is_transport(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `relay_networks`.
pub(super) fn networks(material: &Material<'_>, groups: &[Group]) -> Proposed {
    if let Some(postfix) = material.postfix {
        let values = postfix.networks.iter().map(written).collect();
        return Proposed { values, notes: Vec::new() };
    }
    let mut seen: BTreeMap<IpNet, BTreeSet<IpNet>> = BTreeMap::new();
    for key in groups.iter().flat_map(|group| &group.keys) {
        if let ConnectorKey::Client(network) = key
            && !network.addr().is_loopback()
        {
            seen.entry(parent_network(*network)).or_default().insert(*network);
        }
    }
    let mut values: Vec<String> = LOOPBACK.map(str::to_owned).into();
    for (parent, members) in seen {
        if members.len() >= NEIGHBOURS && super::super::survey::is_private(parent) {
            values.push(written(&parent));
        } else {
            values.extend(members.iter().map(written));
        }
    }
    let mut notes = vec![
        "From where the log shows mail that was relayed without login. Compare with mynetworks."
            .to_owned(),
    ];
    if material.strangers > 0 {
        notes.push(format!(
            "{} on the internet wrote only to a few domains that are not delivered here: taken for \
             senders to domains of yours that the log does not show, not for relay clients.",
            words::count(material.strangers as u64, "client")
        ));
    }
    Proposed { values, notes }
}

/// A network as it is written in a configuration.
pub(super) fn written(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// `ignore_daemons`.
pub(super) fn ways_back(material: &Material<'_>) -> Proposed {
    let values = material.postfix.map_or_else(Vec::new, |postfix| postfix.ways_back.clone());
    let notes = if values.is_empty() {
        Vec::new()
    } else {
        vec![
            "They take mail back from a content filter: each message would be counted twice."
                .to_owned(),
        ]
    };
    Proposed { values, notes }
}

/// `login_realm`: the one realm with which logins are also seen that have none.
pub(super) fn realm(survey: &Survey) -> Proposed {
    let logins: BTreeSet<&str> = survey
        .identities
        .keys()
        .filter_map(|key| match key {
            ConnectorKey::Login(login) => Some(&**login),
            _ => None,
        })
        .collect();
    let mut pairs: BTreeMap<&str, usize> = BTreeMap::new();
    for login in &logins {
        if let Some((user, realm)) = login.rsplit_once('@')
            && logins.contains(user)
        {
            *pairs.entry(realm).or_default() += 1;
        }
    }
    let (Some((realm, count)), 1) = (pairs.first_key_value(), pairs.len()) else {
        return Proposed::default();
    };
    if DomainSet::default().insert(realm).is_err() {
        return Proposed::default();
    }
    let note = format!(
        "{} without and with @{realm}: taken for the same.",
        words::count(*count as u64, "login")
    );
    if *count >= PAIRS {
        Proposed { values: vec![(*realm).to_owned()], notes: vec![note] }
    } else {
        let note =
            format!("If logins without a realm are of @{realm}, set login_realm = \"{realm}\".");
        Proposed { values: Vec::new(), notes: vec![note] }
    }
}
