//! What is refused and what still passes: while it is restricted, when it is
//! suspicious, and after the end.

use super::{Facts, checklist::unblock_command, facts::shown, page::Page, words::attempts};
use crate::{
    connector::{ConnectorKey, Entity},
    record::Restriction,
    verdict::{Action, Mode, Scope, Throttle},
};

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
        0 => "nothing that connguard knows of: it knows what passed since its start".to_owned(),
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
    if let Some(entity) = facts.typed_itself() {
        page.command(&format!("connguard block {entity} --reason 'why'"), "restrict it again");
    }
}
