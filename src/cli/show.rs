//! `show`: everything about one entity or case.

mod case;
mod queue;
mod spark;

use super::{Error, Output, list::state, output, top::terminal};
use crate::{
    command::Command,
    connector::Entity,
    control,
    timestamp::Timestamp,
    verdict::Mode,
    view::{FindingView, ListView, ShowView, State, TotalsView},
};
use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _, stdout},
    path::Path,
};

/// Prints an entity or case.
pub(super) fn show(socket: &Path, what: &str, options: Output) -> Result<(), Error> {
    let command = Command::Show { what: what.to_owned() };
    let done = control::ask(socket, command, |_| Ok(()))?.done;
    let mut out = stdout().lock();
    if options.json {
        output::json(&mut out, &done)?;
    } else {
        let view: ShowView = serde_json::from_value(done)?;
        let text = text(&view);
        match terminal().filter(|_| out.is_terminal()) {
            Some((_, columns)) => {
                for line in text.lines() {
                    writeln!(out, "{}", crate::text::cut(line, columns))?;
                }
            }
            None => out.write_all(text.as_bytes())?,
        }
    }
    Ok(())
}

fn text(view: &ShowView) -> String {
    let mut page = Page::default();
    page.line(&format!("{}{}", view.entity, headline(view)));
    for key in &view.keys {
        page.pair("key", key);
    }
    for limit in &view.limits {
        page.pair("limit", limit);
    }
    if let Some(standing) = &view.standing {
        page.standing(standing);
    }
    for related in &view.related {
        let case = related.case.map(|case| format!(", case {case}")).unwrap_or_default();
        let text =
            format!("{} is {}{case}: {}", related.entity, in_words(related.state), related.reason);
        page.pair("see also", &text);
    }
    let findings = view.standing.as_ref().map(|standing| &standing.findings);
    // Its case has the same, below.
    if findings != view.case.as_ref().map(|case| &case.findings) {
        page.findings("Findings", findings.into_iter().flatten());
    }
    if let Some(case) = &view.case {
        page.case(case);
    }
    // A suspicion is what is observed now.
    if !matches!(&view.standing, Some(standing) if standing.state == State::Suspicious) {
        page.findings("Observed now", view.findings.iter());
    }
    if !view.queue.is_empty() {
        page.queue(view);
    }
    if let Some(totals) = &view.totals {
        page.totals(totals);
    }
    if !view.history.is_empty() {
        page.heading("History");
        for entry in &view.history {
            let case = entry.case.map(|case| format!(" {case}")).unwrap_or_default();
            page.item(&format!(
                "{}  {} by {}{case}: {}",
                entry.at.local(),
                entry.what,
                entry.by,
                entry.why
            ));
        }
    }
    if !view.next.is_empty() {
        page.heading("What to do");
        for step in &view.next {
            page.item(step);
        }
    }
    page.0
}

fn headline(view: &ShowView) -> String {
    let mode = match view.mode {
        Mode::Observe => "observe mode: nothing is refused",
        Mode::Enforce => "enforce mode",
    };
    match &view.standing {
        Some(standing) => {
            let case = standing.case.map(|case| format!(", case {case}")).unwrap_or_default();
            format!(" is {}{case} ({mode})", in_words(standing.state))
        }
        None => format!(" is not restricted ({mode})"),
    }
}

