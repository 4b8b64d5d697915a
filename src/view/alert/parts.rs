//! The parts of a text: who it is, what is refused and what passes, and what was
//! seen.

use super::{
    Facts,
    checklist::unblock_command,
    facts::shown,
    page::{Page, glued, other},
    words::{attempts, changes, trait_name},
};
use crate::{
    case::Top,
    connector::{ConnectorKey, Entity},
    directory::Named,
    record::{Restriction, SignalName},
    text::{columns, quoted},
    verdict::{Action, Mode, Scope, Throttle},
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
            other(&name.subject),
            other(&name.issuer)
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
        let (subject, issuer) = (other(&certificate.subject), other(&certificate.issuer));
        page.pair("certificate", &format!("CN {subject}, issued by {issuer}"));
    }
}

/// What is refused, and what still passes.
pub(super) fn refused(page: &mut Page, facts: &Facts<'_>) {
    let Some(held) = &facts.held else {
        page.heading("What is refused");
        page.indented("Nothing: it is no longer restricted.");
        return;
    };
    let restriction = &*held.restriction;
    let title = match (restriction.mark, facts.observe) {
        (false, false) => "What is refused, and what still passes",
        (true, _) => "Nothing is refused: this is observe mode. What enforce mode would refuse",
        (false, true) => {
            "Nothing is refused now: it is in observe mode. What enforce mode would refuse"
        }
    };
    page.heading(title);
    let (refused, passes) = scope(facts, restriction);
    let (first, second) =
        if facts.observe { ("would refuse", "would pass") } else { ("refused", "passes") };
    page.pair(first, &refused);
    page.pair(second, &passes);
    page.pair("how", &meets(facts, held.action(facts.now)));
    if let Some(from) = restriction.reject_from.filter(|from| *from > facts.now) {
        page.pair("from then on", &format!("{}: refused with 550, for good", from.local()));
    }
    let until = match restriction.until {
        Some(until) if restriction.mark => {
            format!("{}: the mark ends then, or when an operator lifts it", until.local())
        }
        Some(until) => format!("{}: it ends by itself then", until.local()),
        None => "an operator lifts it".to_owned(),
    };
    page.pair("until", &until);
    if restriction.passed_messages > 0 {
        let text = format!(
            "{} messages to {} recipients, since its mail became unusual",
            restriction.passed_messages, restriction.passed_recipients
        );
        page.pair("passed before", &text);
    }
    page.pair("since then", &attempts(facts));
    in_queue(page, facts);
}

/// How many messages may still be in the queue.
pub(super) fn in_queue(page: &mut Page, facts: &Facts<'_>) {
    if facts.entity().is_none() {
        return;
    }
    let text = match facts.in_queue {
        0 => "nothing that connguard knows of".to_owned(),
        1 => "1 message of it may still be in the queue of Postfix".to_owned(),
        count => format!("{count} messages of it may still be in the queue of Postfix"),
    };
    page.pair("in the queue", &text);
}

/// Which mail meets a restriction, and which does not.
fn scope(facts: &Facts<'_>, restriction: &Restriction) -> (String, String) {
    let all = restriction.scope == Scope::All;
    let what = if all { "all mail" } else { "mail to recipients elsewhere (relayed mail)" };
    let inbound = if all { "" } else { "its mail to the domains of this site (inbound); " };
    match &restriction.entity {
        Entity::Connector(key) => {
            let keys = match facts.settings.directory.current(key) {
                ConnectorKey::Named(_) if facts.named().is_some() => {
                    ", by whatever of its addresses, logins and certificate it comes"
                }
                _ => "",
            };
            (
                format!("{what} of this connector{keys}"),
                format!("{inbound}the mail of all other connectors"),
            )
        }
        Entity::Sender { via, .. } => {
            let via = shown(&via.clone().into());
            (
                format!("{what} of this one envelope sender, where it comes through {via}"),
                format!(
                    "{inbound}all other senders of {via}; the same address through other connectors"
                ),
            )
        }
        Entity::Organization(_) => (
            format!(
                "{} from unregistered domains, on every connector of the organization (an unregistered domain is a sender domain that is not in your list registered_domains)",
                if all { "all mail" } else { "relayed mail" }
            ),
            format!(
                "{}mail from registered domains, on all of them; delivery reports (null sender) where they are real ones",
                if all { "" } else { "mail to the domains of this site (inbound); " }
            ),
        ),
    }
}

