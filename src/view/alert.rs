//! The text of alerts: what happened, what is refused and what passes, what to do.
//!
//! Plain text in lines under 100 columns, for somebody who never saw connguard and
//! was woken by it: the first sentence says what happened with its figures; then
//! what is refused and what still passes, what was seen, and a list of what to do,
//! made for this case. What others chose is cut, quoted and escaped, and never
//! begins a line. The same as data: see `data.rs`.

mod blocked;
mod checklist;
mod data;
mod facts;
mod page;
mod parts;
#[cfg(test)]
mod tests;
mod words;

use facts::Facts;
use page::Page;

use crate::{
    case::{AlertKind, CaseFile, Change},
    connector::Entity,
    engine::Engine,
    record::{CaseId, Finding},
    timestamp::Timestamp,
    verdict::Mode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What kind of thing.
    pub kind: AlertKind,
    /// Whom it is about; nothing where it is about connguard itself.
    pub entity: Option<Entity>,
    /// The case that it belongs to, as it is now.
    pub case: Option<CaseFile>,
    /// What it is about beside the case.
    pub about: About,
}

/// What an alert is about beside its case.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// The case says it all.
    Case,
    /// What is observed at present.
    Findings(Vec<Finding>),
    /// What a connector never showed before.
    Changes(Vec<Change>),
    /// Since when a connector is silent.
    Silent {
        /// Its last message.
        last_seen: Timestamp,
        /// In how many of the last four weeks it sent something.
        weeks: u32,
    },
    /// Our own trouble, in words that say what to do.
    Trouble(String),
}

/// An alert, ready to be sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Alert {
    /// Its Message-ID without brackets, different for every alert.
    pub id: String,
    /// What kind of thing.
    pub kind: AlertKind,
    /// When it was made.
    pub at: Timestamp,
    /// Whom it is about.
    pub entity: Option<Entity>,
    /// Its case.
    pub case: Option<CaseId>,
    /// The first alert of the case, to which this one answers.
    pub in_reply_to: Option<String>,
    /// Subject of the mail.
    pub subject: String,
    /// Text of the mail: plain, lines under 100 columns.
    pub text: String,
    /// The same as data.
    pub data: Value,
}

/// Things that a digest tells one by one.
const MOST_IN_DIGEST: usize = 30;

/// Writes an alert. `id` is its own.
pub fn alert(engine: &Engine, due: &Due, id: String, now: Timestamp) -> Alert {
    let facts = Facts::gather(engine, due, now);
    let subject = words::subject(&facts);
    let sentence = words::sentence(&facts).replace(page::GLUE, " ");
    Alert {
        id,
        kind: due.kind,
        at: now,
        entity: due.entity.clone(),
        case: facts.case_id(),
        in_reply_to: due
            .case
            .as_ref()
            .and_then(|case| case.told.first())
            .map(|told| told.id.clone()),
        text: text(&facts),
        data: data::data(&facts, &subject, &sentence),
        subject,
    }
}

/// Writes one alert for many things.
pub fn digest(engine: &Engine, due: &[Due], id: String, now: Timestamp) -> Alert {
    let all: Vec<Facts<'_>> = due.iter().map(|due| Facts::gather(engine, due, now)).collect();
    let observe = match all.as_slice() {
        [] => engine.settings().mode() == Mode::Observe,
        all => all.iter().all(|facts| facts.observe),
    };
    let subject =
        format!("{}{} alerts at once: {}", words::prefix(observe), all.len(), kinds(&all));
    let shown = all.iter().take(MOST_IN_DIGEST);
    let alerts: Vec<Value> = shown
        .map(|facts| data::short(facts, &words::sentence(facts).replace(page::GLUE, " ")))
        .collect();
    let more = all.len().saturating_sub(MOST_IN_DIGEST);
    Alert {
        id,
        kind: AlertKind::Digest,
        at: now,
        entity: None,
        case: None,
        in_reply_to: None,
        text: digest_text(&all, observe, more),
        data: json!({
            "kind": AlertKind::Digest,
            "at": now,
            "entity": null,
            "case": null,
            "organization": null,
            "observe": observe,
            "subject": subject,
            "sentence": format!("{} alerts at once: {}", all.len(), kinds(&all)),
            "findings": [],
            "alerts": alerts,
            "more": more,
        }),
        subject,
    }
}

