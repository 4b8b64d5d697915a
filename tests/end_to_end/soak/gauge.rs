//! What the daemon needs: resident memory and open files, once a second.
//!
//! *Flat* means: after the warm-up the slope of resident memory by time, as the median
//! of the slopes of all pairs of samples (so that single peaks don't count), is no
//! more than [`MOST_GROWTH_KIB`] over the time that was measured. Daemons that lived a
//! short time are compared at the same age.

use std::fs;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use super::super::harness::sink::Sink;
use super::stage::Stage;

/// What resident memory may grow by while it is measured.
pub(super) const MOST_GROWTH_KIB: f64 = 2048.0;
/// Age at which lives are compared.
const AGE: Duration = Duration::from_secs(2);

/// What a process needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) rss_kib: u64,
    /// What its open files are, in order.
    pub(super) files: Vec<String>,
    pub(super) threads: u64,
}

/// What one needs now; nothing where it is gone.
pub(super) fn needs(pid: u32) -> Option<Needs> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |key: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let links = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    // Sockets and pipes have numbers.
    let name = |it: std::path::PathBuf| it.display().to_string().replace(char::is_numeric, "");
    let mut files: Vec<String> = links.map(name).collect();
    files.sort();
    Some(Needs { rss_kib: number("VmRSS:")?, files, threads: number("Threads:")? })
}

/// What was needed at one moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// How long this daemon had lived.
    pub(super) age: Duration,
    pub(super) pid: u32,
    pub(super) needs: Needs,
}

/// Looks once a second until all is over, and enters what arrives into the ledger.
pub(super) fn watch(stage: &Stage, sink: &Sink) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut life = (0, Instant::now());
    let mut looked = Instant::now();
    while !stage.is_over() {
        thread::sleep(Duration::from_millis(50));
        let pid = stage.pid.load(SeqCst);
        if pid != life.0 {
            life = (pid, Instant::now());
        }
        if looked.elapsed() < Duration::from_secs(1) {
            continue;
        }
        looked = Instant::now();
        stage.ledger.take_in(sink);
        // Between two lives there is none.
        if let Some(needs) = needs(pid).filter(|_| pid != 0) {
            samples.push(Sample { at: looked, age: life.1.elapsed(), pid, needs });
        }
    }
    samples
}

/// Slope in KiB a minute: the median of the slopes of all pairs.
pub(super) fn slope(samples: &[Sample]) -> Option<f64> {
    let mut slopes = Vec::new();
    for (n, one) in samples.iter().enumerate() {
        for other in &samples[n + 1..] {
            let minutes = (other.at - one.at).as_secs_f64() / 60.0;
            slopes.push((kib(other) - kib(one)) / minutes);
        }
    }
    median(slopes)
}

/// Resident memory of each life at the same age, in the order of the lives.
pub(super) fn at_same_age(samples: &[Sample]) -> Vec<f64> {
    let mut lives: Vec<(u32, f64)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.age >= AGE) {
        if lives.last().is_none_or(|(pid, _)| *pid != sample.pid) && sample.age < 2 * AGE {
            lives.push((sample.pid, kib(sample)));
        }
    }
    lives.into_iter().map(|(_, kib)| kib).collect()
}

pub(super) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

#[allow(clippy::cast_precision_loss, reason = "kibibytes of a process are few")]
pub(super) fn kib(sample: &Sample) -> f64 {
    sample.needs.rss_kib as f64
}
