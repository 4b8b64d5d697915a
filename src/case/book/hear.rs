//! From changes of the restriction table to steps of cases.

use super::{Book, QUIET, State};
use crate::{
    case::{CaseFile, Step, What},
    connector::Entity,
    record::{Actor, CaseId, Event, Finding, Record, Restriction, TIME_IS_OVER},
    timestamp::Timestamp,
};
use std::{collections::HashSet, sync::Arc};

/// Why a restriction ended of whose end the case knows nothing.
const ENDED_UNSEEN: &str = "it ended while its case could not be written: see connguard history";

impl Book {
    /// A change of the restriction table: it is a step of its case. Called while
    /// the entry of its entity is locked, so that the steps of one entity are in
    /// order.
    pub fn hear(&self, record: &Record) {
        let mut state = self.lock();
        let Record { at, by, event, .. } = record;
        let step = |what, entity: &Entity, reason: &str| Step {
            at: *at,
            by: by.clone(),
            what,
            entity: entity.clone(),
            reason: reason.to_owned(),
            findings: Vec::new(),
        };
        match event {
            Event::Restricted(restriction) => state.restrict(restriction, *at),
            Event::Lifted { entity, case, reason, .. } => {
                let by_the_clock = *by == Actor::Daemon && reason == TIME_IS_OVER;
                let what = if by_the_clock { What::Expired } else { What::Lifted };
                state.free(*case, entity);
                state.change(*case, |file| file.step(step(what, entity, reason)));
            }
            Event::Trusted { entity, trust } => {
                let until = format!("{} (until {})", trust.reason, trust.until.local());
                state.aside(step(What::Trusted, entity, &until));
            }
            Event::Untrusted { entity, reason } => {
                state.aside(step(What::Untrusted, entity, reason));
            }
            Event::Usual { entity, reason } => {
                state.aside(step(What::DeclaredUsual, entity, reason));
            }
            Event::Inherited { entity, from, standing } => {
                if let (Some(held), false) = (&standing.restriction, entity == from) {
                    state.inherit(held, step(What::Moved, entity, &moved(from)));
                }
            }
            Event::Moved { from, to } => {
                state.take(from);
                if let Some(to) = to.first() {
                    state.follow(from, to, *at);
                }
            }
        }
        self.ring(state);
    }

    /// The configuration gave a root another name: its open cases follow.
    pub fn follow(&self, from: &Entity, to: &Entity, now: Timestamp) {
        let mut state = self.lock();
        state.follow(from, to, now);
        self.ring(state);
    }

    /// Brings the cases in line with what is in force by the journal, which is true:
    /// the last steps of a case may not have been written when the daemon ended.
    /// Gives the largest number of a case.
    pub(crate) fn reconcile(&self, in_force: &[Arc<Restriction>]) -> Option<CaseId> {
        let mut state = self.lock();
        for held in in_force {
            let known = state.files.get(&held.case).is_some_and(|kept| {
                kept.unread.is_none()
                    && kept.file.is_open()
                    && kept.file.restricted.contains(&held.entity)
            });
            if !known && !state.expect(held) {
                state.restrict(held, held.since);
            }
        }
        let held: HashSet<(CaseId, &Entity)> =
            in_force.iter().map(|held| (held.case, &held.entity)).collect();
        let gone: Vec<(CaseId, Entity)> = state
            .files
            .values()
            .filter(|kept| kept.unread.is_none())
            .flat_map(|kept| kept.file.restricted.iter().map(|entity| (kept.file.case, entity)))
            .filter(|gone| !held.contains(gone))
            .map(|(case, entity)| (case, entity.clone()))
            .collect();
        for (case, entity) in gone {
            state.free(case, &entity);
            state.change(case, |file| file.step(ended_unseen(entity, file.active)));
        }
        let newest = state.newest;
        self.ring(state);
        newest
    }
}

impl State {
    fn restrict(&mut self, held: &Restriction, at: Timestamp) {
        if !self.files.contains_key(&held.case) {
            self.put(CaseFile::new(held.case, held.entity.root(), at), at);
        }
        self.hold(held.case, &held.entity);
        self.change(held.case, |file| file.restricted_by(held, at));
    }

    /// A step that changes nothing of what is restricted, of the open case of its
    /// entity, or of the last one if it ended a short time ago.
    fn aside(&mut self, step: Step) {
        let root = step.entity.root();
        let case = self.open_case(&root).or_else(|| {
            let last = self.over.iter().rev().filter_map(|case| self.files.get(case));
            let last = last.map(|kept| &kept.file).find(|file| file.root == root)?;
            let closed = last.closed.filter(|closed| step.at.since(*closed) < QUIET);
            closed.map(|_| last.case)
        });
        if let Some(case) = case {
            self.change(case, |file| file.step(step));
        }
    }

    /// Takes in that the entity of `step` inherited a restriction.
    fn inherit(&mut self, held: &Restriction, step: Step) {
        if self.hold(held.case, &step.entity) {
            self.change(held.case, |file| file.step(step));
        }
    }

    /// Nothing is in force for this entity any more: others have it.
    fn take(&mut self, from: &Entity) {
        for case in self.open.get(&from.root()).cloned().unwrap_or_default() {
            self.free(case, from);
        }
    }

    fn follow(&mut self, from: &Entity, to: &Entity, now: Timestamp) {
        for case in self.open.get(from).cloned().unwrap_or_default() {
            if self.files.get(&case).is_none_or(|kept| kept.file.root != *from) {
                continue;
            }
            self.unindex(case);
            self.change(case, |file| {
                file.root = to.root();
                if file.last(What::Moved, to).is_none_or(|step| step.at < now) {
                    file.step(Step {
                        at: now,
                        by: Actor::Daemon,
                        what: What::Moved,
                        entity: to.clone(),
                        reason: moved(from),
                        findings: Vec::new(),
                    });
                }
            });
            self.index(case);
        }
    }
}

impl CaseFile {
    /// The step with which a restriction began.
    pub(super) fn restricted_by(&mut self, held: &Restriction, at: Timestamp) {
        if self.material.samples.is_empty() {
            self.material.samples.clone_from(&held.samples);
        }
        let findings: Vec<Finding> = held.findings.clone();
        self.step(Step {
            at,
            by: held.by.clone(),
            what: if held.mark { What::Marked } else { What::Restricted },
            entity: held.entity.clone(),
            reason: held.reason.clone(),
            findings,
        });
    }
}

/// The step of an end that nobody saw.
pub(super) fn ended_unseen(entity: Entity, at: Timestamp) -> Step {
    Step {
        at,
        by: Actor::Daemon,
        what: What::Lifted,
        entity,
        reason: ENDED_UNSEEN.to_owned(),
        findings: Vec::new(),
    }
}

fn moved(from: &Entity) -> String {
    format!("the configuration changed: from {from}")
}
