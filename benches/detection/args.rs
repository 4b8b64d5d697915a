//! What was asked for.

use std::{path::PathBuf, str::FromStr};

pub(crate) const USAGE: &str = "\
cargo bench --bench detection -- [options]
  --traces DIR   edge lists of real mail (default ../shared/traces)
  --draws N      how often the synthetic attributes are drawn (default 15)
  --quick        a few of each, and no sensitivity, in less than a minute
  --only PART    legit, scenarios, attacks, senders, ablation or sensitivity (may be
                 repeated)
  --seed N       seed of all random numbers (default 1)
  --date TEXT    date for the head of the tables; no clock is read
  --threads N    (default 2); changes no result
  --out FILE     write the tables there instead of to the standard output";

/// A part of the measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Legit,
    Scenarios,
    Attacks,
    Senders,
    Ablation,
    Sensitivity,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "legit" => Self::Legit,
            "scenarios" => Self::Scenarios,
            "attacks" => Self::Attacks,
            "senders" => Self::Senders,
            "ablation" => Self::Ablation,
            "sensitivity" => Self::Sensitivity,
            _ => return Err(format!("{text:?} is no part")),
        })
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) traces: PathBuf,
    pub(crate) draws: u64,
    pub(crate) quick: bool,
    pub(crate) only: Vec<Part>,
    pub(crate) seed: u64,
    pub(crate) date: Option<String>,
    pub(crate) threads: usize,
    pub(crate) out: Option<PathBuf>,
}

impl Args {
    /// Reads the arguments; nothing where no measurement was asked for: cargo
    /// says `--bench` when it was, and a bare word chooses among benches.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let args: Vec<String> = args.collect();
        let asked = args.iter().any(|arg| arg == "--bench");
        if !asked || args.iter().any(|arg| arg == "--test" || arg == "--list") {
            return Ok(None);
        }
        let mut parsed = Self {
            traces: "../shared/traces".into(),
            draws: 15,
            quick: false,
            only: Vec::new(),
            seed: 1,
            date: None,
            threads: 2,
            out: None,
        };
        let mut draws = None;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" => {}
                "--traces" => parsed.traces = value()?.into(),
                "--draws" => draws = Some(number(&value()?)?),
                "--quick" => parsed.quick = true,
                "--only" => parsed.only.push(value()?.parse()?),
                "--seed" => parsed.seed = number(&value()?)?,
                "--date" => parsed.date = Some(value()?),
                "--threads" => parsed.threads = number(&value()?)?,
                "--out" => parsed.out = Some(value()?.into()),
                word if !word.starts_with('-') && !"detection".contains(word) => return Ok(None),
                word if !word.starts_with('-') => {}
                _ => return Err(format!("{arg} is not understood")),
            }
        }
        parsed.draws = draws.unwrap_or(if parsed.quick { 1 } else { parsed.draws });
        Ok(Some(parsed))
    }

    /// Whether this part is to be done.
    pub(crate) fn does(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// `full`, or `quick` where little time was given.
    pub(crate) fn amount(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}
