//! Processor time and memory of processes, from /proc.

use std::{fs, time::Duration};

/// The processes of one server. None of them: nothing is measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group(Vec<u32>);

impl Group {
    /// These processes, without their children.
    pub(crate) fn of(processes: impl IntoIterator<Item = u32>) -> Self {
        Self(processes.into_iter().collect())
    }

    /// These processes and all below them, as they are now.
    pub(crate) fn with_children(processes: impl IntoIterator<Item = u32>) -> Self {
        let mut all: Vec<u32> = processes.into_iter().collect();
        let mut at = 0;
        while let Some(process) = all.get(at).copied() {
            at += 1;
            for child in children(process) {
                if !all.contains(&child) {
                    all.push(child);
                }
            }
        }
        Self(all)
    }

    /// Time on a processor so far, user and system, of all threads that run.
    /// (The sum of the scheduler is exact; the ticks of /proc/PID/stat are 10 ms.
    /// Threads that ended are missing: servers keep theirs.)
    pub(crate) fn cpu(&self) -> Duration {
        self.0.iter().map(|process| cpu_of(&process.to_string())).sum()
    }

    /// Most memory resident so far, in KiB, all processes together.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.0.iter().map(|process| status(*process, "VmHWM:")).sum()
    }

    /// Memory resident now, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.0.iter().map(|process| status(*process, "VmRSS:")).sum()
    }
}

/// The same for the process that asks.
pub(crate) fn own_cpu() -> Duration {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn status(process: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    texts
        .flat_map(|text| text.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}
