//! Everything about one entity.

use super::{FindingView, HistoryView, ListView};
use crate::{
    connector::{ConnectorKey, Entity},
    engine::Engine,
    record::{Record, Restriction, Sample},
    tally::{Tally, Totals},
    timestamp::Timestamp,
    verdict::Mode,
};
use serde::{Deserialize, Serialize};

/// Counts of a connector since the daemon began to count it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TotalsView {
    /// When counting began.
    pub first_seen: Timestamp,
    /// When it last sent something.
    pub last_seen: Timestamp,
    /// Relayed messages that passed.
    pub messages: u64,
    /// Their relayed recipients.
    pub recipients: u64,
    /// Relayed messages of the last hour.
    pub messages_last_hour: u64,
    /// Relayed recipients of the last hour.
    pub recipients_last_hour: u64,
    /// Messages with the null sender.
    pub null_senders: u64,
    /// Messages with an unregistered sender.
    pub unregistered: u64,
    /// Recipients that Postfix refused as unknown.
    pub unknown_recipients: u64,
    /// Recipients that connguard refused.
    pub refused: u64,
    /// Recipients that it would have refused in enforce mode.
    pub would_refuse: u64,
}

impl TotalsView {
    fn of(tally: &Tally, now: Timestamp) -> Self {
        let Totals {
            messages,
            recipients,
            null_senders,
            unregistered,
            unknown_recipients,
            refused,
            would_refuse,
        } = tally.counters.totals();
        Self {
            first_seen: tally.first_seen(),
            last_seen: tally.last_seen(),
            messages,
            recipients,
            messages_last_hour: tally.messages.estimate(now),
            recipients_last_hour: tally.recipients.estimate(now),
            null_senders,
            unregistered,
            unknown_recipients,
            refused,
            would_refuse,
        }
    }
}

/// Everything about one entity, or about one case that is over.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ShowView {
    /// Who.
    pub entity: Entity,
    /// Observe or enforce.
    pub mode: Mode,
    /// The keys of a configured connector.
    pub keys: Vec<String>,
    /// What is in force.
    pub standing: Option<ListView>,
    /// Bad messages that made the case.
    pub samples: Vec<Sample>,
    /// What is observed at present.
    pub findings: Vec<FindingView>,
    /// Counts.
    pub totals: Option<TotalsView>,
    /// Who did what, oldest first.
    pub history: Vec<HistoryView>,
    /// What to do next.
    pub next: Vec<String>,
}

/// Everything about one entity; nothing where it is not known.
pub fn show(
    engine: &Engine,
    entity: &Entity,
    history: &[Record],
    now: Timestamp,
) -> Option<ShowView> {
    let settings = engine.settings();
    let directory = &settings.directory;
    let key = entity.connector();
    let standing = engine.table().list(now).into_iter().find(|entry| entry.entity == *entity);
    let tally = engine.roster().get(key);
    let named = match key {
        ConnectorKey::Named(name) => directory.named(name),
        _ => None,
    };
    if standing.is_none() && tally.is_none() && named.is_none() && history.is_empty() {
        return None;
    }
    let keys = named.map(|named| {
        let (keys, networks) = named.keys();
        let networks = networks.iter().map(|network| format!("client:{network}"));
        keys.iter().map(Entity::to_string).chain(networks).collect()
    });
    let restriction = standing.as_ref().and_then(|entry| entry.standing.restriction.as_ref());
    Some(ShowView {
        entity: entity.clone(),
        mode: directory.terms(&directory.current(key)).mode,
        keys: keys.unwrap_or_default(),
        samples: restriction.map(|held| held.samples.clone()).unwrap_or_default(),
        next: restriction.map(|held| next_steps(held)).unwrap_or_default(),
        standing: standing.map(|entry| ListView::of_entry(engine, &entry, now)),
        findings: tally
            .iter()
            .flat_map(|tally| tally.findings(now))
            .map(|finding| FindingView::from(&finding))
            .collect(),
        totals: tally.map(|tally| TotalsView::of(&tally, now)),
        history: history.iter().map(HistoryView::from).collect(),
    })
}

fn next_steps(restriction: &Restriction) -> Vec<String> {
    let mut steps = Vec::new();
    if restriction.mark {
        steps.push("Nothing is refused: this is observe mode. mode = \"enforce\" would have restricted it.".into());
    }
    if let Some(queue_id) =
        restriction.samples.iter().rev().find_map(|sample| sample.queue_id.as_deref())
    {
        steps.push(format!("Look at what it sent: grep {queue_id} /var/log/mail.log"));
    }
    steps.push(
        "If these sender domains are yours: add them to registered_domains, then connguard reload"
            .into(),
    );
    steps.push("Find and stop what sends this mail: change the password, revoke the certificate, clean the host".into());
    steps.push(format!(
        "Then let it relay again: connguard unblock {} --reason \"...\"",
        restriction.entity
    ));
    steps
}
