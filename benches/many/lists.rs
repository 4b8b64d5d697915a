//! `connguard list`, into a pipe.

use crate::{
    args::Args,
    daemon::{Daemon, PROGRAM, status},
};
use std::{
    io::{self, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// One form of it.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) first: Duration,
    pub(crate) last: Duration,
    pub(crate) bytes: usize,
    /// The client's peak in MiB, as far as it was seen.
    pub(crate) client: u64,
    /// By how many MiB the daemon's memory rose meanwhile.
    pub(crate) daemon: u64,
    /// The daemon's CPU time.
    pub(crate) cpu: Duration,
}

const FORMS: [(&str, &[&str]); 4] = [
    ("list", &["list"]),
    ("list --all", &["list", "--all"]),
    ("list --json", &["list", "--json"]),
    ("history", &["history"]),
];

pub(crate) fn measure(daemon: &Daemon, args: &Args) -> io::Result<Vec<Form>> {
    let mut forms: Vec<Form> =
        FORMS.iter().map(|(name, _)| Form { name, runs: Vec::new() }).collect();
    for _ in 0..args.runs {
        for (form, (_, words)) in forms.iter_mut().zip(FORMS) {
            let run = run(daemon, words)?;
            eprintln!("{}: {run:?}", form.name);
            form.runs.push(run);
        }
    }
    Ok(forms)
}

pub(crate) fn run(daemon: &Daemon, words: &[&str]) -> io::Result<Run> {
    daemon.forget_peak();
    let (before, cpu) = (daemon.memory().0, daemon.cpu());
    let begun = Instant::now();
    let mut command = Command::new(PROGRAM);
    command.args(words).arg("--socket").arg(daemon.control()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut out = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    let (mut first, mut bytes, mut client, mut reads) = (Duration::ZERO, 0, 0, 0);
    loop {
        let length = out.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        if bytes == 0 {
            first = begun.elapsed();
        }
        if reads % 64 == 0 {
            client = client.max(status(child.id(), "VmHWM:"));
        }
        bytes += length;
        reads += 1;
    }
    let last = begun.elapsed();
    assert!(child.wait()?.success(), "{words:?} failed");
    let daemon_rise = daemon.memory().1.saturating_sub(before);
    let cpu = daemon.cpu().saturating_sub(cpu);
    Ok(Run { first, last, bytes, client, daemon: daemon_rise, cpu })
}
