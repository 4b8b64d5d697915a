//! Messages that were accepted and whose fate is not known yet.
//!
//! A slot for each message, under its Postfix queue id, holds the owner (whose
//! connector it was), how many recipients it had, and which of them had their
//! first delivery result. A first result is told once, later ones (retries of
//! a deferred recipient) are not. A message stops to count as **in flight** at
//! exactly one of these moments, whichever comes first:
//!
//! - its last first result ([`First::landed`]),
//! - ten minutes after its acceptance ([`Pending::expire`]),
//! - its slot is taken: the table is full, or Postfix uses its queue id again
//!   ([`Pending::accept`]),
//! - delivery results stop coming ([`Pending::clear`]).
//!
//! The slot itself stays for four hours, for late results, or until every
//! recipient was heard of. At most 100,000 slots and 2,000,000 recipients in
//! all of them are held; the oldest messages make room.
//!
//! **Recipients that nobody listed.** Postfix rewrites recipients (aliases) and
//! adds some (`always_bcc`). Such a stranger takes the place of one whose
//! result is still to come, once, as long as there is such a place, so that a
//! rewritten message does not stay in flight. But it takes nothing from listed
//! recipients: the first result of each is told even if strangers took all the
//! places, and [`First::listed`] tells the two apart. Strangers are remembered
//! in the slot: they at most double what it holds.
//!
//! The slots are in a sharded map. Their order of acceptance is behind one
//! mutex, which is held for a few look-ups, never while anything waits, and
//! always taken before a shard: under it, map and order hold the same messages.

use crate::{message::Outcome, timestamp::Timestamp};
use dashmap::DashMap;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a message counts as in flight, at most.
pub const IN_FLIGHT: Duration = Duration::from_secs(600);
/// How long its results are told, at most.
pub const KEPT: Duration = Duration::from_secs(4 * 3600);
const MOST_SLOTS: usize = 100_000;
const MOST_RECIPIENTS: u64 = 2_000_000;
const SHARDS: usize = 256;
/// Messages that are looked at before others get their turn at the mutex.
const BATCH: usize = 64;

/// The first result of a recipient.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct First<T> {
    /// Whose message it is.
    pub owner: T,
    /// Recipients of the message, at least 1.
    pub of: u32,
    /// Whether the recipient is one that the message was accepted for; if not,
    /// Postfix rewrote or added it.
    pub listed: bool,
    /// Whether this was the last result that was waited for. Once a message.
    pub last: bool,
    /// Whether the message still counted as in flight.
    pub on_time: bool,
    /// What its listed recipients have had so far, this one included.
    pub so_far: Results,
}

/// What the recipients of a message have had.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Results {
    /// Recipients that were refused.
    pub refused: u32,
    /// Recipients that were delivered.
    pub delivered: u32,
}

/// A message that stops to count as in flight because its time is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Landed<T> {
    /// Whose message it is.
    pub owner: T,
    /// Recipients of the message.
    pub of: u32,
    /// What they have had so far.
    pub so_far: Results,
}

impl<T> First<T> {
    /// Whether the message stops to count as in flight with this result.
    pub fn landed(&self) -> bool {
        self.last && self.on_time
    }
}

/// The messages, each with its owner.
#[derive(Debug)]
pub struct Pending<T> {
    slots: DashMap<Arc<str>, Slot<T>>,
    order: Mutex<Order>,
    most_slots: usize,
    most_recipients: u64,
}

#[derive(Debug)]
struct Slot<T> {
    owner: T,
    /// Which acceptance this is: a queue id can come again.
    number: u64,
    accepted: Timestamp,
    in_flight: bool,
    of: u32,
    /// Results that are still waited for.
    open: u32,
    /// Listed recipients without a result.
    unheard: usize,
    /// Hashes of the listed recipients and of strangers that were heard of,
    /// sorted. The lowest bit of a hash is replaced by [`HEARD`].
    recipients: Vec<u64>,
    so_far: Results,
}

/// Set in a hash: its first result has come.
const HEARD: u64 = 1;

/// The numbers of the slots, in the order of their acceptance.
#[derive(Debug, Default)]
struct Order {
    next: u64,
    in_flight: BTreeMap<u64, Place>,
    late: BTreeMap<u64, Place>,
    recipients: u64,
}

#[derive(Clone, Debug)]
struct Place {
    queue_id: Arc<str>,
    accepted: Timestamp,
    recipients: u32,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self::with_limits(MOST_SLOTS, MOST_RECIPIENTS)
    }
}

