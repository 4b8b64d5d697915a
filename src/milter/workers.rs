//! The threads that serve connections: one for each processor, each with a
//! runtime of its own.
//!
//! A session of the milter library is two tasks that hand every frame to one
//! another. On a runtime of many threads each of these steps costs atomics and
//! now and then wakes another thread; on a runtime of one thread it is a push
//! into a queue. A milter that does nothing needs 21 % less processor time for
//! a message in a session of its own that way, and 6 % less where a session has
//! a hundred messages.
//!
//! - The first thread accepts. A connection goes to the thread that serves the
//!   fewest, and stays there. No callback waits for anything, so none keeps others
//!   of its thread long. (A thread of its own for accepting costs a change of
//!   threads for each connection: 10 % where each has one message.)
//! - What keeps the runtime of the daemon busy (commands, housekeeping) stops no
//!   session.
//! - When it is dropped, all sessions are cut off.

use super::{
    acceptor::{Acceptor, Source},
    callbacks,
    dialogue::Dialogue,
    seat::Seat,
    shared::{Place, Shared},
    socket,
    stream::{self, Io, Stream},
};
use crate::{fault, socket::Listening};
use indymilter::{Callbacks, EitherStream, Listener};
use std::{
    io,
    net::TcpStream,
    num::NonZero,
    os::unix::net::UnixStream,
    sync::Arc,
    task::{Context, Poll, ready},
    thread,
};
use tokio::{
    runtime::{self, Runtime},
    sync::{Semaphore, mpsc, watch},
};

/// See the head of this module.
pub(super) struct Workers {
    shared: Arc<Shared>,
    seats: Vec<Arc<Seat>>,
    cut_off: watch::Sender<bool>,
    /// Gets one message for each thread that ends, and for the task that accepts.
    ended: mpsc::UnboundedReceiver<()>,
}

impl Workers {
    /// Starts the threads, which take what comes to the sockets.
    pub(super) fn start(shared: &Arc<Shared>, bound: Vec<Listening>) -> io::Result<Self> {
        // Who can't say how many processors there are has one at least.
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let (cut_off, cut) = watch::channel(false);
        let (end, ended) = mpsc::unbounded_channel();
        let (desks, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| Desk::new()).unzip();
        let seats: Vec<_> = desks.iter().map(|desk| Arc::clone(&desk.seat)).collect();
        let (mut desks, mut bound) = (Some(desks), Some(bound));
        for inbox in inboxes {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            // Only for the first one there are any.
            if let (Some(desks), Some(bound)) = (desks.take(), bound.take()) {
                let _guard = runtime.enter();
                let seat = seats.first().map(Arc::clone).unwrap_or_default();
                let acceptor = Acceptor::new(sources(bound)?, Arc::clone(shared), seat);
                runtime.spawn(accept(acceptor, desks, Ending(end.clone())));
            }
            let (cut, ending) = (cut.clone(), Ending(end.clone()));
            let callbacks = callbacks::callbacks(shared);
            let work = move || {
                serve(&runtime, inbox, callbacks, cut);
                // With what is left of its sessions, and the sockets that it had.
                drop(runtime);
                drop(ending);
            };
            thread::Builder::new().name("milter".into()).spawn(work)?;
        }
        Ok(Self { shared: Arc::clone(shared), seats, cut_off, ended })
    }

    /// Completes when a thread, or what accepts, has ended: none does by itself.
    pub(super) async fn one_ended(&mut self) {
        let _ = self.ended.recv().await;
    }

    /// Begins the shutdown: no connection is taken any more, and those between two
    /// messages end.
    pub(super) fn drain(&self) {
        self.shared.drain();
        self.seats.iter().for_each(|seat| seat.wake());
    }

    /// Cuts off what sessions are left, and waits until all threads have ended.
    pub(super) async fn stop(mut self) {
        self.cut_off.send_replace(true);
        // The threads, and what accepts.
        for _ in 0..=self.seats.len() {
            self.one_ended().await;
        }
    }
}

