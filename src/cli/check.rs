//! `check`: reads the configuration and says what it means.

use super::{Error, Output, output};
use crate::{
    config::{self, Config, Faults},
    daemon,
};
use serde_json::json;
use std::{
    io::{self, Write, stdout},
    path::Path,
};

/// Prints every fault, or `ok` and what was understood.
pub(super) fn check(path: &Path, options: Output) -> Result<(), Error> {
    let result = config::load(path, &daemon::own_names());
    if options.json {
        print_json(&result)?
    } else {
        print_text(&result)?
    };
    match result {
        Ok(_) => Ok(()),
        Err(faults) => {
            let count = faults.iter().count();
            let s = if count == 1 { "" } else { "s" };
            Err(Error::No(format!("{count} fault{s} in {}", path.display())))
        }
    }
}

fn print_text(result: &Result<Config, Faults>) -> io::Result<()> {
    let mut out = stdout().lock();
    match result {
        Ok(config) => {
            writeln!(out, "ok")?;
            for line in config::summary(config) {
                writeln!(out, "{}", output::clean(&line))?;
            }
            Ok(())
        }
        Err(faults) => writeln!(out, "{}", output::clean_lines(&faults.to_string())),
    }
}

fn print_json(result: &Result<Config, Faults>) -> io::Result<()> {
    let value = match result {
        Ok(config) => {
            json!({
                "ok": true,
                "understood": config.understood,
                "warnings": config.warnings,
                "without_registered_domains": config.without_registered_domains,
            })
        }
        Err(faults) => {
            let fault = |fault: &config::Fault| {
                json!({
                    "file": fault.file,
                    "line": fault.position.map(|position| position.line),
                    "column": fault.position.map(|position| position.column),
                    "key": fault.key,
                    "message": fault.message,
                })
            };
            json!({ "ok": false, "faults": faults.iter().map(fault).collect::<Vec<_>>() })
        }
    };
    writeln!(stdout().lock(), "{value}")
}
