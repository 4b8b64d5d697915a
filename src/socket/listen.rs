//! Where an MTA reaches us, as Postfix and the configuration write it, and what listens
//! there before the daemon says that it is ready.

use super::{Access, Inherited, SocketFile};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    str::FromStr,
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

/// Members of the group as which smtpd connects; where Postfix has another one, the folder
/// gives the socket its own.
const ACCESS: Access = Access { group: "postfix", otherwise: 0o660 };

/// Why we can't listen; `key` is the key of the configuration that says where.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The unix socket can't be had.
    #[error("{key}: {source}")]
    Unix {
        /// As `milter.listen`.
        key: &'static str,
        /// Why.
        source: super::Error,
    },
    /// The port can't be had.
    #[error("{key}: can't listen on {address}: {source}")]
    Inet {
        /// As `milter.listen`.
        key: &'static str,
        /// Where.
        address: Listen,
        /// Why.
        source: io::Error,
    },
}

/// A socket that listens, not yet part of a runtime.
#[derive(Debug)]
pub struct Listening {
    /// Its file, if it has one that we made: to be dropped when nobody listens any more.
    pub file: Option<SocketFile>,
    /// What listens, without ever blocking.
    pub socket: Socket,
    /// Where, with the port that was given where any was asked for.
    pub listen: Listen,
}

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// Of a unix socket.
    Unix(UnixListener),
    /// Of a port.
    Tcp(TcpListener),
}

impl Listening {
    /// Listens there, for an MTA: on the socket of `inherited` that does already, or on
    /// one that is made. `key` is the key of the configuration that says so.
    ///
    /// # Errors
    /// If the socket can't be had.
    pub fn new(
        key: &'static str,
        listen: &Listen,
        inherited: &mut Inherited,
    ) -> Result<Self, BindError> {
        if let Some(socket) = inherited.take(listen) {
            return Ok(Self { file: None, socket, listen: listen.clone() });
        }
        match listen {
            Listen::Unix(path) => {
                Self::unix(path).map_err(|source| BindError::Unix { key, source })
            }
            Listen::Inet(address) => Self::inet(*address).map_err(|source| BindError::Inet {
                key,
                address: listen.clone(),
                source,
            }),
        }
    }

    fn unix(path: &Path) -> Result<Self, super::Error> {
        let super::Bound { listener, file, .. } = super::Bound::new(path, ACCESS)?;
        let listen = Listen::Unix(path.into());
        Ok(Self { file: Some(file), socket: Socket::Unix(listener), listen })
    }

    fn inet(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            file: None,
            listen: Listen::Inet(socket.local_addr()?),
            socket: Socket::Tcp(socket),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn errors_name_the_key_and_the_place() {
        let bound =
            |listen: &Listen| Listening::new("milter.listen", listen, &mut Inherited::none());
        let text = bound(&Listen::Unix("/nowhere/milter.sock".into())).unwrap_err().to_string();
        assert!(
            text.contains("milter.listen: can't listen on unix:/nowhere/milter.sock"),
            "{text}"
        );

        let taken = bound(&"inet:127.0.0.1:0".parse().unwrap()).unwrap();
        let text = bound(&taken.listen).unwrap_err().to_string();
        assert!(text.contains(&taken.listen.to_string()), "{text}");
    }
}
