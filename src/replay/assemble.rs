//! Lines into messages, results and abandoned transactions, in the order of
//! their time.
//!
//! Where a message goes, and to whom, is known only from later lines: a message
//! waits until each of its recipients was heard of, behind content filters too,
//! or until five minutes of log time are over. Everything younger waits behind
//! it, so that what leaves is in order. Nothing leaves before a minute is over:
//! what came back from a filter is told from new mail by then.
//!
//!   line -> draft of its message (by host and queue id)
//!        -> event (message | result | abandoned | gone) in a heap by time -> Sink
//!
//! Held are at most 100,000 messages that are still in the queue (the oldest are
//! forgotten, which costs their late results) and 100,000 events (the oldest leave
//! early, which is counted).
//!
//! - A message that came back from a content filter is the same message. Its
//!   transports and results are those of the last hop. Recipients whose way
//!   back the log does not show have an unknown fate.
//! - Reports of bounce(8) and what an alias sends on have no client: they are
//!   nobody's mail.
//! - A recipient that an alias made into others is the one that the client gave
//!   (`orig_to=`). What became of it in another domain says nothing about the
//!   client.

mod draft;
mod drafts;
mod events;
mod hosts;
mod release;
mod result;
mod session;

use super::mail::{End, Sink, Who};
use crate::{
    header::{MAX_ADDRESSES, from_addresses},
    maillog::{Accepted, Decision, Event, Header, Judged, Line, Status},
    timestamp::Timestamp,
    trail::Step,
};
use drafts::Drafts;
use events::{Events, What};
use hosts::{Host, Hosts, Names};
use session::{Session, Transaction};
use std::sync::Arc;

/// What is known by numbers and names of this log. Whoever could choose names so
/// that they collide does not see the key: a quick hash will do, and saved a
/// tenth of all instructions of a replay.
type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// What can't be told from mail itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tidings {
    /// Messages of which not all recipients were heard of in time.
    pub incomplete: u64,
    /// Events that were logged so late that later ones had left already.
    pub late: u64,
    /// Events that left before their time since there were too many.
    pub early: u64,
    /// Messages that were begun and never queued.
    pub unfinished: u64,
    /// Messages whose later results are lost since too many were in the queue.
    pub forgotten: u64,
    /// Lines of more hosts than can be told apart.
    pub crowded: u64,
}

/// See the head of this module.
#[derive(Debug, Default)]
pub struct Assembler {
    hosts: Hosts,
    names: Names,
    drafts: Drafts,
    transactions: Map<u64, Transaction>,
    events: Events,
    providers: result::Providers,
    tidings: Tidings,
}

/// Where a line was logged.
struct Place<'a> {
    host: usize,
    at: Timestamp,
    line: &'a Line<'a>,
}

impl Assembler {
    /// Takes a line. To be called in the order of their time, as far as that can
    /// be had.
    pub fn take(&mut self, at: Timestamp, line: &Line<'_>, sink: &mut dyn Sink) {
        let (host, crowded) = self.hosts.of(line.host, &mut self.names);
        self.tidings.crowded += u64::from(crowded);
        self.events.note(at);
        // What is due leaves as it was known before this line.
        self.release_due(sink);
        self.note(&Place { host, at, line });
        self.tidings.unfinished += self.drafts.forget_unfinished(at);
        self.tidings.forgotten += self.drafts.forget_oldest();
    }

