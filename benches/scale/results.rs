//! Our section of `benches/RESULTS.md`.

use std::{fs, path::Path};

const BEGIN: &str = "<!-- scale -->";
const END: &str = "<!-- /scale -->";

/// What stands above the tables.
pub(crate) fn head(scale: u32, date: Option<&str>) -> String {
    let machine = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = machine.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("unknown processor", |model| model.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let date = date.map(|date| format!("{date}, ")).unwrap_or_default();
    let quick = if scale > 1 { "\n\nA quick run: a tenth of everything." } else { "" };
    format!(
        "## A million connectors\n\n{date}connguard {}, {cores} cores ({model}). `cargo bench --bench scale`.{quick}\n\n\
        Of the time of a message, *wall* is all of it; *ours* is without what it waited, ready to run, for a \
        processor that others had; *processor* is what its thread computed. Each part is measured in several \
        rounds, and the least of their maxima is given: what is in the code is in every round, what others on \
        the machine do is not.\n",
        env!("CARGO_PKG_VERSION"),
    )
}

/// Puts the section in place of the old one, or at the end.
pub(crate) fn write(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    let old = fs::read_to_string(&path).unwrap_or_else(|_| "# Results of the benches\n".to_owned());
    let section = format!("{BEGIN}\n{}\n{END}", text.trim_end());
    let new = match (old.find(BEGIN), old.find(END)) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{section}{}", &old[..from], &old[to + END.len()..])
        }
        _ => format!("{}\n\n{section}\n", old.trim_end()),
    };
    fs::write(&path, new).expect("RESULTS.md can be written");
}

/// A number with commas.
pub(crate) fn commas(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds in a unit that is easy to read.
pub(crate) fn time(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} µs", nanos as f64 / 1e3),
        _ => format!("{:.2} ms", nanos as f64 / 1e6),
    }
}
