//! `suggest`: a configuration learned from old logs, and from Postfix.

use super::{
    Error, output,
    replay::{self, nothing, on_interrupt},
};
use crate::{
    clock::Clock,
    replay::Input,
    suggest::{self, Known, Origin, Postfix, Suggestion, Survey},
};
use clap::Args;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Write, stdout},
    path::{Path, PathBuf},
};

/// What `suggest` is told.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Logs of Postfix in any order, plain, .gz or .xz; - is standard input. Some weeks of them.
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// Don't ask Postfix what it receives mail for and who may relay, as with logs of another
    /// host.
    #[arg(long)]
    no_postfix: bool,
    /// Ask the Postfix whose main.cf is in this folder, if not the one that MAIL_CONFIG or
    /// Postfix itself chooses.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath, conflicts_with = "no_postfix")]
    config_directory: Option<PathBuf>,
    /// Write it into this file instead of to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace that file if it is there.
    #[arg(long, requires = "output")]
    force: bool,
    /// The year of the first line, where the log has none and the file's time is lost.
    #[arg(long, value_name = "YEAR")]
    year: Option<i16>,
}

/// Reads the logs and writes the configuration.
pub(super) fn suggest(options: &Options) -> Result<(), Error> {
    if let Some(path) = &options.output
        && !options.force
        && fs::symlink_metadata(path).is_ok()
    {
        return Err(Error::No(exists(path)));
    }
    let (postfix, without_postfix) = postfix(options)?;
    let (stop, now) = (on_interrupt(), Clock::system().now());
    let mut input = Input::open(&options.logs, options.year, now, &stop)
        .map_err(|error| Error::No(error.to_string()))?;
    let known = postfix.as_ref().map_or_else(Known::default, |postfix| Known {
        inbound: postfix.inbound_set(),
        networks: postfix.networks.clone(),
    });
    let mut survey = Survey::new(known);
    let ended = replay::read(&mut input, &mut survey, &stop);
    let counts = input.counts();
    if counts.all_skipped() == counts.lines {
        return Err(Error::No(nothing(counts)));
    }
    let origin = Origin {
        logs: options.logs.iter().map(|path| path.display().to_string()).collect(),
        is_partial: ended.stopped,
        without_postfix,
    };
    let mut suggestion =
        suggest::suggest(&survey, postfix.as_ref(), &origin).map_err(|faults| {
            Error::No(format!(
                "what was suggested is no configuration, which is a fault of connguard; please \
             report it with these lines:\n{faults}"
            ))
        })?;
    suggestion.warnings.extend(input.warnings().iter().cloned());
    write(&suggestion, options)
}

/// Postfix, or why it was not asked.
fn postfix(options: &Options) -> Result<(Option<Postfix>, Option<String>), Error> {
    if options.no_postfix {
        return Ok((None, Some("--no-postfix".into())));
    }
    let directory = options.config_directory.as_deref();
    match Postfix::ask(directory) {
        Ok(postfix) => Ok((Some(postfix), None)),
        // Somebody meant it.
        Err(error) if directory.is_some() => {
            Err(Error::No(format!("{error}; --no-postfix goes without it")))
        }
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

fn write(suggestion: &Suggestion, options: &Options) -> Result<(), Error> {
    match &options.output {
        Some(path) => {
            into_file(path, &suggestion.text, options.force).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::AlreadyExists if !options.force => Error::No(exists(path)),
                    _ => Error::No(format!("can't write {}: {error}", path.display())),
                }
            })?;
        }
        None => {
            let mut out = stdout().lock();
            out.write_all(suggestion.text.as_bytes())?;
            out.flush()?;
        }
    }
    // They stand in the text too, which is on the terminal already.
    if options.output.is_some() || !stdout().is_terminal() {
        for warning in &suggestion.warnings {
            output::complain(&output::clean(warning));
        }
    }
    Ok(())
}

/// A new file, or with `force` one in the place of the old, whole at every moment.
fn into_file(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let fill = |mut file: File| -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    let new = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
    if !force {
        return fill(new(path)?);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let aside = path.with_file_name(name);
    let written = new(&aside).and_then(fill).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // What can't be written need not stay either.
        let _ = fs::remove_file(&aside);
    }
    written
}

fn exists(path: &Path) -> String {
    format!("{} is there already: name another file, or replace it with --force", path.display())
}
