//! In which order messages were accepted, and who has how many of them.

use crate::{short::QueueId, timestamp::Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How much there may be: messages, and recipients of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) all: (usize, u64),
    /// Of one owner, who may have one message in any case.
    pub(super) share: (usize, u64),
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: (100_000, 2_000_000), share: (25_000, 500_000) }
    }
}

/// The numbers of the slots, in the order of their acceptance.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: u64,
    in_flight: BTreeMap<u64, Place>,
    late: BTreeMap<u64, Place>,
    shares: HashMap<u64, Share>,
    pub(super) recipients: u64,
}

/// Where a slot is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) queue_id: QueueId,
    pub(super) accepted: Timestamp,
    pub(super) recipients: u32,
    /// Whose it is.
    pub(super) share: u64,
}

/// What one owner has.
#[derive(Debug, Default)]
struct Share {
    numbers: BTreeSet<u64>,
    recipients: u64,
}

impl Order {
    pub(super) fn len(&self) -> usize {
        self.in_flight.len() + self.late.len()
    }

    /// A number beyond all that were given.
    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The number that will be given next.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    pub(super) fn push(&mut self, number: u64, place: Place, in_flight: bool) {
        let share = self.shares.entry(place.share).or_default();
        share.numbers.insert(number);
        share.recipients += u64::from(place.recipients);
        self.recipients += u64::from(place.recipients);
        let places = if in_flight { &mut self.in_flight } else { &mut self.late };
        places.insert(number, place);
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.in_flight.remove(&number).or_else(|| self.late.remove(&number))?;
        self.recipients -= u64::from(place.recipients);
        if let Some(share) = self.shares.get_mut(&place.share) {
            share.numbers.remove(&number);
            share.recipients -= u64::from(place.recipients);
            if share.numbers.is_empty() {
                self.shares.remove(&place.share);
            }
        }
        Some(place)
    }

    /// Takes out the oldest of an owner that has more than its share, else the
    /// oldest of all while there are too many.
    pub(super) fn pop_over(&mut self, share: u64, limits: &Limits) -> Option<(u64, Place)> {
        if let Some(number) = self.shares.get(&share).and_then(|share| share.over(limits.share)) {
            return Some((number, self.remove(number)?));
        }
        let (slots, recipients) = limits.all;
        let is_over = self.len() > slots || self.recipients > recipients;
        if is_over { self.pop_before(u64::MAX) } else { None }
    }

    /// Whether a message of so many recipients would push out none.
    pub(super) fn has_room(&self, recipients: u32, limits: &Limits) -> bool {
        let (slots, most) = limits.all;
        self.len() < slots && self.recipients + u64::from(recipients) <= most
    }

    /// Takes out the oldest, if its number is below `end`.
    pub(super) fn pop_before(&mut self, end: u64) -> Option<(u64, Place)> {
        let first = |places: &BTreeMap<u64, Place>| places.keys().next().copied();
        let number = match (first(&self.late), first(&self.in_flight)) {
            (Some(late), Some(in_flight)) => late.min(in_flight),
            (late, in_flight) => late.or(in_flight)?,
        };
        if number >= end {
            return None;
        }
        Some((number, self.remove(number)?))
    }

    /// The first slot from `number` on.
    pub(super) fn first_from(&self, number: u64) -> Option<(u64, QueueId)> {
        let first = |places: &BTreeMap<u64, Place>| {
            let (number, place) = places.range(number..).next()?;
            Some((*number, place.queue_id.clone()))
        };
        match (first(&self.late), first(&self.in_flight)) {
            (Some(late), Some(in_flight)) => Some(late.min(in_flight)),
            (late, in_flight) => late.or(in_flight),
        }
    }

    /// The oldest that is in flight counts as late from now on, if it is due.
    pub(super) fn pop_in_flight(&mut self, is_due: impl Fn(&Place) -> bool) -> Option<QueueId> {
        let entry = self.in_flight.first_entry()?;
        if !is_due(entry.get()) {
            return None;
        }
        let (number, place) = entry.remove_entry();
        let queue_id = place.queue_id.clone();
        self.late.insert(number, place);
        Some(queue_id)
    }

    /// Takes out the oldest that is late, if it is due.
    pub(super) fn pop_late(&mut self, is_due: impl Fn(&Place) -> bool) -> Option<(u64, Place)> {
        let (number, place) = self.late.first_key_value()?;
        let number = *number;
        if is_due(place) { Some((number, self.remove(number)?)) } else { None }
    }
}

impl Share {
    /// The oldest, if there are too many.
    fn over(&self, (slots, recipients): (usize, u64)) -> Option<u64> {
        let has_more = self.numbers.len() > slots || self.recipients > recipients;
        let oldest = self.numbers.first().copied();
        oldest.filter(|_| has_more && self.numbers.len() > 1)
    }
}
