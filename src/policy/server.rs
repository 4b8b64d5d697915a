//! The sockets: one thread takes connections, reads requests and answers them.

use super::{
    Role, answer,
    judge::Judge,
    request::{MAX_REQUEST, Request},
    shared::Shared,
};
use crate::{
    fault,
    socket::{Listening, Socket, SocketFile},
    verdict::Verdict,
};
use std::{
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
        BufReader,
    },
    net::{TcpListener, UnixListener},
    runtime,
    sync::{oneshot, watch},
    task::LocalSet,
    time::{sleep, timeout},
};

/// How long the rest of a request may take once it has begun, and an answer to be read.
/// Between two requests a connection may be idle for as long as Postfix likes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is waited after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts the thread; what it gives completes when that has ended.
pub(super) fn start(
    shared: Arc<Shared>,
    bound: Vec<Listening>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<oneshot::Receiver<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let listeners = {
        let _guard = runtime.enter();
        bound.into_iter().map(listener).collect::<io::Result<Vec<_>>>()?
    };
    // Dropped with the thread, by a panic too.
    let (ending, ended) = oneshot::channel();
    let work = move || {
        let _ending: oneshot::Sender<()> = ending;
        let local = LocalSet::new();
        runtime.block_on(local.run_until(serve(shared, listeners, stopped)));
    };
    thread::Builder::new().name("policy".into()).spawn(work)?;
    Ok(ended)
}

enum Listener {
    /// Its file goes with it, and first: see [`crate::socket`].
    Unix {
        _file: Option<SocketFile>,
        listener: UnixListener,
    },
    Tcp(TcpListener),
}

fn listener(bound: Listening) -> io::Result<Listener> {
    Ok(match bound.socket {
        Socket::Unix(socket) => Listener::Unix { _file: bound.file, listener: socket.try_into()? },
        Socket::Tcp(socket) => Listener::Tcp(socket.try_into()?),
    })
}

