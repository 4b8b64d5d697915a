//! What is restricted, trusted, in grace or suspicious, an entity a line.

use super::{FindingView, largest, raised_sentence, sentence, why};
use crate::{
    connector::{ConnectorKey, Entity},
    engine::Engine,
    judge::Judgement,
    record::{Actor, CaseId, Finding, Raised},
    restriction::{InForce, Listed as Entry},
    tally::Tally,
    timestamp::Timestamp,
    verdict::{Action, Scope},
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// What an entity is, for a list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its mail is refused or held.
    Restricted,
    /// It would be restricted if it were in enforce mode.
    Marked,
    /// It is restricted, but in observe mode now: nothing of it is refused.
    Idle,
    /// It is exempt for a time.
    Trusted,
    /// It was unblocked a short time ago.
    Grace,
    /// It is warned of.
    Suspicious,
    /// A restriction of it was wrong: it takes more to restrict it.
    Raised,
}

/// One line of a list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ListView {
    /// Who.
    pub entity: Entity,
    /// `connector`, `sender` or `organization`.
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
    /// Recipients that were refused since (of a mark: would have been; of a
    /// suspicion: by the throttle, since the daemon began to count).
    pub refused: u64,
    /// Messages that went to the hold queue since.
    pub held: u64,
    /// When it last tried (of a suspicion: when it was last slowed down).
    pub last_attempt: Option<Timestamp>,
    /// How much its levels are raised because a restriction of it was wrong.
    #[serde(default)]
    pub raised: Option<Raised>,
}

impl ListView {
    /// A restriction or mark.
    pub fn of_restriction(engine: &Engine, held: &InForce, now: Timestamp) -> Self {
        let restriction = &held.restriction;
        let state = if restriction.mark {
            State::Marked
        } else if engine.settings().directory.refuses(restriction) {
            State::Restricted
        } else {
            State::Idle
        };
        Self {
            state,
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
            refused: held.attempts.refused.load(Relaxed),
            held: held.attempts.held_messages.load(Relaxed),
            last_attempt: held.attempts.last(),
            ..Self::empty(engine, restriction.entity.clone(), State::Restricted, now)
        }
    }

    pub(super) fn of_entry(engine: &Engine, entry: &Entry, now: Timestamp) -> Self {
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
                ..Self::empty(engine, entry.entity.clone(), State::Trusted, now)
            };
        }
        let Some(grace) = &standing.grace else {
            let raised = standing.raised.as_ref();
            return Self {
                case: raised.map(|raised| raised.case),
                since: raised.map(|raised| raised.since),
                until: raised.map(|raised| raised.until),
                reason: raised.map(raised_sentence).unwrap_or_default(),
                ..Self::empty(engine, entry.entity.clone(), State::Raised, now)
            };
        };
        Self {
            case: Some(grace.case),
            until: Some(grace.until),
            reason: match &standing.raised {
                Some(raised) => format!("unblocked a short time ago; {}", raised_sentence(raised)),
                None => "unblocked a short time ago".into(),
            },
            ..Self::empty(engine, entry.entity.clone(), State::Grace, now)
        }
    }

    pub(super) fn suspicious(
        engine: &Engine,
        entity: Entity,
        tally: &Tally,
        now: Timestamp,
    ) -> Self {
        let findings =
            entity.as_connector().map(|key| engine.findings(key, tally, now)).unwrap_or_default();
        let throttled = tally.throttled();
        Self {
            refused: throttled.refused.load(Relaxed),
            held: throttled.held_messages.load(Relaxed),
            last_attempt: throttled.last(),
            since: findings.first().map(|finding| finding.since),
            reason: largest(&findings),
            findings: findings.iter().map(FindingView::from).collect(),
            passed_messages: tally.passed().0.into(),
            passed_recipients: tally.passed().1.into(),
            ..Self::empty(engine, entity, State::Suspicious, now)
        }
    }

    /// Says of who is in grace or has a raised bar that it is suspicious, too.
    fn add_suspicion(&mut self, findings: &[Finding]) {
        if let Some(finding) = findings.first() {
            self.reason = format!("{}; suspicious: {}", self.reason, sentence(finding));
            self.findings = findings.iter().map(FindingView::from).collect();
        }
    }

    fn suspicious_sender(
        engine: &Engine,
        entity: Entity,
        findings: &[Finding],
        now: Timestamp,
    ) -> Self {
        Self {
            since: findings.first().map(|finding| finding.since),
            reason: largest(findings),
            findings: findings.iter().map(FindingView::from).collect(),
            ..Self::empty(engine, entity, State::Suspicious, now)
        }
    }

    fn empty(engine: &Engine, entity: Entity, state: State, now: Timestamp) -> Self {
        let settings = engine.settings();
        let organization = match &entity {
            Entity::Organization(name) => name,
            entity => &settings.directory.terms_of(entity).organization,
        };
        Self {
            kind: entity.kind().to_owned(),
            organization: Arc::clone(organization),
            raised: engine.table().raised(&entity, now),
            entity,
            state,
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

/// Restricted and marked entities by their names; with `all` also those that are
/// trusted, in grace or suspicious. Each is looked at when it is its turn: of a hundred
/// thousand, the first need not wait for the last.
pub fn list(engine: &Engine, all: bool, now: Timestamp) -> impl Iterator<Item = ListView> {
    let mut entries = engine.table().list(now);
    entries.retain(|entry| all || entry.standing.restriction.is_some());
    let shown: Vec<Entity> =
        entries.iter().filter(|_| all).map(|entry| entry.entity.clone()).collect();
    let of_entry = move |entry: Entry| {
        let mut view = ListView::of_entry(engine, &entry, now);
        if let (true, Some(key)) = (all, view.entity.as_connector()) {
            let findings = suspicions(engine, key, view.state, now);
            view.add_suspicion(&findings);
        }
        view
    };
    let others = move || if all { suspicious(engine, &shown, now) } else { Vec::new() };
    entries.into_iter().map(of_entry).chain(std::iter::once_with(others).flatten())
}

/// What speaks against a connector that is in grace or has a raised bar, if it is
/// suspicious.
fn suspicions(engine: &Engine, key: &ConnectorKey, state: State, now: Timestamp) -> Vec<Finding> {
    let tally = match state {
        State::Grace | State::Raised => engine.roster().get(key),
        _ => None,
    };
    let is_suspicious =
        |tally: &Arc<Tally>| engine.judgement(key, tally, now) == Judgement::Suspicious;
    let tally = tally.filter(is_suspicious);
    tally.map(|tally| engine.findings(key, &tally, now)).unwrap_or_default()
}

/// Suspicious connectors and senders that are not among those shown already, which
/// are in order.
fn suspicious(engine: &Engine, shown: &[Entity], now: Timestamp) -> Vec<ListView> {
    let is_new = |entity: &Entity| shown.binary_search(entity).is_err();
    let mut list = Vec::new();
    engine.roster().for_each(|key, tally| {
        for (sender, findings) in engine.suspicious_senders(key, tally, now) {
            if is_new(&sender) {
                list.push(ListView::suspicious_sender(engine, sender, &findings, now));
            }
        }
        let entity = Entity::from(key.clone());
        if engine.judgement(key, tally, now) == Judgement::Suspicious && is_new(&entity) {
            list.push(ListView::suspicious(engine, entity, tally, now));
        }
    });
    list
}
