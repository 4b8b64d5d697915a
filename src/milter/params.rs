//! What the milter front-end is told by the configuration.

use crate::header::SpamHeaders;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    sync::Arc,
};

/// Where to listen, as Postfix and the configuration write it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// `unix:/path`.
    Unix(PathBuf),
    /// `inet:127.0.0.1:8895` or `inet6:[::1]:8895`.
    Inet(SocketAddr),
}

/// A text that is no place to listen.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no place to listen: write unix:/absolute/path, inet:127.0.0.1:8895 or inet6:[::1]:8895"
)]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Some(Self::Unix(path.into())),
            Some(("inet", address)) => {
                address.parse().ok().filter(SocketAddr::is_ipv4).map(Self::Inet)
            }
            Some(("inet6", address)) => {
                address.parse().ok().filter(SocketAddr::is_ipv6).map(Self::Inet)
            }
            _ => None,
        };
        parsed.ok_or_else(|| ListenError(text.to_owned()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(address) if matches!(address.ip(), IpAddr::V6(_)) => {
                write!(f, "inet6:{address}")
            }
            Self::Inet(address) => write!(f, "inet:{address}"),
        }
    }
}

/// All of it. A reload changes everything but `listen`.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Connections served at once; beyond, a connection is closed at once.
    pub max_connections: usize,
    /// Services of Postfix that take mail back from a content filter.
    pub ignore_daemons: Vec<SocketAddr>,
    /// Appended to logins without a realm.
    pub login_realm: Option<Arc<str>>,
    /// Headers in which a spam filter before us says its verdict.
    pub spam_headers: SpamHeaders,
}
