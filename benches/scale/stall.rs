//! How long messages take, and how much of that is ours.

use crate::text::time;
use nix::time::{ClockId, clock_gettime};
use std::{fs::File, os::unix::fs::FileExt, time::Instant};

/// Measures in the thread that made it.
pub(crate) struct Watch {
    /// What the scheduler tells of this thread.
    schedule: File,
    /// For how long it was ready to run and did not, in nanoseconds.
    delay: u64,
}

/// What one message took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    pub(crate) wall: u64,
    pub(crate) ours: u64,
    pub(crate) cpu: u64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let schedule = File::open("/proc/thread-self/schedstat").expect("the scheduler tells");
        let mut watch = Self { schedule, delay: 0 };
        watch.delay = watch.read_delay();
        watch
    }

    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> (T, Took) {
        let cpu = cpu();
        let start = Instant::now();
        let done = work();
        let wall = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let cpu = self::cpu() - cpu;
        let delay = self.read_delay();
        let ours = wall.saturating_sub(delay - self.delay);
        self.delay = delay;
        (done, Took { wall, ours, cpu })
    }

    fn read_delay(&self) -> u64 {
        let mut text = [0; 64];
        let length = self.schedule.read_at(&mut text, 0).expect("the scheduler tells");
        let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
        text.split_whitespace().nth(1).and_then(|delay| delay.parse().ok()).unwrap_or(0)
    }
}

fn cpu() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of the thread");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// What many messages took.
#[derive(Default)]
pub(crate) struct Times {
    wall: Vec<u32>,
    ours: Vec<u32>,
    cpu: Vec<u32>,
    /// The longest by the processor, each with its place in the order.
    pub(crate) longest: Vec<(u64, usize)>,
}

/// Percentiles of [`Times`], in nanoseconds: p50, p99, p99.99 and the maximum.
pub(crate) type Row = [u64; 4];

impl Times {
    pub(crate) fn note(&mut self, took: Took) {
        let small = |nanos: u64| u32::try_from(nanos).unwrap_or(u32::MAX);
        if took.cpu > 200_000 {
            self.longest.push((took.cpu, self.wall.len()));
        }
        self.wall.push(small(took.wall));
        self.ours.push(small(took.ours));
        self.cpu.push(small(took.cpu));
    }

    pub(crate) fn len(&self) -> usize {
        self.wall.len()
    }

    /// Wall, ours, processor.
    pub(crate) fn rows(&self) -> [Row; 3] {
        [&self.wall, &self.ours, &self.cpu].map(|times| {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |share: f64| {
                let place = (times.len() as f64 * share) as usize;
                u64::from(times.get(place).or(times.last()).copied().unwrap_or(0))
            };
            [at(0.5), at(0.99), at(0.9999), at(1.0)]
        })
    }
}

/// The least of each over several rounds.
pub(crate) fn least(rounds: &[[Row; 3]]) -> [Row; 3] {
    let mut least = [[u64::MAX; 4]; 3];
    for round in rounds {
        for (least, row) in least.iter_mut().flatten().zip(round.iter().flatten()) {
            *least = (*least).min(*row);
        }
    }
    least
}

/// The three rows of a table.
pub(crate) fn table(rows: &[Row; 3]) -> String {
    let mut text =
        "| time of a message | p50 | p99 | p99.99 | longest |\n|---|---|---|---|---|\n".to_owned();
    for (name, row) in ["wall", "ours", "processor"].into_iter().zip(rows) {
        let cells = row.map(time).join(" | ");
        text.push_str(&format!("| {name} | {cells} |\n"));
    }
    text
}
