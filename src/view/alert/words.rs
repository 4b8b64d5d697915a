//! What happened: in one sentence with figures, and in a few words.

use super::{
    About, Due, Facts,
    page::{other, said},
};
use crate::{
    case::{AlertKind, Change, Trait, What},
    record::{Actor, Finding, SignalName, Unit},
    text::cut,
    view::sentence as found,
};
use std::time::Duration;

/// What happened, in one sentence.
pub(super) fn sentence(facts: &Facts<'_>) -> String {
    let name = facts.name();
    match facts.due.kind {
        AlertKind::Suspicious => {
            format!("{name} is suspicious{}. That is not enough to restrict it.", why(facts))
        }
        AlertKind::Restricted => restricted(facts, &name),
        AlertKind::StillRestricted => still(facts, &name),
        AlertKind::Lifted | AlertKind::Expired => over(facts, &name),
        AlertKind::NewConnector => {
            format!("{name} relays mail through this server for the first time.")
        }
        AlertKind::ConnectorChanged => format!(
            "{name} shows what it never showed before: {}.",
            changes(facts).iter().map(change).collect::<Vec<_>>().join("; ")
        ),
        AlertKind::ConnectorSilent => silent(facts, &name),
        AlertKind::Trouble => match &facts.due.about {
            About::Trouble(text) => text.clone(),
            _ => "connguard has trouble: see connguard status.".to_owned(),
        },
        AlertKind::Digest | AlertKind::Test => {
            "This is a test: an alert that arrives where you read this.".to_owned()
        }
    }
}

fn restricted(facts: &Facts<'_>, name: &str) -> String {
    let at = facts.since().local();
    let by = match &facts.held {
        Some(held) => Some((held.restriction.by.clone(), held.restriction.reason.clone())),
        None => facts
            .step(&[What::Restricted, What::Marked])
            .map(|step| (step.by.clone(), step.reason.clone())),
    };
    if let Some((Actor::Operator(operator), reason)) = by {
        let (operator, reason) = (other(&operator), said(&reason));
        return format!("{name} was restricted at {at} by the operator {operator}: {reason}.");
    }
    if facts.observe {
        return format!(
            "{name} would have been restricted at {at}{}. This is observe mode: nothing is refused.",
            why(facts)
        );
    }
    format!("{name} was restricted at {at}{}.", why(facts))
}

fn still(facts: &Facts<'_>, name: &str) -> String {
    let since = facts.since();
    let length = span(facts.now.since(since));
    let what = if facts.observe {
        format!("{name} would still be restricted, for {length} by now")
    } else {
        format!("{name} is still restricted, for {length} by now")
    };
    format!("{what}{}. Since then {}.", why(facts), attempts(facts))
}

/// What was refused since, and when it last tried.
pub(super) fn attempts(facts: &Facts<'_>) -> String {
    let (refused, held) = (facts.refused(), facts.held_messages());
    let mut tried = Vec::new();
    if refused > 0 {
        let refuse = if facts.observe { "would have been refused" } else { "were refused" };
        tried.push(format!("{refused} recipients {refuse}"));
    }
    if held > 0 {
        tried.push(format!("{held} messages went to the hold queue of Postfix"));
    }
    if tried.is_empty() {
        return "it tried nothing".to_owned();
    }
    if let Some(last) = facts.last_attempt() {
        tried.push(format!(
            "it last tried at {}, {} ago",
            last.local(),
            span(facts.now.since(last))
        ));
    }
    tried.join("; ")
}

fn over(facts: &Facts<'_>, name: &str) -> String {
    let step = facts.step(&[What::Lifted, What::Expired]);
    let at = step.map_or(facts.now, |step| step.at).local();
    let marked = facts.step(&[What::Restricted, What::Marked]);
    let mark = marked.is_some_and(|step| step.what == What::Marked);
    let what = if mark { "mark" } else { "restriction" };
    if facts.due.kind == AlertKind::Expired {
        let after = if mark { "" } else { ": it relays again" };
        return format!("The {what} of {name} ended at {at}, because its time was over{after}.");
    }
    let by = match step.map(|step| &step.by) {
        Some(Actor::Operator(operator)) => format!(" by the operator {}", other(operator)),
        _ => String::new(),
    };
    let reason = step.map(|step| step.reason.as_str()).filter(|reason| !reason.is_empty());
    let reason = reason.map(|reason| format!(": {}", said(reason))).unwrap_or_default();
    let after = if mark { "" } else { " It relays again." };
    format!("The {what} of {name} was lifted at {at}{by}{reason}.{after}")
}

fn silent(facts: &Facts<'_>, name: &str) -> String {
    let About::Silent { last_seen, weeks } = facts.due.about else {
        return format!("{name} sends nothing any more.");
    };
    format!(
        "{name} has sent nothing since {}, for {} by now; usual: mail in {weeks} of the last 4 weeks.",
        last_seen.local(),
        span(facts.now.since(last_seen))
    )
}

/// Why, behind a colon: the findings that say most, each with what is usual.
fn why(facts: &Facts<'_>) -> String {
    let half = facts.findings.first().map_or(0.0, |first| first.score / 2.0);
    let telling = facts.findings.iter().take(2).filter(|finding| finding.score >= half);
    let why: Vec<String> = telling.map(|finding| in_brackets(&found(finding))).collect();
    if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) }
}

/// What is usual, which stands behind a semicolon, in brackets.
fn in_brackets(sentence: &str) -> String {
    match sentence.split_once("; ") {
        Some((measured, usual)) => format!("{measured} ({usual})"),
        None => sentence.to_owned(),
    }
}

