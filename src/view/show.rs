//! Everything about one entity.

use super::{CaseView, FindingView, HistoryView, ListView};
use crate::{
    case::{CaseFile, Step, What},
    connector::{ConnectorKey, Entity},
    directory::{Directory, Limits, Named},
    engine::{Engine, Feedback},
    judge::Judgement,
    queued::InQueue,
    record::{CaseId, Event, Record, Restriction, Sample, SignalName},
    tally::{Tally, Totals},
    timestamp::Timestamp,
    verdict::{Mode, Throttle},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

/// Everything about one entity.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ShowView {
    /// Who.
    pub entity: Entity,
    /// Observe or enforce.
    pub mode: Mode,
    /// The keys of a configured connector, as configured.
    pub keys: Vec<String>,
    /// Its hard limits, in words.
    pub limits: Vec<String>,
    /// What is in force.
    pub standing: Option<ListView>,
    /// What is in force for others and meets its mail too: for a key of it, the
    /// connector that it is a key of, or the network of its address.
    pub related: Vec<ListView>,
    /// Its newest case, or the one that was asked for: open or over.
    pub case: Option<CaseView>,
    /// What is observed at present.
    pub findings: Vec<FindingView>,
    /// Its messages that may be in the queue of Postfix, oldest first.
    #[serde(default)]
    pub queue: Vec<QueuedView>,
    /// Whether the mail log says which of them left the queue.
    #[serde(default)]
    pub queue_followed: bool,
    /// Counts.
    pub totals: Option<TotalsView>,
    /// Who did what, oldest first.
    pub history: Vec<HistoryView>,
    /// What to do next.
    pub next: Vec<String>,
}

/// A message that may be in the queue of Postfix.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct QueuedView {
    /// The queue id that it has now.
    pub queue_id: String,
    /// When it got it.
    pub since: Timestamp,
    /// connguard put it on hold.
    pub held: bool,
}

impl From<InQueue> for QueuedView {
    fn from(message: InQueue) -> Self {
        let InQueue { queue_id, since, held } = message;
        Self { queue_id: queue_id.into(), since, held }
    }
}

/// Everything about one entity; nothing where it is not known. `history` is
/// the audit trail of this entity, oldest first, `case` its newest case, or the one
/// that was asked for, where there is one.
pub fn show(
    engine: &Engine,
    entity: &Entity,
    case: Option<CaseFile>,
    history: &[Record],
    now: Timestamp,
) -> Option<ShowView> {
    let settings = engine.settings();
    let directory = &settings.directory;
    let key = entity.as_connector();
    let list = engine.table().list(now);
    let standing = list.iter().find(|entry| entry.entity == *entity);
    let related: Vec<ListView> = list
        .iter()
        .filter(|entry| entry.entity != *entity && entry.standing.restriction.is_some())
        .filter(|entry| {
            let keys = key.zip(entry.entity.as_connector());
            keys.is_some_and(|(key, other)| is_related(directory, key, other))
                || is_of_one_house(directory, entity, &entry.entity)
        })
        .map(|entry| ListView::of_entry(engine, entry, now))
        .collect();
    let tally = key.and_then(|key| engine.roster().get(key));
    let named = match key {
        Some(ConnectorKey::Named(name)) => directory.named(name),
        _ => None,
    };
    let queue: Vec<QueuedView> =
        engine.in_queue(entity).into_iter().map(QueuedView::from).collect();
    let unknown = standing.is_none() && tally.is_none() && named.is_none() && queue.is_empty();
    if unknown && related.is_empty() && history.is_empty() && case.is_none() {
        return None;
    }
    let held = standing.and_then(|entry| entry.standing.restriction.clone());
    // Of a case whose file is gone, the audit trail knows how it began.
    let begun =
        || held.as_deref().or(last_restriction(history).map(|last| &**last)).map(of_restriction);
    let case = case.or_else(begun).map(CaseView::new);
    let suspicious = tally
        .as_ref()
        .filter(|tally| {
            held.is_none()
                && key.is_some_and(|key| engine.judgement(key, tally, now) == Judgement::Suspicious)
        })
        .map(|tally| ListView::suspicious(engine, entity.clone(), tally, now));
    Some(ShowView {
        entity: entity.clone(),
        mode: directory.terms_of(entity).mode,
        keys: named.map(keys).unwrap_or_default(),
        limits: limits(&directory.terms_of(entity).limits),
        related,
        case,
        next: match (&held, &suspicious) {
            (Some(held), _) => next_steps(held),
            (None, Some(suspicious)) => steps_of_suspicion(engine, suspicious),
            (None, None) => Vec::new(),
        },
        standing: standing.map(|entry| ListView::of_entry(engine, entry, now)).or(suspicious),
        findings: tally
            .iter()
            .zip(key)
            .flat_map(|(tally, key)| engine.findings(key, tally, now))
            .map(|finding| FindingView::from(&finding))
            .collect(),
        queue,
        queue_followed: engine.feedback() != Feedback::Off,
        totals: tally.map(|tally| TotalsView::of(&tally, now)),
        history: history.iter().map(HistoryView::from).collect(),
    })
}

