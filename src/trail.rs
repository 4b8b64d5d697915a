//! How the queue files of one host hang together: a message that a content
//! filter hands back, or that an alias sends on, gets a second queue id.
//!
//!   client -> Q1 -> filter -> Q2 -> recipients' servers
//!
//! The results of Q2 are those of the message that the client gave: Q1 is its
//! **root**. Two things in the log tie them, either is enough:
//!
//! - Q2 came with the queue id that it had before (`orig_queue_id=`, XFORWARD,
//!   which Postfix takes from hosts that it trusts only; `orig_id=`, where an
//!   operator put Q1 through the queue once more);
//! - Q1 was sent with a reply `queued as Q2`. Anybody on the internet can reply
//!   so. It counts only if Q2 came after Q1, is nobody's yet, and came from the
//!   very address to which Q1 was sent; or if that address is a loopback one.
//!   (Who knows which messages passed as those of clients does not ask here where
//!   a remote host claims one of them.)
//!
//! A filter that passes on the queue id need not say `queued as`: where Q2 came
//! back from the address that Q1 was sent to, the filter's yes is no result.
//!
//! Postfix logs the results of Q2 often before the reply that ties it to Q1, so
//! whoever reads the log keeps results of files that nobody knows for a while.
//!
//! What an alias or a `.forward` sends on (`forwarded as Q3`) has no root but
//! itself: the client did not choose those recipients.
//!
//! A queue id is free again once its file is removed, and a new message may get
//! it. Removed files are remembered for ten minutes, for lines that come late. At
//! most [`MOST_FILES`] are; the oldest make room, and their results belong to
//! nobody then.

use crate::{
    arrivals::{Arrivals, At},
    connector::fold_address,
    maillog,
    maillog::Attempt,
    timestamp::Timestamp,
};
use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};
use std::{hash::BuildHasher, mem, net::IpAddr, sync::Arc, time::Duration};

/// Queue files that are remembered.
pub const MOST_FILES: usize = 200_000;
/// How long a removed one is.
const AFTER_REMOVAL: Duration = Duration::from_secs(600);
/// Hops that are followed: more than any mail system has.
const MOST_HOPS: usize = 16;

/// The queue files of a log.
#[derive(Debug)]
pub struct Trail {
    /// Where the file is that has a queue id now. A table of nothing but places stays
    /// small where it doubles.
    places: HashTable<At>,
    /// Postfix of this host made the queue ids, so a quick hash will do: they are asked
    /// for six times a message.
    hasher: RandomState,
    files: Arrivals<Stage, File>,
    next: u64,
    most: usize,
}

/// Files of which, in the order of their coming and of their going.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Stage {
    There,
    Gone,
}

#[derive(Debug)]
struct File {
    queue_id: Arc<str>,
    /// The how manieth it is: a queue id can come again.
    number: u64,
    /// Who gave it to smtpd.
    client: Option<IpAddr>,
    /// An alias made it.
    expansion: bool,
    removed: Option<Timestamp>,
    /// How it hangs together with others. Most don't.
    ties: Option<Box<Ties>>,
}

#[derive(Debug, Default)]
struct Ties {
    /// What it was before a content filter: queue id and number.
    parent: Option<(Arc<str>, u64)>,
    /// Files that were made of it and are not removed.
    children: u32,
    /// From where the last of them came.
    back_from: Option<IpAddr>,
}

/// What an attempt to deliver is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// It tells what became of a recipient of the message `root`: the queue id
    /// under which the client's message was accepted, or the attempt's own where
    /// nothing else is known.
    Result {
        /// That queue id.
        root: Arc<str>,
    },
    /// A content filter took it and handed it back as `next`, whose results are
    /// those of this message; nothing where the reply does not say it, or the log
    /// has not shown it.
    HandedOn {
        /// The queue id under which it came back.
        next: Option<Arc<str>>,
    },
    /// An alias or a `.forward` of this host sent it on as `next`: whom that goes
    /// to, the client did not choose.
    Expanded {
        /// The queue id of what was sent on.
        next: Arc<str>,
    },
}

impl Default for Trail {
    fn default() -> Self {
        Self::with_room_for(MOST_FILES)
    }
}

