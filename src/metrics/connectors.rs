//! Which connectors have figures of their own: so few that a time series for each is no
//! load, however many clients there are.

use crate::{
    connector::ConnectorKey,
    engine::Engine,
    timestamp::Timestamp,
    view::{self, TopView},
};

/// How many connectors have figures of their own beside the configured ones.
pub const BUSIEST: usize = 50;

/// The configured connectors that anything is known of, and [`BUSIEST`] of the others, as
/// `top` has and orders them.
pub fn connectors(engine: &Engine, now: Timestamp) -> Vec<TopView> {
    view::busiest(engine, BUSIEST, |key| matches!(key, ConnectorKey::Named(_)), now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{connector::Entity, engine::Settings, tally::Tally};
    use std::net::{IpAddr, Ipv4Addr};

    const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);

    #[test]
    fn configured_ones_and_fifty_more_however_many_there_are() {
        let engine = Engine::new(Settings::default(), 100_000, NOW);
        for number in 0_u32..5000 {
            let client = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number)).into();
            let tally = Tally::new(number.into(), NOW);
            tally.messages.add(number + 1, NOW);
            assert!(engine.roster().restore(&ConnectorKey::Client(client), tally));
        }
        for number in 0_u32..60 {
            // They sent nothing lately.
            let key = ConnectorKey::Named(format!("c{number}").into());
            assert!(engine.roster().restore(&key, Tally::new(u64::from(number) + 9000, NOW)));
        }
        let shown = connectors(&engine, NOW);
        let is_named =
            |view: &&TopView| matches!(view.entity, Entity::Connector(ConnectorKey::Named(_)));
        assert_eq!(shown.iter().filter(is_named).count(), 60);
        assert_eq!(shown.len(), 60 + BUSIEST);
        let least = shown.iter().filter(|view| !is_named(view)).map(|view| view.messages).min();
        assert_eq!(least, Some(4951), "the busiest of the others");
    }
}
