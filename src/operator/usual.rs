//! How an entity is judged now, and what it sends declared usual.

use super::{Operator, checked_reason, to_value};
use crate::{
    command::Failure, connector::Entity, engine::NormalError, record::Actor, timestamp::Timestamp,
    view,
};
use serde_json::{Value, json};

impl Operator {
    pub(super) fn explain(&self, entity: &str, now: Timestamp) -> Result<Value, Failure> {
        let entity = self.find(entity, now)?;
        if let Entity::Organization(_) = entity {
            let view = view::explain_organization(&self.engine, &entity, now);
            return to_value(&view.ok_or_else(|| Failure::no(self.why_not_counted(&entity)))?);
        }
        let view = view::explain(&self.engine, &entity, now)
            .ok_or_else(|| Failure::no(self.why_not_counted(&entity)))?;
        to_value(&view)
    }

    pub(super) async fn normal(
        &self,
        entity: &str,
        reason: &str,
        by: Actor,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let reason = checked_reason(reason)?;
        let entity = self.find(entity, now)?;
        if entity.as_connector().is_none() {
            return Err(Failure::no(format!(
                "{entity} is no connector: only what a connector sends can be declared usual; `connguard trust` exempts one sender or connector for a time"
            )));
        }
        let held = self.held(&entity);
        let seq = self.engine.normal(&entity, reason, by, now).map_err(|error| match error {
            NormalError::NotCounted(entity) => Failure::no(self.why_not_counted(&entity)),
            error => Failure::refused(error.to_string()),
        })?;
        // The journal has that it was said; what it means is in the history.
        self.history.save_soon();
        let message = format!(
            "what {entity} sends now is usual and part of its history; for a day its volume and crowds are not judged{held}"
        );
        let view = json!({ "entity": entity });
        self.acknowledge(seq, message, "declared usual", "the history lacks it", view).await
    }

    /// What to say of mail of an entity that waits in the hold queue.
    fn held(&self, entity: &Entity) -> String {
        let tally = entity.as_connector().and_then(|key| self.engine.roster().get(key));
        match tally.map_or(0, |tally| tally.held()) {
            0 => String::new(),
            1 => ". 1 message of it waits in the hold queue of Postfix: postqueue -j shows it, postsuper -H QUEUE_ID lets it go".to_owned(),
            held => format!(
                ". {held} messages of it wait in the hold queue of Postfix: postqueue -j shows them, postsuper -H QUEUE_ID lets one go"
            ),
        }
    }

    /// Why there is nothing to tell of an entity, and what may have been meant.
    fn why_not_counted(&self, entity: &Entity) -> String {
        let owner = self.owner(entity);
        if owner == *entity {
            format!(
                "{entity} has sent nothing that is counted since connguard began to count; see `connguard list --all`"
            )
        } else {
            format!("{entity} is not counted by itself; it belongs to {owner}: name that")
        }
    }
}
