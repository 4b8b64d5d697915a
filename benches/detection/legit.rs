//! False blocks and suspicions on real traffic.

use crate::{
    Bench,
    draw::{Climate, Draw},
    fixed,
    model::Variant,
    replay::{Rules, run},
    report::{Report, Sum, causes},
    stats::quantile,
    traces::years,
    work::on_threads,
};
use connguard::verdict::Throttle;

/// What one draw of one trace came to.
pub(crate) struct Drawn {
    pub(crate) draw: u64,
    pub(crate) trace: usize,
    pub(crate) sum: Sum,
    /// Alarms of the fixed limits and SPOT.
    pub(crate) fixed: [u64; fixed::NAMES.len()],
}

struct Job {
    draw: u64,
    trace: usize,
    /// One sender as a login, or all of them as a relay.
    sender: Option<usize>,
}

/// Every sender of every trace as a login.
pub(crate) fn persons(b: &Bench<'_>, rules: &Rules, climate: Climate, draws: u64) -> Vec<Drawn> {
    // In little time, every tenth.
    let step = b.args.amount(1, 10);
    let senders = |trace: usize| (0..b.found.traces[trace].senders.len()).step_by(step);
    let jobs: Vec<Job> = each(b, draws)
        .flat_map(|(draw, trace)| {
            senders(trace).map(move |sender| Job { draw, trace, sender: Some(sender) })
        })
        .collect();
    measure_jobs(b, rules, climate, &jobs)
}

/// Every trace as one relay.
pub(crate) fn relays(b: &Bench<'_>, rules: &Rules, climate: Climate, draws: u64) -> Vec<Drawn> {
    let jobs: Vec<Job> =
        each(b, draws).map(|(draw, trace)| Job { draw, trace, sender: None }).collect();
    measure_jobs(b, rules, climate, &jobs)
}

fn each(b: &Bench<'_>, draws: u64) -> impl Iterator<Item = (u64, usize)> {
    let traces = b.found.traces.len();
    (0..draws).flat_map(move |draw| (0..traces).map(move |trace| (draw, trace)))
}

fn measure_jobs(b: &Bench<'_>, rules: &Rules, climate: Climate, jobs: &[Job]) -> Vec<Drawn> {
    let results = on_threads(b.args.threads, jobs, |job| {
        let draw = Draw { seed: b.args.seed, number: job.draw, climate };
        let trace = &b.found.traces[job.trace];
        let (stream, years) = match job.sender {
            Some(sender) => (draw.login(trace, sender), years(&trace.senders[sender])),
            None => (draw.relay(trace), trace.years()),
        };
        // The limits of others see nothing of what is drawn, but SPOT does.
        let alarms = fixed::all(&stream).map(|alarms| alarms.count);
        (run(&stream, rules), years, alarms)
    });
    let mut drawn: Vec<Drawn> = Vec::new();
    for (job, (outcome, years, alarms)) in jobs.iter().zip(&results) {
        if drawn.last().is_none_or(|last| (last.draw, last.trace) != (job.draw, job.trace)) {
            let (sum, fixed) = Default::default();
            drawn.push(Drawn { draw: job.draw, trace: job.trace, sum, fixed });
        }
        let last = drawn.last_mut().unwrap();
        last.sum.add(outcome, *years);
        last.fixed.iter_mut().zip(alarms).for_each(|(sum, count)| *sum += count);
    }
    drawn
}

/// All of these together.
pub(crate) fn total<'a>(drawn: impl IntoIterator<Item = &'a Drawn>) -> Sum {
    let mut sum = Sum::default();
    drawn.into_iter().for_each(|drawn| sum.merge(&drawn.sum));
    sum
}

pub(crate) const COLUMNS: [&str; 8] = [
    "",
    "connectors / years / messages",
    "blocks",
    "made by",
    "suspicious",
    "made by",
    "deferred",
    "given up",
];

pub(crate) fn row(name: &str, sum: &Sum) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{} / {:.1} / {}", sum.connectors, sum.years, sum.messages),
        sum.rate(sum.blocks),
        causes(&sum.block_causes),
        sum.rate(sum.warnings),
        causes(&sum.warning_causes),
        (sum.deferred + sum.held).to_string(),
        sum.lost.to_string(),
    ]
}