/// What is new of a connector.
pub(super) fn changes<'a>(facts: &'a Facts<'_>) -> &'a [Change] {
    match &facts.due.about {
        About::Changes(changes) => changes,
        _ => &facts.material.changes,
    }
}

/// What is new, with its value.
pub(super) fn change(change: &Change) -> String {
    format!("{} {}", trait_name(change.what), other(&change.value))
}

pub(super) fn trait_name(what: Trait) -> &'static str {
    match what {
        Trait::ClientAddress => "new client address",
        Trait::CertificateIssuer => "new certificate issuer",
        Trait::HeloName => "new HELO name",
        Trait::UnregisteredDomain => "first unregistered sender domain",
    }
}

/// The subject of a mail: short, and ASCII as far as names are.
pub(super) fn subject(facts: &Facts<'_>) -> String {
    let name = facts.name();
    let name = cut(name.trim_end_matches('…'), 54);
    let whole = format!("{}{}", prefix(facts.observe), about(facts, &name));
    let whole = crate::text::clean(&whole).replace('…', "...");
    cut(&whole, 116).replace('…', "...")
}

/// One line of a digest.
pub(super) fn in_one_line(facts: &Facts<'_>) -> String {
    about(facts, &facts.name())
}

fn about(facts: &Facts<'_>, name: &str) -> String {
    let case = facts.case_id().map(|case| format!(" ({case})")).unwrap_or_default();
    let why = in_few_words(facts);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{name} {}{case}{why}", event(facts))
}

/// What every subject begins with.
pub(super) fn prefix(observe: bool) -> &'static str {
    if observe { "[connguard] [observing, nothing is refused] " } else { "[connguard] " }
}

/// What happened to it, in a word or two.
pub(super) fn event(facts: &Facts<'_>) -> &'static str {
    match facts.due.kind {
        AlertKind::Suspicious => "suspicious",
        AlertKind::Restricted if facts.observe => "would be restricted",
        AlertKind::Restricted => "restricted",
        AlertKind::StillRestricted if facts.observe => "would still be restricted",
        AlertKind::StillRestricted => "still restricted",
        AlertKind::Lifted => "lifted",
        AlertKind::Expired => "expired",
        AlertKind::NewConnector => "is a new connector",
        AlertKind::ConnectorChanged => "changed",
        AlertKind::ConnectorSilent => "is silent",
        AlertKind::Trouble => "has trouble",
        AlertKind::Digest | AlertKind::Test => "alerts: this is a test",
    }
}

/// Why, in a few words; empty where there is nothing to say.
pub(super) fn in_few_words(facts: &Facts<'_>) -> String {
    let Due { kind, about, .. } = facts.due;
    match kind {
        AlertKind::Suspicious | AlertKind::Restricted => {
            let telling: Vec<String> = facts.findings.iter().take(2).map(brief).collect();
            match &facts.held {
                Some(held) if !held.restriction.reason.is_empty() => {
                    crate::text::quoted(&held.restriction.reason, 40)
                }
                _ => telling.join(", "),
            }
        }
        AlertKind::StillRestricted => {
            let length = span(facts.now.since(facts.since()));
            let would = if facts.observe { "would have been " } else { "" };
            format!("for {length}, {} recipients {would}refused", facts.refused())
        }
        AlertKind::Lifted => match facts.step(&[What::Lifted]).map(|step| &step.by) {
            Some(Actor::Operator(operator)) => {
                format!("by {}", crate::text::quoted(operator, 24))
            }
            _ => String::new(),
        },
        AlertKind::ConnectorChanged => {
            let names: Vec<&str> =
                changes(facts).iter().take(2).map(|change| trait_name(change.what)).collect();
            names.join(", ")
        }
        AlertKind::ConnectorSilent => match about {
            About::Silent { last_seen, .. } => format!("for {}", span(facts.now.since(*last_seen))),
            _ => String::new(),
        },
        AlertKind::Trouble => match about {
            About::Trouble(text) => text.lines().next().unwrap_or_default().to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// A finding in a few words.
fn brief(finding: &Finding) -> String {
    let Finding { bad, of, distinct, .. } = *finding;
    match finding.signal {
        SignalName::UnregisteredSender => format!("{bad} of {of} from unregistered domains"),
        SignalName::ForeignFrom => format!("{bad} of {of} with a foreign From"),
        SignalName::NewNetworks => format!("{distinct} new networks"),
        SignalName::ShiftedNetworks => format!("{bad} of {of} from new networks"),
        SignalName::UnknownCrowds => format!("{bad} of {of} to crowds of strangers"),
        SignalName::MostRefused | SignalName::ManyRefused => {
            format!("{bad} of {of} recipients refused")
        }
        SignalName::UnknownRecipients => format!("{bad} of {of} recipients unknown"),
        SignalName::SpamVerdict => format!("{bad} of {of} called spam"),
        SignalName::Volume => {
            let what = match finding.unit.unwrap_or_default() {
                Unit::Messages => "messages",
                Unit::Recipients => "recipients",
                Unit::NewRecipients => "new recipients",
            };
            match of {
                0 => format!("{bad} {what} in an hour, usual up to {distinct}"),
                _ => format!("{bad} {what} in an hour, at the most {of} before"),
            }
        }
    }
}

/// A span of time in words.
pub(super) fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match (minutes / 1440, minutes / 60, minutes % 60) {
        (days @ 2.., _, _) => format!("{days} days"),
        (_, hours @ 1.., 0) => format!("{hours} h"),
        (_, hours @ 1.., minutes) => format!("{hours} h {minutes} min"),
        (_, _, minutes @ 1..) => format!("{minutes} min"),
        _ => format!("{} s", span.as_secs()),
    }
}