fn in_words(what: State) -> &'static str {
    match what {
        State::Grace => "in grace",
        State::Idle => "restricted, but nothing of it is refused",
        State::Marked => "marked: it would be restricted in enforce mode",
        other => state(other),
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.0, "{}", output::clean(text));
    }

    fn heading(&mut self, text: &str) {
        self.line("");
        self.line(text);
    }

    fn item(&mut self, text: &str) {
        self.line(&format!("  {text}"));
    }

    fn pair(&mut self, name: &str, value: &str) {
        self.item(&format!("{name:<16}{value}"));
    }

    fn standing(&mut self, standing: &ListView) {
        self.pair("organization", &standing.organization);
        if let (Some(action), Some(scope)) = (standing.action, standing.scope) {
            let scope = match scope {
                crate::verdict::Scope::Relayed => "relayed recipients; inbound ones pass",
                crate::verdict::Scope::All => "all recipients",
            };
            let whose = match standing.entity {
                Entity::Organization(_) => {
                    "; only of senders whose domain is not registered, the others pass"
                }
                _ => "",
            };
            self.pair("action", &format!("{action}, {scope}{whose}"));
        }
        let mut time = |name: &str, at: Option<Timestamp>| {
            if let Some(at) = at {
                self.pair(name, &at.local());
            }
        };
        time("since", standing.since);
        time("until", standing.until);
        time("last attempt", standing.last_attempt);
        if let Some(by) = &standing.by {
            self.pair("by", &by.to_string());
        }
        self.pair("why", &standing.reason);
        if matches!(standing.state, State::Restricted | State::Marked | State::Idle) {
            // Of an organization that is counted for its connectors.
            if !matches!(standing.entity, Entity::Organization(_)) {
                self.pair(
                    "passed before",
                    &format!(
                        "{} messages, {} recipients",
                        standing.passed_messages, standing.passed_recipients
                    ),
                );
            }
            let name =
                if standing.state == State::Marked { "would refuse" } else { "refused since" };
            self.pair(name, &format!("{} recipients", standing.refused));
        }
        if standing.held > 0 {
            self.pair("held since", &format!("{} messages", standing.held));
        }
    }

    fn findings<'a>(&mut self, title: &str, findings: impl Iterator<Item = &'a FindingView>) {
        for (at, view) in findings.enumerate() {
            if at == 0 {
                self.heading(title);
            }
            let finding = &view.finding;
            self.item(&view.text);
            self.item(&format!(
                "  {}: score {:.1}, compromised from {:.0} on, since {}",
                finding.signal,
                finding.score,
                finding.limit,
                finding.since.local()
            ));
        }
    }

    fn totals(&mut self, totals: &TotalsView) {
        self.heading("Counted since the daemon's start");
        self.pair(
            "first, last",
            &format!("{}, {}", totals.first_seen.local(), totals.last_seen.local()),
        );
        self.pair(
            "relayed",
            &format!(
                "{} messages, {} recipients (last hour {} and {})",
                totals.messages,
                totals.recipients,
                totals.messages_last_hour,
                totals.recipients_last_hour
            ),
        );
        self.pair(
            "of these",
            &format!(
                "{} with an unregistered sender, {} with the null sender",
                totals.unregistered, totals.null_senders
            ),
        );
        self.pair(
            "unknown",
            &format!("{} recipients that Postfix refused", totals.unknown_recipients),
        );
        self.pair("refused", &format!("{} recipients", totals.refused));
        if totals.would_refuse > 0 {
            self.pair("would refuse", &format!("{} recipients", totals.would_refuse));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{
        directory::{Params, Terms},
        domain::DomainSet,
        engine::{Blocked, Engine, Settings},
        record::Actor,
        view,
    };
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    #[test]
    fn of_an_organization_it_says_what_passes() {
        let mut registered = DomainSet::default();
        registered.insert("example.org").unwrap();
        let organization = "default".into();
        let terms = Terms { registered, organization, mode: Mode::Enforce, ..Terms::default() };
        let params = Params { discovered: Arc::new(terms), discover: true, ..Params::default() };
        let engine = Engine::new(Settings::with_directory(params), 100, NOW);
        let entity = Entity::Organization("default".into());
        let reason = "three phished logins".to_owned();
        let blocked = Blocked { entity: entity.clone(), action: None, span: None, reason };
        let (held, _) = engine.block(blocked, Actor::Daemon, NOW).unwrap();
        let case = engine.cases().get(held.restriction.case);
        let page = text(&view::show(&engine, &entity, case, &[], NOW).unwrap());
        for words in [
            "only of senders whose domain is not registered, the others pass",
            "connguard trust connector:NAME",
            "To let its other mail pass again: connguard unblock organization:default",
        ] {
            assert!(page.contains(words), "{words} is not in:\n{page}");
        }
        assert!(!page.contains("passed before"), "{page}");
    }
}
