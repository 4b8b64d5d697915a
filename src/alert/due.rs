//! What cases lack: what holds of them, or happened, and was not told.
//!
//! - *Restricted*: an entity of the case is restricted or marked, and since that
//!   began it was not told so.
//! - *Still restricted*: it was told, is still in force, and `repeat` is over;
//!   once for a case, whoever of it is restricted.
//! - *Lifted, expired*: it was told, is no longer in force, and its last step
//!   says how it ended. Several of one case at once are one.
//! - *Suspicious*: a step says so, nothing was told of it since, no later step
//!   ends it, it still is, and nothing of the case is in force: who is restricted
//!   needs no warning.
//!
//! To look at all cases and restrictions takes long where there are a hundred thousand.
//! So who asks every second is given an answer only where something of a case
//! changed since the last look that found nothing, or [`LOOK`] later ([`Looks`]).

use super::outbox::Cover;
use crate::{
    case::{AlertKind, CaseFile, Step, Told, What},
    connector::Entity,
    engine::Engine,
    judge::Judgement,
    record::{CaseId, Finding, Restriction},
    timestamp::Timestamp,
    view::{About, Due},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// One thing that is due.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) due: Due,
    /// What of a case is told with it.
    pub(super) covers: Vec<Cover>,
    /// The trouble that it tells.
    pub(super) trouble: Option<String>,
}

type Held = Vec<Arc<Restriction>>;

/// How often all cases are looked at though none changed: a reminder comes by the clock,
/// and a suspicion ends so.
const LOOK: Duration = Duration::from_secs(10);

/// The last look that found nothing.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: Option<(u64, Timestamp)>,
}

impl Looks {
    /// As [`of_cases`], but nothing where a look would find nothing.
    pub(super) fn of_cases(
        &mut self,
        engine: &Engine,
        repeat: Option<Duration>,
        now: Timestamp,
    ) -> Vec<Item> {
        // Before the look: what changes meanwhile makes it look again.
        let changes = engine.cases().changes();
        let longest = repeat.map_or(LOOK, |repeat| repeat.min(LOOK));
        let is_known = |(known, at): (u64, Timestamp)| {
            known == changes && now >= at && now.since(at) < longest
        };
        if self.last.is_some_and(is_known) {
            return Vec::new();
        }
        let items = of_cases(engine, repeat, now);
        self.last = items.is_empty().then_some((changes, now));
        items
    }
}

/// What all cases lack at `now`.
fn of_cases(engine: &Engine, repeat: Option<Duration>, now: Timestamp) -> Vec<Item> {
    // What was told of a case stands in its file.
    if !engine.cases().is_read() {
        return Vec::new();
    }
    let mut held = in_force(engine, now);
    let mut items = Vec::new();
    for file in engine.cases().all() {
        let held = held.remove(&file.case).unwrap_or_default();
        items.extend(Lacking { engine, file: &file, held: &held, repeat, now }.items());
    }
    // A case whose file was lost begins again, so that it can remember what it told.
    for (case, held) in held {
        if let Some(first) = held.first() {
            engine.cases().begin(case, &first.entity.root(), first.since);
        }
    }
    items
}

/// Notes in the cases what an alert tells, where they do not know of it yet.
pub(super) fn note<'c>(engine: &Engine, covers: impl IntoIterator<Item = &'c Cover>, id: &str) {
    for Cover { case, kind, entity, at } in covers {
        let same = |told: &Told| told.kind == *kind && told.entity == *entity;
        let known = |told: &Told| same(told) && (told.id == id || told.at > *at);
        let Some(file) = engine.cases().share(*case) else { continue };
        if file.told.iter().any(known) {
            continue;
        }
        let tell = |file: &mut CaseFile| {
            // The first one begins the thread.
            let mut first = true;
            file.told.retain(|told| std::mem::take(&mut first) || !same(told));
            let entity = entity.clone();
            file.told.push(Told { kind: *kind, entity, at: *at, id: id.to_owned() });
        };
        // Each hour of each case: the outbox has it, too, for the next start.
        match kind {
            AlertKind::StillRestricted => engine.cases().remember(*case, tell),
            _ => engine.cases().update(*case, tell),
        }
    }
}

/// All that is in force, by case.
fn in_force(engine: &Engine, now: Timestamp) -> BTreeMap<CaseId, Held> {
    let mut held: BTreeMap<CaseId, Held> = BTreeMap::new();
    if engine.table().is_empty() {
        return held;
    }
    for listed in engine.table().list(now) {
        if let Some(restriction) = listed.standing.restriction {
            held.entry(restriction.case).or_default().push(restriction);
        }
    }
    held
}

struct Lacking<'a> {
    engine: &'a Engine,
    file: &'a CaseFile,
    held: &'a [Arc<Restriction>],
    repeat: Option<Duration>,
    now: Timestamp,
}

