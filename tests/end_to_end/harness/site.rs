//! A whole site: sink, Postfix, daemon, certificates.

use connguard::timestamp::Timestamp;
use serde_json::Value;

use super::certs::Certs;
use super::clocked::Clocked;
use super::config::{Config, Files};
use super::daemon::{Answer, Daemon};
use super::postfix::{Postfix, Settings};
use super::sink::Sink;
use super::smtp::{Outcome, SmtpClient};
use super::{Place, enterable_tempdir};

/// A sender of our own, and a recipient elsewhere.
pub(crate) const OURS: &str = "alice@example.org";
pub(crate) const REMOTE: &str = "friend@remote.test";
/// A recipient that this site receives mail for.
pub(crate) const INBOUND: &str = "bob@example.org";

/// A daemon under test, in whatever way it runs.
pub(crate) trait Tells {
    /// What it has to say about a test that failed.
    fn log(&self) -> String;

    /// `connguard ARGS…` against it.
    fn cli(&self, args: &[&str]) -> Answer;

    /// `connguard ARGS… --json`, which must succeed.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        self.cli(&[args, &["--json"]].concat()).json()
    }
}

impl Tells for Daemon {
    fn log(&self) -> String {
        self.log()
    }

    fn cli(&self, args: &[&str]) -> Answer {
        self.cli(args)
    }
}

/// Fields are dropped in this order: the daemon goes first, then Postfix.
pub(crate) struct Site<D: Tells = Daemon> {
    pub(crate) daemon: D,
    pub(crate) postfix: Postfix,
    pub(crate) sink: Sink,
    pub(crate) certs: Certs,
    dir: tempfile::TempDir,
    _place: Place,
}

impl Site {
    /// A site with the usual settings, in enforce mode.
    pub(crate) fn start() -> Self {
        Self::with(|_, _| ())
    }

    /// A site whose settings the test changes before anything starts.
    pub(crate) fn with(change: impl FnOnce(&mut Config, &mut Settings)) -> Self {
        Self::build(change, Daemon::start)
    }

    /// A site whose daemon follows the mail log of its Postfix, which tries
    /// again soon what could not be delivered; settings as the test changes
    /// them.
    pub(crate) fn following(change: impl FnOnce(&mut Config, &mut Settings)) -> Self {
        let site = Self::with(|config, settings| {
            config.mail_log = Some(settings.log_file());
            settings.quick_retries();
            change(config, settings);
        });
        site.daemon.wait_mail_log();
        site
    }

    /// Restricts by hand.
    #[track_caller]
    pub(crate) fn block(&self, entity: &str) {
        let args = ["block", entity, "--reason", "stopped by hand"];
        self.daemon.cli(&args).done();
    }
}

impl Site<Clocked> {
    /// A site whose daemon has a clock that the test moves.
    pub(crate) fn clocked(change: impl FnOnce(&mut Config)) -> Self {
        Self::clocked_with(|config, _| change(config))
    }

    /// As [`Self::clocked`], with settings of Postfix.
    pub(crate) fn clocked_with(change: impl FnOnce(&mut Config, &mut Settings)) -> Self {
        let start = Timestamp::from_seconds(1_780_000_000);
        Self::build(change, |files, config| Clocked::start(files, &config, start))
    }
}

impl<D: Tells> Site<D> {
    fn build(
        change: impl FnOnce(&mut Config, &mut Settings),
        start: impl FnOnce(Files, Config) -> D,
    ) -> Self {
        let place = Place::take();
        let dir = enterable_tempdir();
        let mut sink = Sink::start();
        let files = Files::create(dir.path());
        let certs = Certs::new(&dir.path().join("certs"));
        let mut settings = Settings::new(dir.path(), sink.port());
        settings.tls(&certs, &certs.issue("server", "mx.test"));
        settings.milter(&format!("unix:{}", files.milter_socket().display()));
        let mut config = Config::default();
        change(&mut config, &mut settings);
        for address in settings.provider_addresses() {
            sink.also_at(address);
        }
        let daemon = start(files, config);
        Self { daemon, postfix: settings.start(), sink, certs, dir, _place: place }
    }

    /// The directory that holds everything of this site.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A session from this loopback address.
    pub(crate) fn client(&self, from: &str) -> SmtpClient {
        SmtpClient::open(from, self.postfix.port())
    }

    /// As [`Self::client`], and it calls itself this.
    pub(crate) fn client_as(&self, from: &str, name: &str) -> SmtpClient {
        SmtpClient::open_as(from, self.postfix.port(), name.as_bytes())
    }

    /// One message from this client, in a session of its own.
    pub(crate) fn send(&self, client: &str, from: &str, to: &str) -> Outcome {
        self.client(client).send(from, to)
    }

    /// Lets the client at this address send what nobody registered, until it
    /// is refused; returns how many messages passed before.
    #[track_caller]
    pub(crate) fn take_over(&self, client: &str) -> Caught {
        take_over(|from| self.send(client, from, REMOTE))
    }
}

impl<D: Tells> Drop for Site<D> {
    #[allow(clippy::print_stderr, reason = "the logs of a test that failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- daemon\n{}", self.daemon.log());
            eprintln!("--- mail log\n{}", self.postfix.log_tail());
        }
    }
}

/// How a take-over ended.
#[derive(Debug)]
pub(crate) struct Caught {
    /// Messages that passed before the refusal.
    pub(crate) passed: usize,
    /// The refusal.
    pub(crate) outcome: Outcome,
}

/// The sender address of the `n`th message of somebody who sends in the name
/// of a new foreign domain each time.
pub(crate) fn odd(n: usize) -> String {
    format!("win{n}@odd{n}.test")
}

/// Sends odd messages until one is refused or held; at most ten may pass.
#[track_caller]
pub(crate) fn take_over(mut send: impl FnMut(&str) -> Outcome) -> Caught {
    for passed in 0..=10 {
        let outcome = send(&odd(passed));
        if !outcome.accepted() {
            return Caught { passed, outcome };
        }
    }
    panic!("eleven messages from unregistered domains have passed");
}
