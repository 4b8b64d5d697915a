//! Binding the sockets, before the daemon says that it is ready.
//!
//! A unix socket gets mode 0660 and, where that group exists, group `postfix`,
//! before it listens: at no moment may anybody else connect. A file left
//! behind by a daemon that died is removed; one on which somebody answers, and
//! anything that is no socket, is left alone. At the end the file is removed
//! only if it is still ours (same device and inode: while the socket is open
//! its inode can't be given to another file).

use super::{Listen, stream::Socket};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
    },
    unistd::{Group, chown},
};
use std::{
    fs::{self, Permissions},
    io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
};

/// The group as which smtpd connects.
const GROUP: &str = "postfix";

/// Why we can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error(
        "milter.listen: another process answers on unix:{0}: is another connguard running? stop it first"
    )]
    InUse(PathBuf),
    /// Something else has this name.
    #[error("milter.listen: {0} exists and is no socket: move it away")]
    NoSocket(PathBuf),
    /// The socket can't be made.
    #[error(
        "milter.listen: can't listen on unix:{path}: {source}: its folder must exist and be writable for this user"
    )]
    Unix {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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
        make_room(path)?;
        let (file, socket) =
            listen_unix(path).map_err(|source| BindError::Unix { path: path.into(), source })?;
        Ok(Self { file: Some(file), socket: Raw::Unix(socket), listen: Listen::Unix(path.into()) })
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

/// The file of a unix socket that we made; removed when dropped, if it is
/// still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.into(), device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |found: &fs::Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).is_ok_and(|found| ours(&found))
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "can't remove the milter socket");
        }
    }
}

/// Removes a socket file on which nobody answers.
fn make_room(path: &Path) -> Result<(), BindError> {
    let failed = |source: io::Error| BindError::Unix { path: path.into(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NoSocket(path.into()));
    }
    match answers(path) {
        // Its queue of connections is full.
        Ok(()) | Err(Errno::EAGAIN) => Err(BindError::InUse(path.into())),
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(failed)?;
            tracing::info!(path = %path.display(), "removed a milter socket that was left behind");
            Ok(())
        }
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// Connects without waiting.
fn answers(path: &Path) -> Result<(), Errno> {
    let socket = stream_socket()?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn listen_unix(path: &Path) -> io::Result<(SocketFile, UnixListener)> {
    let socket = stream_socket()?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let file = SocketFile::of(path)?;
    give_to_postfix(path);
    fs::set_permissions(path, Permissions::from_mode(0o660))?;
    listen(&socket, Backlog::MAXCONN)?;
    Ok((file, socket.into()))
}

fn give_to_postfix(path: &Path) {
    let result = match Group::from_name(GROUP) {
        Ok(Some(group)) => chown(path, None, Some(group.gid)),
        Ok(None) => return,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        tracing::warn!(
            path = %path.display(),
            %error,
            "can't give the milter socket to group {GROUP}, so smtpd may be unable to connect: make our user a member of that group"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::os::unix::net::UnixStream;

    fn at(folder: &tempfile::TempDir) -> (PathBuf, Listen) {
        let path = folder.path().join("milter.sock");
        (path.clone(), Listen::Unix(path))
    }

    #[test]
    fn only_the_owner_and_postfix_may_connect() {
        let folder = tempfile::tempdir().unwrap();
        let (path, listen) = at(&folder);
        let bound = Bound::new(&listen).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o777, 0o660);
        if let Some(group) = Group::from_name(GROUP).unwrap() {
            assert_eq!(found.gid(), group.gid.as_raw());
        }
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert!(!path.exists(), "the file goes with the socket");
    }

    #[test]
    fn a_socket_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, listen) = at(&folder);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _bound = Bound::new(&listen).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, listen) = at(&folder);
        let other = UnixListener::bind(&path).unwrap();
        let error = Bound::new(&listen).unwrap_err();
        assert!(matches!(error, BindError::InUse(_)), "{error}");
        drop(other);
        fs::remove_file(&path).unwrap();

        fs::write(&path, "text").unwrap();
        let error = Bound::new(&listen).unwrap_err();
        assert!(matches!(error, BindError::NoSocket(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        fs::remove_file(&path).unwrap();

        let bound = Bound::new(&listen).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists(), "another one's socket stays");
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        let error = Bound::new(&Listen::Unix("/nowhere/milter.sock".into())).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("unix:/nowhere/milter.sock"), "{text}");
        assert!(text.contains("its folder must exist"), "{text}");

        let taken = Bound::new(&"inet:127.0.0.1:0".parse().unwrap()).unwrap();
        let text = Bound::new(&taken.listen).unwrap_err().to_string();
        assert!(text.contains(&taken.listen.to_string()), "{text}");
    }
}
