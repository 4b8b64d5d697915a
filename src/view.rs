//! The sentences and shapes in which entities, findings and cases are shown,
//! the same for the command line, JSON and the log.

use crate::{
    connector::Entity,
    engine::Engine,
    judge::{COMPROMISED, Judgement},
    record::{Actor, CaseId, Event, Finding, Record, Restriction, Sample, SignalName},
    restriction::{InForce, Listed as Entry},
    tally::{Tally, Totals},
    timestamp::Timestamp,
    verdict::{Action, Mode, Scope},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What an entity is, for a list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its mail is refused or held.
    Restricted,
    /// It would be restricted if it were in enforce mode.
    Marked,
    /// It is exempt for a time.
    Trusted,
    /// It was unblocked a short time ago.
    Grace,
    /// It is warned of.
    Suspicious,
}

/// A finding with its sentence.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FindingView {
    /// The numbers.
    #[serde(flatten)]
    pub finding: Finding,
    /// The sentence.
    pub text: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self { finding: finding.clone(), text: sentence(finding) }
    }
}

/// One line of a list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListView {
    /// Who.
    pub entity: Entity,
    /// `connector`.
    pub kind: String,
    /// What it is.
    pub state: State,
    /// Its organization.
    pub organization: Arc<str>,
    /// The case, of a restriction or mark, or the one that was lifted.
    pub case: Option<CaseId>,
    /// What its mail meets now.
    pub action: Option<Action>,
    /// Which recipients meet it.
    pub scope: Option<Scope>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Until when, if it ends by itself.
    pub until: Option<Timestamp>,
    /// Who made it.
    pub by: Option<Actor>,
    /// Why, in a sentence.
    pub reason: String,
    /// What the judgement found.
    pub findings: Vec<FindingView>,
    /// Messages that passed since its scores left zero, before it was
    /// restricted.
    pub passed_messages: u64,
    /// Relayed recipients of those.
    pub passed_recipients: u64,
    /// Recipients that were refused since (of a mark: would have been).
    pub refused: u64,
    /// Messages that went to the hold queue since.
    pub held: u64,
    /// When it last tried.
    pub last_attempt: Option<Timestamp>,
}

impl ListView {
    /// A restriction or mark.
    pub fn of_restriction(engine: &Engine, held: &InForce, now: Timestamp) -> Self {
        let restriction = &held.restriction;
        let load = |counter: &std::sync::atomic::AtomicU64| {
            counter.load(std::sync::atomic::Ordering::Relaxed)
        };
        Self {
            state: if restriction.mark { State::Marked } else { State::Restricted },
            case: Some(restriction.case),
            action: Some(held.action(now)),
            scope: Some(restriction.scope),
            since: Some(restriction.since),
            until: restriction.until,
            by: Some(restriction.by.clone()),
            reason: why(restriction),
            findings: restriction.findings.iter().map(FindingView::from).collect(),
            passed_messages: restriction.passed_messages,
            passed_recipients: restriction.passed_recipients,
            refused: load(&held.attempts.refused),
            held: load(&held.attempts.held_messages),
            last_attempt: held.attempts.last(),
            ..Self::empty(engine, restriction.entity.clone(), State::Restricted)
        }
    }

    fn of_entry(engine: &Engine, entry: &Entry, now: Timestamp) -> Self {
        let standing = &entry.standing;
        if let Some(restriction) = &standing.restriction {
            let held = InForce {
                restriction: Arc::clone(restriction),
                attempts: Arc::clone(&entry.attempts),
            };
            return Self::of_restriction(engine, &held, now);
        }
        if let Some(trust) = &standing.trust {
            return Self {
                since: Some(trust.since),
                until: Some(trust.until),
                by: Some(trust.by.clone()),
                reason: trust.reason.clone(),
                ..Self::empty(engine, entry.entity.clone(), State::Trusted)
            };
        }
        let grace = standing.grace.as_ref();
        Self {
            case: grace.map(|grace| grace.case),
            until: grace.map(|grace| grace.until),
            reason: "unblocked a short time ago".into(),
            ..Self::empty(engine, entry.entity.clone(), State::Grace)
        }
    }

