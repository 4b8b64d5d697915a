//! `replay`: what a configuration would have done with old logs.

mod learn;
mod overlay;
mod table;

use super::{CONFIG, Error, output};
use crate::{
    clock::Clock,
    config::Config,
    replay::{self, Counts, Ended, Input, Params, Progress, Replay, Report, Sink},
    verdict::Mode,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use learn::Learn;
use signal_hook::consts::SIGINT;
use std::{
    io::{BufWriter, IsTerminal, Write, stderr, stdout},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// How often a line of progress is drawn.
const DRAW: Duration = Duration::from_millis(250);

/// What `replay` is told.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Logs of Postfix in any order, plain, .gz or .xz; - is standard input.
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// Another value for a key of the configuration, as judgement.throttle=false; a key of a
    /// [[connector]] by its name, as connector.erp.profile=bulk.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Replay a second time with this besides, and show both; several go together.
    #[arg(long, value_name = "KEY=VALUE")]
    compare: Vec<String>,
    /// Refuse nothing: mark, and go on, as observe mode does.
    #[arg(long)]
    observe: bool,
    /// Write what was learned into this directory, as a history that the daemon starts with.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    learn: Option<PathBuf>,
    /// The year of the first line, where the log has none and the file's time is lost.
    #[arg(long, value_name = "YEAR")]
    year: Option<i16>,
    #[command(flatten)]
    output: super::Output,
}

/// Replays and prints what came of it.
pub(super) fn replay(config: &Path, options: &Options) -> Result<(), Error> {
    let now = Clock::system().now();
    let layer = overlay::Layer::read(config, config == Path::new(CONFIG))?;
    let mode = if options.observe { Mode::Observe } else { Mode::Enforce };
    let base = layer.config(&[&options.set], mode)?;
    let mut lanes = vec![params(&base, options.learn.is_some())];
    let mut sets = Vec::new();
    if !options.compare.is_empty() {
        let other = layer.config(&[&options.set, &options.compare], mode)?;
        lanes.push(params(&other, false));
        sets.push(options.compare.clone());
    }
    let stop = on_interrupt();
    let learn = options.learn.as_deref().map(Learn::begin).transpose()?;
    let mut input = Input::open(&options.logs, options.year, now, &stop)
        .map_err(|error| Error::No(error.to_string()))?;
    let mut replay = Replay::new(lanes);
    let ended = read(&mut input, &mut replay, &stop);
    let counts = *input.counts();
    let mut report = replay.report(&counts, &ended, &sets);
    report.warnings = input.warnings().to_vec();
    if let Some(sentence) = layer.note() {
        report.notes.insert(0, sentence);
    }
    let warnings = base.warnings.iter();
    report.notes.extend(warnings.map(|warning| format!("configuration: {warning}")));
    if counts.all_skipped() == counts.lines {
        return Err(Error::No(nothing(&counts)));
    }
    if let Some(learn) = learn {
        report.notes.push(learn.save(&replay, ended.span.map(|(_, to)| to), now)?);
    }
    print(&report, options.output.json)
}

/// Reads all logs, or until `stop` is set, and shows the progress.
pub(super) fn read(input: &mut Input, sink: &mut dyn Sink, stop: &AtomicBool) -> Ended {
    let bar = Bar::new();
    let ended = replay::read(input, sink, |progress| {
        bar.show(progress);
        !stop.load(Relaxed)
    });
    bar.finish();
    ended
}

/// Why a log without a line that says anything is of no use.
pub(super) fn nothing(counts: &Counts) -> String {
    let lines = counts.lines;
    match counts.of_postfix() {
        0 => format!(
            "none of {lines} lines is of Postfix: connguard reads lines as \
             `Nov 22 06:25:01 mx postfix/qmgr[714]: ...`, as syslog or maillog_file writes them"
        ),
        some => {
            format!("{some} of {lines} lines are of Postfix, and none says anything about mail")
        }
    }
}

fn print(report: &Report, json: bool) -> Result<(), Error> {
    let mut out = BufWriter::new(stdout().lock());
    if json {
        output::json(&mut out, report)?;
    } else {
        out.write_all(table::text(report).as_bytes())?;
    }
    Ok(out.flush()?)
}

fn params(config: &Config, is_kept: bool) -> Params {
    Params {
        settings: config.settings.clone(),
        max_connectors: config.state.max_connectors,
        login_realm: config.milter.login_realm.clone(),
        is_kept,
    }
}

/// Set by the first Ctrl-C; the second ends the process at once.
pub(super) fn on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    // In this order: the flag that the shutdown looks at is set after it.
    let exit = i32::from(super::exit::INTERRUPTED);
    let registered =
        signal_hook::flag::register_conditional_shutdown(SIGINT, exit, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(SIGINT, Arc::clone(&stop)));
    if let Err(error) = registered {
        output::complain(&format!("Ctrl-C ends the replay without its results ({error})"));
    }
    stop
}

/// The progress, on a terminal.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new() -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        bar.enable_steady_tick(DRAW);
        Self(Some(bar))
    }

    fn show(&self, progress: &Progress) {
        let Some(bar) = &self.0 else { return };
        if bar.length() != progress.total || bar.position() == 0 {
            let template = match progress.total {
                Some(_) => "{bar:30} {percent}% {bytes}/{total_bytes}, {eta} left, {msg}",
                None => "{spinner} {bytes}, {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
        }
        bar.set_position(progress.octets);
        let date = progress.at.map(|at| at.local()).unwrap_or_default();
        let date = date.get(..10).unwrap_or_default().to_owned();
        let rate = lines_per_second(progress.lines, bar.elapsed());
        bar.set_message(format!("{rate} lines/s, at {date}"));
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn lines_per_second(lines: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    lines.saturating_mul(1000) / millis
}
