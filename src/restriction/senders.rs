//! The senders for whom something is in force, by their connectors: who judges a
//! message asks for those of one connector, and must not look at all of them.

use crate::connector::{ConnectorKey, Entity};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

/// The lock comes after that of an entry; who holds it takes no other.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// So that asking costs nothing while there are none.
    len: AtomicUsize,
    /// How often each was added and not removed: of two threads, one may add it again
    /// before the other has removed it here.
    by_connector: Mutex<HashMap<ConnectorKey, HashMap<Arc<str>, usize>>>,
}

impl Senders {
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(SeqCst) == 0
    }

    /// Addresses of the senders of a connector.
    pub(super) fn of(&self, via: &ConnectorKey) -> Vec<Arc<str>> {
        if self.is_empty() {
            return Vec::new();
        }
        let senders = self.by_connector.lock().unwrap_or_else(PoisonError::into_inner);
        senders.get(via).map(|its| its.keys().cloned().collect()).unwrap_or_default()
    }

    /// An entry was made for this entity, if that is a sender.
    pub(super) fn add(&self, entity: &Entity) {
        let Entity::Sender { address, via } = entity else { return };
        self.len.fetch_add(1, SeqCst);
        let mut senders = self.by_connector.lock().unwrap_or_else(PoisonError::into_inner);
        *senders.entry(via.clone()).or_default().entry(Arc::clone(address)).or_default() += 1;
    }

    /// The entry of this entity is gone.
    pub(super) fn remove(&self, entity: &Entity) {
        let Entity::Sender { address, via } = entity else { return };
        let mut senders = self.by_connector.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(its) = senders.get_mut(via) {
            if let Some(times) = its.get_mut(address) {
                *times -= 1;
            }
            its.retain(|_, times| *times > 0);
            if its.is_empty() {
                senders.remove(via);
            }
        }
        self.len.fetch_sub(1, SeqCst);
    }
}
