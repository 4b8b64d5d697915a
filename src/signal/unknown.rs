//! J: recipients that Postfix itself refuses as unknown. Each is a bad trial at
//! once, at the most 5 a message, and none if the connector wrote to it or tried
//! it before; each accepted recipient is a good one, wherever it is, at the most 5
//! a message too. So who writes to a list that is not looked after has something
//! to be compared with, also where no result of a delivery is ever known.
//!
//! What other hosts refuse is R1 and R2; the three count once, by the largest.

use super::{Shape, refused};

/// The constants: those of R1.
pub const SHAPE: Shape = refused::MOST;
