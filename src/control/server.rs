//! The daemon's side.

use super::places::{Places, Presence};
use crate::{
    command::{Command, Failure, Line, MAX_REQUEST},
    fault,
    socket::{self, Access, SocketFile},
};
use futures_util::FutureExt;
use nix::unistd::{Gid, Uid, User, getgrouplist};
use serde::Serialize;
use serde_json::Value;
use std::{
    ffi::CString, future::Future, io, panic::AssertUnwindSafe, path::Path, sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, UCred},
    },
    sync::mpsc,
    time::{sleep, timeout},
};

/// How long a client may take to write its request, or to read a part of the
/// answer; and how long its request may wait for a place.
const DEADLINE: Duration = Duration::from_secs(10);
/// From then on it keeps its place only while nobody else wants it.
pub(super) const STUCK: Duration = Duration::from_secs(1);
/// Octets of items that are sent at a time ...
const CHUNK: usize = 64 * 1024;
/// ... and the first time, since somebody waits for the first line.
const FIRST_CHUNK: usize = 4 * 1024;
/// Chunks that are made before the client has read the one before.
const AHEAD: usize = 2;
/// Those who may ask. Without that group it is root and our own account.
const ACCESS: Access = Access { group: "connguard-admin", otherwise: 0o600 };
/// The account under which smtpd is reached from the network: it never asks, whatever
/// groups it was put into.
const NEVER: &str = "postfix";

/// Why the socket can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("control.socket: {0}")]
pub struct BindError(#[from] socket::Error);

/// Who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Account name, or the number where it has none.
    pub name: Arc<str>,
    /// User id.
    pub uid: u32,
}

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Carries out a command; items go to `answers` as they come, the result
    /// is the last line.
    fn handle(
        &self,
        command: Command,
        peer: Peer,
        answers: &mut Answers,
    ) -> impl Future<Output = Result<Value, Failure>> + Send;
}

/// The way back to the client.
#[derive(Debug)]
pub struct Answers {
    writer: BufWriter<OwnedWriteHalf>,
    presence: Presence,
}

impl Answers {
    /// Sends one item. Fails when the client is gone or does not read.
    pub async fn item(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        let mut line = Vec::new();
        write_item(&mut line, item).map_err(|error| Failure::refused(error.to_string()))?;
        self.write(&line).await.map_err(|_| unread())
    }

    /// Sends the items that `produce` pushes. It runs on a thread of its own, where
    /// it may block and take its time, and no further ahead of the client than
    /// [`AHEAD`] chunks: very many items need little memory, and nobody who serves
    /// mail works on them.
    pub async fn items(
        &mut self,
        produce: impl FnOnce(&mut Items) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let (sender, mut chunks) = mpsc::channel(AHEAD);
        let producing = tokio::task::spawn_blocking(move || {
            let mut items = Items { chunk: Vec::new(), sender, longest: FIRST_CHUNK };
            produce(&mut items)?;
            items.flush()
        });
        while let Some(chunk) = chunks.recv().await {
            // What is not received any more stops the other side.
            self.write(&chunk).await.map_err(|_| unread())?;
            self.flush().await.map_err(|_| unread())?;
        }
        producing.await.map_err(|error| Failure::refused(error.to_string()))?
    }

    async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        read_in_time(&self.presence, self.writer.write_all(text)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        read_in_time(&self.presence, self.writer.flush()).await
    }

    async fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.write(&text).await
    }

    async fn finish(&mut self, result: Result<Value, Failure>) -> io::Result<()> {
        let line = match result {
            Ok(value) => Line::Done(value),
            Err(failure) => Line::Failed(failure),
        };
        self.line(&line).await?;
        self.flush().await
    }
}

/// Waits for a client that reads.
async fn read_in_time(
    presence: &Presence,
    writes: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut writes = std::pin::pin!(writes);
    if let Ok(written) = timeout(STUCK, &mut writes).await {
        return written;
    }
    let _stuck = presence.stuck();
    timeout(DEADLINE - STUCK, writes).await?
}

/// Where [`Answers::items`] takes its items from.
#[derive(Debug)]
pub struct Items {
    chunk: Vec<u8>,
    sender: mpsc::Sender<Vec<u8>>,
    longest: usize,
}

