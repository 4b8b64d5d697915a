//! The committed counts, a file of text:
//!
//!   # made with: rustc …
//!   # and: valgrind-…
//!        12345.6  name of the scenario

use super::callgrind::Count;
use std::{collections::BTreeMap, fmt::Write, fs, io};

pub(crate) const PATH: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/baseline.txt");

/// More than this fails, in percent; less by as much is told.
const BAR: f64 = 5.0;

const HEAD: &str = "\
# Instructions a message, as counted and written by
#   cargo bench --bench instructions -- --accept
";

/// What counts depend on beside the code, a line each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Made(Vec<String>);

impl Made {
    /// On this machine, with this valgrind.
    pub(crate) fn here(valgrind: String) -> Self {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let rustc = std::process::Command::new(rustc).arg("--version").output();
        let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        // Libraries choose faster code where it is there.
        #[cfg(target_arch = "x86_64")]
        let has = if is_x86_feature_detected!("avx2") { " with avx2" } else { " without avx2" };
        #[cfg(not(target_arch = "x86_64"))]
        let has = "";
        let profile = match option_env!("CARGO_PROFILE_BENCH_LTO") {
            Some(lto) => format!("not the profile of Cargo.toml: lto = {lto}"),
            None => "the profile of Cargo.toml".to_owned(),
        };
        Self(vec![
            rustc.unwrap_or_else(|_| "an unknown rustc".into()),
            valgrind,
            format!("{}{has}", std::env::consts::ARCH),
            profile,
        ])
    }
}

/// See the head of this module.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    made: Made,
    counts: BTreeMap<String, f64>,
}

impl Baseline {
    /// The committed one; an empty one where there is none.
    pub(crate) fn read() -> Result<Self, String> {
        let text = match fs::read_to_string(PATH) {
            Ok(text) => text,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => String::new(),
            Err(fault) => return Err(format!("{PATH}: {fault}")),
        };
        let mut baseline = Self::default();
        for (number, line) in text.lines().enumerate() {
            if let Some(made) = line.strip_prefix("# made with: ") {
                baseline.made.0.push(made.to_owned());
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                let parsed = line.trim().split_once("  ");
                let parsed = parsed.and_then(|(count, name)| Some((count.parse().ok()?, name)));
                let (count, name) = parsed.ok_or_else(|| {
                    format!(
                        "{PATH}:{}: is no count and name: write it anew with --accept",
                        number + 1
                    )
                })?;
                baseline.counts.insert(name.trim().to_owned(), count);
            }
        }
        Ok(baseline)
    }

    /// Takes these counts over, and keeps of the others those that are known.
    pub(crate) fn accept(&mut self, counts: &[Count], made: Made, is_known: impl Fn(&str) -> bool) {
        self.made = made;
        self.counts.retain(|name, _| is_known(name));
        self.counts.extend(counts.iter().map(|count| (count.name.to_owned(), count.median())));
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        let mut text = HEAD.to_owned();
        for made in &self.made.0 {
            let _ = writeln!(text, "# made with: {made}");
        }
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{count:>12.1}  {name}");
        }
        fs::write(PATH, text).map_err(|fault| format!("{PATH}: {fault}"))
    }

    pub(crate) fn compare(&self, count: &Count) -> Change {
        let old = self.counts.get(count.name).copied();
        Change { name: count.name, old, new: count.median() }
    }

    /// Names of which nothing was counted.
    pub(crate) fn names_without(&self, counts: &[Count]) -> Vec<String> {
        let counted = |name: &String| counts.iter().any(|count| count.name == *name);
        self.counts.keys().filter(|name| !counted(name)).cloned().collect()
    }

    /// How it was made otherwise than what is compared with it.
    pub(crate) fn made_otherwise(&self, here: &Made) -> Option<String> {
        (self.made != *here).then(|| {
            let (then, now) = (self.made.0.join(", "), here.0.join(", "));
            format!("the baseline was made with {then}; this is {now}")
        })
    }
}

/// A scenario beside its baseline.
#[derive(Debug)]
pub(crate) struct Change {
    name: &'static str,
    pub(crate) old: Option<f64>,
    pub(crate) new: f64,
}

impl Change {
    pub(crate) fn percent(&self) -> Option<f64> {
        self.old.map(|old| (self.new / old - 1.0) * 100.0)
    }

    /// Why it is not accepted.
    pub(crate) fn fault(&self) -> Option<String> {
        let Some((old, percent)) = self.old.zip(self.percent()) else {
            return Some(format!("{}: has no baseline yet ({:.0})", self.name, self.new));
        };
        (percent > BAR).then(|| {
            format!(
                "{}: {old:.0} instructions a message became {:.0}, {percent:+.1} % (at most +{BAR} %)",
                self.name, self.new
            )
        })
    }

    /// What is worth telling.
    pub(crate) fn hint(&self) -> Option<String> {
        let (old, percent) = self.old.zip(self.percent())?;
        (percent < -BAR).then(|| {
            format!(
                "{}: {old:.0} instructions a message became {:.0}, {percent:+.1} %: keep that by a new baseline, \
                 cargo bench --bench instructions -- --accept",
                self.name, self.new
            )
        })
    }
}