impl<T> Pending<T> {
    fn with_limits(most_slots: usize, most_recipients: u64) -> Self {
        Self {
            slots: DashMap::with_shard_amount(SHARDS),
            order: Mutex::default(),
            most_slots,
            most_recipients,
        }
    }

    /// How many messages have a slot.
    pub fn len(&self) -> usize {
        let order = self.lock();
        order.in_flight.len() + order.late.len()
    }

    /// Whether no message has a slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Pending<T> {
    /// A message of `count` recipients was accepted under `queue_id`;
    /// `recipients` are keyed hashes of them, in any order (fewer than `count`
    /// where not all are known; one that stands twice is one recipient).
    /// Gives the owners, once for each message, whose message stops to count
    /// as in flight because it made room, or had the same queue id. A message
    /// without recipients is over at once: its own owner is given.
    #[must_use = "their messages no longer count as in flight"]
    pub fn accept(
        &self,
        queue_id: &str,
        owner: T,
        recipients: Box<[u64]>,
        count: u32,
        now: Timestamp,
    ) -> Vec<T> {
        let Some((recipients, of)) = distinct(recipients, count) else {
            return vec![owner];
        };
        let queue_id: Arc<str> = queue_id.into();
        let mut landed = Vec::new();
        let mut order = self.lock();
        let number = order.next;
        order.next += 1;
        let place = Place { queue_id, accepted: now, recipients: of };
        let slot = Slot {
            owner,
            number,
            accepted: now,
            in_flight: true,
            of,
            open: of,
            unheard: recipients.len(),
            recipients,
            so_far: Results::default(),
        };
        if let Some(old) = self.slots.insert(Arc::clone(&place.queue_id), slot) {
            order.remove(old.number);
            landed.extend(old.in_flight.then_some(old.owner));
        }
        order.push(number, place);
        while order.is_over(self.most_slots, self.most_recipients) {
            let Some((number, place)) = order.pop_oldest() else { break };
            landed.extend(self.take(number, &place));
        }
        landed
    }

    /// The result of `recipient` (a hash as in [`Pending::accept`]) of the
    /// message `queue_id`, if it is the first one of this recipient.
    pub fn result(
        &self,
        queue_id: &str,
        recipient: u64,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<First<T>> {
        let mut slot = self.slots.get_mut(queue_id)?;
        if now.since(slot.accepted) >= KEPT {
            return None;
        }
        let first = slot.hear(recipient, outcome)?;
        let (number, is_over) = (slot.number, slot.is_over());
        drop(slot);
        if is_over {
            let mut order = self.lock();
            order.remove(number);
            self.slots.remove_if(queue_id, |_, slot| slot.number == number);
        }
        Some(first)
    }

    /// Ends what is over at `now`. Gives the messages, each once, that count as
    /// in flight no longer because ten minutes are over. To be called every few
    /// seconds.
    #[must_use = "their messages no longer count as in flight"]
    pub fn expire(&self, now: Timestamp) -> Vec<Landed<T>> {
        let mut landed = Vec::new();
        let is_due = |place: &Place, span| now.since(place.accepted) >= span;
        self.in_batches(|order| {
            let (number, place) = pop_first_if(&mut order.in_flight, |it| is_due(it, IN_FLIGHT))?;
            if let Some(mut slot) = self.slots.get_mut(&place.queue_id) {
                landed.extend(slot.land());
            }
            order.late.insert(number, place);
            Some(())
        });
        self.in_batches(|order| {
            let (number, place) = pop_first_if(&mut order.late, |it| is_due(it, KEPT))?;
            order.recipients -= u64::from(place.recipients);
            self.take(number, &place);
            Some(())
        });
        landed
    }

    /// Forgets the messages accepted so far: delivery results have stopped
    /// coming. Gives the owners, once for each message that counted as in
    /// flight.
    #[must_use = "their messages no longer count as in flight"]
    pub fn clear(&self) -> Vec<T> {
        let mut landed = Vec::new();
        let end = self.lock().next;
        self.in_batches(|order| {
            let (number, place) = order.pop_before(end)?;
            landed.extend(self.take(number, &place));
            Some(())
        });
        landed
    }

    /// Steps until there is nothing more to do, a batch under each lock.
    fn in_batches(&self, mut step: impl FnMut(&mut Order) -> Option<()>) {
        loop {
            let mut order = self.lock();
            for _ in 0..BATCH {
                if step(&mut order).is_none() {
                    return;
                }
            }
        }
    }

    /// Removes a slot that has left the order; gives its owner if it counted
    /// as in flight.
    fn take(&self, number: u64, place: &Place) -> Option<T> {
        let same = |_: &Arc<str>, slot: &Slot<T>| slot.number == number;
        let (_, slot) = self.slots.remove_if(&place.queue_id, same)?;
        slot.in_flight.then_some(slot.owner)
    }
}

impl<T: Clone> Slot<T> {
    /// Hears of a recipient; `None` where that is nothing new.
    fn hear(&mut self, recipient: u64, outcome: Outcome) -> Option<First<T>> {
        let hash = recipient & !HEARD;
        let listed = match self.recipients.binary_search_by_key(&hash, |it| it & !HEARD) {
            Ok(at) => {
                let known = self.recipients.get_mut(at)?;
                if *known & HEARD != 0 {
                    return None;
                }
                *known |= HEARD;
                self.unheard = self.unheard.saturating_sub(1);
                true
            }
            Err(_) if self.open == 0 => return None,
            Err(at) => {
                self.recipients.insert(at, hash | HEARD);
                false
            }
        };
        match outcome {
            Outcome::Refused if listed => self.so_far.refused += 1,
            Outcome::Delivered if listed => self.so_far.delivered += 1,
            _ => {}
        }
        let (on_time, last) = (self.in_flight, self.open == 1);
        self.open = self.open.saturating_sub(1);
        if last {
            self.in_flight = false;
        }
        let (owner, of, so_far) = (self.owner.clone(), self.of, self.so_far);
        Some(First { owner, of, listed, last, on_time, so_far })
    }