impl Trail {
    /// A trail of at most so many files.
    pub fn with_room_for(most: usize) -> Self {
        let (places, hasher, files) =
            (HashTable::new(), RandomState::default(), Arrivals::default());
        Self { places, hasher, files, next: 0, most: most.max(1) }
    }

    /// A message came in: from a client at `client`, or from nobody with an
    /// address; `original` is the queue id that it had before a content filter,
    /// where that is logged (XFORWARD), or that it had until it was requeued. Gives
    /// the queue id to keep.
    pub fn came(
        &mut self,
        queue_id: &str,
        client: Option<IpAddr>,
        original: Option<&str>,
        at: Timestamp,
    ) -> Arc<str> {
        self.make_room(at);
        let queue_id = self.put(queue_id, client.map(fold_address), false);
        if let Some(original) = original {
            self.tie(&queue_id, original);
        }
        queue_id
    }

    /// An attempt to deliver was logged.
    pub fn attempt(&mut self, attempt: &Attempt<'_>) -> Step {
        if let Some(next) = attempt.forwarded_as() {
            let next = self.expand(next);
            return Step::Expanded { next };
        }
        let root = || Step::Result { root: self.root(attempt.queue_id) };
        if attempt.status != maillog::Status::Sent {
            return root();
        }
        let relay = attempt.relay.and_then(|relay| relay.address).map(fold_address);
        let Some(relay) = relay else {
            return root();
        };
        let Some(next) = attempt.queued_as() else {
            // A filter that passes on the queue id need not tell the new one.
            return match self.file(attempt.queue_id).and_then(File::back_from) {
                Some(from) if from == relay => Step::HandedOn { next: None },
                _ => root(),
            };
        };
        match self.file(next) {
            Some(file) if self.came_back(attempt.queue_id, file, relay) => {
                let next = Arc::clone(&file.queue_id);
                let parent = file.parent().map(|(parent, _)| &**parent);
                let is_tied = parent == Some(attempt.queue_id);
                let tied = is_tied || self.tie(&next, attempt.queue_id);
                Step::HandedOn { next: tied.then_some(next) }
            }
            // Only what runs on this host is believed to have handed it on.
            _ if relay.is_loopback() => Step::HandedOn { next: None },
            _ => root(),
        }
    }

    /// Under which queue id the client's message was accepted of which `queue_id`
    /// is the latest form.
    pub fn root(&self, queue_id: &str) -> Arc<str> {
        let Some(mut file) = self.file(queue_id) else {
            return queue_id.into();
        };
        for _ in 0..MOST_HOPS {
            let Some((parent, number)) = file.parent() else { break };
            match self.file(parent) {
                Some(above) if above.number == *number => file = above,
                Some(_) => break,
                // It is forgotten, and nobody else got its queue id since.
                None => return Arc::clone(parent),
            }
        }
        Arc::clone(&file.queue_id)
    }

    /// Whether this file is not the client's own: a filter handed it back, or an
    /// alias sent it on.
    pub fn is_derived(&self, queue_id: &str) -> bool {
        self.file(queue_id).is_some_and(|file| file.expansion || file.parent().is_some())
    }

    /// Whether this file is known to be gone.
    pub fn is_removed(&self, queue_id: &str) -> bool {
        self.file(queue_id).is_some_and(|file| file.removed.is_some())
    }

    /// A queue file is gone. Gives the root when nothing of its message is left.
    pub fn removed(&mut self, queue_id: &str, at: Timestamp) -> Option<Arc<str>> {
        self.make_room(at);
        let Some(place) = self.place(queue_id) else {
            return Some(queue_id.into());
        };
        let file = self.files.get_mut(place)?;
        if file.removed.is_some() {
            return None;
        }
        file.removed = Some(at);
        let mut over = Arc::clone(&file.queue_id);
        self.files.regroup(place, Stage::Gone);
        for _ in 0..MOST_HOPS {
            let file = self.file(&over)?;
            if !file.is_over() {
                return None;
            }
            let Some((parent, number)) = file.parent().cloned() else { break };
            let above = self.file_mut(&parent).filter(|above| above.number == number)?;
            let ties = above.ties();
            ties.children = ties.children.saturating_sub(1);
            over = parent;
        }
        Some(over)
    }

