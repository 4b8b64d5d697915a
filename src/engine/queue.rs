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
            self.queued.enter(queue_id, key, session.sender.hash, held, now);
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
        if !matches!(connector, ConnectorKey::Named(_)) {
            return self.queued.of(connector, sender);
        }
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
        let keys = self.queued.keys(is_meant).into_iter();
        let mut found: Vec<InQueue> = keys.flat_map(|key| self.queued.of(&key, sender)).collect();
        found.sort_by(|a, b| (a.since, &a.queue_id).cmp(&(b.since, &b.queue_id)));
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{
        directory::{Directory, Named, Params},
        engine::Settings,
    };

    #[test]
    fn what_passed_under_an_older_name_is_found() {
        let now = Timestamp::from_seconds(1_795_000_000);
        let engine = Engine::new(Settings::default(), 100, now);
        let key = |text: &str| text.parse::<ConnectorKey>().unwrap();
        let bob = engine.fingerprint_of_sender("bob@example.org");
        engine.queued().enter("A1", &key("client:192.0.2.7"), bob, false, now);
        engine.queued().enter("A2", &key("client:192.0.2.8"), bob, false, now);
        let named = Named {
            name: "erp".into(),
            clients: vec!["192.0.2.7/32".parse().unwrap()],
            ..Named::default()
        };
        let directory = Directory::new(Params { connectors: vec![named], ..Params::default() });
        engine.reload(Settings { directory, ..Settings::default() }, now);
        engine.queued().enter("A3", &key("connector:erp"), 0, false, now);
        let of = |text: &str| {
            let found = engine.in_queue(&text.parse().unwrap());
            found.iter().map(|one| one.queue_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("connector:erp"), ["A1", "A3"]);
        assert_eq!(of("sender:bob@example.org,via=connector:erp"), ["A1"]);
        assert_eq!(of("client:192.0.2.8"), ["A2"]);
    }
}
