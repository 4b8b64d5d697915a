//! The command line.

use crate::load::{Address, results::FILE};
use std::{path::PathBuf, time::Duration};

pub(crate) const USAGE: &str = "usage: cargo bench --bench milter -- [options]
  --pairs N       pairs of slices a cell, default 15
  --slice SECONDS of each slice, default 1.5
  --clients N     connectors that are known before, default 100000
  --only TEXT     only the cell of this name, or those whose name contains it; no file
  --out FILE      where the section goes, too (default benches/RESULTS.md unless there
                  is to be no file); none: nowhere
  --to ADDRESS    only sends one slice of each cell to a server that runs (under a
                  profiler): unix:/path or inet:address:port
  --quick         to try it: 3 pairs of 0.3 s, 5000 clients, no file";

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) pairs: usize,
    pub(crate) slice: Duration,
    pub(crate) clients: u64,
    pub(crate) only: Option<String>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) to: Option<Address>,
}

impl Args {
    /// None where nothing is to be measured: `cargo test` starts benches too.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut found = Self {
            pairs: 15,
            slice: Duration::from_millis(1500),
            clients: 100_000,
            only: None,
            out: Some(FILE.into()),
            to: None,
        };
        let (mut args, mut ordered, mut out) = (args, false, None);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" => ordered = true,
                "--pairs" => found.pairs = number(&arg, &value()?)?,
                "--slice" => {
                    let seconds = number(&arg, &value()?)?;
                    found.slice = Duration::try_from_secs_f64(seconds)
                        .map_err(|error| format!("{arg}: {error}"))?;
                }
                "--clients" => found.clients = number(&arg, &value()?)?,
                "--only" => (found.only, found.out) = (Some(value()?), None),
                "--out" => out = Some(value()?),
                "--to" => found.to = Some(value()?.parse()?),
                "--quick" => {
                    (found.pairs, found.clients, found.out) = (3, 5_000, None);
                    found.slice = Duration::from_millis(300);
                }
                _ => return Err(format!("{arg} is no option")),
            }
        }
        if let Some(out) = out {
            found.out = (out != "none").then(|| out.into());
        }
        Ok(ordered.then_some(found))
    }
}

fn number<T: std::str::FromStr>(arg: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{arg}: {value} is no number"))
}
