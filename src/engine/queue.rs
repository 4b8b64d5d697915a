//! What of an entity's mail may be in the queue of Postfix.

use super::{Engine, Session};
use crate::{
    connector::{ConnectorKey, Entity},
    queued::InQueue,
    timestamp::Timestamp,
};

impl Engine {
    /// A message of this session passed, or goes to the hold queue.
    pub(super) fn enter_queue(
        &self,
        session: &Session,
        queue_id: &str,
        held: bool,
        now: Timestamp,
    ) {
        let Some(settled) = session.settled() else { return };
        let resolution = &settled.resolution;
        let meant = resolution.enforced.iter().find_map(Entity::as_connector);
        if let Some(key) = resolution.counted.as_ref().or(meant) {
            let sender = self.fingerprint_of_sender(&session.sender.folded);
            self.queued.enter(queue_id, key, sender, held, now);
        }
    }

    /// What of this entity may be in the queue, oldest first: of a sender what it
    /// sent through its connector, of an organization what all of its connectors
    /// sent.
    pub fn in_queue(&self, entity: &Entity) -> Vec<InQueue> {
        let (connector, sender) = match entity {
            Entity::Connector(key) => (key, None),
            Entity::Sender { address, via } => (via, Some(self.fingerprint_of_sender(address))),
            Entity::Organization(name) => {
                let settings = self.settings.load();
                let is_of =
                    |key: &ConnectorKey| *settings.directory.terms(key).organization == **name;
                return self.in_queue_of(is_of, None);
            }
        };
        // What passed before a reload was counted under the name of that time.
        let settings = self.settings.load();
        let is_it =
            |key: &ConnectorKey| key == connector || settings.directory.current(key) == *connector;
        self.in_queue_of(is_it, sender)
    }

    /// The hash of a sender under which its messages are kept; the address is
    /// folded.
    pub(crate) fn fingerprint_of_sender(&self, address: &str) -> u64 {
        self.fingerprints.of_text(address)
    }

    fn in_queue_of(
        &self,
        is_meant: impl Fn(&ConnectorKey) -> bool,
        sender: Option<u64>,
    ) -> Vec<InQueue> {
        let keys = self.queued.keys().into_iter().filter(is_meant);
        let mut found: Vec<InQueue> = keys.flat_map(|key| self.queued.of(&key, sender)).collect();
        found.sort_by_key(|one| one.since);
        found
    }
}
