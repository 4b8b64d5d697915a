//! The words above the tables, and how figures are written.

use crate::{mail, results};

/// What stands above the tables.
pub(crate) fn head(scale: u32) -> String {
    let mut beware =
        if scale > 1 { "\n\nA quick run: a tenth of everything." } else { "" }.to_owned();
    if mail::queued("").is_none() {
        beware.push_str("\n\nUNQUEUED was set: nothing is remembered of the queue of Postfix.");
    }
    format!(
        "## A million connectors\n\n{}. `cargo bench --bench scale`.{beware}\n\n\
        Of the time of a message, *wall* is all of it; *ours* is without what it waited, ready to run, for a \
        processor that others had; *processor* is what its thread computed. Each part is measured in several \
        rounds, and the least of their maxima is given: what is in the code is in every round, what others on \
        the machine do is not.\n",
        results::provenance(),
    )
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
