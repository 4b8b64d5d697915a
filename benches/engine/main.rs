//! What a message costs in the engine.
//!
//!   cargo bench --bench engine                      criterion, each call on its own
//!   cargo bench --bench engine -- at_end            only those with that word
//!   cargo bench --bench engine -- --table           the tables for benches/RESULTS.md
//!   cargo bench --bench engine -- --write           write them there
//!   cargo bench --bench engine -- --out FILE        or to the same section of another file
//!   cargo bench --bench engine -- --table --quick   a try that proves nothing
//!
//! These machines are noisy, so compare within one run: `a mutex and a map` is
//! the naive way to count a message for its client (one lock around a map of
//! plain counters), which judges nothing; and what two threads reach is compared
//! with what a computation in registers reaches beside them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement fails by panicking"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its tables")]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod calls;
mod journal;
mod stages;
#[path = "../support/mod.rs"]
mod support;
mod threads;

use mimalloc::MiMalloc;
use std::{fmt::Write, path::PathBuf, process::ExitCode};
use support::results;

/// That of the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if !support::is_wanted() {
        return ExitCode::SUCCESS;
    }
    let Some(args) = Args::parse(std::env::args().skip(1)) else {
        calls::run();
        return ExitCode::SUCCESS;
    };
    let mut table = String::new();
    let quick = if args.quick { " A quick try, which proves nothing." } else { "" };
    let _ = writeln!(table, "## Engine\n\n{}.{quick}\n", results::provenance());
    stages::measure(&mut table, args.quick);
    threads::measure(&mut table, args.quick);
    journal::measure(&mut table, args.quick);
    println!("{table}");
    let Some(file) = args.out else { return ExitCode::SUCCESS };
    match results::write_section(&file, "engine", &table) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{}: {fault}", file.display());
            ExitCode::FAILURE
        }
    }
}

/// What was asked for, if it was the tables.
#[derive(Debug)]
struct Args {
    quick: bool,
    out: Option<PathBuf>,
}

impl Args {
    fn parse(args: impl Iterator<Item = String>) -> Option<Self> {
        let (mut wanted, mut parsed, mut args) = (false, Self { quick: false, out: None }, args);
        while let Some(argument) = args.next() {
            match &*argument {
                "--table" => wanted = true,
                "--quick" => parsed.quick = true,
                "--write" => parsed.out = Some(results::FILE.into()),
                "--out" => parsed.out = Some(args.next().expect("--out: say where to").into()),
                _ => {}
            }
        }
        (wanted || parsed.out.is_some()).then_some(parsed)
    }
}
