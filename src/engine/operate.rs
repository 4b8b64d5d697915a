//! What operators change: block, unblock, trust.

use super::Engine;
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Directory,
    record::{Actor, CaseId, Restriction, Trust},
    restriction::{Aftermath, InForce},
    timestamp::Timestamp,
    verdict::{Action, Mode},
};
use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

/// What an operator asks for who restricts an entity by hand.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// Whom.
    pub entity: Entity,
    /// What its mail meets, if not what is configured for it.
    pub action: Option<Action>,
    /// For how long, if not until it is lifted.
    pub span: Option<Duration>,
    /// Why.
    pub reason: String,
}

/// How a restriction is lifted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unblocked {
    /// The length of the grace, if not the configured one.
    pub grace: Option<Duration>,
    /// It was wrong: from now on it takes more to restrict this entity.
    pub false_positive: bool,
}

impl From<Option<Duration>> for Unblocked {
    fn from(grace: Option<Duration>) -> Self {
        Self { grace, ..Self::default() }
    }
}

/// Why an entity can't be restricted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// It already is.
    #[error("{0} is already restricted, case {1}: unblock it first to change that")]
    Already(Entity, CaseId),
    /// Nothing is refused in observe mode.
    #[error(
        "{0} is in observe mode, in which nothing is refused: set mode = \"enforce\" for it and reload first"
    )]
    Observe(Entity),
    /// Many clients that have nothing to do with one another.
    #[error(
        "the overflow stands for all clients that found no room; it can't be restricted: raise state.max_connectors"
    )]
    Overflow,
    /// The configuration says that it is never restricted.
    #[error(
        "{0} is trusted by the configuration and meets no restriction: take it out of [trust] and reload first"
    )]
    Trusted(Entity),
    /// All of its mail would be from unregistered domains.
    #[error(
        "no domains are registered for {0}, so that none of its mail could pass: register them and reload, or block its connectors"
    )]
    Unregistered(Entity),
    /// Mail submitted on this host has no client that could try again.
    #[error(
        "mail submitted on this host can only be held: refused, it would stay in maildrop and be tried again for ever; leave --action out"
    )]
    Local,
}

/// Why an entity can't be trusted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrustError {
    /// It is restricted.
    #[error("{0} is restricted, case {1}: unblock it first")]
    Restricted(Entity, CaseId),
    /// Many clients that have nothing to do with one another.
    #[error(
        "the overflow stands for all clients that found no room; it can't be trusted: raise state.max_connectors"
    )]
    Overflow,
    /// It is judged by what its connectors do.
    #[error(
        "{0} can't be trusted as a whole: trust the connectors that send the mailing, as connector:NAME or login:LOGIN"
    )]
    Organization(Entity),
}

/// Why a mark ends.
pub(super) const ENFORCED_NOW: &str = "enforce mode: what was only observed restricts nobody";

impl Engine {
    /// Restricts an entity by hand; gives what is in force and the number of
    /// the change.
    pub fn block(
        &self,
        blocked: Blocked,
        by: Actor,
        now: Timestamp,
    ) -> Result<(InForce, u64), BlockError> {
        let _turn = self.turn();
        let Blocked { entity, action, span, reason } = blocked;
        match entity.connector() {
            Some(ConnectorKey::Overflow) => return Err(BlockError::Overflow),
            Some(ConnectorKey::Local) if action.is_some_and(|action| action != Action::Hold) => {
                return Err(BlockError::Local);
            }
            _ => {}
        }
        let settings = self.settings();
        let directory = &settings.directory;
        // An address of a configured connector is judged by that one's terms.
        let terms = directory.terms_of(&entity);
        if let Entity::Organization(name) = &entity
            && !directory.registers_for(name)
        {
            return Err(BlockError::Unregistered(entity));
        }
        if terms.mode == Mode::Observe {
            return Err(BlockError::Observe(entity));
        }
        if entity.connector().is_some_and(|key| directory.trusts(key)) {
            return Err(BlockError::Trusted(entity));
        }
        self.table.lift_mark(&entity, now, ENFORCED_NOW);
        let (held, seq) = self.table.restrict(&entity, now, |case| Restriction {
            entity: entity.clone(),
            case,
            action: action.unwrap_or(terms.action),
            scope: settings.restriction.scope,
            since: now,
            until: span.or(settings.restriction.expire_after).map(|span| now.plus(span)),
            reject_from: terms.reject_after.map(|span| now.plus(span)),
            by,
            reason,
            mark: false,
            findings: Vec::new(),
            samples: Vec::new(),
            passed_messages: 0,
            passed_recipients: 0,
            keys: keys_of(directory, &entity),
        });
        match seq {
            Some(seq) => {
                // Neither held against it later, nor learned.
                let restricted = &held.restriction;
                let key = restricted.entity.connector();
                if let Some(tally) = key.and_then(|key| self.roster.get(key)) {
                    self.note_material(restricted.case, &tally);
                }
                self.start_again(&restricted.entity, true, now);
                Ok((held, seq))
            }
            None => Err(BlockError::Already(entity, held.restriction.case)),
        }
    }

