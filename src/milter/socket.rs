//! From a socket that listens to a part of a runtime.

use super::stream::Socket;
use crate::socket::{self, Listening, SocketFile};
use std::io;

/// Hands the socket to the runtime that this is called in.
pub(super) fn into_socket(listening: Listening) -> io::Result<(Option<SocketFile>, Socket)> {
    let socket = match listening.socket {
        socket::Socket::Unix(socket) => Socket::Unix(socket.try_into()?),
        socket::Socket::Tcp(socket) => Socket::Tcp(socket.try_into()?),
    };
    Ok((listening.file, socket))
}
