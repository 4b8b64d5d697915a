//! What follows a change of the configuration, at a reload and at a start: to
//! whom restrictions and history go, and which marks and evidence end.

use super::{ENFORCED_NOW, Engine, Settings, keys_of};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::{Directory, Terms},
    record::{Actor, Snapshot},
    restriction::Listed,
    timestamp::Timestamp,
    verdict::Mode,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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
        self.forget_what_was_observed(&old.directory, new, now);
        self.forgive_registered(new);
        self.after_change(new, &mut moves, now);
        moves
    }

    /// What has to move between two directories, of which the old one is not
    /// known after a restart.
    fn plan(&self, old: Option<&Directory>, new: &Directory, now: Timestamp) -> Vec<Move> {
        let connectors = self.roster.keys().into_iter().map(Entity::from);
        // What holds for a sender goes where its connector goes.
        let listed = self.table.all(now).into_iter().map(|listed| listed.entity);
        let seen = connectors.chain(listed);
        let mut plan: Vec<Move> = seen.filter_map(|from| self.step(from, old, new, now)).collect();
        // Next to nothing of what was seen moves: only that is put in order, the
        // connectors before their senders.
        plan.sort_by(|a, b| a.from.cmp(&b.from));
        plan.dedup_by(|a, b| a.from == b.from);
        plan
    }

    fn step(
        &self,
        from: Entity,
        old: Option<&Directory>,
        new: &Directory,
        now: Timestamp,
    ) -> Option<Move> {
        let key = from.connector()?;
        let held = || self.table.in_force(&from, now).map(|held| held.restriction);
        let ConnectorKey::Named(name) = key else {
            // A restriction of one key of a connector stays one, whatever the
            // name of that connector.
            let heir = new.heir(key);
            if heir == *key {
                return None;
            }
            // After a restart the old configuration is unknown. The judgement
            // restricts under the key by which it counts, so that this one had
            // no name; an operator may have meant just this key.
            let had_none = match old {
                Some(old) => old.heir(key) == *key,
                None => match held() {
                    Some(held) => held.by == Actor::Judgement,
                    None => self.roster.get(key).is_some(),
                },
            };
            let to = vec![from.with_connector(heir)];
            return had_none.then_some(Move { from, to, keeps: false, freed: Vec::new() });
        };
        let held = held();
        let named = old.and_then(|old| old.named(name));
        let (had, had_networks) = match (named, &held) {
            (Some(named), _) => named.keys(),
            (None, Some(held)) => (held.keys.clone(), Vec::new()),
            (None, None) => return None,
        };
        if new.named(name).is_none() {
            let freed = if held.is_some() { had_networks } else { Vec::new() };
            return Some(Move { to: heirs(new, &had, &from), from, keeps: false, freed });
        }
        // It goes on under its name. Keys that it lost take a restriction along.
        held.filter(|held| !held.mark)?;
        let is_lost = |other: &ConnectorKey| new.current(other) != *key;
        let lost: Vec<Entity> =
            had.into_iter().filter(|key| key.as_connector().is_some_and(is_lost)).collect();
        let is_freed = |network: &IpNet| is_lost(&ConnectorKey::Client(*network));
        let freed: Vec<IpNet> = had_networks.into_iter().filter(is_freed).collect();
        let mut to = heirs(new, &lost, &from);
        to.retain(|target| *target != from);
        (!to.is_empty() || !freed.is_empty()).then_some(Move { from, to, keeps: true, freed })
    }

    /// Gives the targets of a plan what its sources have, who keep it yet.
    fn share(&self, plan: &[Move], directory: &Directory, now: Timestamp) {
        let keys_of = |entity: &Entity| keys_of(directory, entity);
        for step in plan {
            let mut to = step.to.clone();
            to.push(step.from.clone());
            self.table.transfer(&step.from, &to, &keys_of, now);
            let first = step.to.first().and_then(Entity::as_connector);
            if let (false, Some(from), Some(first)) = (step.keeps, step.from.as_connector(), first)
            {
                self.roster.share(from, first);
            }
        }
    }

    /// Takes from the sources of a plan what they don't keep; tells what moved.
    fn carry_out(&self, plan: Vec<Move>, directory: &Directory, now: Timestamp) -> Moves {
        let keys_of = |entity: &Entity| keys_of(directory, entity);
        let mut moves = Moves::default();
        for step in plan {
            let Move { from, to, keeps, freed } = step;
            let moved = match to.first() {
                None => false,
                Some(_) if keeps => true,
                Some(first) => {
                    let mut counted = false;
                    if let (Some(old), Some(new)) = (from.as_connector(), first.as_connector()) {
                        counted = self.roster.get(old).is_some();
                        self.roster.rename(old, new);
                        self.table.cases().follow(&from, first, now);
                    }
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
    fn forget_what_was_observed(&self, old: &Directory, new: &Directory, now: Timestamp) {
        let enforced = |key: &ConnectorKey| {
            old.terms(key).mode == Mode::Observe && new.terms(key).mode == Mode::Enforce
        };
        // Its mode is that of discovered connectors.
        if enforced(&ConnectorKey::Overflow) {
            for name in new.organizations() {
                self.organizations.forget(&name, now);
            }
        }
        self.roster.for_each(|key, tally| {
            if enforced(key) {
                tally.reset(false);
            }
        });
    }

    /// After a crash the history may be older than the journal, and have the
    /// evidence for which somebody is restricted by now, or trusted. (Of a sender
    /// only if it is older indeed: there the connector goes on.)
    fn forget_what_was_dealt_with(&self, now: Timestamp) {
        for Listed { entity, standing, .. } in self.table.all(now) {
            let Some(tally) = entity.connector().and_then(|key| self.roster.get(key)) else {
                continue;
            };
            let restricted = standing.restriction.is_some();
            let is_older = match (&entity, &standing.restriction) {
                (Entity::Connector(_), _) => restricted || standing.trust.is_some(),
                (_, Some(held)) => held.by == Actor::Judgement && tally.last_seen() <= held.since,
                _ => false,
            };
            if is_older {
                tally.reset(restricted);
            }
        }
    }

    /// What a reload registers is held against nobody any more. (Names below a
    /// registered one are not looked for: only their hashes are kept.)
    fn forgive_registered(&self, directory: &Directory) {
        let mut hashes: HashMap<*const Terms, HashSet<u32>> = HashMap::new();
        self.roster.for_each(|key, tally| {
            let terms = directory.terms(key);
            let registered = hashes.entry(Arc::as_ptr(terms)).or_insert_with(|| {
                terms.registered.names().map(|name| self.fingerprints.of_domain(name)).collect()
            });
            tally.signals().forgive_domains(registered);
            tally.with_senders(|senders| senders.forgive_domains(registered));
        });
    }

    /// What must hold under new settings: no mark where there is enforcement,
    /// and nobody restricted for what was observed before.
    fn after_change(&self, directory: &Directory, moves: &mut Moves, now: Timestamp) {
        for restriction in self.table.restrictions(now) {
            let held = &restriction.entity;
            let keys = keys_of(directory, held);
            if !keys.is_empty() {
                self.table.note_keys(held, &keys, now);
            }
            let mode = directory.terms_of(held).mode;
            let is_gone = match held {
                Entity::Organization(name) => !directory.has_organization(name),
                entity => matches!(
                    entity.connector(),
                    Some(ConnectorKey::Named(name)) if directory.named(name).is_none()
                ),
            };
            if is_gone {
                moves.lost.push(held.clone());
            } else if restriction.mark && mode == Mode::Enforce {
                self.table.lift_mark(held, now, ENFORCED_NOW);
                self.forget_evidence(held, now);
                moves.unmarked.push(held.clone());
            } else if !restriction.mark && !directory.refuses(&restriction) {
                moves.idle.push(held.clone());
            }
        }
        for list in [&mut moves.lost, &mut moves.unmarked, &mut moves.idle] {
            list.sort();
        }
    }
}

/// Whose these keys of the connector of `of` are, each heir once; of a sender the
/// same sender there.
fn heirs(directory: &Directory, keys: &[Entity], of: &Entity) -> Vec<Entity> {
    let heir = |key: &Entity| key.as_connector().map(|key| of.with_connector(directory.heir(key)));
    let mut heirs: Vec<Entity> = keys.iter().filter_map(heir).collect();
    heirs.sort();
    heirs.dedup();
    heirs
}
