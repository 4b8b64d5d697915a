//! `status`: how the daemon is.

use super::{Error, Output, output};
use crate::{command::Command, control, timestamp::Timestamp};
use serde_json::Value;
use std::{
    io::{Write, stdout},
    path::Path,
};

/// Entities that one line names.
const SHOWN: usize = 5;

/// Prints how the daemon is.
pub(super) fn status(socket: &Path, options: Output) -> Result<(), Error> {
    let done = control::ask(socket, Command::Status, |_| Ok(()))?.done;
    let mut out = stdout().lock();
    if options.json {
        output::json(&mut out, &done)?;
        return Ok(());
    }
    for (name, value) in lines(&done) {
        writeln!(out, "{name:<12} {}", output::clean(&value))?;
    }
    Ok(())
}

fn lines(status: &Value) -> Vec<(&'static str, String)> {
    let text = |path: &str| status.pointer(path).map(plain).unwrap_or_default();
    let started = text("/started").parse().map_or_else(|_| text("/started"), Timestamp::local);
    let healthy = |part: &str| match status.pointer(&format!("/{part}/healthy")) {
        Some(Value::Bool(true)) => "healthy",
        _ => "NOT HEALTHY",
    };
    let saved = text("/history/saved_at");
    let saved = match saved.parse() {
        Ok(at) => format!("saved {}", Timestamp::local(at)),
        Err(_) => "not saved yet".to_owned(),
    };
    let mut lines = vec![
        ("version", text("/version")),
        ("mode", text("/mode")),
        ("started", started),
        ("connectors", text("/connectors")),
        ("restricted", format!("{} (marked: {})", text("/restricted"), text("/marked"))),
        ("passed", format!("{} messages, {} recipients", text("/messages"), text("/recipients"))),
        (
            "refused",
            format!("{} recipients (would refuse: {})", text("/refused"), text("/would_refuse")),
        ),
        ("held", format!("{} messages", text("/held"))),
        (
            "journal",
            format!(
                "{}, {}, {} changes, {} bytes",
                healthy("journal"),
                text("/journal/path"),
                text("/journal/records"),
                text("/journal/bytes")
            ),
        ),
        ("history", format!("{}, {}, {saved}", healthy("history"), text("/history/path"))),
        (
            "cases",
            format!(
                "{}, {}, {} files",
                healthy("cases"),
                text("/cases/path"),
                text("/cases/files")
            ),
        ),
        (
            "milter",
            format!(
                "{} of {} connections, {} turned away",
                text("/milter/connections"),
                text("/milter/limit"),
                text("/milter/refused_connections")
            ),
        ),
    ];
    if status.get("policy").is_some_and(|policy| !policy.is_null()) {
        lines.push((
            "policy",
            format!(
                "{}, {} of {} connections, {} requests",
                text("/policy/role"),
                text("/policy/connections"),
                text("/policy/limit"),
                text("/policy/requests")
            ),
        ));
    }
    lines.extend([("mail log", mail_log(status)), ("alerts", alerts(status))]);
    let unregistered = status.pointer("/without_registered_domains").and_then(Value::as_array);
    if let Some(entities) = unregistered.filter(|entities| !entities.is_empty()) {
        let shown: Vec<String> = entities.iter().take(SHOWN).map(plain).collect();
        let more = match entities.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = shown.join(" ");
        lines.push((
            "no domains",
            format!("{shown}{more}: none registered, so unregistered senders are not judged"),
        ));
    }
    for note in status.pointer("/notes").and_then(Value::as_array).into_iter().flatten() {
        lines.push(("note", plain(note)));
    }
    lines
}

/// How the mail log is read, in one line.
fn mail_log(status: &Value) -> String {
    let get = |name: &str| status.pointer(&format!("/feedback/{name}"));
    let text = |name: &str| get(name).map(plain).unwrap_or_default();
    let healthy = get("healthy") == Some(&Value::Bool(true));
    let what = match &*text("kind") {
        "file" => text("file"),
        "journal" => "the journal".to_owned(),
        _ if healthy => return "none, as configured".to_owned(),
        _ => "none".to_owned(),
    };
    let health = if healthy { "healthy" } else { "NOT HEALTHY" };
    format!("{health}, {what}, {} results, {} s behind", text("results"), text("lag_s"))
}

/// How alerts are sent, in one line.
fn alerts(status: &Value) -> String {
    let channels = status.pointer("/alerts/channels").and_then(Value::as_array);
    let channel = |channel: &Value| {
        let text = |name: &str| channel.get(name).map(plain).unwrap_or_default();
        let healthy = channel.get("healthy") == Some(&Value::Bool(true));
        let health = if healthy { "" } else { " NOT HEALTHY" };
        format!("{} to {}{health}", text("channel"), text("target"))
    };
    let channels: Vec<String> = channels.into_iter().flatten().map(channel).collect();
    let count =
        |name: &str| status.pointer(&format!("/alerts/{name}")).map(plain).unwrap_or_default();
    if channels.is_empty() {
        return "only logged: no channel is configured".to_owned();
    }
    format!(
        "{} sent, {} failed, {} waiting: {}",
        count("sent"),
        count("failed"),
        count("queued"),
        channels.join("; ")
    )
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
