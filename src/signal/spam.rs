//! Q: a filter before us calls the message spam. One trial a message that a
//! filter has judged.

use super::{Alternative, Plain, Prior, Shape};
use crate::record::SignalName;

/// Its row.
pub(super) const SIGNAL: Plain = Plain {
    name: SignalName::SpamVerdict,
    shape: |model| &model.spam,
    trial: |seen, _, _| seen.spam,
};

/// The constants.
pub const SHAPE: Shape = Shape {
    prior: Prior { bad: 0.5, total: 50.0 },
    floor: 0.02,
    times_usual: 2.0,
    p0_max: 0.6,
    p1: Alternative { least: 0.40, above: 0.25, times: f32::INFINITY, most: 0.95 },
    halflife_s: 24.0 * 3600.0,
    weak_cap: super::WEAK_CAP,
    strong_cap: super::STRONG_CAP,
    on: true,
};
