//! The two milters, each on a socket and a thread of its own: connguard, and
//! one that does nothing in the same stages.

use super::noop;
use connguard::{
    directory::{self, Terms, Usual},
    domain::DomainSet,
    engine::{Engine, Settings},
    header::{DEFAULT_SPAM_HEADERS, SpamHeaders},
    milter::{Milter, Params},
    socket::{Inherited, Listen},
    timestamp::Timestamp,
    verdict::Mode,
};
use indymilter::Config;
use std::{
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
                indymilter::run(listener, noop::callbacks(), Config::default(), stopped)
                    .await
                    .unwrap();
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
            let milter = Milter::bind(params(&socket), its, clock, &mut Inherited::none()).unwrap();
            async move { milter.run(stopped, Duration::from_secs(5)).await.unwrap() }
        });
        server.engine = Some(engine);
        server
    }

    /// What the daemon does once a second, and its reader of the log whenever a
    /// message leaves Postfix's queue: it takes in which messages came.
    pub(crate) fn housekeeping(&self, now: Timestamp) {
        if let Some(engine) = &self.engine {
            engine.sweep(now);
            assert!(!engine.queued().is_empty(), "messages are remembered");
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
