//! `run`: the daemon.

use super::Error;
use crate::{clock::Clock, daemon};
use std::path::Path;

/// Runs until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Error> {
    forgo_huge_pages();
    Ok(daemon::main(config, Clock::system())?)
}

/// The allocator asks for huge pages. To get one is to wait until 2 MiB are cleared,
/// which is up to 9 ms of a message on a virtual machine whose memory its host has yet
/// to find; with small ones the longest is 1 ms at three million addresses, and the
/// median stays.
fn forgo_huge_pages() {
    // A kernel that can't has none.
    let _ = nix::sys::prctl::set_thp_disable(true);
}
