//! What was typed.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: cargo bench --bench many -- [options]
  --quick               a tenth of everything, once; writes nothing
  --restrictions N      live restrictions [100000]
  --connectors N        connectors in the history, those included [100000]
  --trail MIB           MiB of segments of the journal, at least [1024]
  --cases N             case files [as many as there are restrictions]
  --runs N              starts, and lists of each form [10]
  --seconds N           length of a stretch of load [5]
  --pairs N             stretches with and without `list` beside it [5]
  --folder PATH         where the state directory is made [the temporary folder]
  --dry                 don't write benches/RESULTS.md";

/// How much of what.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) restrictions: u32,
    pub(crate) connectors: u32,
    pub(crate) trail: u64,
    pub(crate) cases: u32,
    pub(crate) runs: usize,
    pub(crate) seconds: u64,
    pub(crate) pairs: usize,
    pub(crate) folder: PathBuf,
    pub(crate) writes: bool,
}

impl Args {
    /// Nothing where it was not started by `cargo bench`.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self {
            restrictions: 100_000,
            connectors: 100_000,
            trail: 1024,
            cases: u32::MAX,
            runs: 10,
            seconds: 5,
            pairs: 5,
            folder: std::env::temp_dir(),
            writes: true,
        };
        let (mut words, mut is_bench) = (words, false);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
            match word.as_str() {
                "--bench" => is_bench = true,
                "--quick" => {
                    args = Self {
                        restrictions: 10_000,
                        connectors: 10_000,
                        trail: 64,
                        runs: 1,
                        seconds: 1,
                        pairs: 1,
                        writes: false,
                        ..args
                    };
                }
                "--dry" => args.writes = false,
                "--folder" => args.folder = value()?.into(),
                "--restrictions" => args.restrictions = number(value()?)?,
                "--connectors" => args.connectors = number(value()?)?,
                "--cases" => args.cases = number(value()?)?,
                "--trail" => args.trail = number(value()?)?.into(),
                "--runs" => args.runs = number(value()?)?.max(1) as usize,
                "--seconds" => args.seconds = number(value()?)?.into(),
                "--pairs" => args.pairs = number(value()?)? as usize,
                _ => return Err(format!("{word} is no option")),
            }
        }
        args.connectors = args.connectors.max(args.restrictions);
        args.cases = args.cases.min(args.restrictions);
        Ok(is_bench.then_some(args))
    }
}
