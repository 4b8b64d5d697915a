//! Sections of `benches/RESULTS.md`: each is owned by one bench, which replaces
//! it as a whole and leaves the others alone.
//!
//! ```text
//! <!-- begin NAME: written by cargo bench --bench NAME -->
//! ...
//! <!-- end NAME -->
//! ```

#![allow(dead_code, unused_imports, reason = "each bench uses a part, and some have no tests")]

use std::{fs, io, path::Path};

/// Where results are kept.
pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");

const HEAD: &str = "# What was measured\n\nEach section is written by the bench that its \
    first line names, as ARCHITECTURE.md says; don't edit it by hand.\n";

/// Puts `text` in the place of the section, or at the end of the file, which is
/// made if it is missing.
///
/// # Errors
/// The file can't be read or written.
pub(crate) fn write_section(file: &Path, name: &str, text: &str) -> io::Result<()> {
    let old = match fs::read_to_string(file) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error),
    };
    fs::write(file, with_section(&old, name, text))
}

/// The same, of a text.
pub(crate) fn with_section(old: &str, name: &str, text: &str) -> String {
    let end = format!("<!-- end {name} -->\n");
    let section = format!(
        "<!-- begin {name}: written by cargo bench --bench {name} -->\n{}\n{end}",
        text.trim_end()
    );
    let found = old.find(&format!("<!-- begin {name}:")).and_then(|from| {
        let (before, rest) = old.split_at_checked(from)?;
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{section}{after}"))
    });
    found.unwrap_or_else(|| format!("{}\n\n{section}", old.trim_end()))
}

/// When and where: what every section tells.
pub(crate) fn provenance() -> String {
    let today = jiff::Zoned::now().date();
    format!("{today}; {}; connguard {}", machine(), env!("CARGO_PKG_VERSION"))
}

/// The same, with the versions of what a milter is built of.
pub(crate) fn provenance_of_milter() -> String {
    format!(
        "{}, indymilter {}, built for rust {} or later.",
        provenance(),
        locked("indymilter"),
        env!("CARGO_PKG_RUST_VERSION"),
    )
}

/// What there is to say of the machine: processor, how many, kernel.
fn machine() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = file("/proc/cpuinfo");
    let model = processor.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("processor unknown", |it| it.1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = file("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// The version of a crate that is built in.
pub(crate) fn locked(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let entry =
        lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{name}\"\n")));
    let version = entry.and_then(|entry| entry.split("version = \"").nth(1));
    version.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let first = with_section(HEAD, "one", "alpha\n");
        let both = with_section(&first, "two", "beta");
        let again = with_section(&both, "one", "gamma");
        assert!(again.starts_with(HEAD));
        assert!(!again.contains("alpha"));
        let place = |text: &str| again.find(text);
        assert!(place("gamma") < place("beta"), "{again}");
        assert_eq!(with_section(&again, "one", "gamma"), again);
    }

    #[test]
    fn versions_are_those_of_the_build() {
        assert!(locked("indymilter").starts_with("0."));
        assert_eq!(locked("no such crate"), "unknown");
    }
}