    fn suspicious(engine: &Engine, entity: Entity, tally: &Tally, now: Timestamp) -> Self {
        let findings = tally.findings(now);
        Self {
            since: findings.first().map(|finding| finding.since),
            reason: findings.first().map(sentence).unwrap_or_default(),
            findings: findings.iter().map(FindingView::from).collect(),
            passed_messages: tally.passed().0.into(),
            passed_recipients: tally.passed().1.into(),
            ..Self::empty(engine, entity, State::Suspicious)
        }
    }

    fn empty(engine: &Engine, entity: Entity, state: State) -> Self {
        let settings = engine.settings();
        let directory = &settings.directory;
        let terms = directory.terms(&directory.current(entity.connector()));
        Self {
            kind: entity.kind().to_owned(),
            entity,
            state,
            organization: Arc::clone(&terms.organization),
            case: None,
            action: None,
            scope: None,
            since: None,
            until: None,
            by: None,
            reason: String::new(),
            findings: Vec::new(),
            passed_messages: 0,
            passed_recipients: 0,
            refused: 0,
            held: 0,
            last_attempt: None,
        }
    }
}

/// Restricted and marked entities; with `all` also those that are trusted, in
/// grace or suspicious.
pub fn list(engine: &Engine, all: bool, now: Timestamp) -> Vec<ListView> {
    let entries = engine.table().list(now);
    let mut list: Vec<ListView> = entries
        .iter()
        .filter(|entry| all || entry.standing.restriction.is_some())
        .map(|entry| ListView::of_entry(engine, entry, now))
        .collect();
    if all {
        engine.roster().for_each(|key, tally| {
            let entity = Entity::from(key.clone());
            let listed =
                list.iter().any(|view| view.entity == entity && view.state != State::Grace);
            if tally.judgement() == Judgement::Suspicious && !listed {
                list.push(ListView::suspicious(engine, entity, tally, now));
            }
        });
    }
    list
}

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
        crate::connector::ConnectorKey::Named(name) => directory.named(name),
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

/// One line of the audit trail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct HistoryView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// `restricted`, `marked`, `lifted`, `trusted`, `untrusted`, `inherited`
    /// or `moved`.
    pub what: String,
    /// Whom.
    pub entity: Entity,
    /// The case, where there is one.
    pub case: Option<CaseId>,
    /// Why, or where to.
    pub why: String,
}

impl From<&Record> for HistoryView {
    fn from(record: &Record) -> Self {
        let (what, case, why) = match &record.event {
            Event::Restricted(restriction) => {
                let what = if restriction.mark { "marked" } else { "restricted" };
                (what, Some(restriction.case), why(restriction))
            }
            Event::Lifted { case, reason, .. } => ("lifted", Some(*case), reason.clone()),
            Event::Trusted { trust, .. } => {
                ("trusted", None, format!("{} (until {})", trust.reason, trust.until.local()))
            }
            Event::Untrusted { reason, .. } => ("untrusted", None, reason.clone()),
            Event::Inherited { from, standing, .. } => {
                let case = standing.restriction.as_ref().map(|restriction| restriction.case);
                ("inherited", case, format!("the configuration changed: from {from}"))
            }
            Event::Moved { to, .. } => {
                let to: Vec<String> = to.iter().map(Entity::to_string).collect();
                ("moved", None, format!("the configuration changed: to {}", to.join(" ")))
            }
        };
        Self {
            at: record.at,
            by: record.by.clone(),
            what: what.to_owned(),
            entity: record.event.entity().clone(),
            case,
            why,
        }
    }
}

/// Why an entity is restricted: the operator's reason, or the sentence of the
/// largest finding.
pub fn why(restriction: &Restriction) -> String {
    match restriction.findings.first() {
        Some(finding) if restriction.reason.is_empty() => sentence(finding),
        _ => restriction.reason.clone(),
    }
}

/// A finding in one plain sentence with measured and usual values.
pub fn sentence(finding: &Finding) -> String {
    let Finding { bad, of, distinct, .. } = finding;
    match finding.signal {
        SignalName::UnregisteredSender => {
            let domains = if *distinct == 1 {
                "1 sender domain that is"
            } else {
                &format!("{distinct} sender domains that are")
            };
            let of = if of == bad {
                format!("all of the last {of}")
            } else {
                format!("{bad} of the last {of}")
            };
            format!(
                "{of} messages came from {domains} not registered; usual: {}",
                share(finding.usual)
            )
        }
    }
}

