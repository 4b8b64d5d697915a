//! What was in force for one entity goes over to others: a connector got a name, or
//! several did.

use super::{Entry, Table};
use crate::{
    connector::Entity,
    record::{Actor, Event, Restriction},
    timestamp::Timestamp,
};
use dashmap::mapref::entry::Entry as MapEntry;
use std::sync::{Arc, PoisonError};

impl Table {
    /// Hands what is in force for `from` over to every one of `to` that has
    /// nothing of the kind, and takes it from `from` unless that is one of
    /// `to`; says whether there was anything. With an empty `to` it is dropped.
    /// `keys_of` gives a target's [`Restriction::keys`].
    pub fn transfer(
        &self,
        from: &Entity,
        to: &[Entity],
        keys_of: &dyn Fn(&Entity) -> Vec<Entity>,
        now: Timestamp,
    ) -> bool {
        let _moving = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        let targets: Vec<&Entity> = to.iter().filter(|target| *target != from).collect();
        let keeps = targets.len() < to.len();
        let mut moved = false;
        loop {
            // What is over by the clock is not handed over: it would push out what the
            // targets have.
            let Some(old) = self.entries.get_mut(from).map(|mut entry| {
                self.expire(&mut entry, now);
                entry.clone()
            }) else {
                return moved;
            };
            if old.standing.is_empty() {
                self.forget_if_empty(from);
                return moved;
            }
            moved = true;
            // First the targets, then the source: at no moment is nobody held.
            for target in &targets {
                self.inherit(from, &old, target, keys_of, now);
            }
            if keeps {
                return true;
            }
            let MapEntry::Occupied(mut entry) = self.entries.entry(from.clone()) else {
                return true;
            };
            if entry.get().seq != old.seq {
                continue; // changed meanwhile: the change is handed over too
            }
            let event = Event::Moved { from: from.clone(), to: to.to_vec() };
            self.record(entry.get_mut(), now, Actor::Daemon, event);
            entry.remove();
            self.count_out(from);
            return true;
        }
    }

    /// Gives `target` what `old` holds and it lacks.
    fn inherit(
        &self,
        from: &Entity,
        old: &Entry,
        target: &Entity,
        keys_of: &dyn Fn(&Entity) -> Vec<Entity>,
        now: Timestamp,
    ) {
        let mut entry = self.entry(target);
        self.expire(&mut entry, now);
        let before = entry.standing.clone();
        let Entry { standing, attempts, .. } = &mut *entry;
        if let (None, Some(restriction)) = (&standing.restriction, &old.standing.restriction) {
            let mut restriction = Restriction::clone(restriction);
            restriction.entity = target.clone();
            restriction.keys = keys_of(target);
            self.remember(&restriction);
            standing.restriction = Some(Arc::new(restriction));
            *attempts = Arc::clone(&old.attempts);
        }
        standing.trust = standing.trust.take().or_else(|| old.standing.trust.clone());
        standing.grace = standing.grace.take().or_else(|| old.standing.grace.clone());
        standing.raised = standing.raised.take().or_else(|| old.standing.raised.clone());
        if standing.restriction.is_some() {
            // As where one is made: an exemption and a grace end with it.
            standing.trust = None;
            standing.grace = None;
        }
        if *standing != before {
            let event = Event::Inherited {
                entity: target.clone(),
                from: from.clone(),
                standing: standing.clone(),
            };
            self.record(&mut entry, now, Actor::Daemon, event);
        }
        drop(entry);
        // Nothing to inherit: `from` was just lifted.
        self.forget_if_empty(target);
    }
}