impl Lacking<'_> {
    fn items(&self) -> Vec<Item> {
        let untold = self.held.iter().filter(|held| !self.is_told(held));
        let restricted: Vec<Item> = untold
            .map(|held| self.item(AlertKind::Restricted, vec![held.entity.clone()], About::Case))
            .collect();
        let mut items = restricted;
        for (kind, what) in [(AlertKind::Lifted, What::Lifted), (AlertKind::Expired, What::Expired)]
        {
            let ended: Vec<Entity> =
                self.told_entities().filter(|entity| self.ended(entity) == Some(what)).collect();
            if !ended.is_empty() {
                items.push(self.item(kind, ended, About::Case));
            }
        }
        if items.is_empty() {
            items.extend(self.reminder());
        }
        if items.is_empty() && self.held.is_empty() {
            items.extend(self.suspicion());
        }
        items
    }

    fn item(&self, kind: AlertKind, entities: Vec<Entity>, about: About) -> Item {
        let root = &self.file.root;
        let named = if entities.contains(root) { Some(root) } else { entities.first() };
        let due = Due { kind, entity: named.cloned(), case: Some(self.file.clone()), about };
        let case = self.file.case;
        // Never before what it tells of, whosever clock was read first.
        let newest = self.file.steps.last().map_or(self.now, |step| step.at);
        let since = self.held.iter().map(|held| held.since).max();
        let at = self.now.max(newest).max(since.unwrap_or(newest));
        let cover = |entity| Cover { case, kind, entity, at };
        Item { due, covers: entities.into_iter().map(cover).collect(), trouble: None }
    }

    fn is_told(&self, held: &Restriction) -> bool {
        let since = |told: &&Told| told.kind == AlertKind::Restricted && told.at >= held.since;
        self.file.told.iter().filter(since).any(|told| {
            // Under its former name, before the configuration changed.
            let renamed = || {
                let is_held = self.held.iter().any(|held| held.entity == told.entity);
                !is_held && self.steps_of(&told.entity).any(|step| step.what == What::Moved)
            };
            told.entity == held.entity || renamed()
        })
    }

    /// Whose restriction was told, and not yet its end.
    fn told_entities(&self) -> impl Iterator<Item = Entity> {
        let mut last: BTreeMap<&Entity, &Told> = BTreeMap::new();
        for told in &self.file.told {
            use AlertKind::{Expired, Lifted, Restricted};
            if !matches!(told.kind, Restricted | Lifted | Expired) {
                continue;
            }
            let newest = last.entry(&told.entity).or_insert(told);
            if told.at >= newest.at {
                *newest = told;
            }
        }
        let restricted = last.into_values().filter(|told| told.kind == AlertKind::Restricted);
        restricted.map(|told| told.entity.clone())
    }

    /// How the restriction of an entity ended, if it did.
    fn ended(&self, entity: &Entity) -> Option<What> {
        if self.held.iter().any(|held| held.entity == *entity) {
            return None;
        }
        let what = |step: &Step| {
            use What::{Expired, Lifted, Marked, Moved, Restricted};
            matches!(step.what, Restricted | Marked | Lifted | Expired | Moved).then_some(step.what)
        };
        self.steps_of(entity).filter_map(what).last()
    }

    fn reminder(&self) -> Option<Item> {
        let repeat = self.repeat?;
        let told =
            self.file.told.iter().filter(|told| {
                matches!(told.kind, AlertKind::Restricted | AlertKind::StillRestricted)
            });
        let last = told.map(|told| told.at).max()?;
        let due = !self.held.is_empty() && self.now.since(last) >= repeat;
        due.then(|| {
            let held: Vec<Entity> = self.held.iter().map(|held| held.entity.clone()).collect();
            let mut item = self.item(AlertKind::StillRestricted, held, About::Case);
            // One note for all of them.
            item.covers.truncate(1);
            if let (Some(cover), Some(entity)) = (item.covers.first_mut(), &item.due.entity) {
                cover.entity.clone_from(entity);
            }
            item
        })
    }

    fn suspicion(&self) -> Option<Item> {
        let mut seen = BTreeSet::new();
        let mut suspicious = Vec::new();
        let mut findings = Vec::new();
        for (at, step) in self.file.steps.iter().enumerate().rev() {
            if step.what != What::Suspicious || !seen.insert(&step.entity) {
                continue;
            }
            let told = |told: &Told| told.entity == step.entity && told.at >= step.at;
            let later = self.file.steps.iter().skip(at + 1);
            let ends = |later: &Step| {
                ends_suspicion(later.what)
                    && (later.entity == step.entity || later.entity == self.file.root)
            };
            let over = self.file.told.iter().any(told) || later.into_iter().any(ends);
            if !over && let Some(found) = self.still(step) {
                suspicious.push(step.entity.clone());
                if findings.is_empty() || step.entity == self.file.root {
                    findings = found;
                }
            }
        }
        let about = About::Findings(findings);
        (!suspicious.is_empty()).then(|| self.item(AlertKind::Suspicious, suspicious, about))
    }

    /// What speaks against an entity now, if it is still suspicious.
    fn still(&self, step: &Step) -> Option<Vec<Finding>> {
        let (engine, now) = (self.engine, self.now);
        if engine.table().trust(&step.entity, now).is_some() {
            return None;
        }
        let Some(key) = step.entity.as_connector() else {
            return self.file.closed.is_none().then(|| step.findings.clone());
        };
        let tally = engine.roster().get(key)?;
        let is_suspicious = engine.judgement(key, &tally, now) == Judgement::Suspicious;
        is_suspicious.then(|| engine.findings(key, &tally, now))
    }

    fn steps_of<'s>(&'s self, entity: &'s Entity) -> impl Iterator<Item = &'s Step> {
        self.file.steps.iter().filter(move |step| step.entity == *entity)
    }
}

fn ends_suspicion(what: What) -> bool {
    use What::{DeclaredUsual, Expired, Lifted, Marked, Over, Restricted, Trusted};
    matches!(what, Restricted | Marked | Lifted | Expired | Trusted | DeclaredUsual | Over)
}
