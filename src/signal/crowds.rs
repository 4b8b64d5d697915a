//! X: a message to a crowd that the connector never wrote to. One trial a
//! message: bad if it has at least 5 recipients (8 in the connector's first
//! week), of which at least 80 % are new to it. Weak evidence: a first
//! newsletter looks the same.

use super::{Alternative, Context, Life, Observation, Plain, Prior, Shape};
use crate::{connector::Profile, record::SignalName};

/// Its row.
pub(super) const SIGNAL: Plain =
    Plain { name: SignalName::UnknownCrowds, shape: |model| &model.crowds, trial };

/// The constants.
pub const SHAPE: Shape = Shape {
    prior: Prior { bad: 0.5, total: 30.0 },
    floor: 0.03,
    times_usual: 1.5,
    p0_max: 0.6,
    p1: Alternative { least: 0.50, above: 0.25, times: f32::INFINITY, most: 0.95 },
    halflife_s: 4.0 * 3600.0,
    weak_cap: super::WEAK_CAP,
    strong_cap: super::WEAK_CAP,
    on: true,
};

/// What makes a crowd.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crowd {
    /// So many recipients.
    pub recipients: u32,
    /// So many of a connector that is new itself.
    pub of_new: u32,
    /// This share of them was never written to.
    pub unseen: f32,
}

/// The constants of a crowd.
pub const CROWD: Crowd = Crowd { recipients: 5, of_new: 8, unseen: 0.8 };

/// Whether a message went to a crowd. None is looked for of who sends to crowds
/// by trade, nor while it is not known or being learned who is new.
pub(super) fn trial(seen: &Observation, life: Life, context: &Context<'_>) -> Option<bool> {
    let off = context.muted || life.settling || context.profile == Profile::Bulk;
    if off || seen.recipients == 0 {
        return None;
    }
    let crowd = context.model.crowd;
    let least = if life.is_old { crowd.recipients } else { crowd.of_new };
    let unseen = seen.unseen as f32 >= crowd.unseen * seen.recipients as f32;
    Some(seen.recipients >= least && unseen)
}
