//! What of a connector's mail may still be in the queue of Postfix.
//!
//! Kept from the moment that a message passes, or goes to the hold queue, until
//! the log says `removed`; followed through content filters. Without a log nobody
//! says that, so that who shows them asks Postfix which are really there.
//!
//! Bounded: at most [`MOST`] messages, of which one connector has at most a
//! quarter; the oldest make room, and what is older than [`LONGEST`] goes. (By
//! then Postfix has given up, unless it was put on hold.) Kept in memory only:
//! what passed before a restart is not known.
//!
//! A message leaves what it is behind an [`Intake`] and never waits; whoever asks,
//! or tells of it, sees all that passed before. Where the intake is full a message
//! is not in the list.

use crate::{connector::ConnectorKey, intake::Intake, short::QueueId, timestamp::Timestamp};
use smallvec::{SmallVec, smallvec};
use std::{
    collections::{BTreeMap, HashMap},
    sync::MutexGuard,
    time::Duration,
};

/// Messages that are remembered.
pub const MOST: usize = 100_000;
/// How long one is: a day longer than Postfix keeps trying by default.
pub const LONGEST: Duration = Duration::from_secs(6 * 86_400);
/// Queue ids that a message has at a time: one for each filter that it goes
/// through, until the first of them is removed.
const MOST_IDS: usize = 8;
/// Times in logs may be whole seconds.
const ROUNDED: Duration = Duration::from_secs(2);
/// The longest queue id, in octets; those of Postfix have 20 at the most.
const LONGEST_ID: usize = 64;

/// A message that may be in the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InQueue {
    /// A queue id that it has now.
    pub queue_id: Box<str>,
    /// When it got it: when it passed, or came back from a content filter.
    pub since: Timestamp,
    /// Connguard put it on hold.
    pub held: bool,
}

/// Messages that may be in the queue.
#[derive(Debug)]
pub struct Queued {
    intake: Intake<Entered, State>,
}

/// What a message leaves.
#[derive(Debug)]
struct Entered {
    queue_id: QueueId,
    key: ConnectorKey,
    sender: u64,
    held: bool,
    now: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    most: usize,
    /// Which message a queue id stands for.
    ids: HashMap<QueueId, u64>,
    /// Messages in the order of their coming.
    messages: BTreeMap<u64, Message>,
    /// Those of each connector, in the same order.
    of: HashMap<ConnectorKey, BTreeMap<u64, u64>>,
    next: u64,
}

#[derive(Debug)]
struct Message {
    /// Its queue ids, in the order in which it got them, and when.
    ids: SmallVec<[(QueueId, Timestamp); 1]>,
    key: ConnectorKey,
    since: Timestamp,
    held: bool,
}

impl Default for Queued {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl Queued {
    /// For at most so many messages.
    pub fn with_room_for(most: usize) -> Self {
        Self { intake: Intake::new(State { most: most.max(4), ..State::default() }) }
    }

    /// A message passed, or went to the hold queue. `sender` is a hash of its
    /// sender.
    pub fn enter(
        &self,
        queue_id: &str,
        key: &ConnectorKey,
        sender: u64,
        held: bool,
        now: Timestamp,
    ) {
        if queue_id.is_empty() || queue_id.len() > LONGEST_ID {
            return;
        }
        let (queue_id, key) = (queue_id.into(), key.clone());
        let entered = Entered { queue_id, key, sender, held, now };
        // What finds no place is not in the list.
        let _ = self.intake.leave(entered, State::enter);
    }

    /// A content filter handed the message back under another queue id. `root` is
    /// any queue id that it has.
    pub fn follow(&self, root: &str, next: &str, now: Timestamp) {
        if root == next || next.is_empty() || next.len() > LONGEST_ID {
            return;
        }
        let mut state = self.lock();
        let Some(number) = state.ids.get(root.as_bytes()).copied() else { return };
        // What passed under that id is another message, or this one.
        if state.ids.contains_key(next.as_bytes()) {
            return;
        }
        let Some(message) = state.messages.get_mut(&number) else { return };
        if message.ids.len() < MOST_IDS {
            message.ids.push((next.into(), now));
            state.ids.insert(next.into(), number);
        }
    }

    /// Postfix logged at this time (or nobody knows when) that it removed the
    /// queue file. The message is gone with its last one.
    pub fn remove(&self, queue_id: &str, logged: Option<Timestamp>) {
        let mut state = self.lock();
        // A late line tells of the one that had this queue id before.
        let is_older = |since| logged.is_some_and(|logged| logged.plus(ROUNDED) < since);
        if !state.since(queue_id).is_some_and(is_older) {
            state.remove(queue_id);
        }
    }

    /// What may be in the queue of this connector, or of one of its senders by the
    /// hash of its address; oldest first.
    pub fn of(&self, key: &ConnectorKey, sender: Option<u64>) -> Vec<InQueue> {
        let state = self.lock();
        let of = state.of.get(key).into_iter().flatten();
        let numbers = of.filter(|(_, of)| sender.is_none_or(|sender| sender == **of));
        let messages = numbers.filter_map(|(number, _)| state.messages.get(number));
        messages
            .flat_map(|message| {
                let held = message.held;
                message.ids.iter().map(move |(queue_id, since)| InQueue {
                    queue_id: queue_id.as_str().into(),
                    since: *since,
                    held,
                })
            })
            .collect()
    }

