//! What a configuration was understood as, for people.

use super::{
    ControlParams, LogParams, StateParams,
    connectors::Organizations,
    policy::Policy,
    sections::{Restriction, Trust},
};
use crate::{
    directory::{Limits, Named, Params, Terms},
    domain::DomainSet,
    engine::Directions,
    feedback::MailLog,
    policy::Role,
    socket::Listen,
    timestamp::format_span,
    verdict::{Action, Mode, Scope},
};
use ipnet::IpNet;
use std::{fmt::Display, net::SocketAddr, time::Duration};

/// The parts that are told of.
pub(super) struct Parts<'a> {
    pub(super) mode: Mode,
    pub(super) listen: &'a [Listen],
    pub(super) policy: Option<&'a Policy>,
    pub(super) metrics: Option<crate::metrics::Params>,
    pub(super) max_connections: usize,
    pub(super) ignore_daemons: &'a [SocketAddr],
    pub(super) login_realm: Option<&'a str>,
    pub(super) directions: &'a Directions,
    pub(super) organizations: &'a Organizations,
    pub(super) own_names: &'a [String],
    pub(super) directory: &'a Params,
    pub(super) trust: &'a Trust,
    pub(super) restriction: &'a Restriction,
    pub(super) throttle: bool,
    pub(super) state: &'a StateParams,
    pub(super) control: &'a ControlParams,
    pub(super) mail_log: &'a MailLog,
    pub(super) alert: &'a crate::alert::Params,
    pub(super) log: &'a LogParams,
}

/// One line for each of them.
pub(super) fn lines(parts: &Parts<'_>) -> Vec<String> {
    let mut lines = vec![
        mode(parts.mode),
        if parts.listen.is_empty() {
            "milter: does not listen".to_owned()
        } else {
            let (places, most) = (list(parts.listen), parts.max_connections);
            format!("milter: listens on {places}; at most {most} connections")
        },
    ];
    lines.extend(parts.policy.map(policy));
    lines.extend(directions(parts));
    lines.extend(registered(parts));
    lines.extend(parts.directory.connectors.iter().map(connector));
    lines.push(if parts.directory.discover {
        "other clients that may relay: become connectors by themselves".to_owned()
    } else {
        "other clients that may relay: are not watched".to_owned()
    });
    lines.push(format!(
        "relay networks: {}",
        or_none(list(parts.directory.relay_networks.iter().map(network)))
    ));
    lines.push(format!(
        "trusted: {}",
        or_none(keys(&parts.trust.clients, None, &parts.trust.logins))
    ));
    lines.push(restriction(parts.restriction));
    lines.push(if parts.throttle {
        "suspicious connectors: are slowed down in enforce mode".to_owned()
    } else {
        "suspicious connectors: are only told of".to_owned()
    });
    lines.push(match parts.mail_log {
        MailLog::None => "delivery results: are not read".to_owned(),
        MailLog::Auto => "delivery results: are read where Postfix logs to".to_owned(),
        MailLog::Journal => "delivery results: are read in the journal".to_owned(),
        MailLog::File(path) => format!("delivery results: are read in {}", path.display()),
    });
    lines.push(super::alert::summary(parts.alert));
    lines.push(format!(
        "state: {}; at most {} connectors",
        parts.state.directory.display(),
        parts.state.max_connectors
    ));
    lines.push(format!("control: {}", parts.control.socket.display()));
    lines.extend(
        parts.metrics.map(|metrics| format!("metrics: at http://{}/metrics", metrics.listen)),
    );
    lines.push(format!("log: level {}, format {}", parts.log.level, parts.log.format));
    lines
}

fn mode(mode: Mode) -> String {
    match mode {
        Mode::Observe => "mode: observe (judges and marks, refuses nothing)".into(),
        Mode::Enforce => "mode: enforce (restricts what is compromised)".into(),
    }
}

fn policy(policy: &Policy) -> String {
    let role = match policy.role {
        Role::Judge => "judges, instead of the milter: without headers and transports",
        Role::Identity => "hands fingerprints of certificates over to the milter",
    };
    format!("policy: listens on {}; {role}", list(&policy.listen))
}

