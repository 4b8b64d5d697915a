//! Sendmail's own MTA from Debian's packages, which can't be installed beside Postfix: they
//! are unpacked, and it runs with a configuration of its own on a loopback port, in
//! namespaces of its own for its host name and for a path without folders that everybody
//! may write to, which it does not trust.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::sink::Sink;
use super::{free_port, run_ok, wait_for};

const PACKAGES: [&str; 3] = ["sendmail-bin", "sendmail-cf", "sendmail-base"];
/// Where its files are in its namespace.
const ROOT: &str = "/mnt";

/// A running Sendmail, which ends when it is dropped.
pub(crate) struct Sendmail {
    child: Child,
    port: u16,
    dir: PathBuf,
    programs: PathBuf,
}

impl Sendmail {
    /// One that asks the milter at this port and hands all mail to `sink`. It relays for
    /// 127.0.0.0/24 and receives mail for example.org; mail for users of this host is
    /// what it delivers itself.
    pub(crate) fn start(dir: &Path, milter: u16, sink: &Sink) -> Self {
        let programs = unpacked();
        let dir = dir.join("sendmail");
        for name in ["", "q"] {
            std::fs::create_dir_all(dir.join(name)).expect("a directory for Sendmail");
            super::set_mode(&dir.join(name), 0o700);
        }
        let port = free_port();
        std::fs::write(dir.join("mailertable"), "example.org esmtp:[127.0.0.1]\n").expect("a map");
        std::fs::write(dir.join("sendmail.mc"), source(port, milter, sink.port())).expect("a file");
        let cf = programs.join("usr/share/sendmail/cf");
        let made = run_ok(
            Command::new("m4")
                .arg(format!("-D_CF_DIR_={}/", cf.display()))
                .arg(cf.join("m4/cf.m4"))
                .arg(dir.join("sendmail.mc")),
        );
        std::fs::write(dir.join("sendmail.cf"), made).expect("a file");
        let log = std::fs::File::create(dir.join("log")).expect("a log");
        let script = format!(
            "hostname mx.test && mount --make-rprivate / && mount --bind {} {ROOT} && \
             exec {} -C {ROOT}/sendmail.cf -bD -q1m",
            dir.display(),
            program(&programs).display()
        );
        let child = Command::new("unshare")
            .args(["--uts", "--mount", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("unshare");
        let started = Self { child, port, dir, programs };
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
        wait_for("Sendmail", Duration::from_secs(60), || started.log(), answers);
        started
    }

    /// Where it takes mail.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The queue of what was quarantined, as an administrator lists it.
    pub(crate) fn quarantined(&self) -> usize {
        let files = std::fs::read_dir(self.dir.join("q")).expect("the queue");
        let names = files.map(|file| file.expect("a file").file_name());
        names.filter(|name| name.to_string_lossy().starts_with("hf")).count()
    }

    fn log(&self) -> String {
        let said = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        format!("{said}\n({})", self.programs.display())
    }
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        // `exec` makes it the child itself; what it forked ends with its connections.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn program(programs: &Path) -> PathBuf {
    programs.join("usr/libexec/sendmail/sendmail")
}

/// Its packages, unpacked; downloaded the first time.
fn unpacked() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sendmail");
    let ready = folder.join(".complete");
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a directory");
        // apt has an account of its own for it, which need not get into this folder.
        let mut download = Command::new("apt-get");
        download.args(["-o", "APT::Sandbox::User=root", "-q", "download"]).args(PACKAGES);
        run_ok(download.current_dir(&folder));
        for file in std::fs::read_dir(&folder).expect("packages") {
            let path = file.expect("a package").path();
            if path.extension().is_some_and(|kind| kind == "deb") {
                run_ok(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&folder));
            }
        }
        std::fs::write(&ready, "").expect("a mark");
    }
    folder
}

/// Its configuration. What it says to the milter is as docs/sendmail.md has it.
fn source(port: u16, milter: u16, sink: u16) -> String {
    let args = format!("`TCP $h {sink}'");
    format!(
        "divert(0)dnl
VERSIONID(`connguard')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx.test')dnl
define(`QUEUE_DIR', `{ROOT}/q')dnl
define(`confPID_FILE', `{ROOT}/pid')dnl
define(`STATUS_FILE', `{ROOT}/status')dnl
define(`ALIAS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confCW_FILE', `-o {ROOT}/local-host-names')dnl
define(`confCT_FILE', `-o {ROOT}/trusted-users')dnl
define(`confDEF_USER_ID', `nobody:nogroup')dnl
define(`confTO_IDENT', `0')dnl
define(`confDELIVERY_MODE', `background')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`mailertable', `text {ROOT}/mailertable')dnl
RELAY_DOMAIN(`127.0.0')dnl
RELAY_DOMAIN(`example.org')dnl
define(`ESMTP_MAILER_ARGS', {args})dnl
define(`RELAY_MAILER_ARGS', {args})dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
DAEMON_OPTIONS(`Port={port}, Addr=127.0.0.1, Name=MTA')dnl
INPUT_MAIL_FILTER(`connguard', `S=inet:{milter}@127.0.0.1, T=C:3s;S:5s;R:5s')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"
    )
}
