//! The text of alerts: what happened, what is refused and what passes, what to do.

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
    let _ = engine;
    Alert {
        id,
        kind: due.kind,
        at: now,
        entity: due.entity.clone(),
        case: due.case.as_ref().map(|case| case.case),
        in_reply_to: None,
        subject: String::new(),
        text: String::new(),
        data: Value::Null,
    }
}

/// Writes one alert for many things.
pub fn digest(engine: &Engine, due: &[Due], id: String, now: Timestamp) -> Alert {
    let _ = (engine, due);
    Alert {
        id,
        kind: AlertKind::Digest,
        at: now,
        entity: None,
        case: None,
        in_reply_to: None,
        subject: String::new(),
        text: String::new(),
        data: Value::Null,
    }
}