    /// Queue files that are remembered.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `file` may be what became of `before`, which went to `relay`.
    fn came_back(&self, before: &str, file: &File, relay: IpAddr) -> bool {
        let after = self.file(before).is_none_or(|before| before.number < file.number);
        after && !file.expansion && (relay.is_loopback() || file.client == Some(relay))
    }

    /// Makes `next` what became of `before`; says whether it could.
    fn tie(&mut self, next: &str, before: &str) -> bool {
        let Some(above) = self.file(before) else {
            return false;
        };
        let (before, number) = (Arc::clone(&above.queue_id), above.number);
        let Some(file) = self.file_mut(next) else {
            return false;
        };
        if file.parent().is_some() || file.expansion || *before == *next {
            return false;
        }
        file.ties().parent = Some((Arc::clone(&before), number));
        let (client, is_over) = (file.client, file.is_over());
        if let Some(above) = self.file_mut(&before) {
            let ties = above.ties();
            ties.back_from = client;
            ties.children += u32::from(!is_over);
        }
        true
    }

    /// An alias made `next`.
    fn expand(&mut self, next: &str) -> Arc<str> {
        match self.file_mut(next) {
            Some(file) => {
                file.expansion |= file.parent().is_none();
                Arc::clone(&file.queue_id)
            }
            None => self.put(next, None, true),
        }
    }

    fn put(&mut self, queue_id: &str, client: Option<IpAddr>, expansion: bool) -> Arc<str> {
        let number = self.next;
        self.next += 1;
        let queue_id: Arc<str> = queue_id.into();
        let file = File {
            queue_id: Arc::clone(&queue_id),
            number,
            client,
            expansion,
            removed: None,
            ties: None,
        };
        let place = self.files.push(Stage::There, file);
        match self.entry(&queue_id) {
            Entry::Occupied(mut before) => {
                let before = mem::replace(before.get_mut(), place);
                self.files.remove(before);
            }
            Entry::Vacant(entry) => {
                entry.insert(place);
            }
        }
        queue_id
    }

    /// Forgets what is long gone, and the oldest where there are too many.
    fn make_room(&mut self, now: Timestamp) {
        while let Some(place) = self.files.oldest_of(&Stage::Gone, 1)
            && let Some(File { removed: Some(at), .. }) = self.files.get(place)
            && now.since(*at) >= AFTER_REMOVAL
        {
            self.forget(place);
        }
        while let Some(place) = self.files.oldest()
            && self.files.len() >= self.most
        {
            self.forget(place);
        }
    }

    fn forget(&mut self, at: At) {
        let Some(file) = self.files.get(at) else { return };
        let queue_id = Arc::clone(&file.queue_id);
        if let Entry::Occupied(place) = self.entry(&queue_id) {
            place.remove();
        }
        self.files.remove(at);
    }

    fn file(&self, queue_id: &str) -> Option<&File> {
        self.files.get(self.place(queue_id)?)
    }

    fn file_mut(&mut self, queue_id: &str) -> Option<&mut File> {
        self.files.get_mut(self.place(queue_id)?)
    }

    /// Where the file is that has this queue id.
    fn place(&self, queue_id: &str) -> Option<At> {
        let is_it = |at: &At| self.files.get(*at).is_some_and(|file| *file.queue_id == *queue_id);
        self.places.find(self.hasher.hash_one(queue_id), is_it).copied()
    }

    /// The same, to be changed.
    fn entry(&mut self, queue_id: &str) -> Entry<'_, At> {
        let Self { places, hasher, files, .. } = self;
        let queue_id_at = |at: &At| files.get(*at).map(|file| &*file.queue_id);
        places.entry(
            hasher.hash_one(queue_id),
            |at| queue_id_at(at) == Some(queue_id),
            |at| hasher.hash_one(queue_id_at(at).unwrap_or_default()),
        )
    }
}

impl File {
    fn parent(&self) -> Option<&(Arc<str>, u64)> {
        self.ties.as_ref()?.parent.as_ref()
    }

    fn back_from(&self) -> Option<IpAddr> {
        self.ties.as_ref()?.back_from
    }

    fn ties(&mut self) -> &mut Ties {
        self.ties.get_or_insert_default()
    }

    /// It is removed, and so is all that was made of it.
    fn is_over(&self) -> bool {
        self.removed.is_some() && self.ties.as_ref().is_none_or(|ties| ties.children == 0)
    }
}

#[cfg(test)]
mod tests;
