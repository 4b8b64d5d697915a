//! What tests under load share: chance that a seed repeats, a ledger of every
//! message that was handed in, and clients that write into it.

pub(crate) mod ledger;
pub(crate) mod mailer;
pub(crate) mod rng;

pub(crate) use ledger::Ledger;
pub(crate) use mailer::{Fate, Mailer};
pub(crate) use rng::Rng;
