//! The daemon with a clock that the test moves. It runs in this process, on
//! a thread with a runtime of its own, and is reached as its own command line
//! reaches it: through the control socket.

use std::thread::JoinHandle;
use std::time::Duration;

use connguard::clock::Clock;
use connguard::command::Command;
use connguard::control::{AskError, ask};
use connguard::daemon::{self, Error, Wish};
use connguard::socket::Inherited;
use connguard::timestamp::Timestamp;
use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::config::{Config, Files};
use super::daemon::{Answer, cli};
use super::site::Tells;
use super::{SOON, wait_for};

/// How long the daemon may take to stop: longer than it gives to messages in
/// hand.
const STOP: Duration = Duration::from_secs(30);

/// A running daemon; it is stopped when dropped.
pub(crate) struct Clocked {
    files: Files,
    clock: Clock,
    running: Option<Running>,
}

struct Running {
    wishes: UnboundedSender<Wish>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Clocked {
    /// Writes the configuration and starts the daemon at this time; returns
    /// once it answers.
    pub(crate) fn start(files: Files, config: &Config, start: Timestamp) -> Self {
        std::fs::write(files.config(), config.render(&files)).expect("the configuration file");
        let mut daemon = Self { files, clock: Clock::manual(start), running: None };
        daemon.start_again();
        daemon
    }

    /// A clean stop, and a start when so much time has passed.
    pub(crate) fn restart_after(&mut self, pause: Duration) {
        self.stop();
        self.advance(pause);
        self.start_again();
    }

    /// Lets time pass. It stands still otherwise.
    pub(crate) fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Asks as the command line does: the items of the answer.
    #[track_caller]
    pub(crate) fn ask(&self, command: Command) -> Vec<Value> {
        self.try_ask(command.clone()).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// The restricted and marked entities; with `all` also those trusted, in
    /// grace or suspicious.
    #[track_caller]
    pub(crate) fn list(&self, all: bool) -> Vec<Value> {
        self.ask(Command::List { all })
    }

    /// The entry of this entity among all of [`Self::list`].
    #[track_caller]
    pub(crate) fn listed(&self, entity: &str) -> Option<Value> {
        self.list(true).into_iter().find(|item| item["entity"] == entity)
    }

    /// All about one entity.
    #[track_caller]
    pub(crate) fn show(&self, what: &str) -> Value {
        let command = Command::Show { what: what.to_owned() };
        ask(&self.files.control_socket(), command, |_| Ok(()))
            .unwrap_or_else(|e| panic!("show {what}: {e}"))
            .done
    }

    /// Waits until the audit trail of this entity has such an entry, and
    /// returns it.
    #[track_caller]
    pub(crate) fn wait_history(&self, entity: &str, what: &str) -> Value {
        let history = || self.ask(Command::History { entity: Some(entity.to_owned()) });
        wait_for(
            &format!("{what:?} in the history of {entity}"),
            SOON,
            || format!("{:#?}", history()),
            || history().into_iter().find(|item| item["what"] == what),
        )
    }

    fn try_ask(&self, command: Command) -> Result<Vec<Value>, AskError> {
        let mut items = Vec::new();
        ask(&self.files.control_socket(), command, |item| {
            items.push(item);
            Ok(())
        })?;
        Ok(items)
    }

    fn start_again(&mut self) {
        let (wishes, mut receiver) = unbounded_channel();
        let (path, clock) = (self.files.config(), self.clock.clone());
        let config = connguard::config::load(&path, &[]).expect("a configuration without faults");
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let wishes = stream::poll_fn(move |context| receiver.poll_recv(context));
            runtime.block_on(daemon::run(&path, config, clock, wishes, Inherited::none()))
        });
        self.running = Some(Running { wishes, thread });
        wait_for(
            "the daemon's first answer",
            SOON,
            || format!("ended: {}", self.has_ended()),
            || self.try_ask(Command::Status).ok(),
        );
    }

    fn has_ended(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.thread.is_finished())
    }

    /// Lets it stop, and waits for its end.
    fn stop(&mut self) {
        let running = self.running.as_ref().expect("a running daemon");
        // Where nobody takes the wish the daemon has ended, and says why.
        let _ = running.wishes.send(Wish::Stop);
        wait_for("the end of the daemon", STOP, || self.log(), || self.has_ended().then_some(()));
        let running = self.running.take().expect("a running daemon");
        running.thread.join().expect("a daemon that does not panic").expect("a clean stop");
    }
}

impl Tells for Clocked {
    /// The journal: who was restricted, marked or lifted, and when.
    fn log(&self) -> String {
        let segments = self.files.journal();
        let texts = segments.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default());
        texts.collect()
    }

    fn cli(&self, args: &[&str]) -> Answer {
        cli(&self.files, args)
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        // A test that fails has its own message, which a second one would
        // hide; that daemon stops because nobody is left to ask it.
        if self.running.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}
