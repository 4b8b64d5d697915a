//! connguard beside a milter that does nothing: `cargo bench --bench milter`.
//!
//! Both run as processes of their own, on unix sockets, and get the same mail from
//! the same generator in short slices by turns. The ratio of a pair of slices says
//! what our callbacks add to what the library and the kernel cost.
//!
//! Nothing is pinned to a core. On a mail host smtpd runs wherever there is room,
//! too; and on the two cores that this is made for, a core of its own for the
//! generator would leave the server one, which hides what its threads cost each
//! other. The price: messages/s contain the generator's share, the same for both,
//! which brings a ratio nearer to 1. So its CPU seconds are in the table, and those
//! of the server alone are what decides where quartiles straddle a bar.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its table and progress")]

mod args;
mod cells;
#[path = "../load/mod.rs"]
mod load;
mod table;

use args::Args;
use load::{noop, results};
use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    if noop::serve_if_asked() {
        return ExitCode::SUCCESS;
    }
    match Args::parse(std::env::args().skip(1)) {
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
    let daemon = Path::new(env!("CARGO_BIN_EXE_connguard"));
    let mut cells = cells::all();
    if let Some(name) = &args.only {
        let exact = cells.iter().any(|cell| cell.name() == *name);
        cells.retain(|cell| if exact { cell.name() == *name } else { cell.name().contains(name) });
    }
    if cells.is_empty() {
        return Err("no cell has such a name".into());
    }
    if let Some(address) = &args.to {
        return cells::send(&cells, args, address);
    }
    let (logged, plain): (Vec<_>, Vec<_>) = cells.into_iter().partition(|cell| cell.logged);
    let mut rows = cells::measure(&plain, args, daemon)?;
    rows.extend(cells::measure(&logged, args, daemon)?);
    let section = table::section(&rows, args);
    println!("{section}");
    if let Some(file) = &args.out {
        results::write_section(file, "milter", &section)
            .map_err(|error| format!("can't write {}: {error}", file.display()))?;
    }
    Ok(())
}
