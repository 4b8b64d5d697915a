//! `alerts` and `alerts test`.

use super::{Error, Output, list::rows, output};
use crate::{
    alert::{Listed, Sent, Tested},
    command::Command,
    control,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::{
    io::{Write, stdout},
    path::Path,
};

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Send an alert through every channel, and say what came of it.
    Test {
        #[command(flatten)]
        output: Output,
    },
}

/// Prints what was told.
pub(super) fn list(socket: &Path, options: Output) -> Result<(), Error> {
    let head = ["AT", "KIND", "ENTITY/CASE", "SUBJECT", "CHANNELS"];
    let row = |value: Value| Ok(columns(&serde_json::from_value(value)?));
    rows(socket, Command::Alerts, options, &head, "nothing was told yet", row)
}

/// Sends an alert through every channel.
pub(super) fn test(socket: &Path, options: Output) -> Result<(), Error> {
    let done = control::ask(socket, Command::TestAlerts, |_| Ok(()))?.done;
    let tested: Vec<Tested> = serde_json::from_value(done.clone())?;
    let mut out = stdout().lock();
    if options.json {
        output::json(&mut out, &done)?;
    } else {
        for tested in &tested {
            writeln!(out, "{}", output::clean(&sentence(tested)))?;
        }
    }
    match tested.iter().filter(|tested| !tested.ok).count() {
        0 => Ok(()),
        failed => Err(Error::No(format!(
            "{failed} of {} channels failed; see [alert] in the configuration",
            tested.len()
        ))),
    }
}

fn columns(alert: &Listed) -> Vec<String> {
    let kind = json!(alert.kind);
    let about = match (&alert.entity, alert.case) {
        (Some(entity), Some(case)) => format!("{entity} {case}"),
        (Some(entity), None) => entity.to_string(),
        (None, Some(case)) => case.to_string(),
        (None, None) => "-".to_owned(),
    };
    let channels: Vec<String> = alert.channels.iter().map(channel).collect();
    vec![
        alert.at.local(),
        kind.as_str().unwrap_or_default().to_owned(),
        about,
        alert.subject.clone(),
        if channels.is_empty() { "only logged".to_owned() } else { channels.join(", ") },
    ]
}

fn channel(sent: &Sent) -> String {
    match &sent.error {
        Some(error) => format!("{} {} ({error})", sent.channel, sent.state),
        None => format!("{} {}", sent.channel, sent.state),
    }
}

fn sentence(tested: &Tested) -> String {
    let Tested { channel, target, ok, error } = tested;
    match error {
        Some(error) if !ok => format!("{channel} ({target}): FAILED: {error}"),
        _ => format!("{channel} ({target}): sent"),
    }
}
