//! What the engine has to tell beside changes of the restriction table: a
//! bounded queue that nobody waits for. What does not fit is counted.

use crate::{
    case::Change,
    connector::{ConnectorKey, Entity},
    record::Finding,
};
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

const CAPACITY: usize = 1024;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A client became a connector.
    NewConnector(ConnectorKey),
    /// A connector or a sender became suspicious, because of these findings.
    Suspicious(Entity, Vec<Finding>),
    /// A host that was known for a week shows what it never showed before: another
    /// client address, certificate issuer or HELO name. At most once a day for each.
    Changed(ConnectorKey, Vec<Change>),
    /// A connector reached a hard limit of its configuration; at most once an
    /// hour for each.
    ///
    /// With it come the messages and recipients of the last hour.
    LimitReached(ConnectorKey, u64, u64),
    /// Mail of a connector that is not restricted goes to the hold queue: so many
    /// messages by now. At most once an hour for each.
    Held(ConnectorKey, u64),
    /// There is no more room for it there: it is refused from now on. At most
    /// once an hour for each.
    HoldFull(ConnectorKey, u64),
    /// The overflow looks compromised: it can't be restricted.
    OverflowCompromised(Vec<Finding>),
}

/// The queue.
#[derive(Debug, Default)]
pub struct Notices {
    waiting: Mutex<VecDeque<Notice>>,
    dropped: AtomicU64,
}

impl Notices {
    pub(super) fn push(&self, notice: Notice) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < CAPACITY {
            waiting.push_back(notice);
        } else {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Takes all that wait, and how many did not fit since the last time. New
    /// connectors come last: who can't tell all must not leave out a warning.
    pub fn take(&self) -> (Vec<Notice>, u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Notice> = waiting.drain(..).collect();
        drop(waiting);
        taken.sort_by_key(|notice| matches!(notice, Notice::NewConnector(_)));
        (taken, self.dropped.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_before_new_connectors() {
        let notices = Notices::default();
        let named = |name: &str| ConnectorKey::Named(name.into());
        notices.push(Notice::NewConnector(named("a")));
        notices.push(Notice::NewConnector(named("b")));
        notices.push(Notice::LimitReached(named("a"), 1, 1));
        let expected = [
            Notice::LimitReached(named("a"), 1, 1),
            Notice::NewConnector(named("a")),
            Notice::NewConnector(named("b")),
        ];
        assert_eq!(notices.take(), (expected.to_vec(), 0));
    }
}
