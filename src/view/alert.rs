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
mod digest;
mod facts;
mod page;
mod parts;
#[cfg(test)]
mod tests;
mod words;

pub use digest::digest;
use facts::Facts;
use page::Page;

use crate::{
    case::{AlertKind, CaseFile, Change},
    connector::Entity,
    engine::Engine,
    record::{CaseId, Finding},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

fn text(facts: &Facts<'_>) -> String {
    let mut page = Page::default();
    body(&mut page, facts);
    signature(&mut page, facts.case_id());
    page.into_text()
}

fn body(page: &mut Page, facts: &Facts<'_>) {
    if let (true, Some(_)) = (facts.observe, facts.entity()) {
        page.paragraph("OBSERVE MODE: connguard only watches. Nothing of this is refused.");
        page.gap();
    }
    for line in words::sentence(facts).lines() {
        page.paragraph(line);
    }
    match facts.due.kind {
        AlertKind::Restricted => {
            blocked::refused(page, facts);
            parts::who(page, facts);
            parts::seen(page, facts);
            checklist::checklist(page, facts);
        }
        AlertKind::Suspicious => {
            blocked::slowed(page, facts);
            parts::who(page, facts);
            parts::seen(page, facts);
            checklist::checklist(page, facts);
        }
        AlertKind::StillRestricted => blocked::still(page, facts),
        AlertKind::Lifted | AlertKind::Expired => blocked::over(page, facts),
        AlertKind::NewConnector | AlertKind::ConnectorChanged | AlertKind::ConnectorSilent => {
            parts::who(page, facts);
            checklist::about_a_change(page, facts);
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
