//! Messages that were accepted and whose fate is not known yet.
//!
//! A slot for each message, under its Postfix queue id, holds the owner (whose
//! connector it was), how many recipients it had, and what each of them has had.
//!
//! **What is told of a recipient**, each at most once: its first result, which
//! ends the wait for it, and its first *deciding* one, delivered or refused,
//! which counts. Mostly these are the same; of a recipient that is greylisted
//! first and refused by a retry they are two. A result that was logged before the
//! message was accepted (less [`SLACK`]: stamps of a log are whole seconds) is of
//! an earlier message with the same queue id, and of none here.
//!
//! A message stops to count as **in flight** at exactly one of these moments,
//! whichever comes first:
//!
//! - the first result of its last recipient ([`News::landed`]),
//! - ten minutes after its acceptance ([`Pending::expire`]),
//! - Postfix has removed its queue file ([`Pending::forget`]),
//! - its slot is taken: the table is full, its owner has a full share of it, or
//!   Postfix uses its queue id again ([`Pending::take_in`]),
//! - it is not waited for, because the intake is full ([`Pending::leave`]),
//! - delivery results stop coming ([`Pending::clear`]).
//!
//! The slot itself stays for four hours, for late and deciding results, or until
//! all of its listed recipients are decided. At most 100,000 slots and 2,000,000
//! recipients in all of them are held; the oldest messages make room. One owner
//! has a quarter of both at the most, and beyond it its own oldest messages make
//! room: a flood of one does not push out what others wait for.
//!
//! **Recipients that nobody listed.** Postfix rewrites recipients (aliases) and
//! adds some (`always_bcc`). Such a stranger takes the place of one whose
//! result is still to come, once, as long as there is such a place, so that a
//! rewritten message does not stay in flight. But it takes nothing from listed
//! recipients: what each of them has is told even if strangers took all the
//! places, and [`News::listed`] tells the two apart. Strangers are remembered
//! in the slot: they at most double what it holds.
//!
//! **Nobody waits at a message.** It leaves what is known of it behind an
//! [`Intake`]. Whoever tells or asks of messages calls [`Pending::take_in`] first:
//! then all have their slots that were left before, in the order in which they
//! were, so that a result that comes right behind its message finds it.
//!
//! The slots are in a sharded map. Their order of acceptance is behind one
//! mutex, that of the intake, which is held for a few look-ups, never while anything
//! waits, and always taken before a shard: under it, map and order hold the same
//! messages.

mod image;
mod order;
mod slot;
#[cfg(test)]
mod tests;

pub use image::Image;

use crate::{intake::Intake, message::Outcome, short::QueueId, timestamp::Timestamp};
use dashmap::DashMap;
use foldhash::fast::RandomState;
use order::{Limits, Order, Place};
use serde::{Deserialize, Serialize};
use slot::Slot;
use smallvec::SmallVec;
use std::{sync::MutexGuard, time::Duration};

/// How long a message counts as in flight, at most.
pub const IN_FLIGHT: Duration = Duration::from_secs(600);
/// How long its results are told, at most.
pub const KEPT: Duration = Duration::from_secs(4 * 3600);
/// So much before its acceptance a result of a message may be stamped.
pub const SLACK: Duration = Duration::from_secs(2);
const SHARDS: usize = 256;
/// Messages that are looked at before others get their turn at the mutex.
const BATCH: usize = 64;

/// What is known of delivery results.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Feedback {
    /// Nobody reads a log: nothing is waited for.
    #[default]
    Off,
    /// A log is read, and what it tells is judged; but it has not shown yet that
    /// it tells of our messages, so that their silence means nothing.
    Watching,
    /// Results are coming.
    Coming,
}

/// Who a message belongs to.
pub trait Sharer {
    /// A number for whose share of the table its messages take.
    fn share(&self) -> u64;
}

/// A delivery result, as it is given to the table.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// A hash of the recipient as in [`Accepted`].
    pub recipient: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// What a refusal counts, 0 to 1: less than 1 where it may not be about the
    /// mail.
    pub weight: f32,
    /// When it was logged, where that is known.
    pub logged: Option<Timestamp>,
}

