//! Legitimate mail that no trace contains: what comes of the scenarios.

use crate::{
    Bench, fixed,
    replay::{Outcome, Rules, run},
    report::{Report, random_of},
    scenarios::{ALL, Goal, Scenario, World},
    stats::quantile,
    work::on_threads,
};

/// What came of the runs of one scenario.
pub(crate) struct Played {
    pub(crate) scenario: &'static Scenario,
    pub(crate) outcomes: Vec<Outcome>,
    /// How many runs each of the others blocked.
    fixed: [usize; fixed::NAMES.len()],
}

impl Played {
    /// How many runs were blocked.
    pub(crate) fn blocked(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.blocks.is_empty()).count()
    }

    /// How many runs were warned of.
    pub(crate) fn suspicious(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.warnings.is_empty()).count()
    }
}

/// Plays all scenarios `runs` times.
pub(crate) fn play(b: &Bench<'_>, rules: &Rules, runs: usize) -> Vec<Played> {
    let world = World {
        traces: &b.found.traces,
        newsletter: b.found.newsletter.as_deref(),
        seed: b.args.seed,
    };
    let jobs: Vec<(usize, usize)> = (0..ALL.len())
        .flat_map(|scenario| (0..runs).map(move |number| (scenario, number)))
        .collect();
    let results = on_threads(b.args.threads, &jobs, |(scenario, number)| {
        let scenario = &ALL[*scenario];
        let mut random = random_of(b, scenario.name, *number);
        let stream = (scenario.make)(&world, &mut random)?;
        let rules = Rules { retries: rules.retries && scenario.retries, ..rules.clone() };
        Some((run(&stream, &rules), fixed::all(&stream).map(|alarms| alarms.count > 0)))
    });
    let mut results = results.into_iter();
    let mut played = Vec::new();
    for scenario in &ALL {
        let (mut outcomes, mut fixed) = (Vec::new(), [0; fixed::NAMES.len()]);
        for (outcome, alarms) in results.by_ref().take(runs).flatten() {
            outcomes.push(outcome);
            fixed.iter_mut().zip(alarms).for_each(|(sum, alarm)| *sum += usize::from(alarm));
        }
        played.push(Played { scenario, outcomes, fixed });
    }
    played
}

/// The table.
pub(crate) fn measure(b: &Bench<'_>, report: &mut Report) {
    let runs = b.args.amount(60, 3);
    report.section(
        "Legitimate mail that no trace contains",
        &format!(
            "{runs} runs each (fewer where a trace has nobody for it). Deferred and given up: messages, \
             median of the runs. The last columns: runs that others block.",
        ),
    );
    let played = play(b, &Rules::default(), runs);
    let mut columns = vec!["scenario", "runs", "blocked", "suspicious", "deferred", "given up"];
    columns.extend(fixed::NAMES);
    report.table(&columns, &played.iter().map(row).collect::<Vec<_>>());
    let free: Vec<&Played> =
        played.iter().filter(|played| played.scenario.goal == Goal::Free).collect();
    let blocked: Vec<String> = free
        .iter()
        .filter(|played| played.blocked() > 0)
        .map(|played| format!("{}: {}", played.scenario.name, played.blocked()))
        .collect();
    let restricted: usize = free.iter().map(|played| played.blocked()).sum();
    let played: usize = free.iter().map(|played| played.outcomes.len()).sum();
    report.goal(
        "invoices, newsletters of 10-14 % bounces, printers, storms, ERP, flush, declared forwarder",
        "0 restricted",
        format!("{restricted} of {played} runs {}", blocked.join("; ")).trim_end(),
        restricted == 0,
    );
}

fn row(played: &Played) -> Vec<String> {
    let median = |of: fn(&Outcome) -> u64| {
        let values: Vec<u64> = played.outcomes.iter().map(of).collect();
        quantile(&values, 0.5).map_or("-".into(), |value| value.to_string())
    };
    let mut row = vec![
        played.scenario.name.to_owned(),
        played.outcomes.len().to_string(),
        match (played.scenario.goal, played.blocked()) {
            (Goal::Free, blocked) if blocked > 0 => format!("**{blocked}**"),
            (_, blocked) => blocked.to_string(),
        },
        played.suspicious().to_string(),
        median(|outcome| outcome.deferred + outcome.held),
        median(|outcome| outcome.lost),
    ];
    row.extend(played.fixed.iter().map(ToString::to_string));
    row
}