impl Items {
    /// Gives one item. Fails when the client is gone or does not read.
    pub fn push(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        write_item(&mut self.chunk, item).map_err(|error| Failure::refused(error.to_string()))?;
        if self.chunk.len() < self.longest { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.longest = CHUNK;
        let chunk = std::mem::take(&mut self.chunk);
        self.sender.blocking_send(chunk).map_err(|_| unread())
    }
}

/// Appends the line of one item, without a tree of values in between: that took as
/// long again as the text.
fn write_item(out: &mut Vec<u8>, item: &impl Serialize) -> serde_json::Result<()> {
    let before = out.len();
    out.extend_from_slice(b"{\"item\":");
    let written = serde_json::to_writer(&mut *out, item);
    match &written {
        Ok(()) => out.extend_from_slice(b"}\n"),
        Err(_) => out.truncate(before),
    }
    written
}

fn failed() -> Failure {
    Failure::refused(
        "the command failed by a fault of connguard: what it did by then stands; please report it, with the log",
    )
}

fn unread() -> Failure {
    Failure::refused("the client does not read its answer")
}

/// The open socket.
#[derive(Debug)]
pub struct Control {
    /// Goes with us, and first: see [`socket`].
    _file: SocketFile,
    listener: UnixListener,
    admins: Option<Gid>,
}

impl Control {
    /// Opens the socket at `path`. A socket file that nobody answers on is
    /// left from before and replaced.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let socket::Bound { listener, file, group } = socket::Bound::new(path, ACCESS)?;
        let listener = UnixListener::from_std(listener)
            .map_err(|source| socket::Error::Io { path: path.to_owned(), source })?;
        Ok(Self { _file: file, listener, admins: group })
    }