/// A connection, whatever it came by.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix { listener, .. } => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Everything that happens here, until it is told to stop.
async fn serve(shared: Arc<Shared>, listeners: Vec<Listener>, stopped: oneshot::Receiver<()>) {
    let desk = Rc::new(Desk::new(&shared));
    let (stop, stopping) = watch::channel(false);
    let mut accepting = Vec::new();
    for listener in listeners {
        let (desk, stopping) = (Rc::clone(&desk), stopping.clone());
        accepting.push(tokio::task::spawn_local(accept(listener, desk, stopping)));
    }
    let one_ended = async {
        match accepting.first_mut() {
            // None ends before it is told to.
            Some(_) => drop(futures_util::future::select_all(&mut accepting).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = one_ended => {}
        // That nobody is left who could stop us is a stop too.
        _ = stopped => {}
    }
    stop.send_replace(true);
    // What was read is answered, without waiting for anything.
    tokio::task::yield_now().await;
}

async fn accept(listener: Listener, desk: Rc<Desk>, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => return,
        };
        fault::point("policy acceptor");
        match accepted {
            Ok(stream) => {
                let Some(room) = Room::take(&desk.shared) else { continue };
                let (desk, stopping) = (Rc::clone(&desk), stopping.clone());
                tokio::task::spawn_local(async move {
                    let _room = room;
                    desk.talk(stream, stopping).await;
                });
            }
            Err(error) => {
                if desk.shared.quiet_accept.allows(desk.shared.now()) {
                    tracing::error!(%error, "can't accept policy connections, trying again: raise LimitNOFILE if it is the number of open files");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Where requests are answered.
struct Desk {
    shared: Arc<Shared>,
    role: Role,
    judge: RefCell<Judge>,
}

impl Desk {
    fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            role: shared.params.load().role,
            judge: RefCell::new(Judge::new(Arc::clone(shared))),
        }
    }

    /// Answers what comes on a connection, until it ends.
    async fn talk(&self, stream: Box<dyn Stream>, mut stopping: watch::Receiver<bool>) {
        let mut stream = BufReader::new(stream);
        let mut text = Vec::new();
        loop {
            let began = tokio::select! {
                began = stream.fill_buf() => began.map(|bytes| !bytes.is_empty()),
                _ = stopping.changed() => return,
            };
            if !matches!(began, Ok(true)) {
                return;
            }
            let Ok(Some(action)) = timeout(PATIENCE, self.next(&mut stream, &mut text)).await
            else {
                return;
            };
            let line = format!("action={action}\n\n");
            let written = timeout(PATIENCE, async {
                stream.get_mut().write_all(line.as_bytes()).await?;
                stream.get_mut().flush().await
            });
            if !matches!(written.await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// The answer to the next request; nothing where there is none.
    async fn next(
        &self,
        stream: &mut (impl AsyncBufRead + Unpin),
        text: &mut Vec<u8>,
    ) -> Option<String> {
        let read = read(stream, text).await;
        let why = match read {
            Ok(true) => match Request::parse(text) {
                Ok(request) => return Some(self.answer(&request)),
                Err(error) => error.to_string(),
            },
            // Its other side is gone.
            Ok(false) | Err(Fault::Lost) => return None,
            Err(Fault::TooLong) => format!("it is longer than {MAX_REQUEST} octets"),
        };
        if self.shared.quiet_request.allows(self.shared.now()) {
            tracing::warn!("policy: closed a connection that sent no request of Postfix: {why}");
        }
        None
    }

    fn answer(&self, request: &Request<'_>) -> String {
        self.shared.requests.fetch_add(1, Relaxed);
        let verdict = match self.role {
            Role::Identity => {
                let hand_over = || {
                    fault::point("policy request");
                    hand_over(&self.shared, request);
                };
                // Without it the client is known by what else it shows.
                let _ = catch_unwind(AssertUnwindSafe(hand_over));
                Verdict::Pass
            }
            Role::Judge => self.judge.borrow_mut().answer(request),
        };
        answer::action(&verdict)
    }
}

/// Hands over what the milter can't see of this session.
pub(super) fn hand_over(shared: &Shared, request: &Request<'_>) {
    let Some(ends) = request.ends() else { return };
    let digests = request.digests().unwrap_or_else(|error| {
        shared.bad_digest(&error);
        None
    });
    shared.engine.handover().tell(ends, digests.map(Arc::new), shared.now());
}

/// Why a request could not be read.
enum Fault {
    Lost,
    TooLong,
}

/// Reads up to the empty line, which is left out; false where the other side ended before
/// its first line.
async fn read(stream: &mut (impl AsyncBufRead + Unpin), text: &mut Vec<u8>) -> Result<bool, Fault> {
    text.clear();
    loop {
        let begin = text.len();
        let room = (MAX_REQUEST - begin) as u64;
        let mut limited = (&mut *stream).take(room);
        let read = limited.read_until(b'\n', text).await.map_err(|_| Fault::Lost)?;
        let line = text.get(begin..).unwrap_or_default();
        match line {
            [] if begin == 0 && read == 0 => return Ok(false),
            b"\n" | b"\r\n" => {
                text.truncate(begin);
                return Ok(true);
            }
            line if line.ends_with(b"\n") && text.len() < MAX_REQUEST => {}
            _ if text.len() >= MAX_REQUEST => return Err(Fault::TooLong),
            _ => return Err(Fault::Lost),
        }
    }
}

/// A place under the limit of connections, given back when dropped.
struct Room(Arc<Shared>);

impl Room {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let limit = shared.params.load().max_connections;
        if shared.connections.load(Relaxed) >= limit {
            let refused = shared.refused_connections.fetch_add(1, Relaxed) + 1;
            if shared.quiet_limit.allows(shared.now()) {
                tracing::error!(
                    refused,
                    limit,
                    "too many policy connections: further ones are closed at once, and Postfix does what the default_action of check_policy_service says; raise milter.max_connections"
                );
            }
            return None;
        }
        shared.connections.fetch_add(1, Relaxed);
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
