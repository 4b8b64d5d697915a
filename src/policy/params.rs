//! What the policy front-end is told by the configuration.

use crate::{socket::Listen, verdict::WordError};
use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

/// What it is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Beside the milter: hands over fingerprints of certificates.
    Identity,
    /// Instead of the milter.
    Judge,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Judge => "judge",
        })
    }
}

impl FromStr for Role {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "identity" => Ok(Self::Identity),
            "judge" => Ok(Self::Judge),
            _ => Err(WordError { found: text.into(), expected: "judge or identity" }),
        }
    }
}

/// All of it. A reload changes everything but `listen` and `role`.
#[derive(Clone, Debug)]
pub struct Params {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// What it is there for.
    pub role: Role,
    /// Connections served at once; beyond, a connection is closed at once.
    pub max_connections: usize,
    /// Services of Postfix that take mail back from a content filter.
    pub ignore_daemons: Vec<SocketAddr>,
    /// Appended to logins without a realm.
    pub login_realm: Option<Arc<str>>,
}
