//! What is kept of a connector's mail while its score is above zero, beside the
//! scores themselves: who sent it, and what a case is made of.
//!
//! Most connectors never have any. It is taken from a [`Budget`] that all of them
//! share, and given back when the score is zero again and nothing speaks against
//! single senders either: the good mail of a whole house brings its score back to
//! zero all the time, while one of its senders may be bad. Where more than half of
//! the budget is used nobody waits for senders, and where all of it is used there is
//! no evidence: the connector is judged as a whole. Who sent one bad message and
//! never came back must not keep its room for good: [`Tally::give_up_evidence`]
//! asks by the clock.
//!
//! What it costs: about 2 KB of a connector with one bad message, 25 KB where all
//! places for senders, names and samples are taken, and 75 KB where all texts are as
//! long as they may be. Of [`MOST`] connectors that is 50 MB, and 150 MB at the worst.
//!
//! [`Tally::give_up_evidence`]: super::Tally::give_up_evidence

use crate::{case::Material, senders::Senders, timestamp::Timestamp};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// How many connectors may have evidence at a time.
pub(super) const MOST: usize = 2000;

/// How many connectors have evidence.
#[derive(Clone, Debug, Default)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// Takes room for one more, if there is any.
    fn take(&self) -> Option<Permit> {
        let more = |used: usize| (used < MOST).then_some(used + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Permit(self.clone()))
    }

    pub(super) fn is_scarce(&self) -> bool {
        self.used() > MOST / 2
    }

    /// How many have evidence.
    pub fn used(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Room for the evidence of one connector, given back when it is dropped.
#[derive(Debug)]
struct Permit(Budget);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// The evidence of one connector.
#[derive(Debug)]
pub struct Evidence {
    /// What a case is made of.
    pub material: Material,
    /// Its senders.
    pub senders: Senders,
    /// When the case last took the material over.
    pub copied: Timestamp,
    permit: Permit,
}

impl Evidence {
    /// Evidence that begins now, if there is room for it.
    pub(super) fn begin(budget: &Budget) -> Option<Box<Self>> {
        let permit = budget.take()?;
        let (material, senders) = (Material::default(), Senders::default());
        Some(Box::new(Self { material, senders, copied: Timestamp::default(), permit }))
    }

    /// Whether it is not worth its room while the score of its connector is zero.
    pub(super) fn is_idle(&self) -> bool {
        self.senders.is_empty() || self.permit.0.is_scarce()
    }
}
