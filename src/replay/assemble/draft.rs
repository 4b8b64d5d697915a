//! A message that is being put together: what is known of one queue file.

use crate::{
    maillog::Attempt,
    replay::mail::{End, Recipient, Who},
    timestamp::Timestamp,
};
use foldhash::quality::RandomState;
use smallvec::SmallVec;
use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

/// Recipients of one message that are held.
const MOST_RECIPIENTS: usize = 50_000;

/// A queue file, and its message as far as it is known.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) host: Arc<str>,
    /// Place of that host.
    pub(super) host_at: usize,
    pub(super) queue_id: Arc<str>,
    pub(super) service: Arc<str>,
    pub(super) who: Arc<Who>,
    pub(super) begun: Timestamp,
    /// When it came to its end.
    pub(super) at: Option<Timestamp>,
    pub(super) end: End,
    pub(super) from: Box<str>,
    pub(super) given_from: Option<Box<str>>,
    pub(super) message_id: Option<Box<str>>,
    pub(super) header_from: Vec<String>,
    pub(super) size: Option<u64>,
    pub(super) nrcpt: Option<u32>,
    pub(super) unknown: Vec<Box<str>>,
    pub(super) attempts: Vec<Box<str>>,
    pub(super) recipients: Vec<Heard>,
    /// Hashes of the addresses that deliveries were tried to, each with the one that
    /// the client gave (qmgr counts such pairs), and of the latter alone.
    delivered: Seen,
    given: Seen,
    /// The file that a content filter made this one of, and those that it made of
    /// this one.
    pub(super) parent: Option<u64>,
    pub(super) children: Vec<u64>,
    /// No client's mail: an alias sent it on, or Postfix refused it, or it probes.
    pub(super) is_nobodys: bool,
    /// It has left.
    pub(super) is_released: bool,
    /// Its queue file is gone: as logged, and when that was told in turn.
    pub(super) is_removed: bool,
    pub(super) is_gone: bool,
}

/// A recipient that was heard of.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) address: Box<str>,
    pub(super) transport: Option<Arc<str>>,
    /// A content filter took it: what delivers it stands in the next file.
    pub(super) handed_on: bool,
}

impl Heard {
    /// The same, of a message that no content filter took.
    pub(super) fn into_recipient(self) -> Recipient {
        let transport = self.transport.filter(|_| !self.handed_on);
        Recipient { address: self.address, transport }
    }
}

/// A set of hashes that is small nearly always.
#[derive(Debug, Default)]
struct Seen {
    few: SmallVec<[u64; 2]>,
    many: Option<HashSet<u64>>,
}

impl Seen {
    const FEW: usize = 16;

    /// Whether it is new.
    fn insert(&mut self, hash: u64) -> bool {
        if self.few.contains(&hash) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(hash);
            return true;
        }
        self.many.get_or_insert_default().insert(hash)
    }

    fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, HashSet::len)
    }
}

thread_local! {
    /// The key of the hashes in drafts, which never leave this process.
    static HASHER: RandomState = RandomState::default();
}

pub(super) fn hash(what: &(impl Hash + ?Sized)) -> u64 {
    HASHER.with(|hasher| hasher.hash_one(what))
}

impl Draft {
    pub(super) fn new(
        (host, host_at): (Arc<str>, usize),
        queue_id: Arc<str>,
        service: Arc<str>,
        who: Arc<Who>,
        begun: Timestamp,
    ) -> Self {
        Self {
            host,
            host_at,
            queue_id,
            service,
            who,
            begun,
            at: None,
            end: End::Queued,
            from: Box::default(),
            given_from: None,
            message_id: None,
            header_from: Vec::new(),
            size: None,
            nrcpt: None,
            unknown: Vec::new(),
            attempts: Vec::new(),
            recipients: Vec::new(),
            delivered: Seen::default(),
            given: Seen::default(),
            parent: None,
            children: Vec::new(),
            is_nobodys: false,
            is_released: false,
            is_removed: false,
            is_gone: false,
        }
    }

    /// An attempt to deliver was logged.
    pub(super) fn hear(
        &mut self,
        attempt: &Attempt<'_>,
        transport: Option<Arc<str>>,
        handed_on: bool,
    ) {
        if self.is_released || self.recipients.len() >= MOST_RECIPIENTS {
            return;
        }
        self.delivered.insert(hash(&(attempt.to, attempt.original_to)));
        let address = attempt.original_to.unwrap_or(attempt.to);
        if self.given.insert(hash(address)) {
            self.recipients.push(Heard { address: address.into(), transport, handed_on });
        }
    }

    /// A recipient that another line names.
    pub(super) fn add(&mut self, address: Option<&str>) {
        if let Some(address) = address
            && !self.is_released
            && self.given.insert(hash(address))
        {
            let heard = Heard { address: address.into(), transport: None, handed_on: false };
            self.recipients.push(heard);
        }
    }

    /// Whether each recipient of this file was heard of.
    pub(super) fn heard_all(&self) -> bool {
        let all = self.nrcpt.and_then(|nrcpt| usize::try_from(nrcpt).ok());
        self.end == End::Refused
            || self.is_removed
            || all.is_some_and(|all| self.delivered.len() >= all)
    }

    /// Gives back what is needed no more once it has left.
    pub(super) fn shrink(&mut self) {
        self.is_released = true;
        self.recipients = Vec::new();
        self.unknown = Vec::new();
        self.attempts = Vec::new();
        self.header_from = Vec::new();
        self.delivered = Seen::default();
        self.given = Seen::default();
        self.message_id = None;
        self.given_from = None;
    }
}

impl Draft {
    /// Whether it is a message that its client gave.
    pub(super) fn is_clients(&self) -> bool {
        self.parent.is_none() && !self.is_nobodys
    }
}
