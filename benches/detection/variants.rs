//! What each signal and each constant is worth: the measurements once more, in
//! less detail, with the engine changed.

use crate::{
    Bench, attacks, legit,
    model::{CONSTANTS, Variant},
    ordinary,
    replay::{Outcome, Rules},
    report::{Report, or_dash, percent},
    scenarios::Goal,
    stats::quantile,
    taken_over::{Victim, attack},
};
use connguard::record::SignalName;

/// Attacks that are shown, by the beginning of their names.
const SHOWN: [(&str, &str); 12] = [
    ("blatant", "blatant, 1,200/h"),
    ("33 addresses", "33 addresses"),
    ("verified list", "verified list, 100"),
    ("173 rcpts", "173 recipients"),
    ("flood 35 %", "flood, 6,460/h, 35 %"),
    ("flood 0 %", "flood, 6,460/h, 0 %"),
    ("botnet", "slow botnet"),
    ("lateral", "lateral phish, 50-500"),
    ("From x50", "forged From, 50"),
    ("slow 30 %", "slow, 20/h, 30 %"),
    ("slow usual 70 %", "slow, from the usual address, 70 %"),
    ("growth x1.3", "growth x1.3"),
];

/// Each signal off.
pub(crate) fn ablation(b: &Bench<'_>, report: &mut Report) {
    use SignalName::{
        ForeignFrom, ManyRefused, MostRefused, NewNetworks, ShiftedNetworks, SpamVerdict,
        UnknownCrowds, UnknownRecipients, UnregisteredSender, Volume,
    };
    let off: [(&str, &'static [SignalName]); 15] = [
        ("U and F", &[UnregisteredSender, ForeignFrom]),
        ("U", &[UnregisteredSender]),
        ("F", &[ForeignFrom]),
        ("A and A2", &[NewNetworks, ShiftedNetworks]),
        ("A", &[NewNetworks]),
        ("A2", &[ShiftedNetworks]),
        ("X", &[UnknownCrowds]),
        ("V", &[Volume]),
        ("X and V", &[UnknownCrowds, Volume]),
        ("R1", &[MostRefused]),
        ("R2", &[ManyRefused]),
        ("R1 and R2", &[MostRefused, ManyRefused]),
        ("J", &[UnknownRecipients]),
        ("R1, R2 and J", &[MostRefused, ManyRefused, UnknownRecipients]),
        ("Q", &[SpamVerdict]),
    ];
    let mut variants = vec![("nothing".to_owned(), Variant::Delivered)];
    variants.extend(off.map(|(name, signals)| (name.to_owned(), Variant::Without(signals))));
    variants.push(("the mail log".into(), Variant::NoFeedback));
    variants.push(("the throttle".into(), Variant::NoThrottle));
    table(b, report, "Without", &variants);
}

/// Each constant halved and doubled.
pub(crate) fn sensitivity(b: &Bench<'_>, report: &mut Report) {
    let mut variants = vec![("as delivered".to_owned(), Variant::Delivered)];
    for (constant, _) in CONSTANTS {
        for times in [0.5, 2.0] {
            variants.push((format!("{constant} x{times}"), Variant::Times(constant, times)));
        }
    }
    table(b, report, "Sensitivity", &variants);
}

fn table(b: &Bench<'_>, report: &mut Report, title: &str, variants: &[(String, Variant)]) {
    let (persons, runs) = (b.args.amount(40, 2), b.args.amount(4, 1));
    report.section(
        title,
        &format!(
            "One draw of the persons and relays of the traces; {runs} runs of each scenario that \
             must never be restricted (blocked runs), and of the others (blocked runs); attacks on \
             {persons} logins with history: share blocked, median recipients accepted before the block \
             or until the end; s: share that is at least suspicious."
        ),
    );
    let mut columns = vec![
        title,
        "persons: blocks",
        "suspicious",
        "relays: blocks",
        "suspicious",
        "scenarios: must not",
        "others",
    ];
    columns.extend(SHOWN.map(|(name, _)| name));
    let mut rows = Vec::new();
    for (name, variant) in variants {
        eprintln!("  {name}");
        rows.push(row(b, name, variant.clone(), persons, runs));
    }
    report.table(&columns, &rows);
}

fn row(b: &Bench<'_>, name: &str, variant: Variant, persons: usize, runs: usize) -> Vec<String> {
    let rules = Rules { variant, ..Rules::default() };
    let mut row = vec![name.to_owned()];
    for drawn in [
        legit::persons(b, &rules, Default::default(), 1),
        legit::relays(b, &rules, Default::default(), 1),
    ] {
        let sum = legit::total(&drawn);
        row.extend([sum.blocks.to_string(), sum.warnings.to_string()]);
    }
    let (mut must_not, mut others) = (0, 0);
    for played in ordinary::play(b, &rules, runs) {
        match played.scenario.goal {
            Goal::Free => must_not += played.blocked(),
            Goal::Shown => others += played.blocked(),
            Goal::Restricted => {}
        }
    }
    row.extend([must_not.to_string(), others.to_string()]);
    for (_, begins) in SHOWN {
        let one = attacks::ALL.iter().find(|attack| attack.name.starts_with(begins)).unwrap();
        row.push(cell(&attack(b, &rules, one, Victim::Person, persons)));
    }
    row
}

fn cell(outcomes: &[Outcome]) -> String {
    let blocked = outcomes.iter().filter(|outcome| outcome.caught).count();
    let noticed = outcomes.iter().filter(|outcome| outcome.unnoticed.is_some()).count();
    let recipients: Vec<u64> = outcomes.iter().map(|outcome| outcome.leaked.recipients).collect();
    let mut cell = percent(blocked, outcomes.len());
    if blocked < outcomes.len() && noticed > blocked {
        cell += &format!(", s {}", percent(noticed, outcomes.len()));
    }
    format!("{cell} ({})", or_dash(quantile(&recipients, 0.5)))
}