fn share(share: f32) -> String {
    let percent = share * 100.0;
    if percent < 1.0 { "under 1 %".into() } else { format!("{percent:.0} %") }
}

/// The log line of a restriction, mark or lift: `key=value`, made for grep.
pub fn log_line(record: &Record) -> String {
    let entity = record.event.entity();
    match &record.event {
        Event::Restricted(held) => {
            let what = if held.mark { "marked" } else { "restricted" };
            let mut line = format!(
                "{what} entity={entity} case={} action={} by={}",
                held.case,
                held.action,
                word(&record.by.to_string())
            );
            if let Some(finding) = held.findings.first() {
                line.push_str(&format!(
                    " signal={} bad={} of={} usual={:.2} score={:.1} limit={:.0}",
                    finding.signal,
                    finding.bad,
                    finding.of,
                    finding.usual,
                    finding.score,
                    COMPROMISED
                ));
            }
            line
        }
        Event::Lifted { case, reason, .. } => {
            format!(
                "lifted entity={entity} case={case} by={} reason={reason:?}",
                word(&record.by.to_string())
            )
        }
        Event::Trusted { trust, .. } => format!(
            "trusted entity={entity} until={} by={} reason={:?}",
            trust.until,
            word(&record.by.to_string()),
            trust.reason
        ),
        Event::Untrusted { reason, .. } => {
            format!(
                "untrusted entity={entity} by={} reason={reason:?}",
                word(&record.by.to_string())
            )
        }
        Event::Inherited { from, .. } => format!("inherited entity={entity} from={from}"),
        Event::Moved { to, .. } => {
            let to: Vec<String> = to.iter().map(Entity::to_string).collect();
            format!("moved entity={entity} to={}", to.join("+"))
        }
    }
}

/// The log line of a suspicion.
pub fn suspicion_line(what: &str, entity: &Entity, findings: &[Finding]) -> String {
    let mut line = format!("{what} entity={entity}");
    for finding in findings {
        line.push_str(&format!(
            " signal={} bad={} of={} usual={:.2} score={:.1}",
            finding.signal, finding.bad, finding.of, finding.usual, finding.score
        ));
    }
    line
}

/// A text as one word of a log line.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(bad: u32, of: u32, distinct: u32, usual: f32) -> Finding {
        Finding {
            signal: SignalName::UnregisteredSender,
            score: 15.24,
            limit: COMPROMISED,
            bad,
            of,
            distinct,
            usual,
            since: Timestamp::default(),
        }
    }

    #[test]
    fn findings_are_sentences() {
        for (finding, text) in [
            (
                finding(9, 9, 7, 0.005),
                "all of the last 9 messages came from 7 sender domains that are not registered; usual: under 1 %",
            ),
            (
                finding(9, 12, 1, 0.126),
                "9 of the last 12 messages came from 1 sender domain that is not registered; usual: 13 %",
            ),
        ] {
            assert_eq!(sentence(&finding), text);
        }
    }

    #[test]
    fn log_lines_are_one_line_of_words() {
        let restriction = Restriction {
            entity: crate::connector::ConnectorKey::Named("erp".into()).into(),
            case: CaseId(17),
            action: Action::Tempfail,
            scope: Scope::Relayed,
            since: Timestamp::default(),
            until: None,
            reject_from: None,
            by: Actor::Judgement,
            reason: String::new(),
            mark: false,
            findings: vec![finding(9, 9, 7, 0.01)],
            samples: Vec::new(),
            passed_messages: 4,
            passed_recipients: 4,
            keys: Vec::new(),
        };
        let record =
            |event| Record { seq: 1, at: Timestamp::default(), by: Actor::Judgement, event };
        assert_eq!(
            log_line(&record(Event::Restricted(Arc::new(restriction)))),
            "restricted entity=connector:erp case=C-000017 action=tempfail by=judgement \
             signal=unregistered_sender bad=9 of=9 usual=0.01 score=15.2 limit=14"
        );
        let lifted = Event::Lifted {
            entity: crate::connector::ConnectorKey::Local.into(),
            case: CaseId(1),
            reason: "two\nlines \u{1b}[31m".into(),
            grace: None,
        };
        assert_eq!(
            log_line(&record(lifted)),
            "lifted entity=local case=C-000001 by=judgement reason=\"two\\nlines \\u{1b}[31m\""
        );
    }
}
