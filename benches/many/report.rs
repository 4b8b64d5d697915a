//! The section of `benches/RESULTS.md`.

use crate::{
    args::Args,
    lists::Form,
    load::{Beside, Stretch},
    results,
    starts::Start,
    state::Made,
};
use std::{fmt::Write, time::Duration};

pub(crate) fn section(
    args: &Args,
    made: &Made,
    starts: &[Start],
    lists: &[Form],
    beside: &Beside,
) -> String {
    let mut text = String::from("## Start and `list` with many restrictions\n\n");
    let mib = |bytes: u64| bytes >> 20;
    let _ = writeln!(
        text,
        "`cargo bench --bench many`: {} live restrictions, {} connectors in the history ({} MiB), {} segments of the journal ({} MiB, the newest {} MiB), {} case files ({} MiB), all of it in the page cache. Least, median and most of {} runs; the target for the first enforced reply is 1 s, for the first line 0.2 s.\n",
        args.restrictions,
        args.connectors,
        mib(made.history),
        made.segments,
        mib(made.journal),
        mib(made.newest),
        args.cases,
        mib(made.cases),
        starts.len(),
    );
    let _ = writeln!(text, "| start | least | median | most |\n|---|---|---|---|");
    let mut row = |name: &str, of: &dyn Fn(&Start) -> Duration| {
        let _ = writeln!(text, "| {name} | {} |", spread(starts.iter().map(of).collect()));
    };
    row("to the first enforced reply", &|start| start.refusal);
    row("to READY", &|start| start.ready);
    row("CPU time until then", &|start| start.cpu);
    let resident = starts.iter().map(|start| start.resident).max().unwrap_or(0);
    let peak = starts.iter().map(|start| start.peak).max().unwrap_or(0);
    let _ = writeln!(text, "\nResident when it is ready: {resident} MiB; peak {peak} MiB.\n");
    let _ = writeln!(
        text,
        "| into a pipe | first line: least / median / most | last line, median | MiB written | peak of the client | the daemon's rise | the daemon's CPU, median |\n|---|---|---|---|---|---|---|"
    );
    for Form { name, runs } in lists {
        let first = spread(runs.iter().map(|run| run.first).collect()).replace('|', "/");
        let most = |of: &dyn Fn(&crate::lists::Run) -> u64| runs.iter().map(of).max().unwrap_or(0);
        let _ = writeln!(
            text,
            "| `{name}` | {first} | {} | {} | {} MiB | {} MiB | {} |",
            show(median(runs.iter().map(|run| run.last).collect())),
            most(&|run| run.bytes as u64) >> 20,
            most(&|run| run.client),
            most(&|run| run.daemon),
            show(median(runs.iter().map(|run| run.cpu).collect())),
        );
    }
    let _ = writeln!(
        text,
        "\nMessages at a steady rate, medians of {} stretches of {} s each. `a busy core` is a loop beside it that asks the daemon for nothing: what sharing this machine costs.\n\n| beside it | p50 | p99 | most | lists |\n|---|---|---|---|---|",
        beside.alone.len(),
        args.seconds
    );
    for (name, stretches) in [
        ("nothing", &beside.alone),
        ("a busy core", &beside.busy),
        ("`list` in a loop", &beside.lists),
    ] {
        let of =
            |of: &dyn Fn(&Stretch) -> Duration| show(median(stretches.iter().map(of).collect()));
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            of(&|it| it.p50),
            of(&|it| it.p99),
            of(&|it| it.max),
            stretches.iter().map(|it| it.lists).sum::<u64>()
        );
    }
    let _ = writeln!(text, "\n{}.", results::provenance());
    text
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |index: usize| times.get(index).copied().map_or_else(String::new, show);
    format!("{} | {} | {}", at(0), show(median(times.clone())), at(times.len().saturating_sub(1)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn show(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.01 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}
