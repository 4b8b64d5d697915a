//! What the engine keeps across a restart beside restrictions: the history of
//! every connector, and whom they wrote to.

use super::Engine;
use crate::{
    connector::ConnectorKey,
    fingerprint::Fingerprints,
    known,
    tally::{self, Tally},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// How long "never wrote to" means nothing after that memory was lost: after a
/// day, the ordinary recipients are known again.
pub const MUTED: Duration = Duration::from_secs(24 * 3600);

/// Whom connectors wrote to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Filters {
    /// Ever.
    pub recipients: known::Image,
    /// Within the last hour.
    pub recent: known::Image,
}

/// What all connectors share.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The key under which everything was hashed.
    pub key: [u8; 16],
    /// Whom connectors wrote to; nothing where that was lost.
    pub filters: Option<Filters>,
    /// Until when the memory of recipients means nothing.
    pub muted_until: Option<Timestamp>,
}

/// What came back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recalled {
    /// Connectors with a history.
    pub connectors: usize,
    /// Connectors that found no room.
    pub left_out: usize,
    /// What of the memory of recipients does not fit, in words.
    pub faults: Vec<String>,
}

impl Engine {
    /// Whom connectors wrote to, to be kept.
    pub fn filters(&self) -> Filters {
        Filters { recipients: self.known.recipients.image(), recent: self.known.recent.image() }
    }

    /// The key under which everything is hashed, to be kept. It is a secret.
    pub fn key(&self) -> [u8; 16] {
        self.fingerprints.key()
    }

    /// The history of each connector, to be kept, one at a time.
    pub fn histories(
        self: &Arc<Self>,
    ) -> impl Iterator<Item = (ConnectorKey, tally::Image)> + use<> {
        let engine = Arc::clone(self);
        let keys = engine.roster.keys().into_iter();
        keys.filter_map(move |key| {
            let image = engine.roster.get(&key)?.image();
            Some((key, image))
        })
    }

    /// Takes over what was kept, before the first session. Where the memory of
    /// recipients was lost or does not fit, "never wrote to" means nothing for
    /// a day, or everything would look new.
    pub fn recall(
        &mut self,
        memory: Option<Memory>,
        histories: impl IntoIterator<Item = (ConnectorKey, tally::Image)>,
        now: Timestamp,
    ) -> Recalled {
        let mut recalled = Recalled::default();
        for (key, image) in histories {
            if self.roster.restore(&key, Tally::of_image(&image)) {
                recalled.connectors += 1;
            } else {
                recalled.left_out += 1;
            }
        }
        let Some(memory) = memory else {
            return recalled;
        };
        self.fingerprints = Fingerprints::from_key(memory.key);
        if let Some(until) = memory.muted_until {
            // Never longer than from now on, wherever the clock was.
            self.muted_until.store(until.min(now.plus(MUTED)).as_seconds(), Relaxed);
        }
        let Some(filters) = memory.filters else {
            self.mute(now);
            return recalled;
        };
        if let Err(fault) = self.known.recipients.restore(filters.recipients) {
            recalled.faults.push(fault.to_string());
            self.mute(now);
        }
        // An hour without it makes no difference.
        if let Err(fault) = self.known.recent.restore(filters.recent) {
            recalled.faults.push(fault.to_string());
        }
        recalled
    }

    /// Until when "never wrote to" means nothing.
    pub fn muted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.muted_until.load(Relaxed);
        (until > now.as_seconds()).then(|| Timestamp::from_seconds(until.into()))
    }

    /// From now on "never wrote to" means nothing for a day.
    fn mute(&self, now: Timestamp) {
        self.muted_until.store(now.plus(MUTED).as_seconds(), Relaxed);
    }
}
