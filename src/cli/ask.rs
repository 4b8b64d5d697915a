//! `block`, `unblock`, `trust`, `untrust`, `normal`, `reload`: commands that change
//! something and answer with a sentence.

use super::{Error, Output, output};
use crate::{command::Command, control, operator::ReloadView};
use serde_json::Value;
use std::{
    io::{Write, stdout},
    path::Path,
};

/// Asks for a change and prints what it did.
pub(super) fn act(socket: &Path, command: Command, options: Output) -> Result<(), Error> {
    let done = control::ask(socket, command, |_| Ok(()))?.done;
    let mut out = stdout().lock();
    if options.json {
        output::json(&mut out, &done)?;
    } else {
        let message = done.get("message").and_then(Value::as_str).unwrap_or_default();
        writeln!(out, "{}", output::clean_lines(message))?;
    }
    // It is in force, but a script or person must see that a restart undoes it.
    if let Some(warning) = done.get("warning").and_then(Value::as_str) {
        output::complain(warning);
    }
    Ok(())
}

/// Lets the daemon read its configuration again.
pub(super) fn reload(socket: &Path, options: Output) -> Result<(), Error> {
    let done = control::ask(socket, Command::Reload, |_| Ok(()))?.done;
    let mut out = stdout().lock();
    if options.json {
        output::json(&mut out, &done)?;
        return Ok(());
    }
    let view: ReloadView = serde_json::from_value(done)?;
    writeln!(out, "reloaded {}", output::clean(&view.file.to_string_lossy()))?;
    for sentence in view.sentences() {
        writeln!(out, "{}", output::clean(&sentence))?;
    }
    Ok(())
}
