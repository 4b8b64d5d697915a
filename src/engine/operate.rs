//! What operators and the configuration change: block, unblock, trust,
//! reload.

use super::{Engine, Settings};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Directory,
    record::{Actor, CaseId, Restriction, Snapshot, Trust},
    restriction::{InForce, Listed},
    timestamp::Timestamp,
    verdict::{Action, Mode},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
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
}

/// Why a mark ends.
pub(super) const ENFORCED_NOW: &str = "enforce mode: what was only observed restricts nobody";

/// What a reload moved.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Moves {
    /// Entities whose restriction, trust, grace or history went to others.
    pub moved: Vec<(Entity, Vec<Entity>)>,
    /// Restricted connectors that stay so, and the keys that they lost, which
    /// are restricted by themselves now.
    pub split: Vec<(Entity, Vec<Entity>)>,
    /// Restricted entities that no session can be any more. Their restriction
    /// stays and takes effect again when the name comes back.
    pub lost: Vec<Entity>,
    /// Restricted entities that are in observe mode now: nothing is refused.
    pub idle: Vec<Entity>,
    /// Marks that ended because their connector is in enforce mode now.
    pub unmarked: Vec<Entity>,
    /// Networks of a restricted connector that it lost, and that are free now:
    /// clients are not restricted by networks of that size.
    pub freed: Vec<(Entity, Vec<IpNet>)>,
}

