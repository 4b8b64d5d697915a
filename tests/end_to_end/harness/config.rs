//! The daemon's configuration as a test describes it, and its files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where a daemon has its files, all below one directory.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Makes the directories. The milter socket's belongs to group postfix
    /// and hands that group on to the socket.
    pub(crate) fn create(dir: &Path) -> Self {
        let files = Self { dir: dir.to_owned() };
        for name in ["state", "run", "milter", "faults"] {
            std::fs::create_dir_all(dir.join(name)).expect("a directory for the daemon");
        }
        let group = nix::unistd::Group::from_name("postfix")
            .expect("the group database")
            .expect("a group called postfix (is Postfix installed?)");
        let milter = dir.join("milter");
        std::os::unix::fs::chown(&milter, None, Some(group.gid.as_raw()))
            .expect("chgrp to postfix: these tests need root, as Postfix does");
        super::set_mode(&milter, 0o2750);
        files
    }

    /// Hands the directories that the daemon writes to over to this account.
    pub(super) fn give_to(&self, account: &str) {
        let user = nix::unistd::User::from_name(account)
            .expect("the account database")
            .unwrap_or_else(|| panic!("an account called {account}"));
        let chown = |name: &str, group| {
            nix::unistd::chown(&self.dir.join(name), Some(user.uid), group).expect("chown");
        };
        chown("milter", None);
        // That took the bit away by which it gives its group.
        super::set_mode(&self.dir.join("milter"), 0o2750);
        chown("state", Some(user.gid));
        chown("run", Some(user.gid));
        super::set_mode(&self.notify_socket(), 0o777);
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("connguard.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.dir.join("run/control.sock")
    }

    pub(crate) fn milter_socket(&self) -> PathBuf {
        self.dir.join("milter/milter.sock")
    }

    pub(crate) fn notify_socket(&self) -> PathBuf {
        self.dir.join("notify.sock")
    }

    /// Where tests ask for faults: see the head of src/fault.rs.
    pub(crate) fn fault(&self, place: &str) -> PathBuf {
        self.dir.join("faults").join(place)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("connguard.log")
    }

    /// The segments of the journal, oldest first.
    pub(crate) fn journal(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.state()).expect("the state directory");
        let mut segments: Vec<_> = entries
            .map(|entry| entry.expect("an entry of the state directory").path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("journal-") && name.ends_with(".log")
            })
            .collect();
        segments.sort();
        segments
    }

    /// The segment that is written now.
    pub(crate) fn newest_journal(&self) -> PathBuf {
        self.journal().pop().expect("a segment of the journal")
    }
}

/// What the daemon is told. The defaults fit the harness's Postfix.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `observe` or `enforce`.
    pub(crate) mode: &'static str,
    /// Another daemon's state directory instead of its own.
    pub(crate) state_directory: Option<PathBuf>,
    /// Listeners besides the unix socket.
    pub(crate) listen: Vec<String>,
    /// Sender domains that are ours.
    pub(crate) registered_domains: Vec<String>,
    /// Who may relay without login or certificate.
    pub(crate) relay_networks: Vec<&'static str>,
    /// Postfix's log, of which the daemon learns what became of mail.
    pub(crate) mail_log: Option<PathBuf>,
    /// Whether the daemon has to obey file permissions, which root has not.
    pub(crate) obeys_permissions: bool,
    /// The account that the daemon runs as, instead of root. It has no other group
    /// than its own.
    pub(crate) account: Option<&'static str>,
    /// Where its log goes instead of a file of its own.
    pub(crate) log_to: Option<PathBuf>,
    /// Whether its milter socket is opened by who starts it, and outlives it.
    pub(crate) activated: bool,
    /// Whether that one is not the one that its configuration names.
    pub(crate) elsewhere: bool,
    /// More lines for `[milter]`.
    pub(crate) milter: String,
    /// Lines for `[restriction]`.
    pub(crate) restriction: String,
    /// Lines for `[alert]`. Nobody is told anything where there are none.
    pub(crate) alert: String,
    /// Whole sections, such as `[[connector]]`.
    pub(crate) sections: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: "enforce",
            state_directory: None,
            listen: Vec::new(),
            registered_domains: vec!["example.org".to_owned()],
            relay_networks: vec!["127.0.0.0/8"],
            mail_log: None,
            obeys_permissions: false,
            log_to: None,
            account: None,
            activated: false,
            elsewhere: false,
            milter: String::new(),
            restriction: String::new(),
            alert: String::new(),
            sections: String::new(),
        }
    }
}

impl Config {
    /// Adds a `[[connector]]` with these lines.
    pub(crate) fn connector(&mut self, name: &str, lines: &str) {
        write!(self.sections, "\n[[connector]]\nname = \"{name}\"\n{lines}\n")
            .expect("a string takes it");
    }

    /// Lets suspicious clients send as fast as they like.
    pub(crate) fn no_throttle(&mut self) {
        self.sections.push_str("\n[judgement]\nthrottle = false\n");
    }

    /// Tells these addresses by mail, through the Postfix at this port.
    pub(crate) fn alert_mail(&mut self, to: &[&str], port: u16) {
        write!(
            self.alert,
            "to = {to:?}\nfrom = \"connguard@example.org\"\nsmtp = \"127.0.0.1:{port}\"\n"
        )
        .expect("a string takes it");
    }

    /// The file's text for a daemon with these files.
    pub(crate) fn render(&self, files: &Files) -> String {
        let mut listen = vec![format!("unix:{}", files.milter_socket().display())];
        listen.extend(self.listen.iter().cloned());
        // This host's own log is none of the tests' business.
        let mail_log = self.mail_log.clone().unwrap_or_else(|| "none".into());
        let alert =
            if self.alert.is_empty() { String::new() } else { format!("[alert]\n{}", self.alert) };
        format!(
            r#"mode = "{mode}"

[milter]
listen = {listen:?}
inbound_domains = ["example.org"]
relay_networks = {networks:?}
{milter}

[state]
directory = {state:?}

[control]
socket = {control:?}

[[organization]]
name = "default"
registered_domains = {registered:?}

[feedback]
mail_log = {mail_log:?}

[restriction]
{restriction}
{alert}
{sections}"#,
            mode = self.mode,
            networks = self.relay_networks,
            milter = self.milter,
            state = self.state_directory.clone().unwrap_or_else(|| files.state()),
            control = files.control_socket(),
            registered = self.registered_domains,
            restriction = self.restriction,
            sections = self.sections,
        )
    }
}
