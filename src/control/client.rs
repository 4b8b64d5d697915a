//! The command line's side.

use crate::command::{Command, Failure, Line, Request, VERSION};
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Longest silence of the daemon that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the daemon answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The last line's content.
    pub done: Value,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "can't reach the daemon at {path}: {source}; is connguard running, and is --socket right?"
    )]
    Unreachable {
        /// The socket.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is there, but not for this account.
    #[error("may not use {path}: be root or a member of the group connguard-admin")]
    Denied {
        /// The socket.
        path: String,
    },
    /// The connection ended in the middle.
    #[error("the daemon's answer broke off: {0}; see its log")]
    Broken(String),
    /// What the caller did with an item failed.
    #[error("can't write: {0}")]
    Output(io::Error),
    /// The daemon said why not.
    #[error("{}", .0.message)]
    Failed(Failure),
}

/// Sends a command to the daemon at `socket` and gives each item of its
/// answer to `item`, as it comes.
pub fn ask(
    socket: &Path,
    command: Command,
    mut item: impl FnMut(Value) -> io::Result<()>,
) -> Result<Answer, AskError> {
    let path = socket.display().to_string();
    let mut stream = UnixStream::connect(socket).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => AskError::Denied { path: path.clone() },
        _ => AskError::Unreachable { path: path.clone(), source },
    })?;
    let broken = |error: io::Error| AskError::Broken(error.to_string());
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(broken)?;
    let request = Request { v: VERSION, command };
    let mut text =
        serde_json::to_string(&request).map_err(|error| AskError::Broken(error.to_string()))?;
    text.push('\n');
    // Who is turned away is told so, though nobody reads the request.
    let written = stream.write_all(text.as_bytes());
    for line in BufReader::new(stream).lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Err(broken(written.err().unwrap_or(error))),
        };
        match serde_json::from_str(&line) {
            Ok(Line::Item(value)) => item(value).map_err(AskError::Output)?,
            Ok(Line::Done(done)) => return Ok(Answer { done }),
            Ok(Line::Failed(failure)) => return Err(AskError::Failed(failure)),
            Err(error) => return Err(AskError::Broken(format!("{error} in its answer"))),
        }
    }
    written.map_err(broken)?;
    Err(AskError::Broken("it closed the connection".into()))
}
