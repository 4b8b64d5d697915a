//! Entries in the order of their coming, of all and of each group; what is done to
//! one costs the same however many there are.
//!
//! Each stands at a place of a vector, with its neighbours in both orders. A free
//! place is taken again, so that entries that come as fast as others go take no
//! memory.

use foldhash::fast::RandomState;
use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
    mem,
};

/// Where an entry is until it is removed. Whoever keeps entries keeps far fewer than
/// there are numbers.
pub(crate) type At = u32;

/// No place: nobody keeps so many.
const NOWHERE: At = At::MAX;

/// Entries of groups `K`.
#[derive(Debug)]
pub(crate) struct Arrivals<K, T> {
    places: Places<K, T>,
    free: Vec<At>,
    all: Line,
    /// Groups that have entries.
    groups: HashMap<K, Line, RandomState>,
}

type Places<K, T> = Vec<Option<Place<K, T>>>;
/// One of both orders.
type Order<K, T> = fn(&mut Place<K, T>) -> &mut Neighbours;

#[derive(Debug)]
struct Place<K, T> {
    entry: T,
    group: K,
    among_all: Neighbours,
    in_group: Neighbours,
}

/// The places of the entries that came before and after.
#[derive(Clone, Copy, Debug)]
struct Neighbours {
    older: At,
    newer: At,
}

/// Entries in one order, by the places of the first and the last.
#[derive(Debug)]
struct Line {
    oldest: At,
    newest: At,
    len: usize,
}

impl<K, T> Default for Arrivals<K, T> {
    fn default() -> Self {
        let (places, free, groups) = (Vec::new(), Vec::new(), HashMap::default());
        Self { places, free, all: Line::default(), groups }
    }
}

impl<K: Clone + Eq + Hash, T> Arrivals<K, T> {
    /// Adds the newest of all; gives its place, where it is until it is removed.
    pub(crate) fn push(&mut self, group: K, entry: T) -> At {
        let new = || At::try_from(self.places.len()).unwrap_or(NOWHERE);
        let at = self.free.pop().unwrap_or_else(new);
        let among_all = self.all.push(at, &mut self.places, |place| &mut place.among_all);
        let in_group = self.join(group.clone(), at);
        let place = Some(Place { entry, group, among_all, in_group });
        match self.places.get_mut(at as usize) {
            Some(free) => *free = place,
            None => self.places.push(place),
        }
        at
    }

    /// Takes out what is at a place.
    pub(crate) fn remove(&mut self, at: At) -> Option<T> {
        let places = &mut self.places;
        let Place { entry, group, among_all, in_group } = places.get_mut(at as usize)?.take()?;
        self.free.push(at);
        self.all.remove(among_all, places, |place| &mut place.among_all);
        self.leave(group, in_group);
        Some(entry)
    }

    /// Makes what is at a place the newest of another group; among all it stays where it
    /// was.
    pub(crate) fn regroup(&mut self, at: At, group: K) {
        let Some(place) = self.place_mut(at) else { return };
        let (before, in_group) = (mem::replace(&mut place.group, group.clone()), place.in_group);
        self.leave(before, in_group);
        let in_group = self.join(group, at);
        if let Some(place) = self.place_mut(at) {
            place.in_group = in_group;
        }
    }

    /// What is at a place.
    pub(crate) fn get(&self, at: At) -> Option<&T> {
        self.place(at).map(|place| &place.entry)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, at: At) -> Option<&mut T> {
        self.place_mut(at).map(|place| &mut place.entry)
    }

    /// The place of the oldest of all.
    pub(crate) fn oldest(&self) -> Option<At> {
        (self.len() > 0).then_some(self.all.oldest)
    }

    /// The place of the oldest of a group that has so many.
    pub(crate) fn oldest_of(&self, group: &K, least: usize) -> Option<At> {
        let line = self.groups.get(group)?;
        (line.len >= least).then_some(line.oldest)
    }

    /// The entries of a group, oldest first.
    pub(crate) fn of(&self, group: &K) -> impl Iterator<Item = &T> {
        let oldest = self.groups.get(group).and_then(|line| self.place(line.oldest));
        std::iter::successors(oldest, |place| self.place(place.in_group.newer))
            .map(|place| &place.entry)
    }