fn text(facts: &Facts<'_>) -> String {
    let mut page = Page::default();
    if let (true, Some(_)) = (facts.observe, facts.entity()) {
        page.paragraph("OBSERVE MODE: connguard only watches. Nothing of this is refused.");
        page.gap();
    }
    for line in words::sentence(facts).lines() {
        page.paragraph(line);
    }
    match facts.due.kind {
        AlertKind::Restricted => {
            blocked::refused(&mut page, facts);
            parts::who(&mut page, facts);
            parts::seen(&mut page, facts);
            checklist::checklist(&mut page, facts);
        }
        AlertKind::Suspicious => {
            blocked::slowed(&mut page, facts);
            parts::who(&mut page, facts);
            parts::seen(&mut page, facts);
            checklist::checklist(&mut page, facts);
        }
        AlertKind::StillRestricted => blocked::still(&mut page, facts),
        AlertKind::Lifted | AlertKind::Expired => blocked::over(&mut page, facts),
        AlertKind::NewConnector | AlertKind::ConnectorChanged | AlertKind::ConnectorSilent => {
            parts::who(&mut page, facts);
            checklist::about_a_change(&mut page, facts);
        }
        AlertKind::Trouble => {
            page.gap();
            page.paragraph("Restrictions that are in force stay in force meanwhile, and connguard refuses nothing else because of this.");
            page.command("connguard status", "how it is");
            page.command("journalctl -u connguard -n 50", "what it logged");
        }
        AlertKind::Test | AlertKind::Digest => {
            page.gap();
            page.paragraph("An operator asked for it with connguard alerts test. Nothing happened, and nothing has to be done.");
        }
    }
    signature(&mut page, facts.case_id());
    page.into_text()
}

fn digest_text(all: &[Facts<'_>], observe: bool, more: usize) -> String {
    let mut page = Page::default();
    if observe {
        page.paragraph("OBSERVE MODE: connguard only watches. Nothing of this is refused.");
        page.gap();
    }
    page.paragraph(&format!(
        "{} things happened at once, so that they are told in one mail: {}.",
        all.len(),
        kinds(all)
    ));
    page.gap();
    for facts in all.iter().take(MOST_IN_DIGEST) {
        page.item(&words::in_one_line(facts));
    }
    if more > 0 {
        page.item(&format!("and {more} more"));
    }
    page.heading("What to do");
    page.paragraph("Many at once often have one cause: a stolen list of passwords, a web host with many accounts, a mailing that nobody announced, or a setting (registered_domains, relay_networks) that lacks something. Look at a few of them first:");
    page.command("connguard list --all", "all that are restricted or suspicious, and why");
    page.command("connguard show CASE", "one of them in full, CASE as C-000017");
    page.command("connguard unblock CASE --reason 'what was done'", "let it relay again");
    signature(&mut page, None);
    page.into_text()
}

/// How many of which kind.
fn kinds(all: &[Facts<'_>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for facts in all {
        let event = words::event(facts);
        match counts.iter_mut().find(|(known, _)| *known == event) {
            Some((_, count)) => *count += 1,
            None => counts.push((event, 1)),
        }
    }
    let counts = counts.iter().map(|(event, count)| {
        format!("{count} {}", event.trim_start_matches("is ").trim_start_matches("has "))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// Where more is to be read.
fn signature(page: &mut Page, case: Option<CaseId>) {
    page.gap();
    page.paragraph("-- ");
    let case = case.map(|case| format!(" Case {case}.")).unwrap_or_default();
    page.paragraph(&format!(
        "connguard watches the clients for which Postfix relays mail on this host.{case} All commands: connguard --help"
    ));
}
