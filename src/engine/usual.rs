//! What an operator declares to be usual.

use super::Engine;
use crate::{
    connector::Entity,
    record::{Actor, CaseId},
    timestamp::Timestamp,
};
/// Why what an entity sends can't be declared usual.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NormalError {
    /// Nothing of that name is counted.
    #[error("nothing is counted for {0}: there is nothing that could be usual")]
    NotCounted(Entity),
    /// It is restricted: what it tries is no mail that was sent.
    #[error(
        "{0} is restricted, case {1}: unblock it first, then say connguard normal {0} --reason \"...\""
    )]
    Restricted(Entity, CaseId),
    /// It is marked, which is observe mode's restriction.
    #[error(
        "{0} is marked, case {1}: unblock it first, then say connguard normal {0} --reason \"...\""
    )]
    Marked(Entity, CaseId),
}

impl Engine {
    /// Declares what `entity` sends now to be usual: it is written into its
    /// history at once, its suspicion ends and its evidence starts again from
    /// zero, see [`crate::tally::Tally::declare`]. Nothing in the restriction table
    /// changes, but the audit trail has it. Gives the number of its record.
    ///
    /// # Errors
    /// Where nothing is counted for it, or it is restricted or marked.
    pub fn normal(
        &self,
        entity: &Entity,
        reason: &str,
        by: Actor,
        now: Timestamp,
    ) -> Result<u64, NormalError> {
        let _turn = self.turn();
        if let Some(held) = self.table.in_force(entity, now) {
            let case = held.restriction.case;
            return Err(if held.restriction.mark {
                NormalError::Marked(entity.clone(), case)
            } else {
                NormalError::Restricted(entity.clone(), case)
            });
        }
        let not_counted = || NormalError::NotCounted(entity.clone());
        let key = entity.as_connector().ok_or_else(not_counted)?;
        let tally = self.roster.get(key).ok_or_else(not_counted)?;
        let settings = self.settings();
        let terms = settings.directory.terms(key);
        tally.declare(&self.context(&settings, key, terms, now));
        Ok(self.table.declare_usual(entity, now, by, reason))
    }
}
