//! What leaves, and how a line finds its draft.

use super::{
    Assembler, Place,
    draft::Draft,
    events::{Due, What},
};
use crate::{
    replay::mail::{Abandoned, Sink, Who},
    timestamp::Timestamp,
};
use std::{net::IpAddr, sync::Arc};

impl Assembler {
    pub(super) fn release_due(&mut self, sink: &mut dyn Sink) {
        while let Some(due) = self.events.due(|number| self.drafts.is_complete(number)) {
            self.tidings.early += u64::from(due == Due::Crowd);
            self.release(sink);
        }
        self.forget_lost();
    }

    pub(super) fn release_all(&mut self, sink: &mut dyn Sink) {
        while self.events.len() > 0 {
            self.release(sink);
        }
        self.forget_lost();
    }

    fn release(&mut self, sink: &mut dyn Sink) {
        let Some(event) = self.events.pop() else { return };
        let at = event.at;
        match event.what {
            What::Mail(number) => {
                if let Some(mail) = self.drafts.release(number, at) {
                    self.tidings.incomplete += u64::from(!mail.is_complete);
                    sink.mail(&mail);
                }
            }
            What::Abandoned(number) => self.release_abandoned(number, at, sink),
            What::Transaction(number) => {
                let transaction = self.transactions.remove(&number);
                if let Some(transaction) = transaction.filter(|one| !one.is_empty()) {
                    sink.abandoned(&transaction.into_abandoned());
                }
            }
            What::Answer(answered) => {
                let root = self.drafts.root(answered.number);
                let root = self.drafts.get(root);
                if let Some(root) = root.filter(|root| root.is_released && root.is_clients()) {
                    sink.answer(&answered.of_root(root, at));
                }
            }
            What::Gone(number) => {
                if let Some(root) = self.drafts.gone(number)
                    && root.is_released
                    && root.is_clients()
                {
                    sink.gone(&root.host, &root.queue_id, at);
                }
            }
        }
    }

    /// A transaction with a queue id, unless it was queued meanwhile.
    fn release_abandoned(&mut self, number: u64, at: Timestamp, sink: &mut dyn Sink) {
        let Some(draft) = self.drafts.get_mut(number).filter(|draft| draft.at.is_none()) else {
            return;
        };
        let abandoned = draft.abandoned(at);
        if !(abandoned.unknown.is_empty() && abandoned.attempts.is_empty()) {
            sink.abandoned(&abandoned);
        }
    }

    /// Queue ids of what was forgotten are free.
    fn forget_lost(&mut self) {
        for (host, queue_id, number) in self.drafts.take_lost() {
            if let Some(host) = self.hosts.get_mut(host)
                && host.files.get(&queue_id) == Some(&number)
            {
                host.files.remove(&queue_id);
            }
        }
    }

    /// A queue file came in; gives its queue id to keep.
    pub(super) fn come(
        &mut self,
        place: &Place<'_>,
        queue_id: &str,
        client: Option<IpAddr>,
        original: Option<&str>,
    ) -> Arc<str> {
        match self.hosts.get_mut(place.host) {
            Some(host) => host.trail.came(queue_id, client, original, place.at),
            None => queue_id.into(),
        }
    }

    pub(super) fn draft(&mut self, place: &Place<'_>, queue_id: Arc<str>, who: Arc<Who>) -> Draft {
        let service = self.names.of(place.line.tag.syslog_name);
        let host = (self.host_name(place), place.host);
        Draft::new(host, queue_id, service, who, place.at)
    }

    /// Keeps a draft under its queue id, which another message had before.
    pub(super) fn keep(&mut self, place: &Place<'_>, draft: Draft) -> u64 {
        let queue_id = Arc::clone(&draft.queue_id);
        let number = self.drafts.put(draft);
        if let Some(host) = self.hosts.get_mut(place.host) {
            host.files.insert(queue_id, number);
        }
        number
    }

    pub(super) fn number(&self, place: &Place<'_>, queue_id: &str) -> Option<u64> {
        self.hosts.get(place.host)?.files.get(queue_id).copied()
    }

    /// The draft of a queue file that has not left.
    pub(super) fn open_draft(&mut self, place: &Place<'_>, queue_id: &str) -> Option<&mut Draft> {
        let number = self.number(place, queue_id)?;
        self.drafts.get_mut(number).filter(|draft| !draft.is_released)
    }

    pub(super) fn host_name(&self, place: &Place<'_>) -> Arc<str> {
        self.hosts.get(place.host).map(|host| Arc::clone(&host.name)).unwrap_or_default()
    }
}

impl Draft {
    /// What was refused in it; it is told once.
    fn abandoned(&mut self, at: Timestamp) -> Abandoned {
        Abandoned {
            at,
            host: Arc::clone(&self.host),
            service: Arc::clone(&self.service),
            who: Arc::clone(&self.who),
            from: self.given_from.clone(),
            unknown: std::mem::take(&mut self.unknown),
            attempts: std::mem::take(&mut self.attempts),
        }
    }
}