impl Report {
    /// A result that counts in full, logged nobody knows when.
    pub fn new(recipient: u64, outcome: Outcome) -> Self {
        Self { recipient, outcome, weight: 1.0, logged: None }
    }
}

/// What a result says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heard<T> {
    /// It is of no message that has a slot.
    Unknown,
    /// It is of one, and says nothing new.
    Nothing,
    /// It is the first result of its recipient, or the first deciding one.
    News(News<T>),
}

/// The first result of a recipient, or the first deciding one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct News<T> {
    /// Whose message it is.
    pub owner: T,
    /// Recipients of the message, at least 1.
    pub of: u32,
    /// Whether the recipient is one that the message was accepted for; if not,
    /// Postfix rewrote or added it.
    pub listed: bool,
    /// Whether this was the last first result that was waited for. Once a
    /// message.
    pub last: bool,
    /// Whether the message still counted as in flight.
    pub on_time: bool,
    /// What its listed recipients have had so far, this one included.
    pub so_far: Results,
}

/// What the recipients of a message have had.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Results {
    /// Recipients that were refused, each with its [`Report::weight`].
    pub refused: f32,
    /// Recipients that were delivered.
    pub delivered: u32,
}

/// A message that stops to count as in flight although not all of its results
/// came.
#[derive(Clone, Debug, PartialEq)]
pub struct Landed<T> {
    /// Whose message it is.
    pub owner: T,
    /// Recipients of the message.
    pub of: u32,
    /// What they have had so far.
    pub so_far: Results,
}

impl<T> News<T> {
    /// Whether the message stops to count as in flight with this result.
    pub fn landed(&self) -> bool {
        self.last && self.on_time
    }
}

/// Hashes of the recipients of a message. Beyond 16 they take an allocation.
pub type Recipients = SmallVec<[u64; 16]>;

/// A message that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted<T> {
    /// Its queue id.
    pub queue_id: QueueId,
    /// Whose it is.
    pub owner: T,
    /// Keyed hashes of its recipients, in any order (fewer than `count` where not
    /// all are known; one that stands twice is one recipient).
    pub recipients: Recipients,
    /// How many recipients it has. Without any it is over at once.
    pub count: u32,
    /// When it was accepted.
    pub at: Timestamp,
}

/// The messages, each with its owner.
#[derive(Debug)]
pub struct Pending<T> {
    /// Postfix of this host makes the queue ids: a quick hash will do.
    slots: DashMap<QueueId, Slot<T>, RandomState>,
    intake: Intake<Accepted<T>, Order>,
    limits: Limits,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self::with_limits(Limits::default())
    }
}

impl<T> Pending<T> {
    fn with_limits(limits: Limits) -> Self {
        let slots = DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS);
        Self { slots, intake: Intake::default(), limits }
    }

    /// How many messages have a slot.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no message has a slot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        self.intake.as_it_is()
    }
}

impl<T: Clone + Sharer> Pending<T> {
    /// A message was accepted. It has its slot after the next [`Pending::take_in`].
    /// Gives the owners, once for each message, whose message stops to count as in
    /// flight: this one, where it can't be waited for, or what it displaced (rarely:
    /// see [`Intake::leave`]).
    #[must_use = "their messages no longer count as in flight"]
    pub fn leave(&self, accepted: Accepted<T>) -> Vec<T> {
        let mut landed = Vec::new();
        let take = |order: &mut Order, accepted| self.accept(order, accepted, &mut landed);
        if let Some(given_back) = self.intake.leave(accepted, take) {
            landed.push(given_back.owner);
        }
        landed
    }

    /// Gives their slots to all messages that were left until now. Gives the owners,
    /// once for each message, whose message stops to count as in flight because it
    /// made room, had the same queue id, or has no recipients.
    #[must_use = "their messages no longer count as in flight"]
    pub fn take_in(&self) -> Vec<T> {
        let mut landed = Vec::new();
        drop(self.intake.look(|order, accepted| self.accept(order, accepted, &mut landed)));
        landed
    }