fn sources(bound: Vec<Listening>) -> io::Result<Vec<Source<stream::Socket>>> {
    let source = |bound: Listening| {
        let (file, socket) = socket::into_socket(bound)?;
        Ok(Source { file, socket })
    };
    bound.into_iter().map(source).collect()
}

/// Accepts on the first thread, for as long as it runs.
async fn accept(mut acceptor: Acceptor<stream::Socket>, desks: Vec<Desk>, _ending: Ending) {
    loop {
        let (io, room) = acceptor.next().await;
        fault::point("milter acceptor");
        let desks = desks.iter().enumerate();
        let Some((number, desk)) = desks.min_by_key(|(_, desk)| desk.seat.connections()) else {
            continue;
        };
        let place = room.at(&desk.seat);
        match if number == 0 { Ok(Socket::Here(io)) } else { Socket::elsewhere(io) } {
            // Where the thread has ended nobody takes it, and it is closed.
            Ok(socket) => drop(desk.inbox.send(Arrival { socket, place })),
            Err(error) => place.shared().accept_failed(&error),
        }
    }
}

/// The work of one thread.
fn serve(
    runtime: &Runtime,
    inbox: Inbox,
    callbacks: Callbacks<Box<Dialogue>>,
    mut cut: watch::Receiver<bool>,
) {
    let config = indymilter::Config {
        // The acceptor owns the limit. Here one would make the MTA wait.
        max_connections: Semaphore::MAX_PERMITS,
        ..indymilter::Config::default()
    };
    let until_cut = async move {
        // An error says that nobody is left who could cut.
        let _ = cut.wait_for(|cut| *cut).await;
    };
    if let Err(error) = runtime.block_on(indymilter::run(inbox, callbacks, config, until_cut)) {
        tracing::error!(%error, "a thread of the milter front-end ended");
    }
}

/// Where a thread gets its connections.
struct Desk {
    inbox: mpsc::UnboundedSender<Arrival>,
    seat: Arc<Seat>,
}

impl Desk {
    fn new() -> (Self, Inbox) {
        let (inbox, arrivals) = mpsc::unbounded_channel();
        (Self { inbox, seat: Arc::default() }, Inbox(arrivals))
    }
}

/// Tells that a thread ended, by panic too.
struct Ending(mpsc::UnboundedSender<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        // Nobody listens where the milter is gone already.
        let _ = self.0.send(());
    }
}

/// A connection on its way to its thread.
struct Arrival {
    socket: Socket,
    place: Place,
}

enum Socket {
    /// Of the first thread.
    Here(Io),
    /// Tied to no thread.
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn elsewhere(io: Io) -> io::Result<Self> {
        match io {
            EitherStream::Unix(stream) => stream.into_std().map(Self::Unix),
            EitherStream::Tcp(stream) => stream.into_std().map(Self::Tcp),
        }
    }

    /// On the runtime of this thread.
    fn into_io(self) -> io::Result<Io> {
        match self {
            Self::Here(io) => Ok(io),
            Self::Unix(stream) => tokio::net::UnixStream::from_std(stream).map(EitherStream::Unix),
            Self::Tcp(stream) => tokio::net::TcpStream::from_std(stream).map(EitherStream::Tcp),
        }
    }
}

/// The connections that a thread is given, as the milter library takes them.
struct Inbox(mpsc::UnboundedReceiver<Arrival>);

impl Listener for Inbox {
    type Io = Stream<Io>;

    /// Never gives an error: that would end the thread.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Io>> {
        loop {
            let Some(Arrival { socket, place }) = ready!(self.0.poll_recv(cx)) else {
                // No more will come; sessions go on until they are cut off.
                return Poll::Pending;
            };
            fault::point("milter thread");
            match socket.into_io() {
                Ok(io) => return Poll::Ready(Ok(Stream::new(io, place))),
                Err(error) => place.shared().accept_failed(&error),
            }
        }
    }
}