/// The tables.
pub(crate) fn measure(b: &Bench<'_>, report: &mut Report) {
    if b.found.traces.is_empty() {
        report.section("False blocks on real traffic", "Left out: there are no traces.");
        return;
    }
    let draws = b.args.draws;
    report.section(
        "False blocks on real traffic",
        "Events a connector-year with exact 95 % bounds (one-sided each), and per million messages. \
         Connectors and years are those of all draws together; deferred messages include held ones.",
    );
    let base = Rules::default();
    let logins = persons(b, &base, Climate::default(), draws);
    let mut rows = of_each_trace(b, &logins, "persons");
    rows.push(row(&format!("all persons, {draws} draws"), &total(&logins)));
    goals(b, report, &logins);
    let few = draws.min(3);
    for (name, rules, climate) in other_rules() {
        let sum = total(&persons(b, &rules, climate, few));
        rows.push(row(&format!("{name}, {few} draws"), &sum));
    }
    let organizations = relays(b, &base, Climate::default(), draws);
    rows.extend(of_each_trace(b, &organizations, "one relay"));
    rows.push(row(&format!("all relays, {draws} draws"), &total(&organizations)));
    // What networks they come from is nothing to a relay.
    for (name, rules, climate) in other_rules().into_iter().filter(|(.., c)| c.mobile < 0.5) {
        let sum = total(&relays(b, &rules, climate, few));
        rows.push(row(&format!("relays: {name}, {few} draws"), &sum));
    }
    report.table(&COLUMNS, &rows);
    report.words("Others on the same mail, alarms a connector-year (per million messages):");
    let mut columns = vec![""];
    columns.extend(fixed::NAMES);
    let rows = [others("persons", &logins), others("relays", &organizations)];
    report.table(&columns, &rows);
}

fn of_each_trace(b: &Bench<'_>, drawn: &[Drawn], what: &str) -> Vec<Vec<String>> {
    let traces = b.found.traces.iter().enumerate();
    traces
        .map(|(number, trace)| {
            let sum = total(drawn.iter().filter(|drawn| drawn.trace == number));
            row(&format!("{}, {what}", trace.name), &sum)
        })
        .collect()
}

fn other_rules() -> Vec<(&'static str, Rules, Climate)> {
    let usual = Climate::default();
    vec![
        ("throttle off", Rules { variant: Variant::NoThrottle, ..Rules::default() }, usual),
        ("throttle by hold", Rules { throttle: Throttle::Hold, ..Rules::default() }, usual),
        ("half of the senders mobile", Rules::default(), Climate { mobile: 0.5, ..usual }),
        ("bounces x3", Rules::default(), Climate { bounces: 3.0, ..usual }),
        ("1 % from 30 odd domains", Rules::default(), Climate { odd: 0.01, ..usual }),
        ("5 % from 30 odd domains", Rules::default(), Climate { odd: 0.05, ..usual }),
    ]
}

fn goals(b: &Bench<'_>, report: &mut Report, logins: &[Drawn]) {
    let sum = total(logins);
    report.goal(
        &format!("false blocks of persons, {} draws (15 are asked for)", b.args.draws),
        "0",
        &format!("{} in {:.0} sender-years", sum.blocks, sum.years),
        sum.blocks == 0,
    );
    let warnings: Vec<u64> = (0..b.args.draws)
        .map(|draw| total(logins.iter().filter(|drawn| drawn.draw == draw)).warnings)
        .collect();
    let median = quantile(&warnings, 0.5).unwrap_or(0);
    report.goal(
        "suspicious persons, median of the draws",
        "<= 2",
        &format!("{median} in {:.0} years", sum.years / b.args.draws.max(1) as f64),
        median <= 2,
    );
}

fn others(name: &str, drawn: &[Drawn]) -> Vec<String> {
    let sum = total(drawn);
    let mut row = vec![name.to_owned()];
    for number in 0..fixed::NAMES.len() {
        let count: u64 = drawn.iter().map(|drawn| drawn.fixed[number]).sum();
        let (years, millions) = (sum.years, sum.messages as f64 / 1e6);
        let rate = crate::report::digits(count as f64 / years);
        row.push(format!("{rate} ({:.0})", count as f64 / millions));
    }
    row
}
