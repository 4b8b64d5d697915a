//! All drafts: how they hang together, when one is whole, and when it goes.

use super::{
    Map,
    draft::{Draft, Heard, hash},
};
use crate::{
    replay::mail::{Mail, Recipient},
    timestamp::Timestamp,
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Hops through filters that are followed.
const MOST_HOPS: usize = 16;
/// How long a message may take from its first recipient to the queue.
const UNFINISHED: Duration = Duration::from_secs(2 * 3600);
/// Queue files that are held at once.
const MOST_DRAFTS: usize = 100_000;

/// All drafts by their numbers.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    drafts: Map<u64, Draft>,
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

    /// Places in the order of their coming, with those of drafts that are gone.
    pub(super) fn places(&self) -> usize {
        self.fresh.len() + self.queued.len()
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
        let handed_on = (!draft.children.is_empty()).then(|| self.recipients(draft));
        let draft = self.drafts.get_mut(&number)?;
        let recipients = handed_on.unwrap_or_else(|| {
            std::mem::take(&mut draft.recipients).into_iter().map(Heard::into_recipient).collect()
        });
        let mail = Mail {
            at,
            begun: draft.begun.min(at),
            host: Arc::clone(&draft.host),
            queue_id: Arc::clone(&draft.queue_id),
            service: Arc::clone(&draft.service),
            who: Arc::clone(&draft.who),
            // qmgr may never have seen it.
            from: match draft.nrcpt {
                Some(_) => std::mem::take(&mut draft.from),
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
    pub(super) fn take_lost(&mut self) -> impl Iterator<Item = (usize, Arc<str>, u64)> {
        self.lost.drain(..)
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
        // Behind one that stays, those that went would pile up.
        let drafts = &self.drafts;
        for numbers in [&mut self.fresh, &mut self.queued] {
            if numbers.len() > 2 * drafts.len() + 64 {
                numbers.retain(|number| drafts.contains_key(number));
            }
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
