//! A program and every process that comes of it, in a PID namespace: so all of
//! them can be found, measured and ended, those that made themselves daemons
//! too. They end with this value, and with the bench if that is killed.

use crate::{Told, stop};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A program that takes longer to start did not start. (rspamd takes seconds.)
const PATIENCE: Duration = Duration::from_secs(60);

/// How a program behaves that is started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// It stays in the foreground.
    Stays,
    /// It goes into the background.
    Daemonizes,
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Fence {
    what: String,
    log: PathBuf,
    outer: Child,
}

impl Fence {
    /// Starts it; what it prints goes to this file. To be called on the main
    /// thread: the processes end with the thread that started them.
    ///
    /// # Errors
    /// It can't be started.
    pub(crate) fn start(program: &Command, manner: Manner, log: PathBuf) -> Told<Self> {
        let what = program.get_program().to_string_lossy().into_owned();
        let told = |error: std::io::Error| format!("{what}: {error}");
        let output = fs::File::create(&log).map_err(told)?;
        // The shell is the first process of the namespace: it ends with its
        // program or, if that goes into the background, never by itself.
        let shell = match manner {
            Manner::Stays => r#""$@"; exit $?"#,
            Manner::Daemonizes => r#""$@" && exec sleep infinity"#,
        };
        let mut outer = Command::new("setpriv");
        outer.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"]);
        outer.args(["sh", "-c", shell, "sh"]).arg(program.get_program()).args(program.get_args());
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM", "RUST_LOG", "MAIL_CONFIG"]
        {
            outer.env_remove(name);
        }
        // Ctrl-C is for the bench alone.
        outer.process_group(0).stdin(Stdio::null());
        outer.stdout(output.try_clone().map_err(told)?).stderr(output);
        let outer = outer.spawn().map_err(told)?;
        Ok(Self { what, log, outer })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ended, or takes too long; with the last lines that it printed.
    pub(crate) fn until(&mut self, ready: impl Fn() -> bool) -> Told<()> {
        let end = Instant::now() + PATIENCE;
        while !ready() {
            stop::check()?;
            let ended = self.outer.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > end {
                let ended =
                    ended.map_or("is not ready".into(), |status| format!("ended: {status}"));
                return Err(format!("{} {ended}: {}", self.what, last_lines(&self.log)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its processes now, without the shell around it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let id = self.outer.id();
        let inside = fs::read_link(format!("/proc/{id}/ns/pid_for_children")).ok();
        let ours = fs::read_link("/proc/self/ns/pid").ok();
        if inside.is_none() || inside == ours {
            return Vec::new();
        }
        let first = self.first();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        all.filter(|process| Some(*process) != first)
            .filter(|process| fs::read_link(format!("/proc/{process}/ns/pid")).ok() == inside)
            .collect()
    }

    fn first(&self) -> Option<u32> {
        let id = self.outer.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        // With the first process the kernel ends all others, before the outer
        // one learns of it. What has ended already needs nothing.
        let first = self.first().and_then(|first| i32::try_from(first).ok());
        if first.is_none_or(|first| kill(Pid::from_raw(first), Signal::SIGKILL).is_err()) {
            let _ = self.outer.kill();
        }
        let _ = self.outer.wait();
    }
}

/// The end of a log, on one line.
fn last_lines(path: &Path) -> String {
    let text = fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
    if lines.is_empty() {
        return "it printed nothing".into();
    }
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}
