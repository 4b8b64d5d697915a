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
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// How long "never wrote to" means nothing after that memory was lost.
const MUTED: Duration = Duration::from_secs(24 * 3600);

/// What all connectors share.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Memory {
    /// The key under which everything was hashed.
    pub key: [u8; 16],
    /// Whom connectors ever wrote to.
    pub recipients: known::Image,
    /// Whom they wrote to within the last hour.
    pub recent: known::Image,
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
    /// What all connectors share, to be kept.
    pub fn memory(&self, now: Timestamp) -> Memory {
        Memory {
            key: self.fingerprints.key(),
            recipients: self.known.recipients.image(),
            recent: self.known.recent.image(),
            muted_until: self.muted_until(now),
        }
    }

    /// The history of each connector, to be kept, one at a time.
    pub fn histories(&self) -> impl Iterator<Item = (ConnectorKey, tally::Image)> {
        let keys = self.roster.keys().into_iter();
        keys.filter_map(|key| {
            let image = self.roster.get(&key)?.image();
            Some((key, image))
        })
    }

    /// Takes over what was kept, before the first session. Where the memory of
    /// recipients is lost or does not fit, "never wrote to" means nothing for a
    /// day, or everything would look new.
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
            if recalled.connectors > 0 {
                self.mute(now);
            }
            return recalled;
        };
        self.fingerprints = Fingerprints::from_key(memory.key);
        if let Some(until) = memory.muted_until {
            self.muted_until.store(until.as_seconds(), Relaxed);
        }
        if let Err(fault) = self.known.recipients.restore(memory.recipients) {
            recalled.faults.push(fault.to_string());
            self.mute(now);
        }
        // An hour without it makes no difference.
        if let Err(fault) = self.known.recent.restore(memory.recent) {
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
    pub fn mute(&self, now: Timestamp) {
        self.muted_until.store(now.plus(MUTED).as_seconds(), Relaxed);
    }
}
