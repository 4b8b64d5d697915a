//! Starts, one after the other, on the same state directory.

use crate::{args::Args, daemon::Daemon, state};
use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

/// One start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) refusal: Duration,
    pub(crate) ready: Duration,
    /// CPU time until READY.
    pub(crate) cpu: Duration,
    /// MiB when it is ready, ...
    pub(crate) resident: u64,
    /// ... and at the peak until then.
    pub(crate) peak: u64,
}

pub(crate) fn measure(folder: &Path, args: &Args) -> io::Result<Vec<Start>> {
    let state = folder.join("state");
    let names = || -> io::Result<BTreeSet<String>> {
        Ok(state::segments(&state)?.into_iter().map(|(name, _)| name).collect())
    };
    let before = names()?;
    let mut starts = Vec::new();
    for _ in 0..args.runs {
        let daemon = Daemon::start(folder, args.connectors)?;
        let refusal = daemon.first_refusal()?;
        let ready = daemon.ready()?;
        let cpu = daemon.cpu();
        let (resident, peak) = daemon.memory();
        let start = Start { refusal, ready, cpu, resident, peak };
        eprintln!("{start:?}");
        starts.push(start);
        drop(daemon);
        // The next one finds what this one found: a full segment.
        for name in names()?.difference(&before) {
            fs::remove_file(state.join(name))?;
        }
    }
    Ok(starts)
}