    /// The connectors that have something there and are meant.
    pub fn keys(&self, is_meant: impl Fn(&ConnectorKey) -> bool) -> Vec<ConnectorKey> {
        self.lock().of.keys().filter(|key| is_meant(key)).cloned().collect()
    }

    /// How many messages are remembered.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.intake.look(State::enter)
    }
}

impl State {
    fn enter(&mut self, entered: Entered) {
        let Entered { queue_id, key, sender, held, now } = entered;
        // A queue id that comes again is another message.
        self.remove(queue_id.as_str());
        let share = self.most / 4;
        while let Some(oldest) = self.oldest_of(&key, share).or_else(|| self.oldest(now)) {
            self.forget(oldest);
        }
        let number = self.next;
        self.next += 1;
        self.ids.insert(queue_id.clone(), number);
        self.of.entry(key.clone()).or_default().insert(number, sender);
        let message = Message { ids: smallvec![(queue_id, now)], key, since: now, held };
        self.messages.insert(number, message);
    }

    fn since(&self, queue_id: &str) -> Option<Timestamp> {
        let message = self.messages.get(self.ids.get(queue_id.as_bytes())?)?;
        message.ids.iter().find(|(id, _)| id.as_str() == queue_id).map(|(_, since)| *since)
    }

    fn remove(&mut self, queue_id: &str) {
        let Some(number) = self.ids.remove(queue_id.as_bytes()) else { return };
        let Some(message) = self.messages.get_mut(&number) else { return };
        message.ids.retain(|(id, _)| id.as_str() != queue_id);
        if message.ids.is_empty() {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(message) = self.messages.remove(&number) else { return };
        for (id, _) in &message.ids {
            self.ids.remove(id);
        }
        if let Some(of) = self.of.get_mut(&message.key) {
            of.remove(&number);
            if of.is_empty() {
                self.of.remove(&message.key);
            }
        }
    }

    /// The oldest of a connector, where it has its share.
    fn oldest_of(&self, key: &ConnectorKey, share: usize) -> Option<u64> {
        let of = self.of.get(key).filter(|of| of.len() >= share)?;
        of.keys().next().copied()
    }

    /// The oldest of all, where it is too old or they are too many.
    fn oldest(&self, now: Timestamp) -> Option<u64> {
        let (number, message) = self.messages.first_key_value()?;
        let goes = self.messages.len() >= self.most || now.since(message.since) >= LONGEST;
        goes.then_some(*number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    fn key(name: &str) -> ConnectorKey {
        ConnectorKey::Named(name.into())
    }

    fn ids(queued: &Queued, name: &str, sender: Option<u64>) -> Vec<String> {
        queued.of(&key(name), sender).iter().map(|one| one.queue_id.to_string()).collect()
    }

    #[test]
    fn a_message_is_there_until_its_last_file_is_removed() {
        let queued = Queued::default();
        queued.enter("A1", &key("erp"), 1, false, at(0));
        queued.enter("B1", &key("erp"), 2, true, at(1));
        queued.enter("C1", &key("crm"), 1, false, at(2));
        assert_eq!(ids(&queued, "erp", None), ["A1", "B1"]);
        assert_eq!(ids(&queued, "erp", Some(2)), ["B1"]);
        assert!(queued.of(&key("erp"), Some(2)).iter().all(|one| one.held && one.since == at(1)));
        // Through a content filter.
        queued.follow("A1", "A2", at(5));
        queued.remove("A1", None);
        assert_eq!(ids(&queued, "erp", None), ["A2", "B1"]);
        queued.follow("A2", "A3", at(5));
        queued.remove("A2", None);
        queued.remove("A3", None);
        queued.remove("nothing", None);
        assert_eq!(ids(&queued, "erp", None), ["B1"]);
        // Nobody takes over the message of another one.
        queued.follow("B1", "C1", at(5));
        assert_eq!(ids(&queued, "crm", None), ["C1"]);
        // A queue id that comes again is another message, and what was logged of
        // the one before does not end it.
        queued.enter("B1", &key("crm"), 3, false, at(13));
        queued.remove("B1", Some(at(2)));
        assert!(ids(&queued, "erp", None).is_empty());
        assert_eq!((ids(&queued, "crm", None).len(), queued.len()), (2, 2));
    }

    #[test]
    fn one_connector_has_a_quarter_and_what_is_old_goes() {
        let queued = Queued::with_room_for(40);
        for n in 0..100 {
            queued.enter(&format!("A{n}"), &key("erp"), 0, false, at(n));
        }
        queued.enter("B", &key("crm"), 0, false, at(100));
        assert_eq!(ids(&queued, "erp", None).len(), 10);
        assert_eq!(ids(&queued, "erp", None).first().unwrap(), "A90");
        for n in 0..100 {
            queued.enter(&format!("C{n}"), &key(&format!("c{n}")), 0, false, at(101 + n));
        }
        assert_eq!(queued.len(), 40);
        queued.enter("D", &key("crm"), 0, false, at(300).plus(LONGEST));
        assert_eq!(queued.len(), 1);
        let state = queued.lock();
        assert_eq!((state.ids.len(), state.of.len()), (1, 1));
    }
}
