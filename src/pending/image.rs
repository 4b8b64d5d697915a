//! What is kept of the messages across a restart.

use super::{
    KEPT, Pending, Results, Sharer,
    slot::{FLAGS, Slot},
};
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// One message as it is kept across a restart.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Image<T> {
    /// Its queue id.
    pub queue_id: String,
    /// Whose it is.
    pub owner: T,
    /// Whether it counts as in flight.
    pub in_flight: bool,
    /// Milliseconds since 1970.
    accepted: u64,
    of: u32,
    open: u32,
    recipients: Vec<u64>,
    so_far: Results,
}

impl<T> Image<T> {
    /// The same with another form of the owner, if there is one.
    pub fn with_owner<U>(self, owner: impl FnOnce(T) -> Option<U>) -> Option<Image<U>> {
        let Self { queue_id, owner: old, in_flight, accepted, of, open, recipients, so_far } = self;
        let owner = owner(old)?;
        Some(Image { queue_id, owner, in_flight, accepted, of, open, recipients, so_far })
    }

    fn is_sound(&self) -> bool {
        let refused = self.so_far.refused;
        self.of > 0 && self.open <= self.of && refused.is_finite() && refused >= 0.0
    }
}

impl<T: Clone + Sharer> Pending<T> {
    /// The first message from `number` on, in the order of acceptance, and its
    /// number. So all are seen, one at a time, by whoever does not hold up the
    /// others; one that came or went meanwhile may be among them or not.
    pub fn image_from(&self, number: u64) -> Option<(u64, Image<T>)> {
        let mut number = number;
        loop {
            // The lock must not be held any longer.
            let found = self.lock().first_from(number);
            let (found, queue_id) = found?;
            let slot = self.slots.get(&queue_id).filter(|slot| slot.number == found);
            if let Some(slot) = slot {
                let image = Image {
                    queue_id: queue_id.as_str().to_owned(),
                    owner: slot.owner.clone(),
                    in_flight: slot.in_flight,
                    accepted: slot.accepted.as_millis(),
                    of: slot.of,
                    open: slot.open,
                    recipients: slot.recipients.to_vec(),
                    so_far: slot.so_far,
                };
                return Some((found, image));
            }
            number = found + 1;
        }
    }

    /// The number behind that of the last message.
    pub fn end(&self) -> u64 {
        self.lock().end()
    }

    /// Takes a message back, in the order in which they were given; says whether
    /// it did. Not one that is too old, that does not fit, or whose queue id or
    /// room is taken.
    pub fn restore(&self, image: Image<T>, now: Timestamp) -> bool {
        // Never later than now, wherever the clock was: others wait behind it.
        let accepted = Timestamp::from_millis(image.accepted).min(now);
        if !image.is_sound() || now.since(accepted) >= KEPT {
            return false;
        }
        let Image { queue_id, owner, in_flight, of, open, mut recipients, so_far, .. } = image;
        recipients.sort_unstable();
        let share = owner.share();
        let undecided = recipients.iter().filter(|hash| *hash & FLAGS != FLAGS).count();
        let recipients = recipients.into();
        let slot =
            Slot { owner, number: 0, accepted, in_flight, of, open, undecided, recipients, so_far };
        let mut order = self.lock();
        let has_room = order.has_room(of, &self.limits);
        if slot.is_over() || !has_room || self.slots.contains_key(queue_id.as_bytes()) {
            return false;
        }
        self.insert(&mut order, queue_id.as_str().into(), share, slot);
        true
    }
}
