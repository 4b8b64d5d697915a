//! `unblock`: what still speaks against it is said before anything is lifted.

use super::{Operator, checked_reason};
use crate::{
    command::Failure,
    engine::Unblocked,
    record::{Actor, CaseId, Raised, Restriction},
    restriction::{Attempts, InForce},
    timestamp::{Timestamp, format_span},
    view::names,
};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

impl Operator {
    /// Lifts what is restricted of an entity or case: all of it, or, where some of
    /// it still sends bad mail and nobody insists, nothing.
    pub(super) async fn unblock(
        &self,
        what: &str,
        reason: &str,
        how: Unblocked,
        force: bool,
        by: Actor,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let reason = checked_reason(reason)?;
        let entities = match what.parse::<CaseId>() {
            Ok(case) => self.engine.entities_of(case, now),
            Err(_) => vec![self.find(what, now)?],
        };
        let bad: Vec<_> =
            entities.iter().filter_map(|entity| self.engine.still_bad(entity, now)).collect();
        if !bad.is_empty() && !force {
            return Err(Failure::refused(names(&bad, "\n")));
        }
        let lifted: Vec<(InForce, u64)> = entities
            .iter()
            .filter_map(|entity| self.engine.unblock(entity, reason, how, by.clone(), now))
            .collect();
        let Some(last) = lifted.iter().map(|(_, seq)| *seq).max() else {
            return Err(Failure::no(self.why_not_restricted(what, entities.first(), now)));
        };
        let grace = how.grace.unwrap_or(self.engine.settings().restriction.grace);
        let raised = |held: &InForce| self.engine.table().raised(&held.restriction.entity, now);
        let views: Vec<Value> =
            lifted.iter().map(|(held, _)| lifted_view(held, raised(held).as_ref())).collect();
        let messages: Vec<String> = lifted
            .iter()
            .map(|(held, _)| lifted_message(held, grace, raised(held).as_ref()))
            .collect();
        self.acknowledge(last, messages.join("\n"), "lifted", "returns at restart", json!(views))
            .await
    }
}

fn lifted_view(held: &InForce, raised: Option<&Raised>) -> Value {
    let Restriction { entity, case, mark, .. } = &*held.restriction;
    let (refused, held_messages) = tried(&held.attempts);
    let (different, more) = held.attempts.different();
    json!({
        "entity": entity,
        "case": case,
        "mark": mark,
        "refused": refused,
        "held": held_messages,
        "to_be_sent_again": different,
        "to_be_sent_again_is_least": more,
        "raised": raised,
    })
}

fn lifted_message(held: &InForce, grace: Duration, raised: Option<&Raised>) -> String {
    let Restriction { entity, case, mark, .. } = &*held.restriction;
    let mut message = if *mark {
        format!("{entity} is no longer marked, case {case}")
    } else {
        format!("{entity} may relay again, case {case}")
    };
    if let Some(raised) = raised {
        message.push_str(&format!(
            "; until {} its levels are {} times those of others",
            raised.until.local(),
            raised.times
        ));
    }
    if *mark {
        return message;
    }
    let (refused, held_messages) = tried(&held.attempts);
    if !grace.is_zero() {
        message.push_str(&format!(
            "; for {} it takes more to restrict it again, except on what made this case",
            format_span(grace)
        ));
    }
    if refused > 0 {
        let (different, more) = held.attempts.different();
        let least = if more { "at least " } else { "" };
        message.push_str(&format!(
            "; refused since: {refused} recipients, of {least}{different} different messages, which clients send again where they were tempfailed"
        ));
    }
    if held_messages > 0 {
        message.push_str(&format!(
            "; in the hold queue: {held_messages} messages, see postqueue -p and postsuper -H QUEUE_ID"
        ));
    }
    message
}

fn tried(attempts: &Attempts) -> (u64, u64) {
    (attempts.refused.load(Relaxed), attempts.held_messages.load(Relaxed))
}
