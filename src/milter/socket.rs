//! Binding the sockets, before the daemon says that it is ready.

use super::{Listen, stream::Socket};
use crate::socket::{self, Access, SocketFile};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
};

/// The group as which smtpd connects; where Postfix has another one, the folder
/// gives the socket its own.
const ACCESS: Access = Access { group: "postfix", otherwise: 0o660 };

/// Why we can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The unix socket can't be had.
    #[error("milter.listen: {0}")]
    Unix(#[from] socket::Error),
    /// The port can't be had.
    #[error("milter.listen: can't listen on {address}: {source}")]
    Inet {
        /// Where.
        address: Listen,
        /// Why.
        source: io::Error,
    },
}

/// A socket that listens, not yet part of a runtime.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) file: Option<SocketFile>,
    socket: Raw,
    /// Where, with the port that was given where any was asked for.
    pub(super) listen: Listen,
}

#[derive(Debug)]
enum Raw {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Bound {
    pub(super) fn new(listen: &Listen) -> Result<Self, BindError> {
        match listen {
            Listen::Unix(path) => Self::unix(path),
            Listen::Inet(address) => Self::inet(*address)
                .map_err(|source| BindError::Inet { address: listen.clone(), source }),
        }
    }

    fn unix(path: &Path) -> Result<Self, BindError> {
        let socket::Bound { listener, file, .. } = socket::Bound::new(path, ACCESS)?;
        let listen = Listen::Unix(path.into());
        Ok(Self { file: Some(file), socket: Raw::Unix(listener), listen })
    }

    fn inet(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            file: None,
            listen: Listen::Inet(socket.local_addr()?),
            socket: Raw::Tcp(socket),
        })
    }

    /// Hands the socket to the runtime that this is called in.
    pub(super) fn into_socket(self) -> io::Result<(Option<SocketFile>, Socket)> {
        let socket = match self.socket {
            Raw::Unix(socket) => Socket::Unix(socket.try_into()?),
            Raw::Tcp(socket) => Socket::Tcp(socket.try_into()?),
        };
        Ok((self.file, socket))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn errors_name_the_key_and_the_place() {
        let text = Bound::new(&Listen::Unix("/nowhere/milter.sock".into())).unwrap_err();
        let text = text.to_string();
        assert!(
            text.contains("milter.listen: can't listen on unix:/nowhere/milter.sock"),
            "{text}"
        );

        let taken = Bound::new(&"inet:127.0.0.1:0".parse().unwrap()).unwrap();
        let text = Bound::new(&taken.listen).unwrap_err().to_string();
        assert!(text.contains(&taken.listen.to_string()), "{text}");
    }
}
