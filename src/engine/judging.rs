//! From scores to consequences, for one connector: after the trials of a
//! message, of a transaction that was given up, or of a delivery result.

use super::{ENFORCED_NOW, Engine, Notice, Settings, keys_of};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Terms,
    judge::{self, Judgement, Past},
    record::{Actor, Restriction},
    restriction::InForce,
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
        let (grace, raised) = engine.forgiven(&(*key).clone().into(), context.now);
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

    /// Does what the outcome asks for: restricts or marks, which gives what is
    /// in force; or tells of a suspicion.
    pub(super) fn act(&self, outcome: Outcome) -> Option<InForce> {
        if outcome.restricts {
            return self.restrict();
        }
        let Self { engine, key, tally, context, .. } = self;
        if tally.set_judgement(outcome.judgement, outcome.z, context) {
            let findings = tally.findings(context);
            if outcome.judgement == Judgement::Compromised && **key == ConnectorKey::Overflow {
                engine.notices.push(Notice::OverflowCompromised(findings));
            } else {
                let entity = Entity::from((*key).clone());
                engine.note_suspicion(&entity, findings, tally, context.now);
            }
        }
        None
    }

    /// Nothing where an operator forgave the evidence meanwhile.
    fn restrict(&self) -> Option<InForce> {
        let Self { engine, settings, terms, key, tally, context } = self;
        let now = context.now;
        let entity = Entity::from((*key).clone());
        let mark = terms.mode == Mode::Observe;
        let (passed_messages, passed_recipients) = tally.passed();
        let until = if mark { Some(MARK) } else { settings.restriction.expire_after };
        if !mark {
            engine.table.lift_mark(&entity, now, ENFORCED_NOW);
        }
        let keys = keys_of(&settings.directory, &entity);
        let stands = || judge::fuse(&tally.scores(context)) >= context.model.suspicious;
        let held = engine.table.restrict_if(&entity, now, stands, |case| Restriction {
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
            findings: tally.findings(context),
            samples: tally.samples(),
            passed_messages: passed_messages.into(),
            passed_recipients: passed_recipients.into(),
            keys,
        })?;
        engine.note_material(held.restriction.case, tally);
        engine.judge_organization(settings, terms, now);
        // Not only where it is new: of several that tip the scale together each
        // may have left evidence behind the others.
        tally.reset(true);
        Some(held)
    }
}
