//! Messages that are being put together, one for each queue file.

use crate::{
    maillog::Attempt,
    replay::mail::{End, Mail, Recipient, Who},
    timestamp::Timestamp,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// Queue files that are held at once.
const MOST_DRAFTS: usize = 100_000;
/// Recipients of one message that are held.
const MOST_RECIPIENTS: usize = 50_000;
/// How long a message may take from its first recipient to the queue.
const UNFINISHED: Duration = Duration::from_secs(2 * 3600);
/// Hops through filters that are followed.
const MOST_HOPS: usize = 16;

/// A queue file, and its message as far as it is known.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) host: Arc<str>,
    /// Place of that host.
    pub(super) host_at: usize,
    pub(super) queue_id: Arc<str>,
    pub(super) service: Arc<str>,
    pub(super) who: Arc<Who>,
    begun: Timestamp,
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
    recipients: Vec<Heard>,
    /// Hashes of the addresses that deliveries were tried to, and of those that
    /// the client gave for them.
    delivered: Seen,
    given: Seen,
    /// The file that a content filter made this one of, and those that it made of
    /// this one.
    parent: Option<u64>,
    children: Vec<u64>,
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
struct Heard {
    address: Box<str>,
    transport: Option<Arc<str>>,
    /// A content filter took it: what delivers it stands in the next file.
    handed_on: bool,
}

/// A set of hashes that is small nearly always.
#[derive(Debug, Default)]
struct Seen {
    few: Vec<u64>,
    many: HashSet<u64>,
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
        self.many.insert(hash)
    }

    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }
}

thread_local! {
    /// The key of the hashes in drafts, which never leave this process.
    static HASHER: RandomState = RandomState::new();
}

fn hash(text: &str) -> u64 {
    HASHER.with(|hasher| hasher.hash_one(text))
}

