//! Programs that are asked, and do not always answer.

use std::{
    ffi::OsString,
    io::Read,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Octets of an answer that are read.
const MOST: u64 = 64 * 1024;

/// A program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// Its path, or its name in `PATH`.
    pub path: PathBuf,
    /// Arguments before all others.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// A program without arguments of its own.
    pub fn named(name: &str) -> Self {
        Self { path: name.into(), arguments: Vec::new() }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env("LC_ALL", "C").args(&self.arguments);
        command
    }
}

/// What a program answers, if it succeeds in time.
pub(super) fn answer(mut command: Command) -> Option<String> {
    let silent = || Stdio::null();
    let mut child = command.stdin(silent()).stderr(silent()).stdout(Stdio::piped()).spawn().ok()?;
    let mut left = PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if !left.is_zero() => {
                std::thread::sleep(LOOK_EVERY);
                left = left.saturating_sub(LOOK_EVERY);
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut answer = String::new();
    child.stdout.take()?.take(MOST).read_to_string(&mut answer).ok()?;
    status.success().then_some(answer)
}
