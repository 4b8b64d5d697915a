//! `check`: reads the configuration and says what it means.

use super::{Error, Output, output};
use crate::{
    clock::Clock,
    config::{self, Config, Faults},
    daemon,
    feedback::{self, Outlook, Tools},
};
use serde_json::json;
use std::{
    io::{self, Write, stdout},
    path::Path,
};

/// Prints every fault, or `ok` and what was understood.
pub(super) fn check(path: &Path, options: Output) -> Result<(), Error> {
    let result = config::load(path, &daemon::own_names()).map(|config| {
        let wall = Clock::system().wall();
        let outlook = feedback::outlook(&config.mail_log, &Tools::default(), wall);
        (config, outlook)
    });
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

fn print_text(result: &Result<(Config, Outlook), Faults>) -> io::Result<()> {
    let mut out = stdout().lock();
    match result {
        Ok((config, outlook)) => {
            writeln!(out, "ok")?;
            let found = format!("mail log, as seen by this user: {}", outlook.found);
            let warnings = outlook.warnings.iter();
            let warnings = warnings.map(|warning| format!("warning: mail log: {warning}"));
            for line in config::summary(config).into_iter().chain([found]).chain(warnings) {
                writeln!(out, "{}", output::clean(&line))?;
            }
            Ok(())
        }
        Err(faults) => writeln!(out, "{}", output::clean_lines(&faults.to_string())),
    }
}

fn print_json(result: &Result<(Config, Outlook), Faults>) -> io::Result<()> {
    let value = match result {
        Ok((config, outlook)) => {
            let warnings = [&config.warnings[..], &outlook.warnings[..]].concat();
            json!({
                "ok": true,
                "understood": config.understood,
                "mail_log": outlook.found.to_string(),
                "warnings": warnings,
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
    output::json(stdout().lock(), &value)
}
