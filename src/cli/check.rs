//! `check`: reads the configuration and says what it means.

use super::{Error, output};
use crate::{config, daemon};
use std::{
    io::{Write, stdout},
    path::Path,
};

/// Prints every fault, or `ok` and what was understood.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    match config::load(path, &daemon::own_names()) {
        Ok(config) => {
            let mut out = stdout().lock();
            writeln!(out, "ok")?;
            for line in config::summary(&config) {
                writeln!(out, "{}", output::clean(&line))?;
            }
            Ok(())
        }
        Err(faults) => {
            let mut out = stdout().lock();
            writeln!(out, "{}", output::clean_lines(&faults.to_string()))?;
            let count = faults.iter().count();
            let s = if count == 1 { "" } else { "s" };
            Err(Error::No(format!("{count} fault{s} in {}", path.display())))
        }
    }
}