    /// Ends its flight, if that was not over yet.
    fn land(&mut self) -> Option<Landed<T>> {
        let (of, so_far) = (self.of, self.so_far);
        let was_in_flight = std::mem::take(&mut self.in_flight);
        was_in_flight.then(|| Landed { owner: self.owner.clone(), of, so_far })
    }

    fn is_over(&self) -> bool {
        self.open == 0 && self.unheard == 0
    }
}

impl Order {
    fn push(&mut self, number: u64, place: Place) {
        self.recipients += u64::from(place.recipients);
        self.in_flight.insert(number, place);
    }

    fn remove(&mut self, number: u64) {
        let place = self.in_flight.remove(&number).or_else(|| self.late.remove(&number));
        self.recipients -= place.map_or(0, |place| u64::from(place.recipients));
    }

    fn is_over(&self, slots: usize, recipients: u64) -> bool {
        self.in_flight.len() + self.late.len() > slots || self.recipients > recipients
    }

    fn pop_oldest(&mut self) -> Option<(u64, Place)> {
        self.pop_before(u64::MAX)
    }

    /// Takes out the oldest, if its number is below `end`.
    fn pop_before(&mut self, end: u64) -> Option<(u64, Place)> {
        let first = |places: &BTreeMap<u64, Place>| places.keys().next().copied();
        let number = match (first(&self.late), first(&self.in_flight)) {
            (Some(late), Some(in_flight)) => late.min(in_flight),
            (late, in_flight) => late.or(in_flight)?,
        };
        if number >= end {
            return None;
        }
        let place = self.late.remove(&number).or_else(|| self.in_flight.remove(&number))?;
        self.recipients -= u64::from(place.recipients);
        Some((number, place))
    }
}

fn pop_first_if(
    places: &mut BTreeMap<u64, Place>,
    is_due: impl Fn(&Place) -> bool,
) -> Option<(u64, Place)> {
    let entry = places.first_entry()?;
    is_due(entry.get()).then(|| entry.remove_entry())
}

/// Sorted hashes without repetitions, and how many recipients there are, if
/// any.
fn distinct(recipients: Box<[u64]>, count: u32) -> Option<(Vec<u64>, u32)> {
    let mut hashes = recipients.into_vec();
    let listed = hashes.len();
    for hash in &mut hashes {
        *hash &= !HEARD;
    }
    hashes.sort_unstable();
    hashes.dedup();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let repeated = small(listed - hashes.len());
    let of = count.saturating_sub(repeated).max(small(hashes.len()));
    (of > 0).then_some((hashes, of))
}

#[cfg(test)]
mod tests;