fn directions(parts: &Parts<'_>) -> Vec<String> {
    let mut transports: Vec<_> = parts.directions.local_transports.iter().collect();
    transports.sort();
    let mut lines = vec![format!(
        "not relayed: {}; local transports: {}",
        count(parts.directions.inbound_domains.len(), "inbound domain"),
        or_none(list(transports))
    )];
    if !parts.ignore_daemons.is_empty() {
        lines.push(format!("ignored services: {}", list(parts.ignore_daemons)));
    }
    if let Some(realm) = parts.login_realm {
        lines.push(format!("logins without a realm: get @{realm}"));
    }
    lines
}

fn registered(parts: &Parts<'_>) -> Vec<String> {
    let line = |name: &str, set: &DomainSet| {
        format!("organization {name}: {}", count(set.len(), "registered domain"))
    };
    let organizations = &parts.organizations.list;
    let mut lines: Vec<String> =
        organizations.iter().map(|one| line(&one.name, &one.registered)).collect();
    if !parts.own_names.is_empty() {
        lines.push(format!(
            "this host's names: {}; registered wherever another domain is",
            list(parts.own_names)
        ));
    }
    lines
}

fn connector(named: &Named) -> String {
    let terms = &named.terms;
    let certificate = named.certificate.iter();
    let certificates = certificate
        .map(|name| format!("certificate {:?} of {:?}", name.subject(), name.issuer()))
        .chain(named.digests.iter().map(|digest| format!("fingerprint {digest}")));
    format!(
        "connector {}: {}; organization {}, {}; {}, {}{}{}",
        named.name,
        keys(&named.clients, certificates, &named.logins),
        terms.organization,
        count(terms.registered.len(), "registered domain"),
        terms.mode,
        action(terms.action, terms.reject_after),
        limits(terms.limits),
        kind(terms),
    )
}

/// What was said, or follows from its keys, about how it is judged.
fn kind(terms: &Terms) -> String {
    let profile = terms.profile.map(|profile| format!("; profile {profile}"));
    let usual = hourly(terms.usual.messages_per_hour, terms.usual.recipients_per_hour);
    let usual = usual.map(|counts| format!("; usual up to {counts} an hour"));
    let throttle = terms.throttle.map(|throttle| format!("; throttle {throttle}"));
    [profile, usual, throttle].into_iter().flatten().collect()
}

fn keys(
    clients: &[IpNet],
    certificates: impl IntoIterator<Item = String>,
    logins: &[impl Display],
) -> String {
    let clients = clients.iter().map(|client| format!("client {}", network(client)));
    let logins = logins.iter().map(|login| format!("login {login}"));
    list(clients.chain(certificates).chain(logins))
}

fn action(action: Action, reject_after: Option<Duration>) -> String {
    match reject_after {
        Some(span) if action == Action::Tempfail => {
            format!("{action}, reject after {}", format_span(span))
        }
        _ => action.to_string(),
    }
}

fn limits(limits: Limits) -> String {
    hourly(limits.messages_per_hour, limits.recipients_per_hour)
        .map(|counts| format!("; at most {counts} an hour"))
        .unwrap_or_default()
}

fn hourly(messages: Option<u32>, recipients: Option<u32>) -> Option<String> {
    let count = |number: Option<u32>, what| number.map(|number| count_of(number.into(), what));
    let told = list(count(messages, "message").into_iter().chain(count(recipients, "recipient")));
    (!told.is_empty()).then_some(told)
}

fn restriction(restriction: &Restriction) -> String {
    let terms = &restriction.terms;
    let scope = match terms.scope {
        Scope::Relayed => "for relayed recipients",
        Scope::All => "for all recipients",
    };
    let end = match terms.expire_after {
        Some(span) => format!("ends after {}", format_span(span)),
        None => "ends only by unblock".to_owned(),
    };
    format!(
        "restriction: {} {scope}; {end}; grace {}; hold at most {} and {} octets",
        action(restriction.action, restriction.reject_after),
        format_span(terms.grace),
        count_of(terms.hold_limit.messages, "message"),
        terms.hold_limit.bytes
    )
}

fn network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

fn count(number: usize, what: &str) -> String {
    count_of(u64::try_from(number).unwrap_or(u64::MAX), what)
}

fn count_of(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".into() } else { text }
}
