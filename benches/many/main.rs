//! How a daemon starts, and how `list` answers, with very many restrictions:
//! `cargo bench --bench many -- [--quick] [options]`.
//!
//! Makes a state directory as a daemon leaves it (journal with a long audit trail,
//! case files, history), starts the program on it, and is the MTA that asks for a
//! restricted client as soon as the socket is there. Then it runs `connguard list`
//! in its forms, and `list` in a loop beside a steady load of messages. Writes its
//! section of `benches/RESULTS.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement fails by panicking; its numbers are its own"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its table and progress")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod args;
mod daemon;
mod lists;
mod load;
#[path = "../support/mortal.rs"]
mod mortal;
mod mta;
mod report;
#[path = "../results/mod.rs"]
mod results;
mod starts;
mod state;

use args::Args;
use std::{io, process::ExitCode};

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

fn measure(args: &Args) -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix("many").tempdir_in(&args.folder)?;
    let made = state::make(folder.path(), args)?;
    eprintln!("{made:?}");
    let starts = starts::measure(folder.path(), args)?;
    let daemon = daemon::Daemon::start(folder.path(), args.connectors)?;
    daemon.first_refusal()?;
    let lists = lists::measure(&daemon, args)?;
    let beside = load::measure(&daemon, args)?;
    drop(daemon);
    let text = report::section(args, &made, &starts, &lists, &beside);
    println!("{text}");
    if args.writes {
        results::write_section(results::FILE.as_ref(), "many", &text)?;
    }
    Ok(())
}
