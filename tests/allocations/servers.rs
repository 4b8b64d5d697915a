//! The two milters, each on a socket and a thread of its own: connguard, and
//! one that does nothing in the same stages.

use connguard::{
    directory::{self, Terms, Usual},
    domain::DomainSet,
    engine::{Engine, Settings},
    header::{DEFAULT_SPAM_HEADERS, SpamHeaders},
    milter::{Listen, Milter, Params},
    timestamp::Timestamp,
    verdict::Mode,
};
use indymilter::{Actions, CallbackFuture, Callbacks, Config, MacroStage, ProtoOpts, Status};
use std::{
    future,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::UnixListener, runtime::Builder, sync::oneshot};

/// A running milter.
pub(crate) struct Server {
    folder: TempDir,
    engine: Option<Arc<Engine>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Runs what `serve` makes of a socket and of the end of the test.
    fn start<F>(serve: impl FnOnce(PathBuf, oneshot::Receiver<()>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("milter.sock");
        let (stop, stopped) = oneshot::channel();
        let (listens, listening) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let serving = serve(socket, stopped);
                listens.send(()).unwrap();
                serving.await;
            });
        });
        listening.recv().unwrap();
        Self { folder, engine: None, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("milter.sock")
    }

    /// A milter that does nothing.
    pub(crate) fn noop() -> Self {
        Self::start(|socket, stopped| {
            let listener = UnixListener::bind(socket).unwrap();
            async move {
                indymilter::run(listener, noop(), Config::default(), stopped).await.unwrap();
            }
        })
    }

    /// Connguard, which enforces, knows whose domains are whose, and looks at
    /// every signal. `clock` is the time in milliseconds.
    pub(crate) fn connguard(clock: &Arc<AtomicU64>) -> Self {
        let now = Timestamp::from_millis(clock.load(Relaxed));
        let clock = Arc::clone(clock);
        let clock = move || Timestamp::from_millis(clock.load(Relaxed));
        let engine = Arc::new(Engine::new(settings(), 10_000, now));
        let its = Arc::clone(&engine);
        let mut server = Self::start(move |socket, stopped| {
            let milter = Milter::bind(params(&socket), its, clock).unwrap();
            async move { milter.run(stopped, Duration::from_secs(5)).await.unwrap() }
        });
        server.engine = Some(engine);
        server
    }

    /// What the daemon does once a second.
    pub(crate) fn housekeeping(&self, now: Timestamp) {
        if let Some(engine) = &self.engine {
            engine.sweep(now);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "a milter panicked");
    }
}

fn settings() -> Settings {
    let mut registered = DomainSet::default();
    for name in ["example.org", ".example.net"] {
        registered.insert(name).unwrap();
    }
    // No volume is too much: what is measured is mail that passes.
    let usual = Usual { messages_per_hour: Some(u32::MAX), recipients_per_hour: Some(u32::MAX) };
    let terms = Terms { mode: Mode::Enforce, registered, usual, ..Terms::default() };
    Settings::with_directory(directory::Params {
        discovered: Arc::new(terms),
        relay_networks: vec!["192.0.2.0/24".parse().unwrap()],
        discover: true,
        ..directory::Params::default()
    })
}

fn params(socket: &Path) -> Params {
    Params {
        listen: vec![Listen::Unix(socket.to_owned())],
        max_connections: 100,
        ignore_daemons: vec!["127.0.0.1:10025".parse().unwrap()],
        login_realm: Some("example.org".into()),
        spam_headers: SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap(),
    }
}

/// The stages, options and macros of connguard, and nothing done in them.
fn noop() -> Callbacks<()> {
    fn ready<'a>(status: Status) -> CallbackFuture<'a> {
        Box::pin(future::ready(status))
    }
    Callbacks::new()
        .on_negotiate(|cx, _, _| {
            cx.requested_opts |= ProtoOpts::NOREPLY_CONNECT
                | ProtoOpts::NOREPLY_HELO
                | ProtoOpts::NOREPLY_MAIL
                | ProtoOpts::NOREPLY_HEADER
                | ProtoOpts::REJECTED_RCPT;
            cx.requested_actions = Actions::QUARANTINE;
            let macros = [
                (MacroStage::Connect, c"j {daemon_addr} {daemon_port} {client_addr}"),
                (MacroStage::Helo, c"j {cert_subject} {cert_issuer}"),
                (MacroStage::Mail, c"j {mail_addr} {auth_authen} {cert_subject} {cert_issuer}"),
                (MacroStage::Rcpt, c"j {rcpt_mailer} {rcpt_host} {rcpt_addr}"),
                (MacroStage::Eom, c"j i"),
            ];
            cx.requested_macros.extend(macros.map(|(stage, names)| (stage, names.to_owned())));
            ready(Status::Continue)
        })
        .on_connect(|_, _, _| ready(Status::Noreply))
        .on_helo(|_, _| ready(Status::Noreply))
        .on_mail(|_, _| ready(Status::Noreply))
        .on_rcpt(|_, _| ready(Status::Continue))
        .on_header(|_, _, _| ready(Status::Noreply))
        .on_eom(|_| ready(Status::Continue))
        .on_abort(|_| ready(Status::Continue))
}
