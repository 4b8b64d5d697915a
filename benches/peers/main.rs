//! connguard beside what people use today: `cargo bench --bench peers`.
//!
//! As root, on Debian. Installs what is missing (rspamd with Redis, postfwd,
//! policyd-rate-limit), configures each to count by client in a folder of its
//! own, and measures them, connguard and a milter that does nothing under the
//! same load, in turns: first over each one's own protocol, then behind a
//! private Postfix. Before that, each has to show that it really counts: with a
//! small limit it refuses the one client that is beyond it, and no other.
//!
//! ```text
//! args      what was asked for        install   packages, and their versions
//! fence     a program and all its     peer      one filter that runs
//!           processes; ends them      filters/  the configuration of each
//! policy    load of the policy        smtp      one SMTP session
//!           protocol                  postfix   a private Postfix
//! own       rounds, own protocol      through   rounds, behind Postfix
//! check     does it count?            report    the tables
//! ```
//!
//! Nothing in /etc is changed, nothing listens outside of 127.0.0.1, nothing
//! goes on when the bench ends, however it ends. The exit code is 1 if a filter
//! could not be measured: the others are, and its rows say why.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells how far it is")]
#![allow(clippy::disallowed_methods, reason = "how long it takes is what is measured")]

#[path = "../load/mod.rs"]
mod load;

mod args;
mod check;
mod fence;
mod filters;
mod install;
mod own;
mod peer;
mod policy;
mod postfix;
mod report;
mod samples;
mod smtp;
mod stop;
mod through;

use args::Args;
use peer::{Limit, Name, Peer};
use postfix::Postfix;
use report::Report;
use std::{os::unix::fs::PermissionsExt, path::Path, process::ExitCode};
use tempfile::TempDir;

/// A result whose error is for whoever runs the bench.
pub(crate) type Told<T> = Result<T, String>;

fn main() -> ExitCode {
    if load::noop::serve_if_asked() {
        return ExitCode::SUCCESS;
    }
    let done = match Args::parse(std::env::args().skip(1)) {
        // `cargo test` starts benches too: that is no order to measure.
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(args)) => measure(&args),
        Err(error) => Err(format!("{error}\n{}", args::USAGE)),
    };
    match done {
        Ok(report) if report.complete() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Told<Report> {
    if !nix::unistd::geteuid().is_root() {
        return Err("run it as root: Postfix and its filters start as root".into());
    }
    stop::listen()?;
    let mut report = Report::new(args);
    install::postfix()?;
    let names: Vec<Name> = Name::ALL.into_iter().filter(|name| args.does(*name)).collect();
    let names = able(&names, &mut report, |name| install::packages(*name));

    let folder = folder_in(&std::env::temp_dir())?;
    let memory = Path::new("/dev/shm");
    let memory = folder_in(if memory.is_dir() { memory } else { folder.path() })?;
    let site = peer::Site::new(folder.path(), memory.path(), args.rspamd_workers)?;
    // What runs is dropped before its folders.
    let postfix = Postfix::start(&site, &names)?;
    let names = able(&names, &mut report, |name| check::counts(*name, &site, &postfix));

    let mut peers = Vec::new();
    able(&names, &mut report, |name| {
        peers.push(Peer::start(*name, &site, Limit::Far)?);
        Ok(())
    });
    if args.own {
        own::rounds(args, &peers, &mut report)?;
    }
    if args.postfix {
        through::rounds(args, &peers, &postfix, &mut report)?;
    }
    drop(peers);
    stop::check()?;
    report.write()?;
    Ok(report)
}

/// Those of them of which this succeeds; of the others it is told why not.
fn able(
    names: &[Name],
    report: &mut Report,
    mut works: impl FnMut(&Name) -> Told<()>,
) -> Vec<Name> {
    let mut able = Vec::new();
    for name in names {
        match works(name) {
            Ok(()) => able.push(*name),
            Err(error) => report.absent(*name, error),
        }
    }
    able
}

/// A temporary folder, which user postfix and those of the filters may enter.
fn folder_in(place: &Path) -> Told<TempDir> {
    let told = |error| format!("a folder in {}: {error}", place.display());
    let folder = tempfile::Builder::new().prefix("connguard-peers-").tempdir_in(place);
    let folder = folder.map_err(told)?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).map_err(told)?;
    Ok(folder)
}