/// The number of the last case in an audit trail.
pub fn last_case(history: &[Record]) -> Option<CaseId> {
    last_restriction(history).map(|restriction| restriction.case)
}

/// Whether a restriction of `other` meets mail of `key`, or some of it.
fn is_related(directory: &Directory, key: &ConnectorKey, other: &ConnectorKey) -> bool {
    let contains = |other: &ConnectorKey, key: &ConnectorKey| match (other, key) {
        (ConnectorKey::Client(other), ConnectorKey::Client(key)) => other.contains(key),
        _ => false,
    };
    directory.current(key) == *other || directory.current(other) == *key || contains(other, key)
}

/// Whether a restriction of one meets mail of the other because one is a sender of
/// the other, or its organization.
fn is_of_one_house(directory: &Directory, entity: &Entity, other: &Entity) -> bool {
    let owns = |organization: &Entity, member: &Entity| match organization {
        Entity::Organization(name) => {
            member.connector().is_some() && directory.terms_of(member).organization == *name
        }
        _ => false,
    };
    let one_connector = entity.connector().is_some() && entity.root() == other.root();
    one_connector || owns(entity, other) || owns(other, entity)
}

/// What a restriction alone tells of its case.
fn of_restriction(held: &Restriction) -> CaseFile {
    let mut file = CaseFile::new(held.case, held.entity.root(), held.since);
    file.material.samples.clone_from(&held.samples);
    file.step(Step {
        at: held.since,
        by: held.by.clone(),
        what: if held.mark { What::Marked } else { What::Restricted },
        entity: held.entity.clone(),
        reason: held.reason.clone(),
        findings: held.findings.clone(),
    });
    file
}

fn last_restriction(history: &[Record]) -> Option<&Arc<Restriction>> {
    history.iter().rev().find_map(|record| match &record.event {
        Event::Restricted(restriction) => Some(restriction),
        Event::Inherited { standing, .. } => standing.restriction.as_ref(),
        _ => None,
    })
}

fn keys(named: &Named) -> Vec<String> {
    let login = |login: &Arc<str>| ConnectorKey::Login(Arc::clone(login)).to_string();
    let certificate = named.certificate.iter().cloned().map(ConnectorKey::Certificate);
    let client = |network: &IpNet| ConnectorKey::Client(*network).to_string();
    let logins = named.logins.iter().map(login);
    logins
        .chain(certificate.map(|key| key.to_string()))
        .chain(named.digests.iter().map(|digest| format!("fingerprint {digest}")))
        .chain(named.clients.iter().map(client))
        .collect()
}

fn limits(limits: &Limits) -> Vec<String> {
    let text = |limit: Option<u32>, what| limit.map(|limit| format!("{limit} {what} an hour"));
    let messages = text(limits.messages_per_hour, "messages");
    messages.into_iter().chain(text(limits.recipients_per_hour, "recipients")).collect()
}