    /// Serves clients until the future is dropped.
    pub async fn serve(&self, handler: Arc<impl Handler>) {
        let places = Arc::new(Places::default());
        // Told once until it works again.
        let mut failing = false;
        loop {
            let accepted = self.listener.accept().await;
            fault::point("control socket");
            match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    let Ok(credentials) = stream.peer_cred() else { continue };
                    let Some(presence) = places.enter(credentials.uid()).await else {
                        turn_away(&stream);
                        continue;
                    };
                    let handler = Arc::clone(&handler);
                    let admins = self.admins;
                    tokio::spawn(async move {
                        let served = serve_client(stream, credentials, presence, admins, &*handler);
                        if let Err(error) = served.await {
                            tracing::debug!("control client: {error}");
                        }
                    });
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!("control socket: {error}; it is tried again");
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// Says why it is not served, as far as that goes without waiting.
fn turn_away(stream: &UnixStream) {
    if let Ok(mut text) = serde_json::to_vec(&Line::Failed(busy())) {
        text.push(b'\n');
        let _ = stream.try_write(&text);
    }
}

fn busy() -> Failure {
    Failure::refused(
        "too many use the control socket at a time: try again, and end what hangs there (ss -xp shows who is connected)",
    )
}

async fn serve_client(
    stream: UnixStream,
    credentials: UCred,
    presence: Presence,
    admins: Option<Gid>,
    handler: &impl Handler,
) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    // Read first: who closes on an unread request breaks the pipe before the
    // client has seen why.
    let mut request = tokio::select! {
        request = read_request(reader) => request,
        () = presence.told_to_go() => {
            let mut answers = Answers { writer: BufWriter::new(writer), presence };
            return answers.finish(Err(busy())).await;
        }
    };
    let uid = credentials.uid();
    let gid = Gid::from_raw(credentials.gid());
    // Accounts may come from a server that takes its time.
    let asker = tokio::task::spawn_blocking(move || {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        is_allowed(uid, gid, user.as_ref(), admins)
            .then(|| user.map_or_else(|| uid.to_string(), |user| user.name))
    });
    let asker = asker.await.map_err(io::Error::other)?;
    if let (Some(_), Ok(command)) = (&asker, &request)
        && !has_place(&presence, command).await
    {
        request = Err(busy());
    }
    let go = presence.to_go();
    let mut answers = Answers { writer: BufWriter::new(writer), presence };
    let served = async {
        let result = match (asker, request) {
            (None, _) => Err(Failure::refused(format!(
                "be root or a member of the group {}; the account {NEVER} never may",
                ACCESS.group
            ))),
            (Some(name), Ok(command)) => {
                let handling = AssertUnwindSafe(async {
                    fault::point("control client");
                    handler.handle(command, Peer { name: name.into(), uid }, &mut answers).await
                });
                handling.catch_unwind().await.unwrap_or_else(|_| Err(failed()))
            }
            (Some(_), Err(failure)) => Err(failure),
        };
        answers.finish(result).await
    };
    tokio::select! {
        served = served => served,
        // It does not read its answer.
        () = go.notified() => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits for a place; says whether there was one in time.
async fn has_place(presence: &Presence, command: &Command) -> bool {
    use Command::{Alerts, History, List, Top};
    let is_long = matches!(command, List { .. } | History { .. } | Top | Alerts);
    tokio::select! {
        () = presence.place(is_long) => true,
        () = presence.told_to_go() => false,
        () = sleep(DEADLINE) => false,
    }
}

/// Root, the daemon's own account, and members of the group, without [`NEVER`].
fn is_allowed(uid: u32, gid: Gid, user: Option<&User>, admins: Option<Gid>) -> bool {
    if uid == 0 || uid == Uid::effective().as_raw() {
        return true;
    }
    if user.is_some_and(|user| user.name == NEVER) {
        return false;
    }
    let Some(admins) = admins else { return false };
    let groups = || {
        let user = user?;
        let name = CString::new(user.name.as_str()).ok()?;
        getgrouplist(&name, user.gid).ok()
    };
    gid == admins || groups().is_some_and(|groups| groups.contains(&admins))
}

async fn read_request(reader: OwnedReadHalf) -> Result<Command, Failure> {
    let mut line = String::new();
    // One more than allowed, to tell a full line from one that is too long.
    let longest = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX) + 1;
    let mut reader = BufReader::new(reader).take(longest);
    match timeout(DEADLINE, reader.read_line(&mut line)).await {
        Err(_) => return Err(Failure::usage("the request did not come in time")),
        Ok(Err(error)) => {
            return Err(Failure::usage(format!("the request can't be read: {error}")));
        }
        Ok(Ok(_)) if line.len() > MAX_REQUEST => {
            return Err(Failure::usage(format!("the request is longer than {MAX_REQUEST} octets")));
        }
        Ok(Ok(_)) => {}
    }
    Command::parse(&line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{
        command::FailureKind,
        control::{AskError, ask},
    };
    use std::io::{BufRead, Write};

    struct Echo;

    impl Handler for Echo {
        async fn handle(
            &self,
            command: Command,
            peer: Peer,
            answers: &mut Answers,
        ) -> Result<Value, Failure> {
            match command {
                Command::List { .. } => {
                    for n in 0..1000 {
                        answers.item(&n).await?;
                    }
                    Ok(Value::from(peer.uid))
                }
                other => Err(Failure::no(format!("{other:?}"))),
            }
        }
    }

    /// Runs `test` against a served socket.
    fn with_server(test: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let control = {
            let _guard = runtime.enter();
            Control::bind(&path).unwrap()
        };
        let server = runtime.spawn(async move { control.serve(Arc::new(Echo)).await });
        test(&path);
        server.abort();
    }

    fn send(path: &Path, request: &[u8]) -> String {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        let _ = stream.write_all(request);
        let mut line = String::new();
        std::io::BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn items_stream_and_the_last_line_ends_them() {
        with_server(|path| {
            let mut items = Vec::new();
            let answer = ask(path, Command::List { all: false }, |item| {
                items.push(item);
                Ok(())
            });
            assert_eq!(answer.unwrap().done, Value::from(Uid::effective().as_raw()));
            assert_eq!(items.len(), 1000);
        });
    }

    #[test]
    fn failures_keep_their_kind() {
        with_server(|path| match ask(path, Command::Status, |_| Ok(())) {
            Err(AskError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::No),
            other => unreachable!("{other:?}"),
        });
    }

    #[test]
    fn requests_that_are_none_are_answered() {
        with_server(|path| {
            assert!(send(path, b"hello\n").contains("no JSON"));
            assert!(send(path, b"{\"v\":99,\"do\":\"status\"}\n").contains("version 1"));
            assert!(
                send(path, b"{\"v\":1,\"do\":{\"explode\":{}}}\n").contains("can't be understood")
            );
            assert!(send(path, &vec![b'x'; MAX_REQUEST + 10]).contains("longer than"));
        });
    }

    #[test]
    fn only_one_daemon_has_the_socket() {
        with_server(|path| {
            let text = Control::bind(path).unwrap_err().to_string();
            assert!(text.starts_with("control.socket: another process answers"), "{text}");
        });
    }

    #[test]
    fn root_the_daemon_and_admins_may_ask_and_postfix_never() {
        let of = |name: &str, uid, gid| User {
            name: name.to_owned(),
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            ..User::from_uid(Uid::from_raw(0)).unwrap().unwrap()
        };
        let admins = Some(Gid::from_raw(4_000_000));
        let may = |user: &User, gid, admins| {
            is_allowed(user.uid.as_raw(), Gid::from_raw(gid), Some(user), admins)
        };
        let ours = Uid::effective().as_raw();
        assert!(may(&of("root", 0, 0), 0, None));
        assert!(may(&of("connguard", ours, 1), 1, None));
        let anne = of("anne", 3_999_999, 3_999_999);
        assert!(!may(&anne, 3_999_999, admins));
        assert!(!may(&anne, 3_999_999, None), "no group, no admins");
        assert!(may(&anne, 4_000_000, admins), "by the group of the process");
        let listed = of("anne", 3_999_999, 4_000_000);
        assert!(may(&listed, 3_999_999, admins), "by the list of accounts");
        let postfix = of(NEVER, 3_999_998, 4_000_000);
        assert!(!may(&postfix, 4_000_000, admins), "whatever groups it was put into");
    }

    #[test]
    fn nobody_is_reached_where_nobody_listens() {
        let error = ask(Path::new("/nonexistent/control.sock"), Command::Status, |_| Ok(()));
        assert!(matches!(error, Err(AskError::Unreachable { .. })));
    }
}