    /// The groups that have entries, in no order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &K> {
        self.groups.keys()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len
    }

    /// Lets a place be the newest of a group; gives its neighbours there.
    fn join(&mut self, group: K, at: At) -> Neighbours {
        let line = self.groups.entry(group).or_default();
        line.push(at, &mut self.places, |place| &mut place.in_group)
    }

    /// Lets those that were neighbours of what left a group be neighbours of each other.
    fn leave(&mut self, group: K, neighbours: Neighbours) {
        if let hash_map::Entry::Occupied(mut line) = self.groups.entry(group) {
            line.get_mut().remove(neighbours, &mut self.places, |place| &mut place.in_group);
            if line.get().len == 0 {
                line.remove();
            }
        }
    }

    fn place(&self, at: At) -> Option<&Place<K, T>> {
        self.places.get(at as usize)?.as_ref()
    }

    fn place_mut(&mut self, at: At) -> Option<&mut Place<K, T>> {
        self.places.get_mut(at as usize)?.as_mut()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self { oldest: NOWHERE, newest: NOWHERE, len: 0 }
    }
}

impl Line {
    /// Lets a place be the newest; gives its neighbours.
    fn push<K, T>(&mut self, at: At, places: &mut Places<K, T>, order: Order<K, T>) -> Neighbours {
        let older = mem::replace(&mut self.newest, at);
        match neighbours(places, older, order) {
            Some(last) => last.newer = at,
            None => self.oldest = at,
        }
        self.len += 1;
        Neighbours { older, newer: NOWHERE }
    }

    /// Lets those neighbours be neighbours of each other.
    fn remove<K, T>(&mut self, of: Neighbours, places: &mut Places<K, T>, order: Order<K, T>) {
        match neighbours(places, of.older, order) {
            Some(before) => before.newer = of.newer,
            None => self.oldest = of.newer,
        }
        match neighbours(places, of.newer, order) {
            Some(after) => after.older = of.older,
            None => self.newest = of.older,
        }
        self.len -= 1;
    }
}

fn neighbours<K, T>(
    places: &mut Places<K, T>,
    at: At,
    order: Order<K, T>,
) -> Option<&mut Neighbours> {
    places.get_mut(at as usize)?.as_mut().map(order)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain list of place, group, entry and when it came into the group.
        #[test]
        fn both_orders_are_those_of_a_list(
            steps in prop::collection::vec((0..7_usize, 0..3_u8, 0..20_usize), 0..200),
        ) {
            let mut arrivals = Arrivals::default();
            let mut list: Vec<(At, u8, usize, usize)> = Vec::new();
            for (number, (what, group, which)) in steps.into_iter().enumerate() {
                if what < 3 {
                    list.push((arrivals.push(group, number), group, number, number));
                } else if let Some(which) = which.checked_rem(list.len()) {
                    let which = if what == 3 { 0 } else { which };
                    let (at, _, entry, _) = list[which];
                    prop_assert_eq!(arrivals.get(at), Some(&entry));
                    if what == 6 {
                        arrivals.regroup(at, group);
                        list[which] = (at, group, entry, number);
                    } else {
                        list.remove(which);
                        prop_assert_eq!(arrivals.remove(at), Some(entry));
                        prop_assert_eq!(arrivals.remove(at), None);
                    }
                }
                prop_assert_eq!(arrivals.len(), list.len());
                prop_assert_eq!(arrivals.oldest(), list.first().map(|first| first.0));
                for group in 0..3 {
                    let mut of: Vec<_> = list.iter().filter(|one| one.1 == group).collect();
                    of.sort_by_key(|one| one.3);
                    prop_assert!(arrivals.of(&group).eq(of.iter().map(|one| &one.2)));
                    let oldest = of.first().map(|first| first.0);
                    prop_assert_eq!(arrivals.oldest_of(&group, of.len()), oldest);
                    prop_assert_eq!(arrivals.oldest_of(&group, of.len() + 1), None);
                    prop_assert_eq!(arrivals.groups().any(|it| *it == group), oldest.is_some());
                }
            }
            prop_assert_eq!(arrivals.free.len() + list.len(), arrivals.places.len());
        }
    }
}