fn next_steps(restriction: &Restriction) -> Vec<String> {
    let mut steps = Vec::new();
    let entity = &restriction.entity;
    if restriction.mark {
        steps.push("Nothing is refused: this is observe mode. With mode = \"enforce\" it would have been restricted.".into());
    }
    let queue_id = |sample: &Sample| sample.queue_id.clone().filter(|_| sample.passed);
    if let Some(queue_id) = restriction.samples.iter().rev().find_map(queue_id) {
        steps.push(format!("Look at what it sent, in the log of Postfix: grep {queue_id} /var/log/mail.log, or journalctl -g {queue_id}"));
    }
    if !restriction.findings.is_empty() {
        steps.extend(explanations(restriction.findings.iter().map(|finding| finding.signal)));
        steps.push("If nothing of this is meant to be, find and stop what sends this mail: change the password, revoke the certificate, clean the host".into());
    }
    if let Entity::Organization(_) = entity {
        steps.push("Look at its connectors that are restricted, each with connguard show: they are restricted by themselves, and stay so when this is lifted".into());
        steps.push("If domains of its own are refused, register them (registered_domains) and reload. To let a forwarder or a mailing go on: connguard trust connector:NAME --for 1d --reason \"...\"".into());
    }
    steps.push(if restriction.mark {
        format!("To take the mark away: connguard unblock {entity} --reason \"...\"")
    } else {
        format!(
            "{} connguard unblock {entity} --reason \"...\"",
            match entity {
                Entity::Organization(_) => "To let its other mail pass again:",
                _ => "To let it relay again:",
            }
        )
    });
    steps
}

fn steps_of_suspicion(engine: &Engine, suspicious: &ListView) -> Vec<String> {
    let entity = &suspicious.entity;
    let settings = engine.settings();
    let terms = settings.directory.terms_of(entity);
    let mut steps = Vec::new();
    if let Some(key) =
        entity.connector().filter(|_| settings.throttle && terms.mode == Mode::Enforce)
    {
        let is_full = suspicious.held >= settings.restriction.hold_limit.messages;
        steps.extend(match terms.throttle(key) {
            Throttle::Hold if is_full => Some("It is slowed down: so much of its mail waits in the hold queue of Postfix that there is no room for more (restriction.hold_limit), and what it sends now is refused with 451. postqueue -j shows it; postsuper -H QUEUE_ID lets a message go, postsuper -d deletes it".to_owned()),
            Throttle::Tempfail => Some("It is slowed down: mail beyond its rate is refused with 451, and its client tries again".to_owned()),
            Throttle::Hold => Some("It is slowed down: mail beyond its rate waits in the hold queue of Postfix (postqueue -j shows it); postsuper -H QUEUE_ID lets a message go".to_owned()),
            Throttle::Off => None,
        });
    }
    let signals = suspicious.findings.iter().map(|found| found.finding.signal);
    steps.extend(explanations(signals));
    steps.push(format!(
        "If what it sends now is wanted: connguard normal {entity} --reason \"...\""
    ));
    steps.push(format!("How far it is from being restricted: connguard explain {entity}"));
    steps
}

/// What may be behind these signals and is no attack, each with what to do.
fn explanations(signals: impl Iterator<Item = SignalName>) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for signal in signals {
        let texts: &[&str] = match signal {
            SignalName::UnregisteredSender | SignalName::ForeignFrom => &[
                "If these sender domains are yours: add them to registered_domains, then connguard reload",
                "If it forwards mail, runs mailing lists or writes as the visitors of a web form: give it a [[connector]] with profile = \"forwarder\"",
            ],
            SignalName::UnknownCrowds | SignalName::Volume => &[
                "If it sends newsletters or invoices: give it a [[connector]] with profile = \"bulk\" and usual = { messages_per_hour = N }, or trust it for a time",
            ],
            SignalName::NewNetworks | SignalName::ShiftedNetworks => {
                &["If somebody travels or a program moved: ask them before you let it go on"]
            }
            SignalName::MostRefused | SignalName::ManyRefused | SignalName::UnknownRecipients => {
                &["If its list of recipients is old: have it cleaned"]
            }
            SignalName::SpamVerdict => &["See what the filter found: the spam headers of its mail"],
        };
        for text in texts {
            if !steps.iter().any(|step| step == text) {
                steps.push((*text).to_owned());
            }
        }
    }
    steps
}
