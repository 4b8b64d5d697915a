//! One run of a tool on a log.

use super::Outcome;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Clock ticks of a second in /proc, which are the same on all Linux systems.
const TICKS: f64 = 100.0;

/// What reads the log.
pub(crate) enum Tool<'a> {
    /// `connguard replay` with this configuration.
    Connguard(&'a Path),
    /// As Debian has it.
    Pflogsumm,
}

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// User and system time, in seconds.
    pub(crate) cpu: f64,
    /// Time that passed, in seconds.
    pub(crate) wall: f64,
    /// The most memory that it had, in KiB.
    pub(crate) peak: u64,
}

impl Tool<'_> {
    /// Runs it on one core.
    pub(crate) fn run(&self, log: &Path) -> Outcome<Run> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0"]);
        match self {
            Self::Connguard(config) => {
                command.arg(env!("CARGO_BIN_EXE_connguard")).arg("--config").arg(config);
                command.args(["replay", "--json"]).arg(log);
            }
            Self::Pflogsumm => {
                command.arg("pflogsumm").arg(log);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (before, begun) = (children_cpu()?, Instant::now());
        let mut child = command.spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let ended = loop {
            peak = peak.max(peak_of(&status).unwrap_or(0));
            if let Some(ended) = child.try_wait()? {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let wall = begun.elapsed().as_secs_f64();
        if !ended.success() {
            return Err(format!("{command:?} failed: {ended}").into());
        }
        Ok(Run { cpu: children_cpu()? - before, wall, peak })
    }
}

/// CPU seconds of children that ended.
fn children_cpu() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(13).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
}

fn peak_of(status: &str) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Installs pflogsumm where it is missing, as the tests do with what they need.
pub(crate) fn ensure_pflogsumm() -> Outcome<()> {
    const ENSURE: &str = ". contrib/postfix/packages.sh && \
        ensure_packages pflogsumm=pflogsumm taskset=util-linux";
    let mut bash = Command::new("bash");
    let status = bash.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", ENSURE]).status()?;
    if status.success() { Ok(()) } else { Err("pflogsumm is missing: see above".into()) }
}
