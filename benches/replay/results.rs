//! The table, and its section of `benches/RESULTS.md`.

use super::{Outcome, Run};
use std::{fmt::Write, fs, io};

/// What the runs came to, as markdown. `pairs` are runs of connguard and of
/// pflogsumm that followed one another on a log of `lines`, `longer` is a run on one
/// four times as long.
pub(crate) fn table(lines: usize, pairs: &[(Run, Run)], longer: Option<&Run>) -> String {
    let lines = f64::from(u32::try_from(lines).unwrap_or(u32::MAX));
    let of = |what: fn(&(Run, Run)) -> f64| Quartiles::of(pairs.iter().map(what));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}; a log of {lines} lines in the page cache, {} pairs, each run on one core.\n",
        provenance(),
        pairs.len()
    );
    text += "| | lines/s of CPU time | lines/s | peak memory |\n|---|---|---|---|\n";
    let mut row = |name: &str, cpu: Quartiles, wall: Quartiles, peak: u64| {
        let _ = writeln!(
            text,
            "| {name} | {:.0} (best {:.0}) | {:.0} | {} KiB |",
            lines / cpu.median,
            lines / cpu.least,
            lines / wall.median,
            peak
        );
    };
    let peak = |of: fn(&(Run, Run)) -> u64| pairs.iter().map(of).max().unwrap_or(0);
    row("connguard replay", of(|(a, _)| a.cpu), of(|(a, _)| a.wall), peak(|(a, _)| a.peak));
    row("pflogsumm", of(|(_, b)| b.cpu), of(|(_, b)| b.wall), peak(|(_, b)| b.peak));
    text += "\n| connguard to pflogsumm | median | quartiles |\n|---|---|---|\n";
    for (name, ratio) in [
        ("lines/s of CPU time", of(|(a, b)| b.cpu / a.cpu)),
        ("lines/s", of(|(a, b)| b.wall / a.wall)),
    ] {
        let Quartiles { lower, median, upper, .. } = ratio;
        let _ = writeln!(text, "| {name} | {median:.2} | {lower:.2} to {upper:.2} |");
    }
    if let Some(longer) = longer {
        let _ = writeln!(
            text,
            "\nOf a log four times as long connguard reads {:.0} lines/s of CPU time, with {} KiB \
             at the most.",
            lines * 4.0 / longer.cpu,
            longer.peak
        );
    }
    text
}

struct Quartiles {
    least: f64,
    lower: f64,
    median: f64,
    upper: f64,
}

impl Quartiles {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let at = |quarter: usize| values.get(last * quarter / 4).copied().unwrap_or(f64::NAN);
        Self { least: at(0), lower: at(1), median: at(2), upper: at(3) }
    }
}

/// When and where.
fn provenance() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{}; {}; connguard {}, pflogsumm {}",
        jiff::Zoned::now().date(),
        model.map_or("a machine without a name", |(_, model)| model),
        env!("CARGO_PKG_VERSION"),
        version_of_pflogsumm().unwrap_or_else(|| "of unknown version".into())
    )
}

fn version_of_pflogsumm() -> Option<String> {
    let output = std::process::Command::new("pflogsumm").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_ascii_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(Into::into)
}

/// Puts the text into its section of `benches/RESULTS.md`, and leaves the others
/// alone.
pub(crate) fn write(text: &str) -> Outcome<()> {
    const NAME: &str = "replay";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
    let old = match fs::read_to_string(file) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "# What was measured\n\n\
             Each section is written by the command that its first line names; don't edit it by \
             hand.\n"
            .into(),
        Err(error) => return Err(error.into()),
    };
    let end = format!("<!-- end {NAME} -->\n");
    let section = format!(
        "<!-- begin {NAME}: written by cargo bench --bench {NAME} -->\n\
         ## Replay of a mail log\n\n{}\n{end}",
        text.trim_end()
    );
    let place = old.find(&format!("<!-- begin {NAME}:")).and_then(|from| {
        let (before, rest) = old.split_at_checked(from)?;
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{section}{after}"))
    });
    fs::write(file, place.unwrap_or_else(|| format!("{}\n\n{section}", old.trim_end())))?;
    Ok(())
}
