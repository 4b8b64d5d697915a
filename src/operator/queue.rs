//! What of an entity is in the queue of Postfix, and what operators do about it.
//! They do it themselves, with the rights of their account: the daemon only knows
//! the queue ids, and notes in the case what was done.

use super::Operator;
use crate::{
    case::{Step, What},
    command::Failure,
    connector::{ConnectorKey, Entity},
    control::Answers,
    engine::Feedback,
    queued::InQueue,
    record::{Actor, CaseId},
    timestamp::Timestamp,
    view::names,
};
use serde_json::{Value, json};

impl Operator {
    /// The messages of an entity, or of all entities of a case, that may be in the
    /// queue: `{"queue_id", "since", "held"}` each, oldest first.
    pub(super) async fn queue(
        &self,
        what: &str,
        answers: &mut Answers,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let entities = self.entities(what, now).await?;
        let mut found: Vec<InQueue> =
            entities.iter().flat_map(|entity| self.engine.in_queue(entity)).collect();
        found.sort_by(|a, b| (a.since, &a.queue_id).cmp(&(b.since, &b.queue_id)));
        found.dedup_by(|a, b| a.queue_id == b.queue_id);
        for InQueue { queue_id, since, held } in &found {
            answers.item(&json!({ "queue_id": queue_id, "since": since, "held": held })).await?;
        }
        Ok(json!({
            "entities": entities,
            // What passed before is not known.
            "known_since": self.started,
            // Without, those that left the queue are among them.
            "followed": self.engine.feedback() != Feedback::Off,
        }))
    }

    /// Notes in the case of an entity that its messages were put on hold, or let
    /// go. An entity without a case has nowhere to note it.
    pub(super) async fn queued(
        &self,
        what: &str,
        held: u64,
        released: u64,
        by: Actor,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let entities = self.entities(what, now).await?;
        let case =
            what.parse().ok().or_else(|| entities.iter().find_map(|it| self.case_of(it, now)));
        let done = [(What::Held, held, "put on hold"), (What::Released, released, "let go")];
        for (did, messages, words) in done.into_iter().filter(|(_, messages, _)| *messages > 0) {
            let of = names(&entities, " ");
            tracing::info!("{words} in the queue entities={of} messages={messages} by={by}");
            let (Some(case), Some(entity)) = (case, entities.first()) else { continue };
            let many = if messages == 1 { "message" } else { "messages" };
            let step = Step {
                at: now,
                by: by.clone(),
                what: did,
                entity: entity.clone(),
                reason: format!("{messages} {many} in the queue of Postfix {words}"),
                findings: Vec::new(),
            };
            self.engine.cases().update(case, |file| file.step(step));
        }
        Ok(json!({ "case": case }))
    }

    /// Who is meant: an entity, or all of a case.
    async fn entities(&self, what: &str, now: Timestamp) -> Result<Vec<Entity>, Failure> {
        let Ok(case) = what.parse::<CaseId>() else {
            return Ok(vec![self.find(what, now)?]);
        };
        let mut entities = self.engine.entities_of(case, now);
        if let Some(file) = self.case(case).await? {
            let of_steps = file.steps.iter().map(|step| step.entity.clone());
            entities.extend(of_steps);
            if entities.is_empty() {
                entities.push(file.root.clone());
            }
        }
        entities.sort();
        entities.dedup();
        if entities.is_empty() {
            return Err(Failure::no(format!("there is no case {case}; see `connguard history`")));
        }
        Ok(entities)
    }

    /// The case of what is in force for an entity, else the open one of its root.
    fn case_of(&self, entity: &Entity, now: Timestamp) -> Option<CaseId> {
        let held = self.engine.table().in_force(entity, now);
        let root = || match entity {
            Entity::Sender { via, .. } => Entity::from(ConnectorKey::clone(via)),
            entity => entity.clone(),
        };
        let open = || self.engine.cases().open_case(&root());
        held.map(|held| held.restriction.case).or_else(open)
    }
}
