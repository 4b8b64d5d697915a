//! How well connguard judges: `cargo bench --bench detection -- [options]`.
//!
//! Runs real traffic, synthetic legitimate mail and synthetic attacks through
//! the real engine, and fixed limits and SPOT beside it, and writes tables in
//! Markdown. The same seed gives the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement fails by panicking; its numbers are its own"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its tables and progress")]

mod arena;
mod args;
mod attacks;
mod draw;
mod fixed;
mod legit;
mod model;
mod ordinary;
mod random;
mod replay;
mod report;
mod scenarios;
mod stats;
mod stream;
mod taken_over;
mod traces;
mod variants;
mod work;

use args::{Args, Part};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)) {
        // `cargo test` starts benches too: that is no order to measure.
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(args)) => match measure(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("{error}\n{}", args::USAGE);
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), String> {
    let found = traces::read(&args.traces)?;
    for note in &found.notes {
        eprintln!("{note}");
    }
    let bench = Bench { args, found: &found };
    let mut report = report::Report::new(&bench);
    if args.does(Part::Legit) {
        legit::measure(&bench, &mut report);
    }
    if args.does(Part::Scenarios) {
        ordinary::measure(&bench, &mut report);
    }
    if args.does(Part::Attacks) {
        taken_over::measure(&bench, &mut report);
    }
    if args.does(Part::Senders) {
        taken_over::senders(&bench, &mut report);
    }
    if args.does(Part::Ablation) {
        variants::ablation(&bench, &mut report);
    }
    // It takes longer than all the rest.
    if args.does(Part::Sensitivity) && !(args.quick && args.only.is_empty()) {
        variants::sensitivity(&bench, &mut report);
    }
    let text = report.finish();
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// What all parts need.
struct Bench<'a> {
    args: &'a Args,
    found: &'a traces::Found,
}
