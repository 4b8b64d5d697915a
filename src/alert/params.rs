//! What alerts are told by the configuration.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, time::Duration};

/// All of it. A reload changes everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Params {
    /// By mail.
    pub mail: Option<Mail>,
    /// By a request over HTTP.
    pub webhook: Option<Webhook>,
    /// By a program.
    pub command: Option<Command>,
    /// How long after an alert of something that is still in force it is told
    /// again.
    pub repeat: Option<Duration>,
    /// Whether a new connector is told.
    pub new_connectors: bool,
    /// The domain of Message-IDs, and of the name that the mail client greets with.
    pub host: String,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            mail: None,
            webhook: None,
            command: None,
            repeat: Some(Duration::from_secs(3600)),
            new_connectors: true,
            host: "localhost".into(),
        }
    }
}

impl Params {
    /// The channels that are configured.
    pub fn channels(&self) -> Vec<Channel> {
        Channel::ALL.into_iter().filter(|channel| self.target(*channel).is_some()).collect()
    }

    /// Where a channel leads, for people: without what is secret in it.
    pub fn target(&self, channel: Channel) -> Option<String> {
        match channel {
            Channel::Mail => self.mail.as_ref().map(|mail| mail.to.join(", ")),
            Channel::Webhook => self.webhook.as_ref().map(Webhook::shown),
            Channel::Command => {
                self.command.as_ref().and_then(|command| command.argv.first().cloned())
            }
        }
    }
}

/// A way to tell.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By mail.
    Mail,
    /// By a request over HTTP.
    Webhook,
    /// By a program.
    Command,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Webhook, Self::Command];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether `text` can be the address of a mailbox.
///
/// # Errors
/// What is wrong with it.
pub fn address(text: &str) -> Result<String, String> {
    match text.parse::<lettre::Address>() {
        Ok(_) if text.is_ascii() => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is no address; expected one as \"postmaster@example.org\"")),
    }
}

/// Whether `text` can be the address of a webhook.
///
/// # Errors
/// What is wrong with it, without the address: it may hold a secret.
pub fn url(text: &str) -> Result<String, String> {
    let fits = |url: &ureq::http::Uri| {
        let scheme = matches!(url.scheme_str(), Some("https" | "http"));
        scheme && url.host().is_some_and(|host| !host.is_empty())
    };
    match text.parse() {
        Ok(url) if fits(&url) => Ok(text.to_owned()),
        _ => {
            Err("is no URL; expected one that begins with https:// or http:// and names a host"
                .into())
        }
    }
}

/// By mail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mail {
    /// Addresses, at least one.
    pub to: Vec<String>,
    /// Address.
    pub from: String,
    /// Host name or address of the SMTP server.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// By a request over HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Webhook {
    /// Where to; it may hold a secret of its own.
    pub url: Secret,
    /// What signs the body.
    pub secret: Option<Secret>,
}

impl Webhook {
    /// Where it leads, without path and query.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.url.reveal().split_once("://").unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}")
    }
}

/// By a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// Program, with an absolute path, and arguments.
    pub argv: Vec<String>,
}

/// A text that no log shows.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text, for whom it is meant.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_shown() {
        let url = "https://user:password@hooks.example.org:8443/services/T0KEN?key=K";
        let webhook = Webhook { url: url.into(), secret: Some("shared".into()) };
        assert_eq!(webhook.shown(), "https://hooks.example.org:8443");
        let debug = format!("{webhook:?}");
        assert!(!debug.contains("T0KEN") && !debug.contains("shared"), "{debug}");
    }
}
