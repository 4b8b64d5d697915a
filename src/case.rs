//! The case: the file of one incident.
//!
//! A case belongs to a **root**, the connector at which the incident was seen, or
//! an organization. All that happens there until it is over is in the one case:
//! the suspicion before, the restriction of a sender of the connector, of the
//! connector itself, what operators did, and what was told of it. Whoever lifts
//! the case lifts all that was restricted in it.
//!
//! It is over once nothing of it is restricted and its root has not been
//! suspicious for a day; the next incident is the next case.
//!
//! Bounded: see the constants of its parts. What a client chose is kept as it
//! came (cut to [`MOST_TEXT`] octets) and escaped where it is shown.

mod book;
mod material;
mod timeline;
mod top;

pub use book::{Book, MOST_CLOSED, MOST_FULL, MOST_SUSPICIOUS, QUIET};
pub use material::{Change, MOST_CHANGES, MOST_SAMPLES, Material, Seen, Trait};
pub use timeline::{Bucket, Timeline};
pub use top::{Count, Top, cut};

use crate::{
    connector::Entity,
    record::{Actor, CaseId, Finding},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest text kept of what a client chose, in octets.
pub const MOST_TEXT: usize = 256;
/// Steps kept of a case: the first half and the newest.
pub const MOST_STEPS: usize = 200;
/// What was told of a case, at the most: the first and the newest.
pub const MOST_TOLD: usize = 200;

/// What there is to tell an administrator.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A warning, before anything is refused.
    Suspicious,
    /// An entity is restricted, or in observe mode marked.
    Restricted,
    /// It still is.
    StillRestricted,
    /// Somebody lifted it.
    Lifted,
    /// Its time is over.
    Expired,
    /// A client became a connector.
    NewConnector,
    /// A connector shows another identity than before.
    ConnectorChanged,
    /// A connector that was regular sends nothing.
    ConnectorSilent,
    /// Something of connguard itself fails.
    Trouble,
    /// Many of these at once.
    Digest,
    /// An operator asked whether alerts arrive.
    Test,
}

/// Something that was told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Told {
    /// What.
    pub kind: AlertKind,
    /// Of whom.
    pub entity: Entity,
    /// When.
    pub at: Timestamp,
    /// The Message-ID under which it was told, without its brackets: the first of
    /// a case begins the thread.
    pub id: String,
}

/// What was decided or done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The root became suspicious.
    Suspicious,
    /// An entity was restricted.
    Restricted,
    /// An entity was marked (observe mode).
    Marked,
    /// A restriction or mark was lifted.
    Lifted,
    /// A restriction or mark ended by the clock.
    Expired,
    /// It was exempted.
    Trusted,
    /// An exemption ended.
    Untrusted,
    /// What it sends was declared usual.
    DeclaredUsual,
    /// Its mail in the queue was put on hold.
    Held,
    /// Its mail in the queue was let go.
    Released,
    /// The configuration changed, and with it the entity's name.
    Moved,
    /// Nothing speaks against the root any more.
    Over,
}

/// One step of a case.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What.
    pub what: What,
    /// Of whom.
    pub entity: Entity,
    /// Why, in words; empty where the findings say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// The file of one incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CaseFile {
    /// Its number.
    pub case: CaseId,
    /// The connector or organization at which it was seen.
    pub root: Entity,
    /// When it began.
    pub opened: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Timestamp>,
    /// When something of it was last restricted, suspicious or changed.
    #[serde(default)]
    pub active: Timestamp,
    /// What of it is restricted or marked at present.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub restricted: BTreeSet<Entity>,
    /// When the root was first counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// What was decided and done, oldest first.
    pub steps: Vec<Step>,
    /// What it is made of.
    pub material: Material,
    /// Recipients refused since the first restriction of the case, over restarts.
    pub refused: u64,
    /// Messages put on hold since, over restarts.
    pub held: u64,
    /// When something was last refused or held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Timestamp>,
    /// What was told.
    pub told: Vec<Told>,
}

impl CaseFile {
    /// A case that begins now.
    pub fn new(case: CaseId, root: Entity, now: Timestamp) -> Self {
        Self {
            case,
            root,
            opened: now,
            closed: None,
            active: now,
            restricted: BTreeSet::new(),
            first_seen: None,
            steps: Vec::new(),
            material: Material::default(),
            refused: 0,
            held: 0,
            last_attempt: None,
            told: Vec::new(),
        }
    }

    /// Adds a step. In the midst of too many, old ones go.
    pub fn step(&mut self, step: Step) {
        self.active = self.active.max(step.at);
        if self.steps.len() >= MOST_STEPS {
            self.steps.remove(MOST_STEPS / 2);
        }
        self.steps.push(step);
    }

    /// Remembers that something was told. The first stays: it begins the thread.
    pub fn tell(&mut self, told: Told) {
        if self.told.len() >= MOST_TOLD {
            self.told.remove(1);
        }
        self.told.push(told);
    }

    /// Whether it is still going on.
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// The newest step of this kind for this entity.
    pub fn last(&self, what: What, entity: &Entity) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.what == what && step.entity == *entity)
    }
}
