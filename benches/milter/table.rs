//! The section of the results.

use crate::{
    args::Args,
    cells::Row,
    load::{
        Figures,
        pairs::{Bar, Pair, Quartiles, best},
        results,
    },
};
use std::fmt::Write;

const RATE: Bar = Bar::AtLeast(0.90);
const P99: Bar = Bar::AtMost(1.25);

/// All of it, as Markdown.
pub(crate) fn section(rows: &[Row], args: &Args) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "## Beside a milter that does nothing\n\n{}\n\n\
        connguard (enforce, journal on disk, {} connectors known; all signals, those of delivery \
        results only in the rows with a mail log) and an indymilter \
        with the same stages whose callbacks do nothing, on tokio's usual runtime and with the \
        allocator of the C library, in turn on the same machine: {} pairs of slices of {} s, the \
        order turned round in each pair. Medians of the paired ratios, connguard to no-op, with \
        their quartiles; where these straddle a bar, CPU seconds of the server decide: at most \
        {:.2} for messages/s, {:.2} for the p99.\n",
        results::provenance_of_milter(),
        args.clients,
        args.pairs,
        args.slice.as_secs_f64(),
        1.0 / 0.90,
        1.25,
    );
    ratios(&mut out, rows);
    absolute(&mut out, rows);
    out
}

fn ratios(out: &mut String, rows: &[Row]) {
    let _ = writeln!(
        out,
        "| load | messages/s, {RATE} | | p99 of a message, {P99} | | CPU seconds a message |\n\
        |---|---|---|---|---|---|"
    );
    for row in rows {
        let ratio = |figure: fn(&Figures) -> f64| Quartiles::of_ratios(&row.pairs, figure);
        let cpu = ratio(Figures::cpu_per_10k);
        let (rate, p99) = (ratio(Figures::rate), ratio(|it| it.latency(0.99)));
        let judged = |bar: Bar, found| match row.cell.has_target() {
            true => bar.judge(found, cpu.median).to_string(),
            false => String::new(),
        };
        let (rate_is, p99_is) = (judged(RATE, rate), judged(P99, p99));
        let name = row.cell.name();
        let _ = writeln!(out, "| {name} | {rate} | {rate_is} | {p99} | {p99_is} | {cpu} |");
    }
}

fn absolute(out: &mut String, rows: &[Row]) {
    let _ = writeln!(
        out,
        "\nThe best of the runs, connguard / no-op; of memory the most so far. Times are in \
        microseconds: of a message from MAIL to the reply at its end, of a session from its \
        connection on. The generator runs on \
        the same machine. Round trips: for a message, and for its session to negotiate.\n\n\
        | load | messages/s | p50 | p99 | max | session p99 | CPU seconds for 10,000 messages | \
        of the generator | peak memory, MiB | round trips |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for row in rows {
        let lowest = |figure: &dyn Fn(&Figures) -> f64| both(&row.pairs, figure, f64::min);
        let time = |share| show(lowest(&|it| it.latency(share)), 0);
        let own = |it: &Figures| it.own_cpu.as_secs_f64() * 1e4 / it.messages as f64;
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.cell.name(),
            show(both(&row.pairs, &Figures::rate, f64::max), 0),
            time(0.5),
            time(0.99),
            time(1.0),
            show(lowest(&|it| it.session_time(0.99)), 0),
            show(lowest(&Figures::cpu_per_10k), 2),
            show(lowest(&own), 2),
            show(both(&row.pairs, &|it| it.peak_kib as f64 / 1024.0, f64::max), 0),
            round_trips(&row.pairs),
        );
    }
}

/// Ours and the other one's.
fn both(
    pairs: &[Pair],
    figure: &dyn Fn(&Figures) -> f64,
    better: fn(f64, f64) -> f64,
) -> (f64, f64) {
    let (ours, other) = (pairs.iter().map(|it| &it.ours), pairs.iter().map(|it| &it.other));
    (best(ours, figure, better), best(other, figure, better))
}

fn show((ours, other): (f64, f64), digits: usize) -> String {
    format!("{ours:.digits$} / {other:.digits$}")
}

fn round_trips(pairs: &[Pair]) -> String {
    let one = |it: &Figures| {
        format!("{} + {}", it.trips_a_message(), it.negotiations as f64 / it.sessions as f64)
    };
    pairs
        .first()
        .map_or_else(String::new, |pair| format!("{} / {}", one(&pair.ours), one(&pair.other)))
}
