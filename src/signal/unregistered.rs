//! U: the domain of MAIL FROM is not registered. One trial a message; the null
//! sender is none. How domains are remembered: [`super::domains`].

use super::{Alternative, Prior, Shape};

/// The constants.
pub const SHAPE: Shape = Shape {
    prior: Prior { bad: 0.5, total: 100.0 },
    floor: 0.01,
    times_usual: 2.0,
    p0_max: 0.7,
    p1: Alternative { least: 0.25, above: 0.25, times: 3.0, most: 0.97 },
    halflife_s: 24.0 * 3600.0,
    weak_cap: super::WEAK_CAP,
    strong_cap: super::STRONG_CAP,
    on: true,
};
