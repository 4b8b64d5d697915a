//! Whether memory stays bounded, and nothing stalls, at a million connectors:
//! `cargo bench --bench scale -- [--quick] [--print] [--only PART]`.
//!
//! Takes about a quarter of an hour on a quiet machine, and 2.5 GB. Writes its
//! section of `benches/RESULTS.md`; with `--quick` (a tenth of everything) or `--only`
//! it prints the rows instead. Each part runs in a process of its own, so that no part
//! measures memory that another one gave back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "a measurement fails by panicking; it is what reads the clock"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its tables and progress")]

mod flood;
mod mail;
mod memory;
#[path = "../results/mod.rs"]
mod results;
mod stall;
mod text;
mod walks;

use mimalloc::MiMalloc;
use std::{
    io::Write,
    process::{Command, ExitCode, Stdio},
};

/// That of the program: it decides how many bytes a connector takes.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A part, its heading, and what runs it; it is given the scale, 1 or 10, by which
/// everything is divided.
type Part = (&'static str, &'static str, fn(u32) -> String);

const PARTS: [Part; 6] = [
    ("clients", "Memory of a discovered client", memory::clients),
    ("logins", "Memory of a discovered login", memory::logins),
    ("flood-clients", "3,000,000 addresses at a cap of 1,000,000", flood::clients),
    ("flood-logins", "3,000,000 logins at a cap of 1,000,000", flood::logins),
    ("full", "1,000,000 addresses where all places are taken by long-known ones", flood::full),
    ("walks", "The longest stall of a message beside a walk over all connectors", walks::all),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    // `cargo test` starts benches too: that is no order to measure.
    if !has("--bench") && !has("--part") {
        return ExitCode::SUCCESS;
    }
    // As the daemon does.
    nix::sys::prctl::set_thp_disable(true).expect("the kernel knows of huge pages");
    let scale = if has("--quick") { 10 } else { 1 };
    if let Some(part) = value("--part") {
        let (_, _, run) = PARTS.iter().find(|(name, ..)| *name == part).expect("a part");
        print!("{}", run(scale));
        return ExitCode::SUCCESS;
    }
    let only = value("--only");
    let mut text = text::head(scale);
    for (name, title, _) in PARTS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        eprintln!("{name} ...");
        match run_part(name, scale) {
            Some(rows) => text.push_str(&format!("\n### {title}\n\n{rows}")),
            None => return ExitCode::FAILURE,
        }
    }
    if has("--print") || only.is_some() || scale > 1 {
        print!("{text}");
    } else {
        let written = results::write_section(results::FILE.as_ref(), "scale", &text);
        written.expect("RESULTS.md can be written");
    }
    let _ = std::io::stdout().flush();
    ExitCode::SUCCESS
}

/// What a part prints that runs in a process of its own.
fn run_part(name: &str, scale: u32) -> Option<String> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    command.args(["--part", name]).stderr(Stdio::inherit());
    if scale > 1 {
        command.arg("--quick");
    }
    let output = command.output().ok()?;
    if !output.status.success() {
        eprintln!("{name} failed: {}", output.status);
        return None;
    }
    String::from_utf8(output.stdout).ok()
}
