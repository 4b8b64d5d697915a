//! Processes that end with the one that starts them, also where that one is killed: a
//! bench that was stopped in the midst must not leave its daemons running.

use std::{ffi::OsStr, process::Command};

/// `program`, which is told to end when the thread that starts it ends.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}
