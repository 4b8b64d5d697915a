//! The parts of a text: who it is, and what was seen.

use super::{
    Facts,
    facts::shown,
    page::{Page, glued, other},
    words::{changes, trait_name},
};
use crate::{
    case::Top,
    connector::{ConnectorKey, Entity},
    directory::Named,
    record::SignalName,
    text::{columns, quoted},
    view::sentence,
};
use ipnet::IpNet;

/// Names of a kind that are shown.
const MOST_NAMES: usize = 4;
/// Samples that are shown.
const MOST_SAMPLES: usize = 5;
/// Networks, logins and domains that one line names.
const MOST_LISTED: usize = 8;

/// Who it is, as configured or discovered.
pub(super) fn who(page: &mut Page, facts: &Facts<'_>) {
    let Some(entity) = facts.entity() else { return };
    page.heading("Who it is");
    page.pair("name", &facts.name());
    page.pair("what", &in_words(facts, entity));
    if let Some(named) = facts.named() {
        keys(page, named);
    }
    if let (Some(organization), false) =
        (facts.organization(), matches!(entity, Entity::Organization(_)))
    {
        page.pair("organization", &other(&organization));
    }
    let tally = facts.key().and_then(|key| facts.engine.roster().get(key));
    let first = facts.case.and_then(|case| case.first_seen);
    if let Some(first) = first.or_else(|| tally.map(|tally| tally.first_seen())) {
        page.pair("first seen", &first.local());
    }
}

fn in_words(facts: &Facts<'_>, entity: &Entity) -> String {
    match entity {
        Entity::Connector(key) => {
            let what = key_in_words(key);
            let current = facts.settings.directory.current(key);
            if current == *key {
                format!("a connector, that is a client for which Postfix relays mail: {what}")
            } else {
                format!("{what}, which belongs to {}", shown(&current.into()))
            }
        }
        Entity::Sender { address, via } => format!(
            "one sender behind a connector (a client for which Postfix relays mail): the envelope sender {}, through {}",
            other(address),
            shown(&via.clone().into())
        ),
        Entity::Organization(name) => {
            let (named, discovered) = facts.connectors_of(name);
            let mut all = listed(named.iter().map(String::as_str), MOST_LISTED);
            if discovered > 0 {
                let and = if all.is_empty() { "" } else { " and " };
                all.push_str(&format!("{and}{discovered} that were discovered"));
            }
            format!(
                "an organization, that is the owner of connectors (clients for which Postfix relays mail): {all}"
            )
        }
    }
}

fn key_in_words(key: &ConnectorKey) -> String {
    match key {
        ConnectorKey::Named(name) => {
            format!("[[connector]] {} of the configuration", other(name))
        }
        ConnectorKey::Login(login) => format!("the SASL login {}", other(login)),
        ConnectorKey::Certificate(name) => format!(
            "the holder of the client certificate with CN {}, issued by {}",
            other(name.subject()),
            other(name.issuer())
        ),
        ConnectorKey::Client(host) if host.prefix_len() == host.max_prefix_len() => {
            format!("the host {}", network(host))
        }
        ConnectorKey::Client(network) => format!("the hosts of the network {network}"),
        ConnectorKey::Local => {
            "what programs on this host submit without SMTP (sendmail, cron, web applications)"
                .to_owned()
        }
        ConnectorKey::Overflow => "all clients that found no room in memory".to_owned(),
    }
}

/// The keys of a connector, as configured.
fn keys(page: &mut Page, named: &Named) {
    let clients: Vec<String> = named.clients.iter().map(network).collect();
    let logins: Vec<String> = named.logins.iter().map(|login| other(login)).collect();
    for (name, values) in [("networks", clients), ("logins", logins)] {
        if !values.is_empty() {
            page.pair(name, &listed(values.iter().map(String::as_str), MOST_LISTED));
        }
    }
    if let Some(certificate) = &named.certificate {
        let (subject, issuer) = (other(certificate.subject()), other(certificate.issuer()));
        page.pair("certificate", &format!("CN {subject}, issued by {issuer}"));
    }
    for digest in &named.digests {
        page.pair("fingerprint", &digest.to_string());
    }
}