impl Draft {
    pub(super) fn new(
        (host, host_at): (Arc<str>, usize),
        queue_id: &str,
        service: Arc<str>,
        who: Arc<Who>,
        begun: Timestamp,
    ) -> Self {
        Self {
            host,
            host_at,
            queue_id: queue_id.into(),
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
        self.delivered.insert(hash(attempt.to));
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
    fn heard_all(&self) -> bool {
        let all = self.nrcpt.and_then(|nrcpt| usize::try_from(nrcpt).ok());
        self.end == End::Refused
            || self.is_removed
            || all.is_some_and(|all| self.delivered.len() >= all)
    }

    /// Gives back what is needed no more once it has left.
    fn shrink(&mut self) {
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

/// All drafts by their numbers.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    drafts: HashMap<u64, Draft>,
    next: u64,
    /// In the order of their coming: those that may still be unfinished, and
    /// those that are in the queue. Some are gone.
    fresh: VecDeque<u64>,
    queued: VecDeque<u64>,
    /// Files that are gone and still known by their queue id: host and id.
    lost: Vec<(usize, Arc<str>, u64)>,
}

impl Drafts {
    pub(super) fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn put(&mut self, draft: Draft) -> u64 {
        let number = self.next_number();
        self.drafts.insert(number, draft);
        self.fresh.push_back(number);
        number
    }

    pub(super) fn len(&self) -> usize {
        self.drafts.len()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Draft> {
        self.drafts.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Draft> {
        self.drafts.get_mut(&number)
    }

    /// A content filter made `next` of `before`.
    pub(super) fn tie(&mut self, next: u64, before: u64) {
        if next == before || self.root(before) == next {
            return;
        }
        let Some(draft) = self.drafts.get_mut(&next) else { return };
        if draft.parent.is_some() {
            return;
        }
        draft.parent = Some(before);
        if let Some(above) = self.drafts.get_mut(&before) {
            above.children.push(next);
        }
    }

    /// The file that the client's message was accepted as.
    pub(super) fn root(&self, number: u64) -> u64 {
        let mut root = number;
        for _ in 0..MOST_HOPS {
            match self.drafts.get(&root).and_then(|draft| draft.parent) {
                Some(parent) => root = parent,
                None => break,
            }
        }
        root
    }

    /// Whether nothing more is to be waited for before this one leaves.
    pub(super) fn is_complete(&self, number: u64) -> bool {
        self.drafts
            .get(&number)
            .is_none_or(|draft| !draft.is_clients() || self.heard_all(draft, MOST_HOPS))
    }

    fn heard_all(&self, draft: &Draft, hops: usize) -> bool {
        let child =
            |number| self.drafts.get(number).is_none_or(|one| self.heard_all(one, hops - 1));
        draft.heard_all() && (hops == 0 || draft.children.iter().all(child))
    }

    /// The message of a file, which leaves with this; nothing where it is no
    /// client's own.
    pub(super) fn release(&mut self, number: u64, at: Timestamp) -> Option<Mail> {
        let is_complete = self.is_complete(number);
        let draft = self.drafts.get(&number).filter(|draft| !draft.is_released)?;
        if !draft.is_clients() {
            // Its root asks for its recipients.
            return None;
        }
        let recipients = self.recipients(draft);
        let draft = self.drafts.get_mut(&number)?;
        let mail = Mail {
            at,
            begun: draft.begun.min(at),
            host: Arc::clone(&draft.host),
            queue_id: Arc::clone(&draft.queue_id),
            service: Arc::clone(&draft.service),
            who: Arc::clone(&draft.who),
            // qmgr may never have seen it.
            from: match draft.nrcpt {
                Some(_) => draft.from.clone(),
                None => draft.given_from.clone().unwrap_or_default(),
            },
            given_from: draft.given_from.take(),
            message_id: draft.message_id.take(),
            header_from: std::mem::take(&mut draft.header_from),
            size: draft.size,
            nrcpt: draft.nrcpt,
            recipients,
            is_complete,
            unknown: std::mem::take(&mut draft.unknown),
            attempts: std::mem::take(&mut draft.attempts),
            end: draft.end,
        };
        draft.shrink();
        let mut children = draft.children.clone();
        while let Some(child) = children.pop() {
            if let Some(draft) = self.drafts.get_mut(&child).filter(|draft| !draft.is_released) {
                draft.shrink();
                children.extend(&draft.children);
            }
        }
        Some(mail)
    }

    /// The recipients of a message with what delivers them behind its filters.
    fn recipients(&self, draft: &Draft) -> Vec<Recipient> {
        let mut behind: HashMap<&str, Option<&Arc<str>>> = HashMap::new();
        let mut below: Vec<u64> = draft.children.clone();
        let mut hops = 0;
        let mut more = Vec::new();
        while let Some(number) = below.pop() {
            hops += 1;
            let Some(child) = self.drafts.get(&number).filter(|_| hops < 1000) else { continue };
            for heard in &child.recipients {
                if !heard.handed_on {
                    behind.insert(&heard.address, heard.transport.as_ref());
                }
                more.push(&heard.address);
            }
            below.extend(&child.children);
        }
        let own = draft.recipients.iter().map(|heard| Recipient {
            address: heard.address.clone(),
            transport: match behind.get(&*heard.address) {
                Some(transport) => transport.cloned(),
                None if heard.handed_on => None,
                None => heard.transport.clone(),
            },
        });
        let mut recipients: Vec<Recipient> = own.collect();
        if !draft.heard_all() {
            // They are known only from behind the filter so far.
            let known: HashSet<u64> = recipients.iter().map(|one| hash(&one.address)).collect();
            let mut seen = known;
            for address in more {
                if seen.insert(hash(address)) {
                    let transport = behind.get(&**address).copied().flatten().cloned();
                    recipients.push(Recipient { address: address.clone(), transport });
                }
            }
        }
        recipients
    }

    /// A file is gone. Gives the root of its message if nothing is left of it, and
    /// forgets all its files.
    pub(super) fn gone(&mut self, number: u64) -> Option<Draft> {
        self.drafts.get_mut(&number)?.is_gone = true;
        let root = self.root(number);
        if !self.is_over(root, MOST_HOPS) {
            return None;
        }
        self.forget(root)
    }

    fn is_over(&self, number: u64, hops: usize) -> bool {
        self.drafts.get(&number).is_none_or(|draft| {
            draft.is_gone
                && (hops == 0 || draft.children.iter().all(|child| self.is_over(*child, hops - 1)))
        })
    }

    /// Forgets a message and what filters made of it.
    fn forget(&mut self, number: u64) -> Option<Draft> {
        let mut draft = self.drafts.remove(&number)?;
        self.lost.push((draft.host_at, Arc::clone(&draft.queue_id), number));
        let mut children = std::mem::take(&mut draft.children);
        while let Some(child) = children.pop() {
            if let Some(draft) = self.drafts.remove(&child) {
                self.lost.push((draft.host_at, draft.queue_id, child));
                children.extend(draft.children);
            }
        }
        Some(draft)
    }

    /// Queue ids that mean nothing any more, with the numbers that they had.
    pub(super) fn take_lost(&mut self) -> Vec<(usize, Arc<str>, u64)> {
        std::mem::take(&mut self.lost)
    }

    /// Forgets what was begun long ago and never queued; says how many.
    pub(super) fn forget_unfinished(&mut self, now: Timestamp) -> u64 {
        let mut forgotten = 0;
        while let Some(number) = self.fresh.front().copied() {
            match self.drafts.get(&number) {
                Some(draft) if draft.at.is_none() && now.since(draft.begun) < UNFINISHED => break,
                Some(draft) if draft.at.is_none() => {
                    forgotten += u64::from(draft.is_clients());
                    self.forget(number);
                }
                Some(_) => self.queued.push_back(number),
                None => {}
            }
            self.fresh.pop_front();
        }
        if self.queued.len() > 2 * self.drafts.len() + 64 {
            let drafts = &self.drafts;
            self.queued.retain(|number| drafts.contains_key(number));
        }
        forgotten
    }

    /// Forgets the oldest where there are too many; says how many.
    pub(super) fn forget_oldest(&mut self) -> u64 {
        let mut forgotten = 0;
        while self.drafts.len() > MOST_DRAFTS {
            let Some(number) = self.queued.pop_front().or_else(|| self.fresh.pop_front()) else {
                break;
            };
            forgotten += u64::from(self.forget(number).is_some());
        }
        forgotten
    }
}

impl Draft {
    /// Whether it is a message that its client gave.
    pub(super) fn is_clients(&self) -> bool {
        self.parent.is_none() && !self.is_nobodys
    }
}
