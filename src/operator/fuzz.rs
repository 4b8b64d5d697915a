//! What operators type without a daemon, for the fuzz target of control requests.

use super::target::Selector;
use crate::{command::Failure, connector::Entity, engine::Engine, timestamp::Timestamp};

/// The entity that `text` means.
///
/// # Errors
/// What to tell who asked.
pub fn find(
    engine: &Engine,
    realm: Option<&str>,
    text: &str,
    now: Timestamp,
) -> Result<Entity, Failure> {
    Selector { engine, realm }.find(text, now)
}
