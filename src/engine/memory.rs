//! What the engine keeps across a restart beside restrictions: the history of
//! every connector, whom they wrote to, and the messages whose fate is not known.

use super::{Engine, Owner, narrow::tells_apart};
use crate::{
    connector::ConnectorKey,
    fingerprint::Fingerprints,
    known, pending,
    tally::{self, Tally},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
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

/// A message whose fate is not known, as it is kept.
pub type Waiting = pending::Image<WaitingOwner>;

/// Whose message it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WaitingOwner {
    /// The key of its connector, as text.
    key: String,
    /// Whether its results still say something: the evidence did not start again
    /// since it passed.
    speaks: bool,
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
        let settings = self.settings();
        for (key, image) in histories {
            let tally = Tally::of_image(&image);
            let terms = settings.directory.terms(&key);
            let context = self.context(&settings, &key, terms, now);
            if tells_apart(&context) {
                tally.forget_who_sent(&context);
            }
            if self.roster.restore(&key, tally) {
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

    /// The messages whose fate is not known, to be kept, one at a time: as each
    /// is when it is its turn.
    pub fn waiting(self: &Arc<Self>) -> impl Iterator<Item = Waiting> + use<> {
        self.take_in_deliveries();
        let engine = Arc::clone(self);
        let (mut number, end) = (0, engine.pending.end());
        std::iter::from_fn(move || {
            loop {
                let (found, image) = engine.pending.image_from(number)?;
                if found >= end {
                    return None;
                }
                number = found + 1;
                if let Some(waiting) = image.with_owner(|owner| engine.kept(&owner)) {
                    return Some(waiting);
                }
            }
        })
    }

    fn kept(&self, owner: &Owner) -> Option<WaitingOwner> {
        if owner.key == ConnectorKey::Overflow {
            // It has no history either.
            return None;
        }
        // It may have got a name since.
        let key = self.settings.load().directory.current(&owner.key).to_string();
        Some(WaitingOwner { key, speaks: owner.resets == owner.tally.counters.resets.load(SeqCst) })
    }

    /// Takes back messages whose fate was not known, in the order in which they
    /// were kept; after [`Engine::recall`], of whose histories they speak, and
    /// under the same key. Says of how many the connector is known and the time
    /// is not over.
    pub fn recall_waiting(
        &self,
        waiting: impl IntoIterator<Item = Waiting>,
        now: Timestamp,
    ) -> usize {
        self.take_in_deliveries();
        let mut recalled = 0;
        for image in waiting {
            let in_flight = image.in_flight;
            let mut tally = None;
            let image = image.with_owner(|WaitingOwner { key, speaks }| {
                let key: ConnectorKey = key.parse().ok()?;
                let found = self.roster.get(&key)?;
                let mut owner = Owner::of(&key, &found);
                if !speaks {
                    owner.resets = owner.resets.wrapping_sub(1);
                }
                tally = Some(found);
                Some(owner)
            });
            let (Some(image), Some(tally)) = (image, tally) else { continue };
            // Before it can land.
            if in_flight {
                tally.took_off();
            }
            if self.pending.restore(image, now) {
                recalled += 1;
            } else if in_flight {
                tally.landed();
            }
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
