//! A guard against regressions that noise can't trip: how many instructions a
//! message costs, in fixed scenarios, compared with a committed baseline.
//!
//!   cargo bench --bench instructions                 compare
//!   cargo bench --bench instructions -- --accept     write benches/instructions/baseline.txt
//!   cargo bench --bench instructions -- login        only scenarios with that word
//!   cargo bench --bench instructions -- --repeat 10  how far counts differ from run to run
//!
//! Valgrind's callgrind executes this very program once with a few messages and
//! once with many, everything seeded, and counts. The difference, divided by the
//! messages between, is what one costs: start, preparation and warming up are in
//! both counts. Threads count too. What is left of chance is the keys of std's
//! hash maps (when one grows, and where things collide) and who waits for whom:
//! `--repeat` shows how much. Seen: about 1 % where a scenario has many connectors,
//! queue ids or a journal, under 0.1 % elsewhere. The bar is 5 %.
//!
//! Instructions are not time: a cache miss or a lock that is fought over costs
//! none. For those there are `cargo bench --bench engine` and `--bench milter`.
//!
//! This is own code and not `gungraun`: that one needs a second program of exactly
//! its own version installed beside valgrind, keeps its baselines in the target
//! folder instead of in the repository, and measures single functions, no journal
//! with its thread and no milter with its runtime.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement fails by panicking"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its table")]

mod args;
mod baseline;
mod callgrind;
mod dialogue;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;

use args::Args;
use baseline::{Baseline, Change, Made};
use callgrind::Count;
use scenarios::SCENARIOS;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        // Cargo runs benches with the tests too.
        Ok(None) => return ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let outcome = match args {
        Args::Run { scenario, messages } => scenarios::run(&scenario, messages),
        Args::Count { accept, repeat, only } => count(accept, repeat, &only),
    };
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn count(accept: bool, repeat: usize, only: &[String]) -> Result<ExitCode, String> {
    let made = Made::here(callgrind::version()?);
    let wanted = |name: &str| only.is_empty() || only.iter().any(|word| name.contains(&**word));
    let chosen: Vec<_> = SCENARIOS.iter().filter(|scenario| wanted(scenario.name)).collect();
    if chosen.is_empty() {
        return Err(format!("no scenario is called like {only:?}"));
    }
    let counts = callgrind::count(&chosen, repeat)?;
    let mut baseline = Baseline::read()?;
    if accept {
        baseline.accept(&counts, made, |name| SCENARIOS.iter().any(|it| it.name == name));
        baseline.write()?;
    }
    let changes: Vec<Change> = counts.iter().map(|count| baseline.compare(count)).collect();
    print(&counts, &changes, repeat);
    if accept {
        println!("\naccepted: now in {}", baseline::PATH);
        return Ok(ExitCode::SUCCESS);
    }
    let made = Made::here(callgrind::version()?);
    let unknown = if only.is_empty() { baseline.names_without(&counts) } else { Vec::new() };
    Ok(judge(&baseline, &changes, &unknown, &made))
}

fn print(counts: &[Count], changes: &[Change], repeat: usize) {
    println!("{:>12} {:>12} {:>8}  scenario", "baseline", "instructions", "change");
    for (count, change) in counts.iter().zip(changes) {
        let old = change.old.map_or_else(|| "-".into(), |old| format!("{old:.0}"));
        let percent = change.percent().map_or_else(String::new, |it| format!("{it:+.2} %"));
        print!("{old:>12} {:>12.0} {percent:>8}  {}", change.new, count.name);
        if repeat > 1 {
            print!("  ({repeat} runs: spread {:.3} %)", count.spread());
        }
        println!();
    }
}

/// Says what is wrong, if something is.
fn judge(baseline: &Baseline, changes: &[Change], unknown: &[String], made: &Made) -> ExitCode {
    let mut failed = false;
    for change in changes {
        if let Some(fault) = change.fault() {
            eprintln!("\nFAILED: {fault}");
            failed = true;
        } else if let Some(hint) = change.hint() {
            println!("\n{hint}");
        }
    }
    for name in unknown {
        eprintln!("\nFAILED: {name}: is in the baseline, but no scenario has that name any more");
        failed = true;
    }
    if !failed {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "\nWhere the instructions go: callgrind_annotate {}\n\
         If that is what the change is worth, accept it and commit the file:\n  \
         cargo bench --bench instructions -- --accept",
        callgrind::profiles()
    );
    if let Some(difference) = baseline.made_otherwise(made) {
        eprintln!("Beware: {difference}");
    }
    ExitCode::FAILURE
}
