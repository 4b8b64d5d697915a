//! `run`: the daemon.

use super::Error;
use crate::{clock::Clock, daemon};
use std::path::Path;

/// Runs until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Error> {
    Ok(daemon::main(config, Clock::system())?)
}
