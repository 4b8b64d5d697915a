//! `man`: the manual pages, from what the program itself is made of: its command line and
//! the table of its configuration keys.
//!
//! The same program makes the same pages, wherever and whenever: their date is that of the
//! release, or `SOURCE_DATE_EPOCH`.

mod file;
mod milter;
mod program;
mod roff;

use super::{Cli, Error, output};
use clap::CommandFactory;
use std::{
    fs,
    io::{self, Write, stdout},
    path::Path,
};

/// Day of this release, or of the last change of the pages before it.
const RELEASED: &str = "2026-11-23";

/// Writes the pages into `folder`, which is made where it is not there.
pub(super) fn man(folder: &Path) -> Result<(), Error> {
    let date = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => day(&seconds).ok_or_else(|| {
            Error::Usage(format!(
                "SOURCE_DATE_EPOCH is {seconds:?}; expected seconds since 1970, or leave it out"
            ))
        })?,
        Err(_) => RELEASED.to_owned(),
    };
    let mut command = Cli::command();
    command.build();
    let failed = |path: &Path, error: io::Error| {
        Error::No(format!("can't write {}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut out = stdout().lock();
    for (name, text) in [
        ("connguard.1", program::page(&command, &date)),
        ("connguard.toml.5", file::page(&date)),
        ("connguard-milter.8", milter::page(&date)),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
        writeln!(out, "{}", output::clean(&path.to_string_lossy()))?;
    }
    Ok(())
}

/// The day in UTC of a time in seconds since 1970.
fn day(seconds: &str) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds.parse().ok()?).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}
