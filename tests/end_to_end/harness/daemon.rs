//! The daemon under test, as its own process: started, asked through its
//! command line, told to reload, killed, started again.

use std::fs::{File, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::config::{Config, Files};
use super::{SOON, run, run_ok, wait_for};

const START: Duration = Duration::from_secs(10);

/// How a command of connguard ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Fails the test unless the command did what it was told.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// What was printed, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let answer = self.done();
        serde_json::from_str(&answer.stdout).unwrap_or_else(|e| panic!("{e} in {answer:#?}"))
    }
}

/// A daemon with its files, running or not.
pub(crate) struct Daemon {
    files: Files,
    config: Config,
    child: Option<Child>,
    notify: UnixDatagram,
    /// What it is handed at each start.
    held: Option<UnixListener>,
}

impl Daemon {
    /// Writes the configuration and starts the daemon; returns once it says
    /// that it is ready.
    pub(crate) fn start(files: Files, config: Config) -> Self {
        let notify = UnixDatagram::bind(files.notify_socket()).expect("a notification socket");
        notify
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout for notifications");
        if let Some(account) = config.account {
            files.give_to(account);
        }
        let held = config.activated.then(|| hold(&files, &config));
        let mut daemon = Self { files, config, child: None, notify, held };
        daemon.configure(|_| ());
        daemon.start_again();
        daemon
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Starts it (again) with the files that it has, and waits until ready.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.forget_notifications();
        self.child = Some(self.spawn());
        self.wait_notify("READY=1", START);
    }

    /// Changes the configuration file. The daemon does not know of it yet.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let text = self.config.render(&self.files);
        self.write_config(&text);
    }

    /// Puts any text into the configuration file.
    pub(crate) fn write_config(&self, text: &str) {
        std::fs::write(self.files.config(), text).expect("the configuration file");
    }

    /// `connguard ARGS…` against this daemon.
    pub(crate) fn cli(&self, args: &[&str]) -> Answer {
        cli(&self.files, args)
    }

    /// The same, run by this account with these groups beside its own.
    pub(crate) fn cli_as(&self, account: &str, groups: &[u32], args: &[&str]) -> Answer {
        answer(&mut as_account(connguard(&self.files).args(args), account, groups))
    }

    /// `connguard ARGS… --json`, which must succeed.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        self.cli(&args).json()
    }

    /// `list --json`, as an array.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        match self.json(&["list"]) {
            Value::Array(items) => items,
            other => panic!("list --json is no array: {other}"),
        }
    }

    /// The listed restriction (or mark) of this entity.
    #[track_caller]
    pub(crate) fn listed(&self, entity: &str) -> Option<Value> {
        let mut items = self.list().into_iter();
        items.find(|item| item["entity"] == entity)
    }

    /// A number of `status --json`.
    #[track_caller]
    pub(crate) fn status(&self, pointer: &str) -> u64 {
        let status = self.json(&["status"]);
        status
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no number {pointer} in {status}"))
    }

    /// Waits until the status says that the mail log is read.
    #[track_caller]
    pub(crate) fn wait_mail_log(&self) -> Value {
        self.wait_feedback("a mail log that is read", |feedback| {
            feedback["state"] != "off" && feedback["error"].is_null()
        })
    }

    /// Waits until the status says this of the mail log, and returns what it says.
    #[track_caller]
    pub(crate) fn wait_feedback(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(
            what,
            SOON,
            || format!("{:#}\n{}", self.json(&["status"]), self.log()),
            || Some(self.json(&["status"])["feedback"].take()).filter(|feedback| is(feedback)),
        )
    }

    /// Everything the daemon wrote to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.files.log()).unwrap_or_default()
    }

    /// Waits for a line with this in the daemon's log, and returns it.
    pub(crate) fn wait_log(&self, part: &str, deadline: Duration) -> String {
        let find = || self.log().lines().find(|line| line.contains(part)).map(str::to_owned);
        let what = format!("a line with {part:?} in the daemon's log");
        wait_for(&what, deadline, || self.log(), find)
    }

    /// The power cut of this daemon.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().expect("a running daemon");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    /// SIGTERM, and its end within a deadline.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_exit(Duration::from_secs(30))
    }

    /// A clean stop and a new start.
    pub(crate) fn restart(&mut self) {
        let status = self.terminate();
        assert!(status.success(), "{status}\n{}", self.log());
        self.start_again();
    }

    /// SIGHUP; returns once the daemon says that the reload is over.
    pub(crate) fn hup(&mut self) {
        self.forget_notifications();
        self.signal("HUP");
        self.wait_notify("RELOADING=1", START);
        self.wait_notify("READY=1", START);
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid();
        run_ok(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]));
    }

    /// Waits for the daemon to end by itself.
    pub(crate) fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a running daemon");
        let status = wait_for(
            "the end of the daemon",
            deadline,
            || self.log(),
            || child.try_wait().expect("the state of the daemon"),
        );
        self.forget_notifications();
        status
    }

    /// Waits for this line on the notification socket.
    pub(crate) fn wait_notify(&mut self, wanted: &str, deadline: Duration) {
        let end = Instant::now() + deadline;
        let mut buffer = [0_u8; 4096];
        loop {
            let received = self.notify.recv(&mut buffer).unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..received]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
            let ended = match &mut self.child {
                Some(child) => child.try_wait().expect("the state of the daemon"),
                None => None,
            };
            assert!(
                ended.is_none() && Instant::now() < end,
                "no {wanted} from the daemon (ended: {ended:?})\n{}",
                self.log()
            );
        }
    }

    /// Lets this place of it fail so: see the head of src/fault.rs.
    pub(crate) fn fail(&self, place: &str, how: &str) {
        let path = self.files.fault(place);
        // Whole at once: it is read at any moment.
        let aside = path.with_file_name("new");
        std::fs::write(&aside, how).expect("a wish for a fault");
        std::fs::rename(&aside, &path).expect("a wish for a fault");
    }

    /// Lets this place of it fail no more.
    pub(crate) fn mend(&self, place: &str) {
        std::fs::remove_file(self.files.fault(place)).expect("a wish for a fault");
    }

    /// Waits until a place that was to fail once has failed.
    #[track_caller]
    pub(crate) fn wait_failed(&self, place: &str) {
        let path = self.files.fault(place);
        let failed = || (!path.exists()).then_some(());
        wait_for(&format!("a fault at {place:?}"), SOON, || self.log(), failed);
    }

    /// Waits until it told its service manager nothing for so long.
    pub(crate) fn wait_silence(&mut self, silence: Duration) {
        let mut buffer = [0_u8; 4096];
        let mut heard = Instant::now();
        let end = heard + SOON;
        while heard.elapsed() < silence {
            if self.notify.recv(&mut buffer).is_ok() {
                heard = Instant::now();
            }
            assert!(Instant::now() < end, "it goes on telling\n{}", self.log());
        }
    }

    fn spawn(&self) -> Child {
        let log = match &self.config.log_to {
            Some(path) => OpenOptions::new().write(true).open(path).expect("another log"),
            None => append(&self.files),
        };
        let mut command = connguard(&self.files);
        if self.config.obeys_permissions {
            let powers = "-dac_override,-dac_read_search";
            command = through_setpriv(&command, &["--bounding-set", powers, "--inh-caps", powers]);
        }
        if let Some(account) = self.config.account {
            command = as_account(&command, account, &[]);
        }
        command.arg("run");
        let mut input = Stdio::null();
        if let Some(held) = &self.held {
            command = activated(&command);
            input = OwnedFd::from(held.try_clone().expect("the socket once more")).into();
        }
        command
            .env("NOTIFY_SOCKET", self.files.notify_socket())
            .env("CONNGUARD_FAULTS", self.files.fault(""))
            .stdin(input)
            .stdout(log.try_clone().expect("the log once more"))
            .stderr(log)
            .spawn()
            .expect("the daemon")
    }

    fn forget_notifications(&self) {
        let mut buffer = [0_u8; 4096];
        while self.notify.recv(&mut buffer).is_ok() {}
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already; there is nothing else to do here.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `connguard ARGS…` against the daemon with these files.
pub(crate) fn cli(files: &Files, args: &[&str]) -> Answer {
    answer(connguard(files).args(args))
}

fn answer(command: &mut Command) -> Answer {
    let output = run(command.env("NO_COLOR", "1").env("TZ", "UTC"));
    Answer {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
    }
}

/// `connguard run` with these files, for a daemon that is expected to give
/// up: its exit code and what it wrote.
pub(crate) fn run_to_end(files: &Files, config: &Config) -> Answer {
    std::fs::write(files.config(), config.render(files)).expect("the configuration file");
    let mut child = connguard(files)
        .arg("run")
        .stdin(Stdio::null())
        .stdout(append(files))
        .stderr(append(files))
        .spawn()
        .expect("the daemon");
    let log = || std::fs::read_to_string(files.log()).unwrap_or_default();
    let end = Instant::now() + START;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the state of the daemon") {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the daemon goes on\n{}", log());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Answer { code: status.code().unwrap_or(-1), stdout: String::new(), stderr: log() }
}

