//! What there is to say of one thing that is due: gathered from the engine, the
//! configuration and the case, so that all parts of the text say the same.

use super::{About, Due};
use crate::{
    case::{CaseFile, Material, Step, What},
    connector::{ConnectorKey, Entity},
    directory::{Named, Terms},
    engine::{Engine, Settings},
    record::{CaseId, Finding, Sample},
    restriction::InForce,
    sender,
    text::{columns, cut, shell_word},
    timestamp::Timestamp,
    verdict::Mode,
};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// The most columns of an entity in a sentence, and in a command.
const NAME: usize = 70;
const TYPED: usize = 56;

/// What there is to say.
pub(super) struct Facts<'a> {
    pub(super) engine: &'a Engine,
    pub(super) due: &'a Due,
    pub(super) now: Timestamp,
    pub(super) settings: Arc<Settings>,
    pub(super) case: Option<&'a CaseFile>,
    /// The restriction or mark of the entity, while it is in force.
    pub(super) held: Option<InForce>,
    /// Nothing of it is refused: it is marked, or in observe mode.
    pub(super) observe: bool,
    /// What speaks against it, the largest first.
    pub(super) findings: Vec<Finding>,
    /// What was collected of its connector.
    pub(super) material: Material,
    /// Messages of it that may still be in the queue of Postfix.
    pub(super) in_queue: usize,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(engine: &'a Engine, due: &'a Due, now: Timestamp) -> Self {
        let settings = engine.settings();
        let entity = due.entity.as_ref();
        let held = entity.and_then(|entity| engine.table().in_force(entity, now));
        let observe = match (&held, entity) {
            (Some(held), _) => !settings.directory.refuses(&held.restriction),
            (None, Some(entity)) => settings.directory.terms_of(entity).mode == Mode::Observe,
            (None, None) => settings.mode() == Mode::Observe,
        };
        let mut facts = Self {
            engine,
            due,
            now,
            settings,
            case: due.case.as_ref(),
            held,
            observe,
            findings: Vec::new(),
            material: Material::default(),
            in_queue: entity.map_or(0, |entity| engine.in_queue(entity).len()),
        };
        facts.findings = facts.found();
        facts.material = facts.collected();
        facts
    }

    pub(super) fn entity(&self) -> Option<&'a Entity> {
        self.due.entity.as_ref()
    }

    /// The connector that it is, or sends through.
    pub(super) fn key(&self) -> Option<&'a ConnectorKey> {
        self.entity().and_then(Entity::connector)
    }

    /// The `[[connector]]` that it is, sends through, or is a key of.
    pub(super) fn named(&self) -> Option<&Named> {
        match self.settings.directory.current(self.key()?) {
            ConnectorKey::Named(name) => self.settings.directory.named(&name),
            _ => None,
        }
    }

    /// What holds for its mail.
    pub(super) fn terms(&self) -> Option<&Arc<Terms>> {
        self.entity().map(|entity| self.settings.directory.terms_of(entity))
    }

    /// Whose it is, as configured.
    pub(super) fn organization(&self) -> Option<Arc<str>> {
        let name = match self.entity()? {
            Entity::Organization(name) => Arc::clone(name),
            entity => Arc::clone(&self.settings.directory.terms_of(entity).organization),
        };
        Some(name).filter(|name| !name.is_empty())
    }

    /// Its text form in a sentence: one word, cut where it is too long.
    pub(super) fn name(&self) -> String {
        self.entity().map_or_else(|| "connguard".to_owned(), shown)
    }

    /// How to name it in a command: by its text form, or where that is too long
    /// by its case.
    pub(super) fn typed(&self) -> Option<String> {
        let entity = self.entity()?.to_string();
        let typed = shell_word(&entity);
        if columns(&typed) <= TYPED {
            return Some(typed.into_owned());
        }
        self.case_id().map(|case| case.to_string())
    }

    /// As [`typed`](Self::typed), for commands that take no case.
    pub(super) fn typed_itself(&self) -> Option<String> {
        let typed = self.typed()?;
        let is_case = self.case_id().is_some_and(|case| case.to_string() == typed);
        (!is_case).then_some(typed)
    }

    pub(super) fn case_id(&self) -> Option<CaseId> {
        let of_restriction = || self.held.as_ref().map(|held| held.restriction.case);
        self.case.map(|case| case.case).or_else(of_restriction)
    }

    /// The last step of this entity in its case that is one of these.
    pub(super) fn step(&self, of: &[What]) -> Option<&'a Step> {
        let entity = self.entity()?;
        let is_of = |step: &&Step| of.contains(&step.what) && step.entity == *entity;
        self.case?.steps.iter().rev().find(is_of)
    }

    /// Since when it is restricted, marked or suspicious.
    pub(super) fn since(&self) -> Timestamp {
        let restricted = self.held.as_ref().map(|held| held.restriction.since);
        let step = || self.step(&[What::Restricted, What::Marked, What::Suspicious]);
        let found = || self.findings.first().map(|finding| finding.since);
        restricted.or_else(|| step().map(|step| step.at)).or_else(found).unwrap_or(self.now)
    }

    /// Recipients that were refused (of a mark: would have been) since.
    pub(super) fn refused(&self) -> u64 {
        let now = self.held.as_ref().map_or(0, |held| held.attempts.refused.load(Relaxed));
        self.case.map_or(0, |case| case.refused).max(now)
    }

    /// Messages that went to the hold queue since.
    pub(super) fn held_messages(&self) -> u64 {
        let now = self.held.as_ref().map_or(0, |held| held.attempts.held_messages.load(Relaxed));
        self.case.map_or(0, |case| case.held).max(now)
    }

    /// When it last tried.
    pub(super) fn last_attempt(&self) -> Option<Timestamp> {
        let now = self.held.as_ref().and_then(|held| held.attempts.last());
        self.case.and_then(|case| case.last_attempt).max(now)
    }

    /// Its bad messages, newest first: of a sender only its own.
    pub(super) fn samples(&self) -> Vec<&Sample> {
        let of_restriction = self.held.as_ref().map(|held| &held.restriction.samples);
        let samples = match &self.material.samples {
            samples if samples.is_empty() => of_restriction.map(Vec::as_slice).unwrap_or_default(),
            samples => samples.as_slice(),
        };
        let is_own = |sample: &&Sample| match self.entity() {
            Some(Entity::Sender { address, .. }) => *sender::fold(&sample.sender) == **address,
            _ => true,
        };
        samples.iter().rev().filter(is_own).collect()
    }

    /// The unregistered ones among the sender domains that were seen.
    pub(super) fn unregistered(&self) -> Vec<&str> {
        let Some(terms) = self.terms().filter(|terms| !terms.registered.is_empty()) else {
            return Vec::new();
        };
        let domains = self.material.sender_domains.counts.iter().map(|count| &*count.name);
        let is_odd = |domain: &&str| {
            let folded = crate::domain::fold(domain);
            !domain.is_empty() && !folded.is_some_and(|it| terms.registered.contains_folded(&it))
        };
        domains.filter(is_odd).collect()
    }

    /// The connectors of an organization: those of the configuration by name, and
    /// how many were discovered.
    pub(super) fn connectors_of(&self, organization: &str) -> (Vec<String>, usize) {
        let directory = &self.settings.directory;
        let is_of = |terms: &Terms| *terms.organization == *organization;
        let named = directory.connectors().iter().filter(|named| is_of(&named.terms));
        let named = named.map(|named| shown(&ConnectorKey::Named(named.name.clone()).into()));
        let is_discovered = |key: &ConnectorKey| {
            !matches!(key, ConnectorKey::Named(_)) && is_of(directory.terms(key))
        };
        let known = self.engine.roster().keys();
        (named.collect(), known.iter().filter(|key| is_discovered(key)).count())
    }

    fn found(&self) -> Vec<Finding> {
        if let About::Findings(findings) = &self.due.about
            && !findings.is_empty()
        {
            return findings.clone();
        }
        if let Some(held) = &self.held {
            return held.restriction.findings.clone();
        }
        let decided = [What::Restricted, What::Marked, What::Suspicious];
        self.step(&decided).map(|step| step.findings.clone()).unwrap_or_default()
    }

    /// Of the case; before it has any, of the connector as it is now.
    fn collected(&self) -> Material {
        if let Some(case) = self.case.filter(|case| case.material.senders.total > 0) {
            return case.material.clone();
        }
        let tally = self.key().and_then(|key| self.engine.roster().get(key));
        let now = tally.and_then(|tally| tally.with_evidence(|evidence| evidence.material.clone()));
        let of_case = || self.case.map(|case| case.material.clone());
        now.or_else(of_case).unwrap_or_default()
    }
}

/// The text form of an entity in a sentence.
pub(super) fn shown(entity: &Entity) -> String {
    cut(&entity.to_string(), NAME).into_owned()
}
