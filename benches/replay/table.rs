//! The table.

use super::{Run, results};
use std::fmt::Write;

/// What the runs came to, as markdown. `pairs` are runs of connguard and of
/// pflogsumm that followed one another on a log of `lines`, `longer` is a run on one
/// four times as long.
pub(crate) fn table(lines: usize, pairs: &[(Run, Run)], longer: Option<&Run>) -> String {
    let lines = f64::from(u32::try_from(lines).unwrap_or(u32::MAX));
    let of = |what: fn(&(Run, Run)) -> f64| Quartiles::of(pairs.iter().map(what));
    let mut text = String::from("## Replay of a mail log\n\n");
    let _ = writeln!(
        text,
        "{}, pflogsumm {}; a log of {lines} lines in the page cache, {} pairs, each run on one core.\n",
        results::provenance(),
        version_of_pflogsumm().unwrap_or_else(|| "of unknown version".into()),
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

fn version_of_pflogsumm() -> Option<String> {
    let output = std::process::Command::new("pflogsumm").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_ascii_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(Into::into)
}