/// What clients experience.
fn meets(facts: &Facts<'_>, action: Action) -> String {
    match action {
        Action::Tempfail => "with 451, try again later: a mail server keeps the mail in its queue and tries again, usually for days; a mail program shows its user an error".to_owned(),
        Action::Reject => "with 550, for good: whoever sent it gets it back as undeliverable".to_owned(),
        Action::Hold => {
            let limit = facts.settings.restriction.hold_limit;
            format!(
                "accepted, and put on hold in the queue of Postfix: its senders see no error, and nothing goes out until somebody releases it; beyond {} messages or {} MB it meets 451, try again later",
                limit.messages,
                limit.bytes / 1_000_000
            )
        }
    }
}

/// What a suspicious one meets.
pub(super) fn slowed(page: &mut Page, facts: &Facts<'_>) {
    page.heading("What is refused");
    let throttle = facts
        .key()
        .zip(facts.terms())
        .filter(|(_, terms)| facts.settings.throttle && terms.mode == Mode::Enforce)
        .map_or(Throttle::Off, |(key, terms)| terms.throttle(key));
    let more = if facts.observe {
        "Nothing, whatever it sends: this is observe mode."
    } else {
        "It is restricted by itself if more speaks against it."
    };
    page.indented(match throttle {
        Throttle::Off => "Nothing; this is an early warning.",
        Throttle::Tempfail => "Nothing for good; this is an early warning. It is slowed down: mail beyond its usual rate is answered with 451, try again later, so that there is time to see what it is.",
        Throttle::Hold => "Nothing; this is an early warning. It is slowed down: mail beyond its usual rate is put on hold in the queue of Postfix, so that there is time to see what it is.",
    });
    page.indented(more);
    in_queue(page, facts);
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

/// A reminder: what goes on, and how to end it.
pub(super) fn still(page: &mut Page, facts: &Facts<'_>) {
    page.gap();
    if let Some(held) = &facts.held {
        let (refused, passes) = scope(facts, &held.restriction);
        let (first, second) =
            if facts.observe { ("would refuse", "would pass") } else { ("refused", "passes") };
        page.pair(first, &refused);
        page.pair(second, &passes);
    }
    in_queue(page, facts);
    page.heading("What to do");
    page.paragraph("The first mail of this case says what was found and what to look at. Once the cause is gone:");
    if let Some(command) = unblock_command(facts) {
        page.command(&command, "");
    }
    if let Some(case) = facts.case_id() {
        page.command(&format!("connguard show {case}"), "the whole case");
    }
    if let Some(entity) = facts.typed() {
        page.command(&format!("connguard hold {entity}"), "stop what it has in the queue");
    }
}

/// After the end: what was refused, and what holds from now on.
pub(super) fn over(page: &mut Page, facts: &Facts<'_>) {
    page.gap();
    let entity = facts.entity();
    let refused = facts.refused();
    if refused > 0 {
        page.pair("refused", &format!("{refused} recipients, in the whole case; clients that were told to try again (451) send them now"));
    }
    let held = facts.held_messages();
    if held > 0 {
        page.pair("on hold", &format!("{held} messages went to the hold queue of Postfix; they stay there until somebody releases them"));
    }
    if let Some(grace) = entity.and_then(|entity| facts.engine.table().grace(entity, facts.now)) {
        page.pair("grace", &format!("until {} it takes twice as much to restrict it again, except on what made this case", grace.until.local()));
    }
    in_queue(page, facts);
    page.gap();
    if let (true, Some(entity)) = (held > 0, facts.typed()) {
        page.command(&format!("connguard release {entity}"), "let go what is on hold");
    }
    if let Some(case) = facts.case_id() {
        page.command(&format!("connguard show {case}"), "the whole case");
    }
    if let Some(entity) = facts.typed() {
        page.command(&format!("connguard block {entity} --reason 'why'"), "restrict it again");
    }
}
