//! What operators and the configuration change: block, unblock, trust,
//! reload.

use super::{Engine, Settings};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Directory,
    record::{Actor, CaseId, Restriction, Snapshot, Trust},
    restriction::InForce,
    timestamp::Timestamp,
    verdict::{Action, Mode},
};
use std::{sync::Arc, time::Duration};

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
}

/// A restriction that was lifted.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// What was in force, and what was tried under it.
    pub held: InForce,
    /// Number of the change.
    pub seq: u64,
}

/// What a reload moved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Moves {
    /// Entities whose restriction, trust, grace or history went to others.
    pub moved: Vec<(Entity, Vec<Entity>)>,
    /// Restricted entities that no session can be any more. Their restriction
    /// stays and takes effect again when the name comes back.
    pub lost: Vec<Entity>,
    /// Restricted entities that are in observe mode now: nothing is refused.
    pub idle: Vec<Entity>,
    /// Marks that ended because their connector is in enforce mode now.
    pub unmarked: Vec<Entity>,
}

impl Engine {
    /// Restricts an entity by hand; gives what is in force and the number of
    /// the change.
    pub fn block(
        &self,
        blocked: Blocked,
        by: Actor,
        now: Timestamp,
    ) -> Result<(InForce, u64), BlockError> {
        let Blocked { entity, action, span, reason } = blocked;
        if *entity.connector() == ConnectorKey::Overflow {
            return Err(BlockError::Overflow);
        }
        let settings = self.settings();
        let directory = &settings.directory;
        // An address of a configured connector is judged by that one's terms.
        let terms = directory.terms(&directory.current(entity.connector()));
        if terms.mode == Mode::Observe {
            return Err(BlockError::Observe(entity));
        }
        self.lift_mark(&entity, now);
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
            keys: keys_of(directory, entity.connector()),
        });
        match seq {
            Some(seq) => Ok((held, seq)),
            None => Err(BlockError::Already(entity, held.restriction.case)),
        }
    }

    /// Lifts the restriction or mark of `entity`; its evidence starts again
    /// from zero. Nothing where there is none. `grace` is the length of the
    /// grace, if not the configured one.
    pub fn unblock(
        &self,
        entity: &Entity,
        reason: &str,
        grace: Option<Duration>,
        by: Actor,
        now: Timestamp,
    ) -> Option<Lifted> {
        // Evidence goes first: the next message must not find the old one.
        self.table.in_force(entity, now)?;
        self.forget_evidence(entity);
        let grace = grace.unwrap_or(self.settings.load().restriction.grace);
        let (held, seq) = self.table.lift(entity, now, by, reason, grace)?;
        Some(Lifted { held, seq })
    }

    /// Exempts an entity; gives the number of the change.
    pub fn trust(&self, entity: &Entity, trust: Trust) -> Result<u64, TrustError> {
        if *entity.connector() == ConnectorKey::Overflow {
            return Err(TrustError::Overflow);
        }
        match self.table.in_force(entity, trust.since) {
            Some(held) if !held.restriction.mark => {
                Err(TrustError::Restricted(entity.clone(), held.restriction.case))
            }
            _ => {
                self.forget_evidence(entity);
                Ok(self.table.exempt(entity, trust))
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

    /// Takes over what the journal kept, before the first session. What was
    /// held for a connector whose name is gone follows its keys, and what the
    /// judgement held against a key that has a name now goes to the name.
    pub fn restore(&self, snapshot: Snapshot, now: Timestamp) -> Moves {
        self.table.restore(snapshot);
        let settings = self.settings();
        let mut moves = Moves::default();
        let directory = &settings.directory;
        for listed in self.table.list(now) {
            let restriction = listed.standing.restriction.as_ref();
            let entity = &listed.entity;
            let key = entity.connector();
            let keys = match key {
                ConnectorKey::Named(name) if directory.named(name).is_none() => {
                    restriction.map_or_else(Vec::new, |held| held.keys.clone())
                }
                // The judgement restricts under the key by which it counts: it
                // belonged to no name then. An operator may have meant just
                // this one key of a connector.
                _ if directory.heir(key) != *key
                    && restriction.is_some_and(|held| held.by == Actor::Judgement) =>
                {
                    vec![entity.clone()]
                }
                _ => continue,
            };
            self.follow(entity, &keys, directory, &mut moves, now);
        }
        self.after_change(&settings, &mut moves, now);
        moves
    }

    /// Replaces the settings. History and restrictions follow a key that got a
    /// connector's name, and back. Sessions notice at their next transaction.
    pub fn reload(&self, settings: Settings, now: Timestamp) -> Moves {
        let old = self.settings.swap(Arc::new(settings));
        let settings = self.settings();
        let new = &settings.directory;
        let mut moves = Moves::default();
        let mut seen = self.roster.keys();
        seen.extend(self.table.list(now).iter().map(|listed| listed.entity.connector().clone()));
        seen.sort();
        seen.dedup();
        for key in seen {
            let entity = Entity::from(key.clone());
            match &key {
                ConnectorKey::Named(name) if new.named(name).is_none() => {
                    let known = old.directory.named(name).map(|named| named.keys().0);
                    let held =
                        self.table.in_force(&entity, now).map(|held| held.restriction.keys.clone());
                    let keys = known.or(held).unwrap_or_default();
                    self.follow(&entity, &keys, new, &mut moves, now);
                }
                ConnectorKey::Named(_) => {}
                _ => {
                    // A restriction of one address of a connector stays one.
                    let heir = new.heir(&key);
                    if heir != old.directory.heir(&key) && heir != key {
                        self.follow(&entity, std::slice::from_ref(&entity), new, &mut moves, now);
                    }
                }
            }
        }
        self.forget_what_was_observed(&old.directory, new);
        self.after_change(&settings, &mut moves, now);
        moves
    }

    /// Evidence of a connector that was in observe mode and is in enforce mode
    /// now starts again: nobody is restricted for the past.
    fn forget_what_was_observed(&self, old: &Directory, new: &Directory) {
        self.roster.for_each(|key, tally| {
            if old.terms(key).mode == Mode::Observe && new.terms(key).mode == Mode::Enforce {
                tally.reset(false);
            }
        });
    }

    /// Lets what is held for `from` follow these keys to whom they belong now.
    fn follow(
        &self,
        from: &Entity,
        keys: &[Entity],
        to: &Directory,
        moves: &mut Moves,
        now: Timestamp,
    ) {
        let mut targets: Vec<Entity> =
            keys.iter().map(|key| Entity::from(to.heir(key.connector()))).collect();
        targets.sort();
        targets.dedup();
        let Some(first) = targets.first() else {
            return;
        };
        let counted = self.roster.get(from.connector()).is_some();
        self.roster.rename(from.connector(), first.connector());
        let keys_of = |target: &Entity| keys_of(to, target.connector());
        if self.table.transfer(from, &targets, &keys_of, now) || counted {
            moves.moved.push((from.clone(), targets));
        }
    }

    /// What must hold under new settings: no mark where there is enforcement,
    /// and nobody restricted for what was observed before.
    fn after_change(&self, settings: &Settings, moves: &mut Moves, now: Timestamp) {
        let directory = &settings.directory;
        let mode = |key: &ConnectorKey| directory.terms(&directory.current(key)).mode;
        for listed in self.table.list(now) {
            let Some(restriction) = &listed.standing.restriction else {
                continue;
            };
            let key = listed.entity.connector();
            if let ConnectorKey::Named(name) = key
                && directory.named(name).is_none()
            {
                moves.lost.push(listed.entity.clone());
            } else if restriction.mark && mode(key) == Mode::Enforce {
                self.lift_mark(&listed.entity, now);
                self.forget_evidence(&listed.entity);
                moves.unmarked.push(listed.entity.clone());
            } else if !restriction.mark && mode(key) == Mode::Observe {
                moves.idle.push(listed.entity.clone());
            }
        }
    }

    /// Ends the mark of an entity, if it has one: it stands in the way of a
    /// restriction, and nothing is held against anybody for it.
    pub(super) fn lift_mark(&self, entity: &Entity, now: Timestamp) {
        let held = self.table.in_force(entity, now);
        if held.is_some_and(|held| held.restriction.mark) {
            let reason = "enforce mode: what was only observed restricts nobody";
            self.table.lift(entity, now, Actor::Daemon, reason, Duration::ZERO);
        }
    }

    fn forget_evidence(&self, entity: &Entity) {
        if let Some(tally) = self.roster.get(entity.connector()) {
            tally.reset(false);
        }
    }
}

/// The keys of a named connector, each an entity of its own.
pub(super) fn keys_of(directory: &Directory, key: &ConnectorKey) -> Vec<Entity> {
    match key {
        ConnectorKey::Named(name) => {
            directory.named(name).map(|named| named.keys().0).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
