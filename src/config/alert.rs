//! `[alert]`: who is told, and how.

use super::{
    files::FileError,
    reader::{Table, Text},
    values::{path, span_or_never},
};
use crate::alert::{self, Command, Mail, Params, Secret, Webhook};
use std::{net::IpAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

const DEFAULT_SMTP: (&str, u16) = ("127.0.0.1", 25);
const LEAST_REPEAT: Duration = Duration::from_secs(60);

/// `[alert]`. `own_names` are this host's; `new_connectors` is what
/// `[judgement]` says.
pub(super) fn alert(
    mut table: Table<'_, '_>,
    own_names: &[String],
    new_connectors: bool,
) -> Params {
    let host = host(own_names);
    let repeat = table.text("repeat", "a duration as \"1h\", or \"never\"");
    Params {
        repeat: repeat
            .and_then(|text| text.parse(self::repeat))
            .unwrap_or(Params::default().repeat),
        mail: mail(&mut table, &host),
        webhook: webhook(&mut table),
        command: command(&mut table),
        new_connectors,
        host,
    }
}

/// The name by which this host greets other servers, as far as that is known.
fn host(own_names: &[String]) -> String {
    let whole = own_names.iter().find(|name| name.contains('.'));
    whole.or_else(|| own_names.first()).cloned().unwrap_or_else(|| "localhost".into())
}

fn repeat(text: &str) -> Result<Option<Duration>, String> {
    match span_or_never(text)? {
        Some(span) if span < LEAST_REPEAT => {
            Err(format!("{text:?} is too often; expected at least \"1m\", as \"1h\", or \"never\""))
        }
        span => Ok(span),
    }
}

fn mail(table: &mut Table<'_, '_>, host: &str) -> Option<Mail> {
    let to = table.texts("to").unwrap_or_default();
    let to: Vec<String> = to.iter().filter_map(|text| text.parse(alert::address)).collect();
    let from = table.text("from", "an address as \"connguard@mx.example.org\"");
    let from = from.and_then(|text| text.parse(alert::address));
    let smtp = table.text("smtp", "a host and port, as \"127.0.0.1:25\"");
    let (server, port) = smtp
        .and_then(|text| {
            let place = text.parse(server)?;
            if !is_loopback(&place.0) {
                text.spot.warn(format!(
                    "{} is not on this host: only our own milter lets alerts through whatever is \
                     restricted; expected the Postfix of this host, as \"127.0.0.1:25\"",
                    text.text
                ));
            }
            Some(place)
        })
        .unwrap_or((DEFAULT_SMTP.0.to_owned(), DEFAULT_SMTP.1));
    (!to.is_empty()).then(|| Mail {
        to,
        from: from.unwrap_or_else(|| format!("connguard@{host}")),
        host: server,
        port,
    })
}

/// A host name or address with a port.
fn server(text: &str) -> Result<(String, u16), String> {
    let error = || format!("{text:?} is no host with a port; expected 127.0.0.1:25 or [::1]:25");
    let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(error)?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    match inner {
        Some(inner) if inner.parse::<IpAddr>().is_ok() => Ok((inner.to_owned(), port)),
        None if is_name(host) => Ok((host.to_owned(), port)),
        _ => Err(error()),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn webhook(table: &mut Table<'_, '_>) -> Option<Webhook> {
    let url = table.text("webhook", "an URL as \"https://hooks.example.org/connguard\"");
    let file = table.text("webhook_secret_file", "a path");
    let secret = file.as_ref().map(secret);
    let Some(text) = url else {
        if let Some(file) = file {
            file.spot.warn("webhook_secret_file signs nothing: there is no webhook");
        }
        return None;
    };
    let url = text.parse(alert::url)?;
    let webhook = Webhook { url: url.as_str().into(), secret: secret.flatten() };
    let shown = webhook.shown();
    let host = shown.split_once("://").map_or("", |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    if url.starts_with("http:") && !is_loopback(host) {
        text.spot.warn(format!("alerts go to {shown} unencrypted; use https"));
    }
    if file.is_none() {
        text.spot.warn(
            "the webhook is not signed: who knows where it leads can forge alerts; \
             set webhook_secret_file",
        );
    }
    Some(webhook)
}

/// What is in the file of a secret.
fn secret(text: &Text<'_, '_>) -> Option<Secret> {
    let path = text.parse(path)?;
    let fault = |why: String| {
        text.spot.fault(why);
        None
    };
    let shown = path.display();
    let bytes = match text.spot.reader.read_file(&path) {
        Ok(bytes) => bytes,
        Err(FileError::Missing) => {
            return fault(format!(
                "there is no file {shown}; expected one with the secret that signs the webhook"
            ));
        }
        Err(FileError::Unreadable(why) | FileError::NotText(_, why)) => {
            return fault(format!("{shown} {why}"));
        }
    };
    let secret = String::from_utf8(bytes).unwrap_or_default();
    let secret = secret.trim();
    if secret.is_empty() {
        return fault(format!("{shown} is empty or no text; expected the secret in one line"));
    }
    if secret.len() < 16 {
        text.spot.warn(format!("the secret in {shown} is short; take 32 random characters"));
    }
    if is_for_everybody(&path) {
        text.spot.warn(format!("everybody can read {shown}; chmod o-r {shown}"));
    }
    Some(secret.into())
}

fn is_for_everybody(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

fn command(table: &mut Table<'_, '_>) -> Option<Command> {
    let item = table.take("command")?;
    let spot = item.spot.clone();
    let texts = item.texts()?;
    let Some(program) = texts.first() else {
        spot.fault(
            "is empty; expected a program and its arguments, as [\"/usr/local/bin/page-me\"]",
        );
        return None;
    };
    let program = program.parse(path)?;
    let shown = program.display();
    match std::fs::metadata(&program) {
        Ok(found) if found.is_file() => {
            if found.permissions().mode() & 0o111 == 0 {
                spot.warn(format!("{shown} can't be executed; chmod +x {shown}"));
            }
        }
        _ => spot.warn(format!("there is no program {shown}")),
    }
    Some(Command { argv: texts.into_iter().map(|text| text.text).collect() })
}

/// What `check` says of it.
pub(super) fn summary(params: &Params) -> String {
    let channel = |channel: alert::Channel| {
        let target = params.target(channel)?;
        Some(match channel {
            alert::Channel::Mail => {
                let mail = params.mail.as_ref()?;
                format!("by mail to {target} through {}:{}", mail.host, mail.port)
            }
            alert::Channel::Webhook => {
                let signed = params.webhook.as_ref().is_some_and(|hook| hook.secret.is_some());
                format!("by webhook to {target}{}", if signed { " (signed)" } else { "" })
            }
            alert::Channel::Command => format!("by the command {target}"),
        })
    };
    let channels: Vec<String> = alert::Channel::ALL.into_iter().filter_map(channel).collect();
    let channels =
        if channels.is_empty() { "are only logged".to_owned() } else { channels.join(", ") };
    let repeat = params.repeat.map_or_else(
        || "never".to_owned(),
        |span| format!("every {}", crate::timestamp::format_span(span)),
    );
    let new = if params.new_connectors { "" } else { "; new connectors are not told" };
    format!("alerts: {channels}; reminders {repeat}{new}")
}