/// What speaks against it, and what it sent.
pub(super) fn seen(page: &mut Page, facts: &Facts<'_>) {
    if !facts.findings.is_empty() {
        page.heading("What was found");
        for finding in facts.findings.iter().take(5) {
            page.item(&sentence(finding));
        }
        let odd: Vec<String> = facts.unregistered().iter().map(|domain| other(domain)).collect();
        let of_domains = [SignalName::UnregisteredSender, SignalName::ForeignFrom];
        let is_about = facts.findings.iter().any(|found| of_domains.contains(&found.signal));
        if is_about && !odd.is_empty() {
            page.item(&format!(
                "unregistered sender domains (they are not in your list registered_domains) that were seen: {}",
                listed(odd.iter().map(String::as_str), MOST_LISTED)
            ));
        }
    }
    for change in changes(facts).iter().take(4) {
        let what = trait_name(change.what);
        page.item(&format!("{what}, since {}: {}", change.at.local(), other(&change.value)));
    }
    tops(page, facts);
    samples(page, facts);
}

fn tops(page: &mut Page, facts: &Facts<'_>) {
    let material = &facts.material;
    if material.senders.total == 0 {
        return;
    }
    page.heading(&format!(
        "What {} sent since {} (messages; how many of them spoke against it)",
        facts.key().map_or_else(|| facts.name(), |key| shown(&key.clone().into())),
        material.since.local()
    ));
    for (title, top) in [
        ("senders", &material.senders),
        ("from domains", &material.sender_domains),
        ("to domains", &material.recipient_domains),
        ("clients", &material.clients),
        ("HELO names", &material.helos),
    ] {
        top_of(page, title, top);
    }
    let (external, local) = (material.external, material.local);
    page.pair("recipients", &format!("{external} elsewhere, {local} of this site"));
}

/// The most frequent names, each with its counts before it.
fn top_of(page: &mut Page, title: &str, top: &Top) {
    let name = |name: &str| if name.is_empty() { "(none)".to_owned() } else { other(name) };
    let names: Vec<String> = top
        .counts
        .iter()
        .take(MOST_NAMES)
        .map(|count| glued(&format!("{} ({}) {}", count.count, count.bad, name(&count.name))))
        .collect();
    if !names.is_empty() {
        page.pair(title, &listed(names.iter().map(String::as_str), MOST_NAMES));
    }
}

fn samples(page: &mut Page, facts: &Facts<'_>) {
    let samples = facts.samples();
    if samples.is_empty() {
        return;
    }
    page.heading("The latest messages that spoke against it");
    for sample in samples.iter().take(MOST_SAMPLES) {
        let id = sample.queue_id.as_deref().filter(|id| is_queue_id(id)).unwrap_or("-");
        let fate = if sample.passed { "passed" } else { "refused" };
        let recipients = sample.recipients;
        let mut row = format!("  {}  {id:<15} {fate:<7} ", sample.at.local());
        row.push_str(&format!("{recipients:>3} rcpt from "));
        let room = super::page::WIDTH.saturating_sub(columns(&row));
        row.push_str(&match &*sample.sender {
            "" => "<> (a delivery report)".to_owned(),
            sender => quoted(sender, room),
        });
        page.row(&row);
    }
}

/// A network, of one host as its address.
pub(super) fn network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        return network.addr().to_string();
    }
    network.to_string()
}

/// Whether a text can be a queue id, so that it may stand in a command.
pub(super) fn is_queue_id(text: &str) -> bool {
    (5..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Several things in one line, and how many more there are.
pub(super) fn listed<'a>(things: impl Iterator<Item = &'a str>, most: usize) -> String {
    let things: Vec<&str> = things.collect();
    let shown: Vec<&str> = things.iter().take(most).copied().collect();
    match things.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
