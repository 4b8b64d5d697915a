//! `list` and `history`.

use super::{Error, Output, output};
use crate::{
    command::Command,
    control,
    view::{HistoryView, ListView, State},
};
use serde_json::Value;
use std::{
    io::{BufWriter, stdout},
    path::Path,
};

/// Prints what is restricted.
pub(super) fn list(socket: &Path, all: bool, options: Output) -> Result<(), Error> {
    let head = if all {
        &["ENTITY", "STATE", "SINCE", "ACTION", "CASE", "WHY"][..]
    } else {
        &["ENTITY", "SINCE", "ACTION", "CASE", "WHY"][..]
    };
    let row = |value: Value| {
        let view: ListView = serde_json::from_value(value)?;
        let mut row = list_row(&view);
        if all {
            row.insert(1, state(view.state).to_owned());
        }
        Ok(row)
    };
    rows(socket, Command::List { all }, options, head, "nothing is restricted", row)
}

/// Prints the audit trail.
pub(super) fn history(socket: &Path, entity: Option<String>, options: Output) -> Result<(), Error> {
    let row = |value: Value| {
        let view: HistoryView = serde_json::from_value(value)?;
        Ok(vec![
            view.at.local(),
            view.by.to_string(),
            view.what,
            view.entity.to_string(),
            view.case.map_or_else(|| "-".into(), |case| case.to_string()),
            view.why,
        ])
    };
    let head = ["TIME", "BY", "WHAT", "ENTITY", "CASE", "WHY"];
    rows(socket, Command::History { entity }, options, &head, "nothing happened yet", row)
}

/// Prints items as the rows of a table as they come, or `none` where there are none.
pub(super) fn rows(
    socket: &Path,
    command: Command,
    options: Output,
    head: &[&str],
    none: &str,
    row: impl Fn(Value) -> Result<Vec<String>, serde_json::Error>,
) -> Result<(), Error> {
    let out = BufWriter::new(stdout().lock());
    if options.json {
        let mut array = output::JsonArray::new(out);
        control::ask(socket, command, |item| array.push(&item))?;
        return Ok(array.finish()?);
    }
    let mut rows = output::Rows::new(head, out);
    control::ask(socket, command, |item| rows.push(row(item)?))?;
    Ok(rows.finish(none)?)
}

fn list_row(view: &ListView) -> Vec<String> {
    let dash = || "-".to_owned();
    let action = match (view.state, view.action) {
        (State::Idle, Some(_)) => "none (observe mode)".to_owned(),
        (State::Marked, Some(action)) => format!("none (would {action})"),
        (_, Some(action)) => action.to_string(),
        (_, None) => dash(),
    };
    let mut why = view.reason.clone();
    if let (State::Trusted | State::Grace, Some(until)) = (view.state, view.until) {
        why = format!("until {}: {why}", until.local());
    }
    vec![
        view.entity.to_string(),
        view.since.map_or_else(dash, |since| since.local()),
        action,
        view.case.map_or_else(dash, |case| case.to_string()),
        why,
    ]
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Restricted => "restricted",
        State::Marked => "marked",
        State::Idle => "idle",
        State::Trusted => "trusted",
        State::Grace => "grace",
        State::Suspicious => "suspicious",
        State::Raised => "raised",
    }
}
