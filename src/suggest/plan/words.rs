//! Sentences about figures.

use super::{Material, Origin};
use crate::{
    connector::ConnectorKey,
    suggest::{
        ENOUGH_DAYS,
        figures::{Figures, share},
        quote::shown,
        relays::Group,
        trade::{date, percent},
    },
};

/// Sender domains that are named.
const MOST_DOMAINS: usize = 4;
/// Logs and hosts that are named.
const MOST_NAMES: usize = 4;

/// What the configuration was learned from.
pub(super) fn head(material: &Material<'_>, origin: &Origin) -> Vec<String> {
    let survey = material.survey;
    let span = survey.span.map_or_else(
        || "no mail".to_owned(),
        |(from, to)| {
            format!(
                "{} from {} to {} ({})",
                count(survey.messages, "message"),
                date(from.day()),
                date(to.day()),
                count(u64::from(material.survey.days()), "day"),
            )
        },
    );
    let logs = match &origin.logs[..] {
        [] => "logs".to_owned(),
        logs => names(logs.iter().map(String::as_str)),
    };
    let mut head = vec![
        format!("Suggested by connguard suggest, from {logs}: {span}."),
        "Read it, correct what is wrong, and put it in place; `connguard check` says what it means. \
         It observes: nothing is refused. What it would do with these logs shows \
         `connguard replay`. A comment above a value gives the figures that it was taken from."
            .into(),
    ];
    head.push(match (material.postfix, &origin.without_postfix) {
        (Some(postfix), _) => format!("Postfix here ({}) was asked.", shown(&postfix.host)),
        (None, Some(why)) => format!(
            "Postfix was not asked ({why}): what this site receives mail for, and who may relay, \
             is what the logs show, which may be too little."
        ),
        (None, None) => "Postfix was not asked.".into(),
    });
    let (identities, messages) = survey.left_out;
    if identities > 0 {
        head.push(format!(
            "Left out for lack of room: {} with {}.",
            count(identities, "client"),
            count(messages, "message")
        ));
    }
    head
}

/// What should be known first.
pub(super) fn warnings(material: &Material<'_>, origin: &Origin, groups: &[Group]) -> Vec<String> {
    let mut warnings = Vec::new();
    if origin.is_partial {
        warnings.push("Reading was stopped: this is from a part of the logs.".into());
    }
    if material.identities.is_empty() {
        warnings.push(
            "These logs show nobody who relays: is it the log of a host that does, and does it \
             have the lines of smtpd, qmgr and smtp?"
                .into(),
        );
    } else if material.is_short() {
        warnings.push(format!(
            "The logs have {}. What is usual takes at least {ENOUGH_DAYS} days to tell: domains \
             and profiles may be missing.",
            count(u64::from(material.survey.days()), "day")
        ));
    }
    warnings.extend(other_host(material));
    let troubled = groups.iter().filter(|group| group.trouble.is_some()).count();
    if troubled > 0 {
        let s = if troubled == 1 { "s" } else { "" };
        warnings.push(format!(
            "{} look{s} taken over in these logs: see below, and replay them.",
            count(troubled as u64, "client")
        ));
    }
    warnings.extend(outside(material));
    warnings
}

fn other_host(material: &Material<'_>) -> Option<String> {
    let (postfix, hosts) = (material.postfix?, &material.survey.hosts);
    if hosts.is_empty() || hosts.iter().any(|host| postfix.is_host(host)) {
        return None;
    }
    Some(format!(
        "The logs are of {}, but the Postfix that was asked is {}: if that is another one, run \
         this there, or with --no-postfix.",
        names(hosts.iter().map(AsRef::as_ref)),
        shown(&postfix.host)
    ))
}

/// Who relays from outside of the networks that Postfix has.
fn outside(material: &Material<'_>) -> Option<String> {
    material.postfix?;
    let mut addresses = material
        .identities
        .iter()
        .filter_map(|(key, figures)| match key {
            ConnectorKey::Client(network) if !material.survey.is_in_known_networks(*network) => {
                Some((figures.messages, network.addr().to_string()))
            }
            _ => None,
        })
        .collect::<Vec<_>>();
    addresses.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let [(_, first), ..] = &addresses[..] else { return None };
    let (relay, verb) = match addresses.len() {
        1 => ("1 client".to_owned(), "relays"),
        many => (format!("{many} clients"), "relay"),
    };
    Some(format!(
        "{relay} ({first}{}) without login {verb} from outside of mynetworks: if that is right, \
         as with check_client_access, add them to relay_networks.",
        if addresses.len() > 1 { ", ..." } else { "" }
    ))
}

/// The figures of somebody in a sentence.
pub(super) fn sentence(figures: &Figures) -> String {
    let busiest = figures.days.busiest();
    let ordinary = figures.days.ordinary();
    let mut text = format!(
        "{} to {} on {}; busiest hour {}, {}",
        count(figures.messages, "message"),
        count(figures.recipients, "recipient"),
        count(u64::from(figures.active_days()), "day"),
        count(busiest.messages.into(), "message"),
        count(busiest.recipients.into(), "recipient"),
    );
    if ordinary != busiest {
        text += &format!(
            " (on 95 % of its days at most {} and {})",
            grouped(ordinary.messages.into()),
            grouped(ordinary.recipients.into())
        );
    }
    if figures.most_recipients > 1 {
        text += &format!("; up to {} recipients a message", grouped(figures.most_recipients));
    }
    text += &sends_as(figures);
    for (part, what) in [
        (figures.null, "null sender"),
        (figures.srs, "senders rewritten by SRS"),
        (figures.verp, "senders with the recipient in them"),
        (figures.submitted, "through submission"),
    ] {
        if part > 0 {
            text += &format!("; {} {what}", percent(share(part, figures.messages)));
        }
    }
    if let Some(refused) = figures.refused_share() {
        text += &format!("; {} refused", percent(refused));
    }
    if figures.unknown > 0 {
        text += &format!("; {} refused here as unknown", count(figures.unknown, "recipient"));
    }
    text + "."
}

fn sends_as(figures: &Figures) -> String {
    let all = figures.senders.sorted();
    let messages = figures.senders.messages();
    if all.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = all
        .iter()
        .take(MOST_DOMAINS)
        .map(|one| format!("{} ({})", shown(&one.domain), percent(share(one.messages, messages))))
        .collect();
    let more = figures.senders.distinct().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; sends as {}{more}", shown.join(", "))
}

/// A number with its noun.
pub(super) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(number))
}

/// A number with commas.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Some names, and how many more.
pub(super) fn names<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = all.len().saturating_sub(MOST_NAMES);
    let shown: Vec<String> = all.take(MOST_NAMES).map(shown).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(count(1, "day"), "1 day");
    }
}
