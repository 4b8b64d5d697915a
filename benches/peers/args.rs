//! What was asked for.

use crate::{Told, load::results::FILE, peer::Name};
use std::{path::PathBuf, str::FromStr, time::Duration};

pub(crate) const USAGE: &str = "\
cargo bench --bench peers -- [options]      (as root)
  --quick             a try: 2 rounds of half a second each, no file
  --only NAME,...     noop, connguard, rspamd, postfwd, policyd-rate-limit,
                      policyd-rate-limit-on-disk; no file
  --part PART         own: over each one's own protocol; postfix: behind Postfix;
                      no file
  --rounds N          (default 7)
  --seconds N         of one measurement (default 5; fractions are fine)
  --rspamd-workers N  processes of rspamd that take milter connections (default 2)
  --out FILE          where the section goes, too (default benches/RESULTS.md unless
                      there is to be no file); none: nowhere";

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    only: Vec<Name>,
    pub(crate) own: bool,
    pub(crate) postfix: bool,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) rspamd_workers: usize,
    /// The file that gets the tables.
    pub(crate) out: Option<PathBuf>,
    /// As they were typed.
    pub(crate) typed: String,
}

impl Args {
    /// Reads the arguments; nothing where no measurement was asked for: cargo
    /// says `--bench` when it was, and a bare word chooses among benches.
    ///
    /// # Errors
    /// One of them is not understood.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Told<Option<Self>> {
        let args: Vec<String> = args.collect();
        let asked = args.iter().any(|arg| arg == "--bench");
        if !asked || args.iter().any(|arg| arg == "--test" || arg == "--list") {
            return Ok(None);
        }
        let quick = args.iter().any(|arg| arg == "--quick");
        let typed: Vec<_> = args.iter().filter(|arg| *arg != "--bench").cloned().collect();
        let mut parsed = Self {
            only: Vec::new(),
            own: true,
            postfix: true,
            quick,
            rounds: if quick { 2 } else { 7 },
            time: Duration::from_millis(if quick { 500 } else { 5_000 }),
            rspamd_workers: 2,
            out: (!quick).then(|| FILE.into()),
            typed: typed.join(" "),
        };
        let (mut args, mut out) = (args.into_iter(), None);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" | "--quick" => {}
                "--only" => (parsed.only, parsed.out) = (names(&value()?)?, None),
                "--part" => parsed.part(&value()?)?,
                "--out" => out = Some(value()?),
                "--rounds" => parsed.rounds = number(&value()?)?,
                "--seconds" => parsed.time = seconds(&value()?)?,
                "--rspamd-workers" => parsed.rspamd_workers = number(&value()?)?,
                word if !word.starts_with('-') && !"peers".contains(word) => return Ok(None),
                word if !word.starts_with('-') => {}
                _ => return Err(format!("{arg} is not understood")),
            }
        }
        if let Some(out) = out {
            parsed.out = (out != "none").then(|| out.into());
        }
        if parsed.rounds == 0 || parsed.rspamd_workers == 0 {
            return Err("--rounds and --rspamd-workers start at 1".into());
        }
        Ok(Some(parsed))
    }

    /// Whether this filter is to be measured.
    pub(crate) fn does(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }

    fn part(&mut self, text: &str) -> Told<()> {
        (self.own, self.postfix) = match text {
            "own" => (true, false),
            "postfix" => (false, true),
            _ => return Err(format!("{text:?} is no part")),
        };
        self.out = None;
        Ok(())
    }
}

fn names(text: &str) -> Told<Vec<Name>> {
    let find = |word: &str| {
        let found = Name::ALL.into_iter().find(|name| name.word() == word);
        found.ok_or_else(|| format!("{word:?} is no filter"))
    };
    text.split(',').map(find).collect()
}

fn seconds(text: &str) -> Told<Duration> {
    let seconds = number(text)?;
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("{text:?} is no time"))
}

fn number<T: FromStr>(text: &str) -> Told<T> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}
