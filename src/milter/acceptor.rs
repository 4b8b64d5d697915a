//! One listener over all sockets, which never gives up.
//!
//! - It owns the limit of connections: what comes beyond is accepted and
//!   closed at once, so that Postfix applies `milter_default_action` at once
//!   instead of waiting for its timeout in silence.
//! - Where too many files are open the connection is closed at once, too, by means of
//!   descriptors that are kept for this.
//! - Any other accept error (no memory) is waited out: 50 ms, doubled up to 1 s as long
//!   as it lasts.
//! - When a shutdown begins it closes all sockets and gives no connection any
//!   more.

use super::{
    seat::{Seat, Waiting},
    shared::{Room, Shared},
};
use crate::socket::SocketFile;
use indymilter::Listener;
use nix::errno::Errno;
use std::{
    fs::File,
    future,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Descriptors that are kept for turning away: one, and some that others may be quicker
/// to take.
const SPARES: usize = 3;

/// A listening socket and, where it has one, its file, which goes first.
#[derive(Debug)]
pub(super) struct Source<L> {
    #[expect(dead_code, reason = "held for what its Drop does")]
    pub(super) file: Option<SocketFile>,
    pub(super) socket: L,
}

/// See the head of this module.
pub(super) struct Acceptor<L> {
    sources: Vec<Source<L>>,
    /// The source that is asked first, so that a busy one starves no other.
    first: usize,
    shared: Arc<Shared>,
    /// That of the thread it accepts on.
    seat: Arc<Seat>,
    waiting: Option<Waiting>,
    pause: Option<Pin<Box<Sleep>>>,
    wait: Duration,
    /// What is given up to take, and close, a connection when too many files are open.
    spare: Vec<File>,
}

impl<L: Listener> Acceptor<L> {
    pub(super) fn new(sources: Vec<Source<L>>, shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        let (waiting, pause) = (None, None);
        let (wait, spare) = (SHORTEST_WAIT, Vec::new());
        let mut acceptor = Self { sources, first: 0, shared, seat, waiting, pause, wait, spare };
        acceptor.keep_spare();
        acceptor
    }

    /// The next connection that there is room for, and that room.
    pub(super) async fn next(&mut self) -> (L::Io, Room) {
        future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Asks every source once.
    fn poll_sources(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<L::Io>> {
        let count = self.sources.len();
        for step in 0..count {
            let at = (self.first + step) % count;
            let Some(source) = self.sources.get_mut(at) else {
                continue;
            };
            if let Poll::Ready(accepted) = source.socket.poll_accept(cx) {
                self.first = at + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(L::Io, Room)> {
        Waiting::renew(&mut self.waiting, &self.seat, cx.waker());
        if self.shared.is_draining() {
            self.sources.clear();
            return Poll::Pending;
        }
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.poll_sources(cx)) {
                Ok(stream) => {
                    self.keep_spare();
                    if let Some(room) = self.admit() {
                        return Poll::Ready((stream, room));
                    }
                }
                Err(error) => match self.turn_away(&error, cx) {
                    Some(turned_away) => ready!(turned_away),
                    None => self.failed(&error),
                },
            }
        }
    }

    /// Where too many files are open, takes a connection in place of a spare one and
    /// closes it, or waits for one: the system says so too where none is there. Nothing
    /// if that did not work.
    fn turn_away(&mut self, error: &io::Error, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        if !matches!(errno, Errno::EMFILE | Errno::ENFILE) {
            return None;
        }
        let mut turned_away = None;
        while turned_away.is_none() && self.spare.pop().is_some() {
            turned_away = match self.poll_sources(cx) {
                Poll::Ready(Ok(_)) => Some(Poll::Ready(())),
                Poll::Pending => Some(Poll::Pending),
                // Another part of the daemon was quicker.
                Poll::Ready(Err(_)) => None,
            };
        }
        self.keep_spare();
        if turned_away == Some(Poll::Ready(())) {
            self.shared.no_descriptor(error);
        }
        turned_away
    }

    /// Opens descriptors that can be given up, as far as there are any.
    fn keep_spare(&mut self) {
        while self.spare.len() < SPARES {
            let Ok(file) = File::open("/dev/null") else { return };
            self.spare.push(file);
        }
    }

    fn admit(&mut self) -> Option<Room> {
        self.wait = SHORTEST_WAIT;
        let room = Room::take(&self.shared);
        if room.is_none() {
            let shared = &self.shared;
            let refused = shared.refused_connections.fetch_add(1, Relaxed) + 1;
            if shared.quiet_limit.allows(shared.now_or_last()) {
                let limit = shared.params.load().max_connections;
                tracing::warn!(
                    limit,
                    refused,
                    "too many milter connections: more are closed at once and Postfix applies milter_default_action; raise milter.max_connections"
                );
            }
        }
        room
    }

    fn failed(&mut self, error: &io::Error) {
        self.shared.accept_failed(error);
        // These concern a single connection that is already gone.
        let gone = matches!(
            error.kind(),
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
        );
        if !gone {
            self.pause = Some(Box::pin(sleep(self.wait)));
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
    }
}

impl<L> Drop for Acceptor<L> {
    fn drop(&mut self) {
        Waiting::end(&mut self.waiting, &self.seat);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use crate::{
        engine::{Engine, Settings},
        header::SpamHeaders,
        milter::{Params, stream::Stream},
        timestamp::Timestamp,
    };
    use std::collections::VecDeque;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    /// Gives what it was given, then waits for ever.
    struct Script(VecDeque<io::Result<DuplexStream>>);

    impl Listener for Script {
        type Io = DuplexStream;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<DuplexStream>> {
            self.0.pop_front().map_or(Poll::Pending, Poll::Ready)
        }
    }

    fn shared(max_connections: usize) -> Arc<Shared> {
        let now = Timestamp::from_seconds(1_795_000_000);
        let params = Params {
            listen: Vec::new(),
            max_connections,
            ignore_daemons: Vec::new(),
            login_realm: None,
            spam_headers: SpamHeaders::parse(&["X-Spam: Yes"]).unwrap(),
        };
        let engine = Arc::new(Engine::new(Settings::default(), 10, now));
        Arc::new(Shared::new(params, engine, Box::new(move || now)))
    }

    fn acceptor(shared: &Arc<Shared>, script: Vec<io::Result<DuplexStream>>) -> Acceptor<Script> {
        let socket = Script(script.into());
        Acceptor::new(vec![Source { file: None, socket }], Arc::clone(shared), Arc::default())
    }

    #[tokio::test]
    async fn an_accept_error_is_waited_out() {
        let shared = shared(10);
        let too_many_files = || Err(io::Error::from(nix::errno::Errno::ENOMEM));
        let gone = Err(io::Error::from(ErrorKind::ConnectionAborted));
        let (stream, _other) = duplex(1);
        let script = vec![too_many_files(), too_many_files(), gone, Ok(stream)];
        let mut acceptor = acceptor(&shared, script);
        let _taken = acceptor.next().await;
        assert_eq!(shared.accept_errors.load(Relaxed), 3);
        assert_eq!(shared.connections.load(Relaxed), 1);
        assert_eq!(acceptor.wait, SHORTEST_WAIT, "starts over after a success");
    }

    #[tokio::test]
    async fn where_too_many_files_are_open_a_connection_is_closed_at_once() {
        let shared = shared(10);
        let too_many_files = || Err(io::Error::from(nix::errno::Errno::EMFILE));
        let (mut streams, mut others): (Vec<_>, Vec<_>) = (0..2).map(|_| duplex(1)).unzip();
        // The second time somebody else has taken what was given up.
        let script = vec![
            too_many_files(),
            too_many_files(),
            Ok(streams.remove(0)),
            // Nobody is there, which the system does not say.
            too_many_files(),
        ];
        let mut acceptor = acceptor(&shared, script);
        let polled = future::poll_fn(|cx| Poll::Ready(acceptor.poll_next(cx).is_ready()));
        assert!(!polled.await, "none was there to be served");
        assert!(others.first_mut().unwrap().read_u8().await.is_err(), "the first is closed");
        assert!(acceptor.pause.is_none(), "the next one does not wait");
        assert_eq!(acceptor.spare.len(), SPARES);
        assert_eq!(shared.refused_connections.load(Relaxed), 1);
        acceptor.sources[0].socket.0.push_back(Ok(streams.remove(0)));
        let _second = acceptor.next().await;
    }

    #[tokio::test]
    async fn what_comes_beyond_the_limit_is_closed_at_once() {
        let shared = shared(2);
        let (streams, mut others): (Vec<_>, Vec<_>) = (0..4).map(|_| duplex(1)).unzip();
        let mut acceptor = acceptor(&shared, streams.into_iter().map(Ok).collect());
        let first = acceptor.next().await;
        let _second = acceptor.next().await;
        tokio::select! {
            _ = acceptor.next() => unreachable!("there is no place"),
            read = others.last_mut().unwrap().read_u8() => assert!(read.is_err()),
        }
        assert_eq!(shared.refused_connections.load(Relaxed), 2);
        drop(first);
        let (stream, _other) = duplex(1);
        acceptor.sources[0].socket.0.push_back(Ok(stream));
        let _third = acceptor.next().await;
        assert_eq!(shared.connections.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn a_shutdown_ends_idle_streams_and_closes_sockets() {
        let shared = shared(10);
        let (stream, mut other) = duplex(100);
        let mut acceptor = acceptor(&shared, vec![Ok(stream)]);
        let (stream, room) = acceptor.next().await;
        let seat = Arc::clone(&acceptor.seat);
        let mut stream = Stream::new(stream, room.at(&seat));
        let mut buffer = [0; 10];
        let reading = stream.read(&mut buffer);
        let end = async {
            shared.drain();
            seat.wake();
        };
        let (read, ()) = tokio::join!(reading, end);
        assert_eq!(read.unwrap(), 0);
        drop(stream);
        assert!(other.read_u8().await.is_err());
        tokio::select! {
            biased;
            _ = acceptor.next() => unreachable!("no more connections"),
            () = std::future::ready(()) => {}
        }
        assert!(acceptor.sources.is_empty());
    }
}