    fn accept(&self, order: &mut Order, accepted: Accepted<T>, landed: &mut Vec<T>) {
        let Accepted { queue_id, owner, recipients, count, at } = accepted;
        let share = owner.share();
        let Some(slot) = Slot::new(owner.clone(), recipients, count, at) else {
            landed.push(owner);
            return;
        };
        if let Some(old) = self.insert(order, queue_id, share, slot) {
            landed.extend(old.in_flight.then_some(old.owner));
        }
        while let Some((number, place)) = order.pop_over(share, &self.limits) {
            landed.extend(self.take(number, &place).and_then(Slot::flying));
        }
    }

    /// Gives the slot that had the same queue id.
    fn insert(
        &self,
        order: &mut Order,
        queue_id: QueueId,
        share: u64,
        mut slot: Slot<T>,
    ) -> Option<Slot<T>> {
        let (accepted, recipients, in_flight) = (slot.accepted, slot.of, slot.in_flight);
        let place = Place { queue_id: queue_id.clone(), accepted, recipients, share };
        slot.number = order.next();
        let number = slot.number;
        let old = self.slots.insert(queue_id, slot);
        if let Some(old) = &old {
            order.remove(old.number);
        }
        order.push(number, place, in_flight);
        old
    }

    /// Whose message has this queue id, of those that have slots.
    pub fn owner(&self, queue_id: &str) -> Option<T> {
        self.slots.get(queue_id.as_bytes()).map(|slot| slot.owner.clone())
    }

    /// Whether the message `queue_id` was accepted for this recipient, a hash as
    /// in [`Pending::accept`] (or had a result of it, where it was not).
    pub fn lists(&self, queue_id: &str, recipient: u64) -> bool {
        self.slots.get(queue_id.as_bytes()).is_some_and(|slot| slot.lists(recipient))
    }

    /// A result of the message `queue_id`.
    pub fn result(&self, queue_id: &str, report: &Report, now: Timestamp) -> Heard<T> {
        let Some(mut slot) = self.slots.get_mut(queue_id.as_bytes()) else {
            return Heard::Unknown;
        };
        if now.since(slot.accepted) >= KEPT || slot.is_younger_than(report.logged) {
            return Heard::Unknown;
        }
        let Some(news) = slot.hear(report) else {
            return Heard::Nothing;
        };
        let (number, is_over) = (slot.number, slot.is_over());
        drop(slot);
        if is_over {
            let mut order = self.lock();
            order.remove(number);
            self.slots.remove_if(queue_id.as_bytes(), |_, slot| slot.number == number);
        }
        Heard::News(news)
    }

    /// The queue file of `queue_id` is gone: nothing more will be told of it, and
    /// its id is free. `logged` as in [`Report`]: a message that was accepted since
    /// is another one. Gives the message if it counted as in flight until now.
    #[must_use = "it no longer counts as in flight"]
    pub fn forget(&self, queue_id: &str, logged: Option<Timestamp>) -> Option<Landed<T>> {
        let mut order = self.lock();
        let is_meant = |_: &QueueId, slot: &Slot<T>| !slot.is_younger_than(logged);
        let (_, mut slot) = self.slots.remove_if(queue_id.as_bytes(), is_meant)?;
        order.remove(slot.number);
        slot.land()
    }

    /// Ends what is over at `now`. Gives the messages, each once, that count as
    /// in flight no longer because ten minutes are over. To be called every few
    /// seconds.
    #[must_use = "their messages no longer count as in flight"]
    pub fn expire(&self, now: Timestamp) -> Vec<Landed<T>> {
        let mut landed = Vec::new();
        self.in_batches(|order| {
            let place = order.pop_in_flight(|place| now.since(place.accepted) >= IN_FLIGHT)?;
            if let Some(mut slot) = self.slots.get_mut(&place) {
                landed.extend(slot.land());
            }
            Some(())
        });
        self.in_batches(|order| {
            let (number, place) = order.pop_late(|place| now.since(place.accepted) >= KEPT)?;
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
        let end = self.lock().end();
        self.in_batches(|order| {
            let (number, place) = order.pop_before(end)?;
            landed.extend(self.take(number, &place).and_then(Slot::flying));
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

    /// Removes a slot that has left the order.
    fn take(&self, number: u64, place: &Place) -> Option<Slot<T>> {
        let same = |_: &QueueId, slot: &Slot<T>| slot.number == number;
        self.slots.remove_if(&place.queue_id, same).map(|(_, slot)| slot)
    }
}
