//! From scores to consequences, for one connector: after the trials of a
//! message, of a transaction that was given up, or of a delivery result.

use super::{ENFORCED_NOW, Engine, Notice, Settings, keys_of, narrow::Done};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Terms,
    judge::{self, Judgement, Past},
    record::{Actor, Finding, Restriction, Sample},
    restriction::InForce,
    senders::{Standing, Who},
    signal::Context,
    tally::Tally,
    verdict::Mode,
};
use std::time::Duration;

/// How long a mark lasts.
pub(super) const MARK: Duration = Duration::from_secs(24 * 3600);

/// One connector that is judged.
pub(super) struct Judging<'a> {
    pub(super) engine: &'a Engine,
    pub(super) settings: &'a Settings,
    pub(super) terms: &'a Terms,
    pub(super) key: &'a ConnectorKey,
    pub(super) tally: &'a Tally,
    pub(super) context: Context<'a>,
    /// Who sent what is judged, where senders are told apart.
    pub(super) who: Option<Who<'a>>,
}

/// For what an entity is restricted.
pub(super) struct Evidence {
    pub(super) findings: Vec<Finding>,
    pub(super) samples: Vec<Sample>,
    /// Messages and recipients that passed meanwhile.
    pub(super) passed: (u32, u32),
}

/// What the scores say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) judgement: Judgement,
    /// The fused score.
    pub(super) z: f32,
    /// It is compromised, and can be restricted or marked.
    pub(super) restricts: bool,
}

impl Judging<'_> {
    /// Reads all scores and judges. To be called after all trials.
    pub(super) fn outcome(&self) -> Outcome {
        let Self { engine, key, tally, context, .. } = self;
        let scores = tally.scores(context);
        tally.note_volume(&scores, context.now);
        let (grace, raised) = engine.forgiven(|| (*key).clone().into(), context.now);
        let past = Past {
            was: tally.judgement(),
            learning: tally.life(context).learning,
            grace: grace.as_ref(),
            raised: raised.as_ref(),
        };
        let judgement = judge::judge(&scores, &past, context.model);
        let restricts = judgement == Judgement::Compromised && **key != ConnectorKey::Overflow;
        Outcome { judgement, z: judge::fuse(&scores), restricts }
    }

    /// Does what the outcome and the standing of the sender ask for: restricts or
    /// marks, which gives what is in force for this message; or tells of a suspicion.
    pub(super) fn act(&self, outcome: Outcome, sender: Option<Standing>) -> Option<InForce> {
        match self.narrow(outcome, sender) {
            Done::Nothing => self.warn_of_sender(sender),
            Done::Sender(held) => {
                self.warn(outcome);
                return held;
            }
            Done::All(held) => return held,
        }
        self.warn(outcome);
        None
    }

    fn warn(&self, outcome: Outcome) {
        let Self { engine, key, tally, context, .. } = self;
        if !tally.set_judgement(outcome.judgement, outcome.z, context) {
            return;
        }
        if tally.slowed(None, context).explained {
            // Of its senders it was told by their names.
            tally.unwarn();
            return;
        }
        let findings = tally.findings(context);
        if outcome.judgement == Judgement::Compromised && **key == ConnectorKey::Overflow {
            engine.notices.push(Notice::OverflowCompromised(findings));
        } else {
            let entity = Entity::from((*key).clone());
            engine.note_suspicion(&entity, findings, tally, context.now);
        }
    }

    /// Restricts the connector. Nothing where an operator forgave the evidence
    /// meanwhile.
    pub(super) fn restrict(
        &self,
        evidence: Evidence,
        stands: impl FnOnce() -> bool,
    ) -> Option<InForce> {
        let Self { engine, tally, .. } = self;
        let entity = Entity::from((*self.key).clone());
        let held = self.begin(&entity, evidence, stands)?;
        engine.note_material(held.restriction.case, tally);
        engine.judge_organization(self.settings, self.terms, self.context.now);
        // Not only where it is new: of several that tip the scale together each
        // may have left evidence behind the others.
        tally.reset(true);
        Some(held)
    }

    /// What speaks against the connector.
    pub(super) fn evidence(&self) -> Evidence {
        let Self { tally, context, .. } = self;
        let (findings, samples) = (tally.findings(context), tally.samples(|_| true));
        Evidence { findings, samples, passed: tally.passed() }
    }

    /// Restricts or marks an entity for this evidence, if `stands` says that it was
    /// not forgiven meanwhile.
    pub(super) fn begin(
        &self,
        entity: &Entity,
        evidence: Evidence,
        stands: impl FnOnce() -> bool,
    ) -> Option<InForce> {
        let Self { engine, settings, terms, context, .. } = self;
        let Evidence { findings, samples, passed } = evidence;
        let now = context.now;
        let mark = terms.mode == Mode::Observe;
        let until = if mark { Some(MARK) } else { settings.restriction.expire_after };
        if !mark {
            engine.table.lift_mark(entity, now, ENFORCED_NOW);
        }
        let keys = keys_of(&settings.directory, entity);
        engine.table.restrict_if(entity, now, stands, |case| Restriction {
            entity: entity.clone(),
            case,
            action: terms.action,
            scope: settings.restriction.scope,
            since: now,
            until: until.map(|span| now.plus(span)),
            reject_from: terms.reject_after.map(|span| now.plus(span)),
            by: Actor::Judgement,
            reason: String::new(),
            mark,
            findings,
            samples,
            passed_messages: passed.0.into(),
            passed_recipients: passed.1.into(),
            keys,
        })
    }
}
