//! How fast `connguard replay` reads a log, beside Debian's pflogsumm on the same
//! file: `cargo bench --bench replay`.
//!
//! A week of log is made up and both read it in turn, each pinned to one core, A B
//! A B. What counts is CPU time (user and system), which a busy machine disturbs
//! least; ratios are of runs that follow one another.
//!
//! ```text
//! --lines N    length of the log (2,000,000)
//! --pairs N    runs of each (7)
//! --quick      100,000 lines, 3 pairs: for trying
//! --log FILE   another log instead; its name is not told
//! --write FILE only writes the made-up log
//! --results    writes the table into benches/RESULTS.md too
//! ```

#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::disallowed_methods, reason = "how long it takes is what is measured")]
#![allow(dead_code, reason = "the made-up week has more than is used here")]

#[path = "../../tests/log_week/mod.rs"]
mod log_week;
#[path = "../results/mod.rs"]
mod results;
mod run;
mod table;

use run::{Run, Tool};
use std::{
    error::Error,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Options {
    lines: u64,
    pairs: usize,
    log: Option<PathBuf>,
    write: Option<PathBuf>,
    results: bool,
}

impl Options {
    /// Nothing where no measurement is asked for: `cargo test` starts benches too.
    fn parse() -> Outcome<Option<Self>> {
        let mut asked = false;
        let mut options =
            Self { lines: 2_000_000, pairs: 7, log: None, write: None, results: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word}: what follows it is missing"));
            match word.as_str() {
                "--lines" => options.lines = value()?.parse()?,
                "--pairs" => options.pairs = value()?.parse::<usize>()?.max(1),
                "--quick" => (options.lines, options.pairs) = (100_000, 3),
                "--log" => options.log = Some(value()?.into()),
                "--write" => options.write = Some(value()?.into()),
                "--results" => options.results = true,
                "--bench" => asked = true,
                _ => return Err(format!("{word}: see the head of benches/replay/main.rs").into()),
            }
        }
        Ok(asked.then_some(options))
    }
}

fn main() -> Outcome<()> {
    let Some(options) = Options::parse()? else { return Ok(()) };
    if let Some(path) = &options.write {
        return write_week(path, options.lines);
    }
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("connguard.toml");
    std::fs::write(&config, log_week::CONFIG)?;
    let made_up = options.log.is_none();
    let log = options.log.unwrap_or_else(|| folder.path().join("mail.log"));
    if made_up {
        write_week(&log, options.lines)?;
    }
    run::ensure_pflogsumm()?;
    // Reads it into the page cache, too.
    let lines = BufReader::new(File::open(&log)?).split(b'\n').count();
    let (ours, theirs) = (Tool::Connguard(&config), Tool::Pflogsumm);
    let mut pairs = Vec::new();
    for _ in 0..options.pairs {
        pairs.push((ours.run(&log)?, theirs.run(&log)?));
    }
    let longer = match made_up {
        true => {
            write_week(&log, options.lines * 4)?;
            Some(ours.run(&log)?)
        }
        false => None,
    };
    let text = table::table(lines, &pairs, longer.as_ref());
    println!("{text}");
    if options.results {
        results::write_section(results::FILE.as_ref(), "replay", &text)?;
    }
    Ok(())
}

fn write_week(path: &Path, lines: u64) -> Outcome<()> {
    let mut out = BufWriter::new(File::create(path)?);
    log_week::write(lines, &mut out)?;
    out.flush()?;
    Ok(())
}
