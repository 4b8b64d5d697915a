//! What a case learns from the judgement: suspicions, and what they are made of.
//! (What is restricted, lifted or exempted it learns from the restriction table.)

use super::{Engine, Notice};
use crate::{
    case::CaseFile,
    connector::{ConnectorKey, Entity},
    judge::Judgement,
    record::{CaseId, Finding},
    tally::Tally,
    timestamp::Timestamp,
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// How often a case takes over what is collected.
const COPY_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked for evidence that nobody needs.
const LOOK_EVERY: Duration = Duration::from_secs(600);

impl Engine {
    /// An entity became suspicious: tells so, and notes it in its case, which
    /// begins with it where none is open.
    pub(super) fn note_suspicion(
        &self,
        entity: &Entity,
        findings: Vec<Finding>,
        tally: &Tally,
        now: Timestamp,
    ) {
        self.counters.suspicions.add(1_u64);
        let case = self.table.case_for(&entity.root(), now);
        self.cases().suspect(case, entity, findings.clone(), now);
        self.note_material(case, tally);
        self.notices.push(Notice::Suspicious(entity.clone(), findings));
    }

    /// What was collected of the connector goes into the case, before the evidence
    /// starts again.
    pub(super) fn note_material(&self, case: CaseId, tally: &Tally) {
        let first_seen = tally.first_seen();
        let note = |file: &mut CaseFile| {
            file.first_seen.get_or_insert(first_seen);
        };
        if self.cases().share(case).is_some_and(|file| file.first_seen.is_none()) {
            self.cases().update(case, note);
        }
        if let Some(material) = tally.with_evidence(|evidence| evidence.material.clone()) {
            self.cases().collect(case, material);
        }
    }

    /// The same from time to time, while something of the connector is suspicious or
    /// restricted and it goes on sending.
    pub(super) fn refresh_material(&self, key: &ConnectorKey, tally: &Tally, now: Timestamp) {
        let due = |last: Timestamp| now.since(last) >= COPY_EVERY;
        let is_due = tally.with_evidence(|evidence| {
            let is_due = due(evidence.copied);
            if is_due {
                evidence.copied = now;
            }
            is_due
        });
        if is_due != Some(true) {
            return;
        }
        if let Some(case) = self.cases().open_case(&Entity::from(key.clone())) {
            self.note_material(case, tally);
        }
    }

    /// Takes back the room for evidence from connectors that sent nothing for long.
    /// Looks at all of them, every [`LOOK_EVERY`].
    pub(super) fn tidy_evidence(&self, now: Timestamp) {
        let seconds = now.as_seconds();
        let last = self.evidence_looked.swap(seconds, Relaxed);
        // A clock that went back must not stop it.
        if Duration::from_secs(seconds.abs_diff(last).into()) < LOOK_EVERY {
            self.evidence_looked.store(last, Relaxed);
            return;
        }
        let settings = self.settings.load();
        self.roster.for_each(|key, tally| {
            // Most have none: their terms are not looked for.
            if !tally.has_evidence() {
                return;
            }
            let terms = settings.directory.terms(key);
            tally.give_up_evidence(&self.evidence, &self.context(&settings, key, terms, now));
        });
    }

    /// Gives the cases what was refused, and ends those that are over.
    pub(super) fn keep_cases(&self, now: Timestamp) {
        self.table.count_attempts();
        self.cases().close_what_is_over(now, |root| {
            let key = root.as_connector();
            key.zip(key.and_then(|key| self.roster.get(key))).is_some_and(|(key, tally)| {
                self.judgement(key, &tally, now) == Judgement::Suspicious
            })
        });
    }
}
