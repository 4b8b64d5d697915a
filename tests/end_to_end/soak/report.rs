//! What a soak counted, as a table, and what of it is wrong.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::harness::site::Site;
use super::super::under_load::Ledger;
use super::super::under_load::ledger::Balance;
use super::Plan;
use super::gauge::{self, MOST_GROWTH_KIB, Needs, Sample};

/// Samples of the long life from which on its slope says something.
const LEAST_SAMPLES: usize = 40;
/// Short lives from which on a comparison says something.
const LEAST_LIVES: usize = 9;

/// All that was counted.
#[derive(Debug)]
pub(super) struct Report {
    seed: u64,
    begun: Instant,
    told: Instant,
    pub(super) balance: Balance,
    pub(super) kills: u32,
    pub(super) stops: u32,
    pub(super) reloads: u32,
    pub(super) broken_reloads: u32,
    pub(super) renames: u32,
    pub(super) copytruncates: u32,
    pub(super) blocks: u64,
    pub(super) unblocks: u64,
    pub(super) slowest_start: Duration,
    pub(super) idle_first: Needs,
    pub(super) idle_last: Needs,
    queued: usize,
    /// Of the long life: KiB first, last, and their slope by minute.
    long: Option<(f64, f64, f64)>,
    /// Its resident memory from tenth to tenth of that time.
    course: Vec<u64>,
    measured: Duration,
    judges_memory: bool,
    /// Of the short ones: the first ones and the last ones, at the same age.
    short: Option<(f64, f64)>,
    lives: usize,
    faults: Vec<String>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            begun: Instant::now(),
            told: Instant::now(),
            balance: Balance::default(),
            kills: 0,
            stops: 0,
            reloads: 0,
            broken_reloads: 0,
            renames: 0,
            copytruncates: 0,
            blocks: 0,
            unblocks: 0,
            slowest_start: Duration::ZERO,
            idle_first: Needs::default(),
            idle_last: Needs::default(),
            queued: 0,
            long: None,
            course: Vec::new(),
            measured: Duration::ZERO,
            judges_memory: false,
            short: None,
            lives: 0,
            faults: Vec::new(),
        }
    }

    /// Once a minute, how far it is.
    #[allow(clippy::print_stdout, reason = "for whoever waits")]
    pub(super) fn tell(&mut self, ledger: &Ledger) {
        if self.told.elapsed() >= Duration::from_secs(60) {
            self.told = Instant::now();
            let Balance { accepted, refused, arrived, .. } = ledger.balance();
            println!(
                "{} min: {accepted} messages accepted, {refused} refused, {arrived} recipients \
                 arrived, {} kills, {} stops",
                self.begun.elapsed().as_secs() / 60,
                self.kills,
                self.stops
            );
        }
    }

    /// What the daemon needed, where there was time to see it.
    pub(super) fn measure(&mut self, samples: &[Sample], life: Instant, plan: &Plan) {
        self.judges_memory = plan.judges_memory;
        let from = life + plan.warm_up;
        let long: Vec<Sample> = samples.iter().filter(|it| it.at >= from).cloned().collect();
        if let (true, Some(slope)) = (long.len() >= LEAST_SAMPLES, gauge::slope(&long)) {
            let of = |samples: &[Sample]| gauge::median(samples.iter().map(gauge::kib).collect());
            let tenth = long.len() / 10;
            self.course = long.iter().step_by(tenth).map(|it| it.needs.rss_kib).collect();
            let (first, last) = (of(&long[..tenth]), of(&long[long.len() - tenth..]));
            self.long = first.zip(last).map(|(first, last)| (first, last, slope));
            self.measured = long[long.len() - 1].at - long[0].at;
        }
        let before: Vec<Sample> = samples.iter().filter(|it| it.at < life).cloned().collect();
        let lives = gauge::at_same_age(&before);
        self.lives = lives.len();
        if lives.len() >= LEAST_LIVES {
            let third = lives.len() / 3;
            let of = |lives: &[f64]| gauge::median(lives.to_vec());
            self.short = of(&lives[..third]).zip(of(&lives[lives.len() - third..]));
        }
    }

    /// What is left at the end.
    pub(super) fn look_at(&mut self, site: &Site) {
        let queue = site.postfix.queue();
        self.queued = queue.len();
        if !queue.is_empty() {
            self.faults.push(format!("still in the queue of Postfix: {queue:?}"));
        }
        for line in site.daemon.log().lines() {
            let is_told = line.contains(" ERROR reload:");
            if line.contains("panicked") || (line.contains(" ERROR ") && !is_told) {
                self.faults.push(format!("in the log: {line}"));
            }
        }
    }

    /// Prints the table; fails, and keeps the logs, where something is wrong.
    #[allow(clippy::print_stdout, reason = "the table is what a soak is for")]
    pub(super) fn end(mut self, site: &Site) {
        self.judge();
        println!("{}", self.table());
        if self.faults.is_empty() {
            return;
        }
        let kept = keep(site, self.seed);
        let few: Vec<_> = self.faults.iter().take(40).cloned().collect();
        panic!(
            "{} faults, seed {}, logs and state kept in {}:\n{}",
            self.faults.len(),
            self.seed,
            kept.display(),
            few.join("\n")
        );
    }

    fn judge(&mut self) {
        let mut faults = self.balance.faults();
        let idle = (&self.idle_first, &self.idle_last);
        if lasting(idle.0) < lasting(idle.1) {
            faults.push(format!("open files when idle: {:#?}", (&idle.0.files, &idle.1.files)));
        }
        // A few for work that blocks come and go.
        if idle.0.threads + 8 < idle.1.threads {
            faults.push(format!("threads: {} and then {}", idle.0.threads, idle.1.threads));
        }
        if let Some((first, last, slope)) = self.long.filter(|_| self.judges_memory) {
            let growth = slope * self.measured.as_secs_f64() / 60.0;
            if growth > MOST_GROWTH_KIB {
                faults.push(format!("memory grows: {first} KiB, {last} KiB, {slope:.1} a minute"));
            }
        }
        if let Some((first, last)) = self.short
            && last - first > MOST_GROWTH_KIB
        {
            faults.push(format!("daemons of the same age need more: {first} KiB, {last} KiB"));
        }
        if self.blocks == 0 || self.unblocks == 0 || self.kills + self.stops == 0 {
            faults.push("nothing happened that it is about: see the table".to_owned());
        }
        self.faults.extend(faults);
    }

    fn table(&self) -> String {
        let mut text =
            format!("\nsoak of {} s, seed {}\n", self.begun.elapsed().as_secs(), self.seed);
        let mut row = |name: &str, value: String| {
            writeln!(text, "  {name:<38} {value}").expect("a string takes it");
        };
        let Balance { accepted, refused, due, arrived, reports, .. } = &self.balance;
        row("messages accepted, refused", format!("{accepted}, {refused}"));
        row("recipients due, arrived", format!("{due}, {arrived}"));
        let Balance { doubled, lost, uninvited, .. } = &self.balance;
        row("doubled, lost, arrived though refused", {
            format!("{}, {}, {}", doubled.len(), lost.len(), uninvited.len())
        });
        row("delivery reports to senders", reports.to_string());
        row("left in the queue of Postfix", self.queued.to_string());
        row("kills, stops", format!("{}, {}", self.kills, self.stops));
        row("reloads good, broken", format!("{}, {}", self.reloads, self.broken_reloads));
        row(
            "logs renamed, copied and emptied",
            format!("{}, {}", self.renames, self.copytruncates),
        );
        row("blocks, unblocks", format!("{}, {}", self.blocks, self.unblocks));
        row("slowest start", format!("{} ms", self.slowest_start.as_millis()));
        row("slowest SMTP transaction", format!("{} ms", self.balance.slowest.as_millis()));
        let idle = |what: fn(&Needs) -> u64| {
            format!("{}, {}", what(&self.idle_first), what(&self.idle_last))
        };
        row("idle: open files first, last", idle(|it| u64::try_from(lasting(it)).unwrap()));
        row("idle: threads first, last", idle(|it| it.threads));
        row(
            "resident memory of one life",
            match self.long {
                Some((first, last, slope)) => format!(
                    "{first} KiB, {last} KiB after {} s; slope {slope:+.1} KiB a minute",
                    self.measured.as_secs()
                ),
                None => "too short to tell".to_owned(),
            },
        );
        if !self.course.is_empty() {
            let course = self.course.iter().map(u64::to_string).collect::<Vec<_>>();
            row("its course, from tenth to tenth", format!("{} KiB", course.join(" ")));
        }
        row(
            "the same of lives at the same age",
            match self.short {
                Some((first, last)) => format!("{first} KiB, {last} KiB of {} lives", self.lives),
                None => "too few to tell".to_owned(),
            },
        );
        text
    }
}

/// Open files, but for mail logs: rotated ones are read for two minutes more.
fn lasting(needs: &Needs) -> usize {
    needs.files.iter().filter(|name| !name.contains("/log/mail.log")).count()
}

/// Copies what tells how it came to this.
fn keep(site: &Site, seed: u64) -> PathBuf {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("soak-{seed}"));
    fs::create_dir_all(&to).expect("a directory for the logs");
    let from = ["log", "state", "etc", "connguard.log", "connguard.toml"];
    for name in from {
        let source = site.dir().join(name);
        // What can't be kept must not hide what went wrong.
        let _ = std::process::Command::new("cp").arg("-a").arg(source).arg(&to).status();
    }
    to
}