fn connguard(files: &Files) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connguard"));
    command.arg("--config").arg(files.config());
    // What this test run inherited must not change how the daemon behaves.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM", "RUST_LOG", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// The same command, run by this account with these groups beside its own.
fn as_account(command: &Command, account: &str, groups: &[u32]) -> Command {
    let user = nix::unistd::User::from_name(account)
        .expect("the account database")
        .unwrap_or_else(|| panic!("an account called {account}"));
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    let list: Vec<_> = groups.iter().map(u32::to_string).collect();
    let list = list.join(",");
    let mut args = vec!["--reuid", &uid, "--regid", &gid];
    match groups {
        [] => args.push("--clear-groups"),
        _ => args.extend(["--groups", &list]),
    }
    through_setpriv(command, &args)
}

/// The socket that a service manager would open for it.
fn hold(files: &Files, config: &Config) -> UnixListener {
    let mut path = files.milter_socket();
    if config.elsewhere {
        path.set_file_name("handed.sock");
    }
    let listener = UnixListener::bind(&path).expect("a socket to hand over");
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("its mode");
    listener
}

/// The same command, which takes its standard input for a socket that was handed over.
fn activated(command: &Command) -> Command {
    let hand = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    through(command, "sh", &["-c", hand])
}

/// The same command, started by setpriv.
fn through_setpriv(command: &Command, options: &[&str]) -> Command {
    through(command, "setpriv", options)
}

/// The same command, started by this program.
fn through(command: &Command, program: &str, options: &[&str]) -> Command {
    let mut without = Command::new(program);
    without.args(options);
    without.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => without.env(name, value),
            None => without.env_remove(name),
        };
    }
    without
}

fn append(files: &Files) -> File {
    OpenOptions::new().create(true).append(true).open(files.log()).expect("the daemon's log file")
}