    /// Lifts the restriction or mark of `entity`; its evidence starts again
    /// from zero. Gives what was in force and the number of the change; nothing
    /// where there is none. Whether it still sends bad mail
    /// ([`Engine::still_bad`]) is for the caller to ask.
    pub fn unblock(
        &self,
        entity: &Entity,
        reason: &str,
        how: impl Into<Unblocked>,
        by: Actor,
        now: Timestamp,
    ) -> Option<(InForce, u64)> {
        let Unblocked { grace, false_positive } = how.into();
        let _turn = self.turn();
        // Evidence goes first: the next message must not find the old one.
        self.table.in_force(entity, now)?;
        self.forget_evidence(entity, now);
        let grace = grace.unwrap_or(self.settings.load().restriction.grace);
        self.table.lift(entity, now, by, reason, Aftermath { grace, raise: false_positive })
    }

    /// Exempts an entity; gives the number of the change.
    pub fn trust(&self, entity: &Entity, trust: Trust) -> Result<u64, TrustError> {
        let _turn = self.turn();
        if entity.connector() == Some(&ConnectorKey::Overflow) {
            return Err(TrustError::Overflow);
        }
        if let Entity::Organization(_) = entity {
            return Err(TrustError::Organization(entity.clone()));
        }
        match self.table.in_force(entity, trust.since) {
            Some(held) if !held.restriction.mark => {
                Err(TrustError::Restricted(entity.clone(), held.restriction.case))
            }
            _ => {
                let now = trust.since;
                self.forget_evidence(entity, now);
                let seq = self.table.exempt(entity, trust);
                // A message may have tipped the scale since we looked.
                match self.table.in_force(entity, now) {
                    Some(held) if !held.restriction.mark => {
                        self.table.end_trust(entity, now, Actor::Daemon, "it is restricted");
                        Err(TrustError::Restricted(entity.clone(), held.restriction.case))
                    }
                    _ => Ok(seq),
                }
            }
        }
    }

    /// The entities that a case is about.
    pub fn entities_of(&self, case: CaseId, now: Timestamp) -> Vec<Entity> {
        let list = self.table.list(now).into_iter();
        let of_case = |restriction: &Arc<Restriction>| restriction.case == case;
        list.filter(|listed| listed.standing.restriction.as_ref().is_some_and(of_case))
            .map(|listed| listed.entity)
            .collect()
    }

    /// Ends an exemption; nothing where there is none.
    pub fn end_trust(
        &self,
        entity: &Entity,
        reason: &str,
        by: Actor,
        now: Timestamp,
    ) -> Option<u64> {
        let _turn = self.turn();
        self.table.end_trust(entity, now, by, reason)
    }

    /// Records what is over by the clock, and makes room for what is learned. To be
    /// called about once a second.
    pub fn sweep(&self, now: Timestamp) {
        let _turn = self.turn();
        self.table.sweep(now);
        self.keep_cases(now);
        self.tidy_evidence(now);
        self.expire_deliveries(now);
        self.queued.take_in();
        self.known.recipients.prepare();
        self.known.recent.prepare();
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.by_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What speaks against an entity starts again from zero.
    pub(super) fn forget_evidence(&self, entity: &Entity, now: Timestamp) {
        self.start_again(entity, false, now);
    }

    fn start_again(&self, entity: &Entity, restricted: bool, now: Timestamp) {
        match entity {
            Entity::Connector(key) => {
                if let Some(tally) = self.roster.get(key) {
                    tally.reset(restricted);
                }
            }
            Entity::Sender { address, via } => self.forget_sender(address, via),
            Entity::Organization(name) => self.organizations.forget(name, now),
        }
    }
}

/// The keys of a named connector, each an entity of its own: of one that is meant,
/// or through which a sender sends.
pub(super) fn keys_of(directory: &Directory, entity: &Entity) -> Vec<Entity> {
    match entity.connector() {
        Some(ConnectorKey::Named(name)) => {
            directory.named(name).map(|named| named.keys().0).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