    /// There are no more lines.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        self.release_all(sink);
    }

    /// What can't be told from mail itself.
    pub fn tidings(&self) -> Tidings {
        Tidings { late: self.events.late(), ..self.tidings }
    }

    /// What is held: messages, events, sessions, queue ids, and the order of the
    /// messages. For tests of its bounds.
    pub fn held(&self) -> [usize; 5] {
        let sessions = self.hosts.all().map(|host| host.sessions.len()).sum();
        let files = self.hosts.all().map(|host| host.files.len()).sum();
        [self.drafts.len(), self.events.len(), sessions, files, self.drafts.places()]
    }

    fn note(&mut self, place: &Place<'_>) {
        match &place.line.event {
            Event::Connected(peer) => {
                self.end_session(place);
                if let Some((key, host)) = self.session_key(place) {
                    host.sessions.insert(key, Session::of(peer));
                }
            }
            Event::Disconnected(_) => self.end_session(place),
            Event::Certificate(shown) => self.session(place, &shown.client).show(shown),
            Event::Encrypted { client, trusted } => {
                self.session(place, client).trust(*trusted);
            }
            Event::Accepted(accepted) => self.accepted(place, accepted),
            Event::Submitted { queue_id, uid, from, original } => {
                let who = Who { local: Some(*uid), ..Who::default() };
                let kept = self.come(place, queue_id, None, *original);
                let mut draft = self.draft(place, kept, Arc::new(who));
                draft.given_from = Some((*from).into());
                // Put through the queue once more: the client's, or nobody's.
                draft.is_nobodys = original.is_some();
                let number = self.keep(place, draft);
                self.tie_to_root(place, queue_id, number);
            }
            Event::MessageId { queue_id, id } => {
                if let Some(draft) = self.open_draft(place, queue_id) {
                    draft.message_id.get_or_insert_with(|| (*id).into());
                }
            }
            Event::Header(header) => self.header(place, header),
            Event::Queued { queue_id, from, size, nrcpt } => {
                if let Some(draft) = self.open_draft(place, queue_id) {
                    draft.from = (*from).into();
                    draft.size = Some(*size);
                    draft.nrcpt = Some(draft.nrcpt.unwrap_or(0).max(*nrcpt));
                }
                self.ended(place, queue_id, End::Queued);
            }
            Event::Delivery(_) => self.delivery(place),
            Event::Removed { queue_id } => self.removed(place, queue_id),
            Event::Verdict(judged) => self.verdict(place, judged),
            // Every recipient was told of before; reports are nobody's mail.
            Event::Expired { .. } | Event::Reported { .. } => {}
        }
    }

    /// smtpd gave a transaction its queue id.
    fn accepted(&mut self, place: &Place<'_>, accepted: &Accepted<'_>) {
        let queue_id = accepted.queue_id;
        let (client, original) = (accepted.client.address, accepted.original_queue_id);
        let kept = self.come(place, queue_id, client, original);
        let session = self.session(place, &accepted.client);
        let who = session.who(accepted);
        let transaction = session.transaction.take();
        let mut draft = self.draft(place, kept, who);
        // Its first recipients were refused before it had a queue id.
        if let Some(before) = transaction.and_then(|number| self.transactions.get_mut(&number)) {
            draft.unknown = std::mem::take(&mut before.unknown);
            draft.attempts = std::mem::take(&mut before.attempts);
            // Its sender may be that of another transaction, given up since.
        }
        let number = self.keep(place, draft);
        let before = self.session(place, &accepted.client).file.replace(number);
        self.given_up(place, before);
        self.tie_to_root(place, queue_id, number);
    }

    /// Makes a draft part of the message that it was before.
    fn tie_to_root(&mut self, place: &Place<'_>, queue_id: &str, number: u64) {
        let Some(host) = self.hosts.get_mut(place.host) else { return };
        if host.trail.is_derived(queue_id)
            && let Some(root) = host.files.get(&host.trail.root(queue_id)).copied()
        {
            self.drafts.tie(number, root);
        }
    }

    fn header(&mut self, place: &Place<'_>, header: &Header<'_>) {
        if !header.name.eq_ignore_ascii_case("From") {
            return;
        }
        if let Some(draft) = self.open_draft(place, header.queue_id) {
            let room = MAX_ADDRESSES.saturating_sub(draft.header_from.len());
            let found = from_addresses(header.value.as_bytes());
            let found = found.addresses().iter().take(room);
            draft.header_from.extend(found.map(|address| address.as_str().to_owned()));
        }
    }

    fn delivery(&mut self, place: &Place<'_>) {
        let Event::Delivery(attempt) = &place.line.event else { return };
        let Some(host) = self.hosts.get_mut(place.host) else { return };
        let step = host.trail.attempt(attempt);
        let Some(number) = host.files.get(attempt.queue_id).copied() else { return };
        let next = match &step {
            Step::HandedOn { next: Some(next) } | Step::Expanded { next } => {
                host.files.get(next).copied()
            }
            _ => None,
        };
        // The line of qmgr was lost, or is late.
        self.ended(place, attempt.queue_id, End::Queued);
        let transport = self.names.transport(place.line.tag.program, attempt);
        let Some(draft) = self.drafts.get_mut(number) else { return };
        draft.hear(attempt, transport, matches!(step, Step::HandedOn { .. }));
        if attempt.status == Status::Probe {
            draft.is_nobodys = true;
            return;
        }
        match (step, next) {
            (Step::HandedOn { .. }, Some(next)) => self.drafts.tie(next, number),
            (Step::HandedOn { .. }, None) => {}
            (Step::Expanded { .. }, next) => {
                if let Some(next) = next.and_then(|next| self.drafts.get_mut(next)) {
                    next.is_nobodys = true;
                }
            }
            (Step::Result { .. }, _) => {
                let answered = result::Answered::of(number, attempt, &mut self.providers);
                self.events.push(place.at, What::Answer(answered));
            }
        }
    }

    fn removed(&mut self, place: &Place<'_>, queue_id: &str) {
        let Some(host) = self.hosts.get_mut(place.host) else { return };
        // The files of one message are counted in the drafts too; this one is for
        // the trail's own order.
        let _ = host.trail.removed(queue_id, place.at);
        let Some(number) = host.files.get(queue_id).copied() else { return };
        if let Some(draft) = self.drafts.get_mut(number)
            && !std::mem::replace(&mut draft.is_removed, true)
        {
            self.events.push(place.at, What::Gone(number));
        }
    }

    fn verdict(&mut self, place: &Place<'_>, judged: &Judged<'_>) {
        let at_recipient = judged.stage == "RCPT";
        let Some(queue_id) = judged.queue_id else {
            if judged.verdict == Decision::Reject && at_recipient {
                self.refused(place, judged);
            }
            return;
        };
        let Some(draft) = self.open_draft(place, queue_id) else { return };
        if draft.given_from.is_none() {
            draft.given_from = judged.from.map(Into::into);
        }
        match judged.verdict {
            Decision::Reject if at_recipient => {
                session::sort(judged, &mut draft.unknown, &mut draft.attempts);
            }
            Decision::Reject if judged.milter && judged.stage == "END-OF-MESSAGE" => {
                draft.add(judged.to);
                self.ended(place, queue_id, End::Refused);
            }
            Decision::Reject => {
                draft.is_nobodys = true;
                self.abandoned(place, queue_id);
            }
            Decision::Hold | Decision::Discard => {
                draft.add(judged.to);
                self.ended(place, queue_id, End::Kept);
            }
            Decision::Warn | Decision::Pass => {}
        }
    }

    /// A recipient was refused before its transaction had a queue id.
    fn refused(&mut self, place: &Place<'_>, judged: &Judged<'_>) {
        let number = self.drafts.next_number();
        let (service, host) = (self.names.of(place.line.tag.syslog_name), self.host_name(place));
        let session = self.session(place, &judged.client);
        session.note_login(judged.login);
        let open = session.transaction;
        let who = session.identity();
        if let Some(transaction) = open.and_then(|open| self.transactions.get_mut(&open))
            && transaction.is_of(judged.from)
        {
            transaction.add(judged);
            return;
        }
        let mut transaction = Transaction::new(place.at, host, service, who, judged.from);
        transaction.add(judged);
        if transaction.is_empty() {
            return;
        }
        self.session(place, &judged.client).transaction = Some(number);
        self.transactions.insert(number, transaction);
        self.events.push(place.at, What::Transaction(number));
    }

    /// A message came to its end; the first time counts.
    fn ended(&mut self, place: &Place<'_>, queue_id: &str, end: End) {
        let Some(number) = self.number(place, queue_id) else { return };
        if let Some(draft) = self.drafts.get_mut(number)
            && draft.at.is_none()
        {
            draft.at = Some(place.at);
            draft.end = end;
            self.events.push(place.at, What::Mail(number));
        }
    }

    /// A transaction with a queue id is over, and was not queued so far.
    fn abandoned(&mut self, place: &Place<'_>, queue_id: &str) {
        if let Some(number) = self.number(place, queue_id) {
            self.events.push(place.at, What::Abandoned(number));
        }
    }

    fn end_session(&mut self, place: &Place<'_>) {
        let Some((key, host)) = self.session_key(place) else { return };
        let Some(session) = host.sessions.remove(&key) else { return };
        self.given_up(place, session.file);
    }

    /// The last transaction of a session is over. Where it was not queued, what was
    /// refused in it is told alone.
    fn given_up(&mut self, place: &Place<'_>, file: Option<u64>) {
        let unfinished = file.and_then(|number| Some((number, self.drafts.get(number)?)));
        if let Some((number, draft)) = unfinished
            && draft.at.is_none()
            && !(draft.unknown.is_empty() && draft.attempts.is_empty())
        {
            self.events.push(place.at, What::Abandoned(number));
        }
    }
}

#[cfg(test)]
mod tests;
