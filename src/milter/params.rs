//! What the milter front-end is told by the configuration.

use crate::{header::SpamHeaders, socket::Listen};
use std::{net::SocketAddr, sync::Arc};

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