/// What goes from one entity to others when the configuration changes.
struct Move {
    from: Entity,
    to: Vec<Entity>,
    /// The source keeps what it has.
    keeps: bool,
    freed: Vec<IpNet>,
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
        let _turn = self.turn();
        let Blocked { entity, action, span, reason } = blocked;
        match entity.connector() {
            ConnectorKey::Overflow => return Err(BlockError::Overflow),
            ConnectorKey::Local if action.is_some_and(|action| action != Action::Hold) => {
                return Err(BlockError::Local);
            }
            _ => {}
        }
        let settings = self.settings();
        let directory = &settings.directory;
        // An address of a configured connector is judged by that one's terms.
        let terms = directory.terms(entity.connector());
        if terms.mode == Mode::Observe {
            return Err(BlockError::Observe(entity));
        }
        if directory.trusts(entity.connector()) {
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
            keys: keys_of(directory, entity.connector()),
        });
        match seq {
            Some(seq) => {
                // Neither held against it later, nor learned.
                if let Some(tally) = self.roster.get(held.restriction.entity.connector()) {
                    tally.reset(true);
                }
                Ok((held, seq))
            }
            None => Err(BlockError::Already(entity, held.restriction.case)),
        }
    }

    /// Lifts the restriction or mark of `entity`; its evidence starts again
    /// from zero. Gives what was in force and the number of the change; nothing
    /// where there is none. `grace` is the length of the grace, if not the
    /// configured one.
    pub fn unblock(
        &self,
        entity: &Entity,
        reason: &str,
        grace: Option<Duration>,
        by: Actor,
        now: Timestamp,
    ) -> Option<(InForce, u64)> {
        let _turn = self.turn();
        // Evidence goes first: the next message must not find the old one.
        self.table.in_force(entity, now)?;
        self.forget_evidence(entity);
        let grace = grace.unwrap_or(self.settings.load().restriction.grace);
        self.table.lift(entity, now, by, reason, grace)
    }

    /// Exempts an entity; gives the number of the change.
    pub fn trust(&self, entity: &Entity, trust: Trust) -> Result<u64, TrustError> {
        let _turn = self.turn();
        if *entity.connector() == ConnectorKey::Overflow {
            return Err(TrustError::Overflow);
        }
        match self.table.in_force(entity, trust.since) {
            Some(held) if !held.restriction.mark => {
                Err(TrustError::Restricted(entity.clone(), held.restriction.case))
            }
            _ => {
                self.forget_evidence(entity);
                let now = trust.since;
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

    /// Takes over what the journal kept, before the first session. What was
    /// held for a connector whose name is gone follows its keys, and what the
    /// judgement held against a key that has a name now goes to the name.
    pub fn restore(&self, snapshot: Snapshot, now: Timestamp) -> Moves {
        self.table.restore(snapshot);
        let settings = self.settings();
        let directory = &settings.directory;
        let plan = self.plan(None, directory, now);
        self.share(&plan, directory, now);
        let mut moves = self.carry_out(plan, directory, now);
        self.after_change(directory, &mut moves, now);
        self.forget_what_was_dealt_with(now);
        moves
    }

    /// Replaces the settings. History and restrictions follow a key that got a
    /// connector's name, and back. Sessions notice at their next command.
    pub fn reload(&self, settings: Settings, now: Timestamp) -> Moves {
        let _turn = self.turn();
        let old = self.settings();
        let settings = Arc::new(settings);
        let new = &settings.directory;
        let plan = self.plan(Some(&old.directory), new, now);
        // Whoever inherits a restriction or a history has it before anybody is
        // known by the new name, and the source until nobody is known by the old
        // one.
        self.share(&plan, new, now);
        self.settings.store(Arc::clone(&settings));
        let mut moves = self.carry_out(plan, new, now);
        self.forget_what_was_observed(&old.directory, new);
        self.forgive_registered(new);
        self.after_change(new, &mut moves, now);
        moves
    }

    /// What has to move between two directories, of which the old one is not
    /// known after a restart.
    fn plan(&self, old: Option<&Directory>, new: &Directory, now: Timestamp) -> Vec<Move> {
        let mut seen = self.roster.keys();
        seen.extend(self.table.list(now).iter().map(|listed| listed.entity.connector().clone()));
        seen.sort();
        seen.dedup();
        seen.iter().filter_map(|key| self.step(key, old, new, now)).collect()
    }

    fn step(
        &self,
        key: &ConnectorKey,
        old: Option<&Directory>,
        new: &Directory,
        now: Timestamp,
    ) -> Option<Move> {
        let from = Entity::from(key.clone());
        let held = self.table.in_force(&from, now).map(|held| held.restriction);
        let ConnectorKey::Named(name) = key else {
            // A restriction of one key of a connector stays one, whatever the
            // name of that connector.
            let heir = new.heir(key);
            // After a restart the old configuration is unknown. The judgement
            // restricts under the key by which it counts, so that this one had
            // no name; an operator may have meant just this key.
            let had_none = match old {
                Some(old) => old.heir(key) == *key,
                None => match &held {
                    Some(held) => held.by == Actor::Judgement,
                    None => self.roster.get(key).is_some(),
                },
            };
            let got_a_name = heir != *key && had_none;
            let to = vec![heir.into()];
            return got_a_name.then_some(Move { from, to, keeps: false, freed: Vec::new() });
        };
        let named = old.and_then(|old| old.named(name));
        let (had, had_networks) = match (named, &held) {
            (Some(named), _) => named.keys(),
            (None, Some(held)) => (held.keys.clone(), Vec::new()),
            (None, None) => return None,
        };
        if new.named(name).is_none() {
            let freed = if held.is_some() { had_networks } else { Vec::new() };
            return Some(Move { to: heirs(new, &had), from, keeps: false, freed });
        }
        // It goes on under its name. Keys that it lost take a restriction along.
        held.filter(|held| !held.mark)?;
        let is_lost = |other: &ConnectorKey| new.current(other) != *key;
        let lost: Vec<Entity> = had.into_iter().filter(|key| is_lost(key.connector())).collect();
        let is_freed = |network: &IpNet| is_lost(&ConnectorKey::Client(*network));
        let freed: Vec<IpNet> = had_networks.into_iter().filter(is_freed).collect();
        let mut to = heirs(new, &lost);
        to.retain(|target| *target != from);
        (!to.is_empty() || !freed.is_empty()).then_some(Move { from, to, keeps: true, freed })
    }

    /// Gives the targets of a plan what its sources have, who keep it yet.
    fn share(&self, plan: &[Move], directory: &Directory, now: Timestamp) {
        let keys_of = |entity: &Entity| keys_of(directory, entity.connector());
        for step in plan {
            let mut to = step.to.clone();
            to.push(step.from.clone());
            self.table.transfer(&step.from, &to, &keys_of, now);
            if let (false, Some(first)) = (step.keeps, step.to.first()) {
                self.roster.share(step.from.connector(), first.connector());
            }
        }
    }

    /// Takes from the sources of a plan what they don't keep; tells what moved.
    fn carry_out(&self, plan: Vec<Move>, directory: &Directory, now: Timestamp) -> Moves {
        let keys_of = |entity: &Entity| keys_of(directory, entity.connector());
        let mut moves = Moves::default();
        for step in plan {
            let Move { from, to, keeps, freed } = step;
            let moved = match to.first() {
                None => false,
                Some(_) if keeps => true,
                Some(first) => {
                    let counted = self.roster.get(from.connector()).is_some();
                    self.roster.rename(from.connector(), first.connector());
                    self.table.transfer(&from, &to, &keys_of, now) || counted
                }
            };
            // Who holds nothing has nothing to lose either.
            let frees = !freed.is_empty() && (moved || to.is_empty());
            if moved {
                let list = if keeps { &mut moves.split } else { &mut moves.moved };
                list.push((from.clone(), to));
            }
            if frees {
                moves.freed.push((from, freed));
            }
        }
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

    /// After a crash the history may be older than the journal, and have the
    /// evidence for which somebody is restricted by now, or trusted.
    fn forget_what_was_dealt_with(&self, now: Timestamp) {
        for Listed { entity, standing, .. } in self.table.list(now) {
            let tally = self.roster.get(entity.connector());
            if let Some(tally) = tally
                && (standing.restriction.is_some() || standing.trust.is_some())
            {
                tally.reset(standing.restriction.is_some());
            }
        }
    }

    /// What must hold under new settings: no mark where there is enforcement,
    /// and nobody restricted for what was observed before.
    fn after_change(&self, directory: &Directory, moves: &mut Moves, now: Timestamp) {
        for listed in self.table.list(now) {
            let Some(restriction) = &listed.standing.restriction else {
                continue;
            };
            let key = listed.entity.connector();
            if let ConnectorKey::Named(_) = key {
                let keys = keys_of(directory, key);
                if !keys.is_empty() {
                    self.table.note_keys(&listed.entity, &keys, now);
                }
            }
            if let ConnectorKey::Named(name) = key
                && directory.named(name).is_none()
            {
                moves.lost.push(listed.entity.clone());
            } else if restriction.mark && directory.terms(key).mode == Mode::Enforce {
                self.table.lift_mark(&listed.entity, now, ENFORCED_NOW);
                self.forget_evidence(&listed.entity);
                moves.unmarked.push(listed.entity.clone());
            } else if !restriction.mark && !directory.refuses(restriction) {
                moves.idle.push(listed.entity.clone());
            }
        }
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

    /// Records what is over by the clock. To be called about once a second.
    pub fn sweep(&self, now: Timestamp) {
        let _turn = self.turn();
        self.table.sweep(now);
        self.expire_deliveries(now);
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.by_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_evidence(&self, entity: &Entity) {
        if let Some(tally) = self.roster.get(entity.connector()) {
            tally.reset(false);
        }
    }
}

/// Whose these keys are, each heir once.
fn heirs(directory: &Directory, keys: &[Entity]) -> Vec<Entity> {
    let heir = |key: &Entity| Entity::from(directory.heir(key.connector()));
    let mut heirs: Vec<Entity> = keys.iter().map(heir).collect();
    heirs.sort();
    heirs.dedup();
    heirs
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
