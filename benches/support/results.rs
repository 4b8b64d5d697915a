//! `benches/RESULTS.md`: each bench writes its own section and leaves the others.
//!
//!   <!-- engine -->
//!   …
//!   <!-- /engine -->

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where results are kept.
pub(crate) fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md"))
}

/// Writes a section, in place of the old one or behind the others.
pub(crate) fn replace(file: &Path, section: &str, text: &str) -> io::Result<()> {
    let old = match fs::read_to_string(file) {
        Ok(old) => old,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => "# Results\n".into(),
        Err(fault) => return Err(fault),
    };
    let (opened, closed) = (format!("<!-- {section} -->"), format!("<!-- /{section} -->"));
    let new = format!("{opened}\n{}\n{closed}", text.trim());
    let parts = old.split_once(&opened).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&closed)?;
        Some((before, after))
    });
    let whole = match parts {
        Some((before, after)) => format!("{before}{new}{after}"),
        None => format!("{}\n\n{new}\n", old.trim_end()),
    };
    fs::write(file, whole)
}

/// The command that made a table, the day and the machine.
pub(crate) fn machine(bench: &str, quick: bool) -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let quick = if quick { " A quick try, which proves nothing." } else { "" };
    format!(
        "`cargo bench --bench {bench} -- --write`, {day}: {model}, {cores} processors, Linux \
         {}.{quick}",
        kernel.trim()
    )
}
