//! Sockets that the service manager opened before us and hands over (`LISTEN_FDS`).
//!
//! - **A restart refuses nobody**: the service manager holds them while nobody runs, and
//!   connections wait. So their files stay at our end: they are not ours.
//! - **A socket is known by its address**, not by its name or number: the configuration
//!   says which it is, and a place that none was handed over for is bound as ever.
//! - **Nobody waits unseen**: one that the configuration does not name is told.

use super::{Listen, Socket};
use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
use std::{env, fs, io, os::fd::AsFd, path::Path};

/// What was handed over and nobody took yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(Listen, Socket)>);

impl Inherited {
    /// Nothing, as where we were started by hand.
    pub fn none() -> Self {
        Self::default()
    }

    /// What this process was handed over. To be called once, by the program itself: a
    /// second call would own the same descriptors again.
    pub fn from_environment() -> Self {
        // The crate knows a way without it, in which children take what is not theirs.
        if env::var_os("LISTEN_PID").is_none() {
            return Self::none();
        }
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..handed.len() {
            match take(&mut handed, index) {
                Ok(socket) => sockets.extend(socket),
                Err(error) => tracing::warn!(
                    "socket {index} of those that the service manager hands over can't be used: {error}"
                ),
            }
        }
        Self(sockets)
    }

    /// The socket that listens there, if it was handed over.
    pub(super) fn take(&mut self, listen: &Listen) -> Option<Socket> {
        let index = self.0.iter().position(|(place, _)| is_same(place, listen))?;
        Some(self.0.swap_remove(index).1)
    }

    /// Closes what nobody took, and gives a sentence about each for the operator.
    pub fn close(self) -> Vec<String> {
        let tell = |(place, _): (Listen, Socket)| {
            format!(
                "the service manager listens on {place}, which no `listen` of the configuration names: whoever asks there waits in vain. Name it, or take it out of the socket unit (`systemctl disable --now connguard.socket`)"
            )
        };
        self.0.into_iter().map(tell).collect()
    }
}

fn take(handed: &mut ListenFd, index: usize) -> io::Result<Option<(Listen, Socket)>> {
    if let Ok(Some(listener)) = handed.take_unix_listener(index) {
        let address = listener.local_addr()?;
        let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no path"))?;
        listener.set_nonblocking(true)?;
        let place = Listen::Unix(path.into());
        return listening(&listener).map(|()| Some((place, Socket::Unix(listener))));
    }
    let Some(listener) = handed.take_tcp_listener(index)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    let place = Listen::Inet(listener.local_addr()?);
    listening(&listener).map(|()| Some((place, Socket::Tcp(listener))))
}

/// With `Accept=yes` it would be a connection.
fn listening(socket: &impl AsFd) -> io::Result<()> {
    match getsockopt(socket, AcceptConn)? {
        true => Ok(()),
        false => Err(io::Error::other("it does not listen (Accept=yes?)")),
    }
}

/// The same place, also where a folder has two names, as /var/run and /run.
fn is_same(one: &Listen, other: &Listen) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) => {
            one == other || real(one).is_some_and(|one| real(other) == Some(one))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::super::Listening;
    use super::*;
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::{
            fs::symlink,
            net::{UnixListener, UnixStream},
        },
    };

    fn unix(path: &Path) -> (Listen, Socket) {
        (Listen::Unix(path.into()), Socket::Unix(UnixListener::bind(path).unwrap()))
    }

    #[test]
    fn a_place_that_was_handed_over_is_not_bound_and_its_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours.sock"), folder.path().join("other.sock"));
        let mut inherited = Inherited(vec![unix(&ours)]);
        let taken =
            Listening::new("milter.listen", &Listen::Unix(ours.clone()), &mut inherited).unwrap();
        let bound =
            Listening::new("milter.listen", &Listen::Unix(other.clone()), &mut inherited).unwrap();
        UnixStream::connect(&ours).unwrap();
        UnixStream::connect(&other).unwrap();
        drop((taken, bound));
        assert!(ours.exists(), "what the service manager made stays");
        assert!(!other.exists(), "what we made goes");
        assert!(inherited.close().is_empty());
    }

    #[test]
    fn a_place_is_the_same_by_another_name_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let mut inherited = Inherited(vec![unix(&real.join("a.sock"))]);
        assert!(inherited.take(&Listen::Unix(real.join("b.sock"))).is_none());
        assert!(inherited.take(&Listen::Unix(link.join("a.sock"))).is_some());
        assert!(inherited.take(&Listen::Unix(link.join("a.sock"))).is_none(), "only once");
    }

    #[test]
    fn a_port_is_known_by_address_and_number() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut inherited = Inherited(vec![(Listen::Inet(address), Socket::Tcp(socket))]);
        let elsewhere = format!("inet:127.0.0.2:{}", address.port()).parse().unwrap();
        assert!(inherited.take(&elsewhere).is_none());
        let place = Listen::Inet(address);
        let taken = Listening::new("milter.listen", &place, &mut inherited).unwrap();
        assert_eq!(taken.listen, place);
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn what_nobody_names_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let told = Inherited(vec![unix(&path)]).close();
        assert_eq!(told.len(), 1, "{told:?}");
        let sentence = told.first().unwrap();
        assert!(sentence.contains(&format!("unix:{}", path.display())), "{sentence}");
        assert!(sentence.contains("systemctl disable --now connguard.socket"), "{sentence}");
    }
}
