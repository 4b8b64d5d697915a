//! Connectors that were regular and send nothing now.
//!
//! Regular is who sent in each of the four weeks before the week of its last
//! message. Its usual gap is its age over its days with mail. It is silent after
//! three days where that gap is under 1.2 days, and otherwise after three gaps, five
//! days at the least: so long, because offices close over weekends and holidays. In
//! the time in which connguard did not run nobody could be heard, so it does not
//! count. Who is restricted, trusted or not told apart from others is left out.
//!
//! A silence is told once, until the connector sends again.

use crate::{
    connector::{ConnectorKey, Entity},
    engine::Engine,
    signal::Signals,
    tally::Tally,
    timestamp::Timestamp,
};
use std::time::Duration;

/// How often the connectors are looked at.
const EVERY: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Weeks that make a connector regular.
const WEEKS: u32 = 4;

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Silent {
    next: Timestamp,
    started: Timestamp,
    down: Duration,
}

/// A connector that is silent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Quiet {
    pub(super) key: ConnectorKey,
    pub(super) last_seen: Timestamp,
    /// In how many of the last four weeks it sent.
    pub(super) weeks: u32,
}

impl Silent {
    /// Begins now, after nobody ran for as long as `down`.
    pub(super) fn new(down: Duration, now: Timestamp) -> Self {
        Self { next: now.plus(EVERY), started: now, down }
    }

    /// Who is silent, once an hour. `told` gives when a connector sent last before
    /// its silence was told.
    pub(super) fn look(
        &mut self,
        engine: &Engine,
        told: impl Fn(&Entity) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Quiet> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now.plus(EVERY);
        let mut quiet = Vec::new();
        engine.roster().for_each(|key, tally| {
            let last_seen = tally.last_seen();
            let mut gap = now.since(last_seen);
            if last_seen < self.started {
                gap = gap.saturating_sub(self.down);
            }
            if gap < 3 * DAY || gap < patience(tally) {
                return;
            }
            let weeks = weeks(tally.signals(), last_seen);
            if weeks >= WEEKS {
                quiet.push(Quiet { key: key.clone(), last_seen, weeks: WEEKS });
            }
        });
        // Not under the locks of the roster.
        quiet.retain(|quiet| {
            let entity = Entity::from(quiet.key.clone());
            let is_told = told(&entity).is_some_and(|told| told >= quiet.last_seen);
            !is_told && quiet.key != ConnectorKey::Overflow && !engine.table().holds(&entity)
        });
        quiet
    }
}

fn weeks(signals: &Signals, last_seen: Timestamp) -> u32 {
    signals.volume.weeks_before(last_seen.day())
}

/// After which time without a message a connector is silent.
fn patience(tally: &Tally) -> Duration {
    let age = tally.last_seen().since(tally.first_seen());
    let gap = age / tally.days_learned().max(1);
    if gap * 5 < DAY * 6 { 3 * DAY } else { (3 * gap).max(5 * DAY) }
}
