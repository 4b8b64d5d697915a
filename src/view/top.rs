//! Connectors by what they send.

use super::{FindingView, State};
use crate::{
    connector::{ConnectorKey, Entity},
    engine::Engine,
    judge::{self, Judgement},
    restriction::{Attempts, InForce},
    tally::Tally,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// Connectors that are shown, at most.
pub const TOP_MOST: usize = 500;
/// So many are kept while all connectors are looked at: of a million, all at once
/// would take 200 MB.
const KEPT: usize = 4 * TOP_MOST;
/// What was tried by then counts.
const RECENT: Duration = Duration::from_secs(3600);

/// One connector.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TopView {
    /// Who.
    pub entity: Entity,
    /// Its organization.
    pub organization: Arc<str>,
    /// What it is, where it is not just normal.
    pub state: Option<State>,
    /// Relayed messages of the last hour that passed.
    pub messages: u64,
    /// Their relayed recipients.
    pub recipients: u64,
    /// Recipients that were refused since it is restricted or suspicious; of a
    /// mark: would have been.
    pub refused: u64,
    /// All of its scores together, in nats.
    pub score: f32,
    /// From which on it is compromised.
    pub limit: f32,
    /// What says most against it: of a restriction what made it.
    pub finding: Option<FindingView>,
    /// When it last sent something, or tried to.
    pub last_seen: Timestamp,
}

/// A connector that may be shown.
struct Candidate {
    key: ConnectorKey,
    tally: Option<Arc<Tally>>,
    messages: u64,
    refused: u64,
    /// By this they are in order.
    busy: u64,
}

/// The busiest connectors, the busiest first: by the messages of the last hour,
/// and what was refused of those that tried within it. Whoever is restricted or
/// suspicious is among them if there is room at all.
pub fn top(engine: &Engine, now: Timestamp) -> Vec<TopView> {
    busiest(engine, TOP_MOST, |_| false, now)
}

/// Those that are `always` shown and anything is known of, then the `most` busiest of the
/// others, at most [`TOP_MOST`], each in the order of [`top`].
pub fn busiest(
    engine: &Engine,
    most: usize,
    always: impl Fn(&ConnectorKey) -> bool,
    now: Timestamp,
) -> Vec<TopView> {
    let most = most.min(TOP_MOST);
    let mut held: HashMap<ConnectorKey, InForce> = HashMap::new();
    for entry in engine.table().list(now) {
        let Some(restriction) = entry.standing.restriction else { continue };
        if let Some(key) = entry.entity.as_connector() {
            held.insert(key.clone(), InForce { restriction, attempts: entry.attempts });
        }
    }
    let (mut shown, mut all) = (Vec::new(), Vec::new());
    engine.roster().for_each(|key, tally| {
        let messages = tally.messages.estimate(now);
        let suspicious = tally.judgement() != Judgement::Normal;
        let tried = match held.get(key) {
            Some(held) => Some(&*held.attempts),
            None => Some(tally.throttled()).filter(|_| suspicious),
        };
        if always(key) {
            shown.push(candidate(key, Some(tally), messages, tried, now));
        } else if messages > 0 || tried.is_some() {
            all.push(candidate(key, Some(tally), messages, tried, now));
        }
        if all.len() >= KEPT {
            keep_busiest(&mut all, TOP_MOST);
        }
    });
    for (key, held) in held.iter().filter(|(key, _)| engine.roster().get(key).is_none()) {
        let known = candidate(key, None, 0, Some(&held.attempts), now);
        if always(key) { shown.push(known) } else { all.push(known) }
    }
    keep_busiest(&mut shown, usize::MAX);
    keep_busiest(&mut all, most);
    shown.into_iter().chain(all).map(|one| view(engine, one, &held, now)).collect()
}

fn keep_busiest(all: &mut Vec<Candidate>, most: usize) {
    all.sort_by(|a, b| b.busy.cmp(&a.busy).then_with(|| a.key.cmp(&b.key)));
    all.truncate(most);
}

fn candidate(
    key: &ConnectorKey,
    tally: Option<&Arc<Tally>>,
    messages: u64,
    tried: Option<&Attempts>,
    now: Timestamp,
) -> Candidate {
    let refused = tried.map_or(0, |tried| tried.refused.load(Relaxed));
    let last = tried.and_then(Attempts::last);
    let recent = last.is_some_and(|last| now.since(last) < RECENT);
    let busy = messages.saturating_add(if recent { refused } else { 0 });
    Candidate { key: key.clone(), tally: tally.cloned(), messages, refused, busy }
}

fn view(
    engine: &Engine,
    one: Candidate,
    held: &HashMap<ConnectorKey, InForce>,
    now: Timestamp,
) -> TopView {
    let Candidate { key, tally, messages, refused, .. } = one;
    let settings = engine.settings();
    let terms = settings.directory.terms(&key);
    let held = held.get(&key);
    let (mut score, mut finding, mut suspicious) = (0.0, None, false);
    if let Some(tally) = &tally {
        let context = engine.context(&settings, &key, terms, now);
        score = judge::fuse(&tally.scores(&context));
        finding = tally.findings(&context).into_iter().next();
        suspicious = engine.judgement(&key, tally, now) == Judgement::Suspicious;
    }
    if let Some(held) = held {
        finding = held.restriction.findings.first().cloned();
    }
    let state = match held.map(|held| &held.restriction) {
        Some(restriction) if restriction.mark => Some(State::Marked),
        Some(restriction) if settings.directory.refuses(restriction) => Some(State::Restricted),
        Some(_) => Some(State::Idle),
        None => suspicious.then_some(State::Suspicious),
    };
    let tried = held.and_then(|held| held.attempts.last());
    let sent = tally.as_ref().map(|tally| tally.last_seen());
    TopView {
        state,
        organization: Arc::clone(&terms.organization),
        messages,
        recipients: tally.map_or(0, |tally| tally.recipients.estimate(now)),
        refused,
        score,
        limit: settings.model.compromised,
        finding: finding.as_ref().map(FindingView::from),
        last_seen: tried.max(sent).unwrap_or(now),
        entity: key.into(),
    }
}
