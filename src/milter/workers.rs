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
//! - A connection goes to the thread that serves the fewest, and stays there.
//!   No callback waits for anything, so none keeps others of its thread long.
//! - What keeps the runtime of the daemon busy (commands, housekeeping) stops no
//!   session.
//! - When it is dropped, all sessions are cut off.

use super::{
    callbacks,
    shared::{Place, Shared},
    stream::{Io, Stream},
};
use indymilter::{EitherStream, Listener};
use std::{
    io,
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    thread,
};
use tokio::{
    runtime,
    sync::{Semaphore, mpsc, watch},
};

/// See the head of this module.
pub(super) struct Workers {
    workers: Vec<Worker>,
    cut_off: watch::Sender<bool>,
    /// Gets one message for each thread that ends.
    ended: mpsc::UnboundedReceiver<()>,
}

struct Worker {
    inbox: mpsc::UnboundedSender<Arrival>,
    /// Connections that it has.
    load: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let threads = thread::available_parallelism()?.get();
        let (cut_off, cut) = watch::channel(false);
        let (end, ended) = mpsc::unbounded_channel();
        let start = |_| Worker::start(shared, cut.clone(), Ending(end.clone()));
        let workers = (0..threads).map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { workers, cut_off, ended })
    }

    /// Hands over a connection.
    pub(super) fn serve(&self, io: Io, mut place: Place) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load.load(Relaxed))
        else {
            return;
        };
        place.assign(&worker.load);
        match Socket::of(io) {
            // Where the thread has ended nobody takes it, and it is closed.
            Ok(socket) => drop(worker.inbox.send(Arrival { socket, place })),
            Err(error) => place.shared().accept_failed(&error),
        }
    }

    /// Completes when a thread has ended, which none does by itself.
    pub(super) async fn one_ended(&mut self) {
        let _ = self.ended.recv().await;
    }

    /// Cuts off what sessions are left, and waits until all threads have ended.
    pub(super) async fn stop(mut self) {
        self.cut_off.send_replace(true);
        for _ in 0..self.workers.len() {
            self.one_ended().await;
        }
    }
}

impl Worker {
    fn start(
        shared: &Arc<Shared>,
        mut cut: watch::Receiver<bool>,
        ending: Ending,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (inbox, arrivals) = mpsc::unbounded_channel();
        let config = indymilter::Config {
            // The acceptor owns the limit. Here one would make the MTA wait.
            max_connections: Semaphore::MAX_PERMITS,
            ..indymilter::Config::default()
        };
        let callbacks = callbacks::callbacks(shared);
        let until_cut = async move {
            // An error says that nobody is left who could cut.
            let _ = cut.wait_for(|cut| *cut).await;
        };
        thread::Builder::new().name("milter".into()).spawn(move || {
            let _ending = ending;
            let serving = indymilter::run(Inbox(arrivals), callbacks, config, until_cut);
            if let Err(error) = runtime.block_on(serving) {
                tracing::error!(%error, "a thread of the milter front-end ended");
            }
        })?;
        Ok(Self { inbox, load: Arc::default() })
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

/// A connection that is tied to no runtime.
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    fn of(io: Io) -> io::Result<Self> {
        match io {
            EitherStream::Unix(stream) => stream.into_std().map(Self::Unix),
            EitherStream::Tcp(stream) => stream.into_std().map(Self::Tcp),
        }
    }

    /// On the runtime of this thread.
    fn into_io(self) -> io::Result<Io> {
        match self {
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
            match socket.into_io() {
                Ok(io) => return Poll::Ready(Ok(Stream::new(io, place))),
                Err(error) => place.shared().accept_failed(&error),
            }
        }
    }
}
