//! What the tests stand on: a private Postfix, a sink that takes its mail,
//! certificates, an SMTP client that binds any loopback address, and the
//! daemon itself. Nothing here touches /etc/postfix or a fixed port, so
//! several sites run side by side.
//!
//! Everything that waits does so for a condition and with a deadline.

pub(crate) mod account;
pub(crate) mod certs;
pub(crate) mod clocked;
pub(crate) mod conduct;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod filter;
pub(crate) mod hook;
pub(crate) mod mail_log;
pub(crate) mod mailbox;
pub(crate) mod mount;
pub(crate) mod note;
pub(crate) mod pager;
pub(crate) mod postfix;
pub(crate) mod sendmail;
pub(crate) mod sink;
pub(crate) mod site;
pub(crate) mod smtp;
pub(crate) mod swaks;

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Polls `condition` until it gives a value; panics with `what` and
/// `details` when the deadline passes.
pub(crate) fn wait_for<T>(
    what: &str,
    deadline: Duration,
    details: impl Fn() -> String,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain for {what}\n{}", details());
        thread::sleep(Duration::from_millis(10));
    }
}

/// A loopback port that nobody uses now. Ports come from below the range of
/// outgoing connections, so that none of those takes one before its listener
/// does, and each is handed out once in this process.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    for _ in 0..10_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start + step % 10_000) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 30000 on 127.0.0.1");
}

/// A directory of its own for a test, which user postfix may enter: smtpd
/// reaches the milter's socket as that user.
pub(crate) fn enterable_tempdir() -> tempfile::TempDir {
    let dir =
        tempfile::Builder::new().prefix("connguard-").tempdir().expect("a temporary directory");
    set_mode(dir.path(), 0o755);
    dir
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .unwrap_or_else(|e| panic!("chmod {mode:o} {}: {e}", path.display()));
}

/// Runs a program to its end. A program that is not installed is an error
/// that names it.
pub(crate) fn run(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{name}: {e} (is it installed?)"))
}

/// As [`run`], and the program must succeed.
pub(crate) fn run_ok(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A place among those who may run a Postfix at the same time. Each has a
/// dozen processes: more than a few at once only make each other late.
pub(crate) struct Place;

static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
const MOST_PLACES: usize = 4;

impl Place {
    pub(crate) fn take() -> Self {
        let (taken, freed) = &PLACES;
        let guard = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = freed
            .wait_while(guard, |taken| *taken >= MOST_PLACES)
            .unwrap_or_else(PoisonError::into_inner);
        *guard += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (taken, freed) = &PLACES;
        *taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        freed.notify_one();
    }
}
