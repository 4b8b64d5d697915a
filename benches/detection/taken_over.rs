//! What comes of attacks: on persons and organizations in the midst of their
//! own mail, and on connectors that nobody knows yet.

use crate::{
    Bench,
    attacks::{ALL, Attack, Goal},
    draw::{Climate, Draw},
    fixed, legit,
    model::Variant,
    random::Random,
    replay::{Amount, Outcome, Rules, run},
    report::{Report, or_dash, percent, random_of},
    scenarios::{DAY, FIRST_DAY, office},
    stats::quantile,
    stream::{Draft, Kind, Stream, To, assemble},
    traces::TraceMail,
    work::on_threads,
};

/// Whom an attack hits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Victim {
    /// A person who wrote for 14 days at least, in a trace.
    Person,
    /// A login whose first message is the attack's.
    New,
    /// An organization as one relay, 14 days after its first message at least.
    Relay,
    /// One sender of such an organization.
    Sender,
}

const VICTIMS: [(Victim, &str); 3] = [
    (Victim::Person, "a login with history"),
    (Victim::New, "a brand-new login"),
    (Victim::Relay, "an organization behind one relay"),
];

impl Victim {
    fn kind(self) -> Kind {
        if matches!(self, Self::Relay | Self::Sender) { Kind::Relay } else { Kind::Login }
    }

    fn count(self, b: &Bench<'_>) -> usize {
        match self {
            Self::Person => b.args.amount(200, 10),
            Self::New => b.args.amount(100, 5),
            Self::Relay | Self::Sender => b.args.amount(45, 3),
        }
    }
}

/// History before the attack.
const HISTORY: f64 = 180.0 * DAY;

/// The mail of victim `number` with the attack in it.
fn stream(b: &Bench<'_>, attack: &Attack, victim: Victim, number: usize) -> Stream {
    let mut random = random_of(b, "victim", number);
    let (mut drafts, begin) = match victim {
        Victim::New => (Vec::new(), (FIRST_DAY + 100.0) * DAY + 36_000.0),
        _ => own(b, attack, victim, number, &mut random),
    };
    let end = begin + attack.days * DAY;
    drafts.retain(|draft| (begin - HISTORY..end).contains(&draft.at));
    if attack.acquaintances > 0 && victim != Victim::New {
        // One announcement, so that there are enough known recipients.
        let all = attack.acquaintances;
        let at = begin - 10.0 * DAY;
        drafts.push(Draft { at, to: To::Some { all, fresh: all }, ..Draft::default() });
    }
    // The same attack on every kind of victim.
    let mut random = random_of(b, attack.name, number);
    let mut hostile = attack.drafts(victim.kind(), victim == Victim::New, &mut random);
    if victim == Victim::Sender {
        // Somebody who writes there.
        let user = drafts[random.below(drafts.len())].user;
        hostile.iter_mut().for_each(|draft| draft.user = user);
    }
    drafts.extend(hostile.into_iter().map(|draft| Draft { at: draft.at + begin, ..draft }));
    assemble(victim.kind(), drafts, 1, &mut random)
}

/// The victim's own mail, and when the attack begins.
fn own(
    b: &Bench<'_>,
    attack: &Attack,
    victim: Victim,
    number: usize,
    random: &mut Random,
) -> (Vec<Draft>, f64) {
    let traces = &b.found.traces;
    let climate = Climate::default();
    let (least, most) = (attack.age.0 * DAY, attack.age.1 * DAY);
    let draw = Draw { seed: b.args.seed, number: 1000 + number as u64, climate };
    if traces.is_empty() {
        // Without traces, somebody at work.
        let mail = office(random, 240, if victim.kind() == Kind::Relay { 300.0 } else { 15.0 });
        let begin = FIRST_DAY * DAY + random.between(least, most.min(235.0 * DAY));
        return (mail, begin);
    }
    let drafts = match victim {
        Victim::Relay | Victim::Sender => draw.relay_drafts(&traces[number % traces.len()]),
        _ => {
            let trace = |trace: usize| {
                let senders = traces[trace].senders.iter().enumerate();
                senders.map(move |(sender, mails)| (trace, sender, mails))
            };
            let fits = |mails: &[TraceMail]| {
                let first = mails.first().map_or(0, |mail| mail.at);
                mails.iter().any(|mail| (least..=most).contains(&((mail.at - first) as f64)))
            };
            let persons: Vec<(usize, usize)> = (0..traces.len())
                .flat_map(trace)
                .filter(|(.., mails)| fits(mails))
                .map(|(trace, sender, _)| (trace, sender))
                .collect();
            let (trace, sender) = random.choose(&persons);
            draw.drafts(&traces[trace], sender)
        }
    };
    let first = drafts[0].at;
    let late: Vec<f64> = drafts
        .iter()
        .map(|draft| draft.at)
        .filter(|at| (least..=most).contains(&(at - first)))
        .collect();
    // An organization may have been silent for so long.
    let begin = if late.is_empty() {
        first + random.between(least, most.min(2.0 * least))
    } else {
        random.choose(&late) + 0.5
    };
    (drafts, begin)
}

/// Runs one attack on some victims.
pub(crate) fn attack(
    b: &Bench<'_>,
    rules: &Rules,
    attack: &Attack,
    victim: Victim,
    count: usize,
) -> Vec<Outcome> {
    let jobs: Vec<usize> = (0..count).collect();
    on_threads(b.args.threads, &jobs, |number| run(&stream(b, attack, victim, *number), rules))
}

/// Median and 95th percentile.
fn both(values: &[u64]) -> String {
    let of = |q| or_dash(quantile(values, q));
    format!("{}/{}", of(0.5), of(0.95))
}

const COLUMNS: [&str; 8] = [
    "attack",
    "blocked",
    "messages before",
    "recipients before",
    "suspicious",
    "messages before",
    "recipients before",
    "never noticed",
];

/// The tables.
pub(crate) fn measure(b: &Bench<'_>, report: &mut Report) {
    report.section(
        "Attacks",
        "Each as median/p95 of all runs. Before the block: what was accepted until then; in \
         runs that are not blocked, all that was accepted until the end (24 h; growth: 40 days, a fifth of the victims). \
         Suspicious: suspicious or blocked, and what was accepted until then.",
    );
    for (victim, name) in VICTIMS {
        report.words(&format!("On {name}, {} victims:", victim.count(b)));
        let rows: Vec<Vec<String>> = ALL
            .iter()
            .filter(|attack| victim != Victim::New || attack.days == 1.0)
            .map(|one| {
                eprintln!("  {name}: {}", one.name);
                // Forty days of growth are long.
                let count = (victim.count(b) / if one.days > 1.0 { 5 } else { 1 }).max(1);
                let outcomes = attack(b, &Rules::default(), one, victim, count);
                if victim == Victim::Person || one.everywhere {
                    goal(report, one, name, &outcomes);
                }
                row(one.name, &outcomes)
            })
            .collect();
        report.table(&COLUMNS, &rows);
    }
    others(b, report);
}

/// Attacks in which it matters whose mail it is, by the beginning of their names.
const OF_SENDERS: [&str; 12] = [
    "blatant, 50/h",
    "33 addresses",
    "verified list, from",
    "173 recipients",
    "flood, 6,460/h, 35 %",
    "flood, 6,460/h, 0 %",
    "slow botnet",
    "lateral phish, 50-500 x 1",
    "forged From, one",
    "slow, 20/h, 30 %",
    "slow, from the usual address, 50 %",
    "slow, from the usual address, 70 %",
];

/// What it gains to judge the senders of a relay apart.
pub(crate) fn senders(b: &Bench<'_>, report: &mut Report) {
    report.section(
        "Senders of a relay",
        "Attacks under the address of one sender of an organization behind one relay: the \
         connector judged as a whole, and its senders judged apart. And what that costs on \
         ordinary mail: blocks and suspicions of the relay or of any of its senders.",
    );
    let both_ways = [("as a whole", Variant::NoSenders), ("senders apart", Variant::Delivered)];
    let rules = |variant: &Variant| Rules { variant: variant.clone(), ..Rules::default() };
    let count = Victim::Sender.count(b);
    let mut rows = Vec::new();
    for begins in OF_SENDERS {
        let one = ALL.iter().find(|attack| attack.name.starts_with(begins)).unwrap();
        for (how, variant) in &both_ways {
            eprintln!("  {how}: {}", one.name);
            let outcomes = attack(b, &rules(variant), one, Victim::Sender, count);
            rows.push(row(&format!("{}: {how}", one.name), &outcomes));
        }
    }
    report.table(&COLUMNS, &rows);
    if b.found.traces.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = both_ways
        .iter()
        .map(|(how, variant)| {
            let draws = b.args.draws.min(3);
            let sum = legit::total(&legit::relays(b, &rules(variant), Climate::default(), draws));
            legit::row(&format!("relays, {draws} draws: {how}"), &sum)
        })
        .collect();
    report.table(&legit::COLUMNS, &rows);
}

fn noticed(outcomes: &[Outcome]) -> Vec<Amount> {
    outcomes.iter().filter_map(|outcome| outcome.unnoticed).collect()
}

fn row(name: &str, outcomes: &[Outcome]) -> Vec<String> {
    let blocked = outcomes.iter().filter(|outcome| outcome.caught).count();
    let noticed = noticed(outcomes);
    let of = |part: fn(&Amount) -> u64, amounts: &[Amount]| {
        both(&amounts.iter().map(part).collect::<Vec<_>>())
    };
    let leaked: Vec<Amount> = outcomes.iter().map(|outcome| outcome.leaked).collect();
    vec![
        name.to_owned(),
        percent(blocked, outcomes.len()),
        of(|amount| amount.messages, &leaked),
        of(|amount| amount.recipients, &leaked),
        percent(noticed.len(), outcomes.len()),
        of(|amount| amount.messages, &noticed),
        of(|amount| amount.recipients, &noticed),
        percent(outcomes.len() - noticed.len(), outcomes.len()),
    ]
}

fn goal(report: &mut Report, attack: &Attack, victim: &str, outcomes: &[Outcome]) {
    let all = outcomes.len();
    let blocked = outcomes.iter().filter(|outcome| outcome.caught).count();
    let messages: Vec<u64> = outcomes.iter().map(|outcome| outcome.leaked.messages).collect();
    let recipients: Vec<u64> = outcomes.iter().map(|outcome| outcome.leaked.recipients).collect();
    let at = |values: &[u64], q| quantile(values, q).unwrap_or(0);
    let (median, p95) = (at(&messages, 0.5), at(&messages, 0.95));
    let (wanted, measured, met) = match attack.goal {
        Goal::Shown => return,
        Goal::Blocked { share, median: most, p95: most_p95 } => (
            format!("{:.0} % blocked, messages <= {most}/{most_p95}", share * 100.0),
            format!("{}, {median}/{p95}", percent(blocked, all)),
            blocked as f64 >= share * all as f64 && median <= most && p95 <= most_p95,
        ),
        Goal::Recipients(most) => (
            format!("100 %, recipients <= {most}"),
            format!("{}, {}", percent(blocked, all), both(&recipients)),
            blocked == all && at(&recipients, 0.95) <= most,
        ),
        Goal::Contained(most) => (
            format!("median <= {most} messages"),
            format!("{median}/{p95}, {} blocked", percent(blocked, all)),
            median <= most,
        ),
        Goal::Noticed(most) => {
            // Who never notices has seen all of it pass.
            let before: Vec<u64> = outcomes
                .iter()
                .map(|outcome| outcome.unnoticed.unwrap_or(outcome.leaked).messages)
                .collect();
            let median = at(&before, 0.5);
            (
                format!("suspicious, median <= {most} messages"),
                format!("{}, {}", percent(noticed(outcomes).len(), all), both(&before)),
                median <= most,
            )
        }
        Goal::Suspicious => {
            let noticed = noticed(outcomes);
            let before: Vec<u64> = noticed.iter().map(|amount| amount.messages).collect();
            (
                "all suspicious".into(),
                format!("{} after {} messages", percent(noticed.len(), all), both(&before)),
                noticed.len() == all,
            )
        }
    };
    report.goal(&format!("{}, {victim}", attack.name), &wanted, &measured, met);
}

fn others(b: &Bench<'_>, report: &mut Report) {
    let count = b.args.amount(60, 5);
    report.words(&format!(
        "Others on the same logins with history ({count}): share blocked, and median messages (recipients) \
         before."
    ));
    let mut columns = vec!["attack"];
    columns.extend(fixed::NAMES);
    let jobs: Vec<usize> = (0..count).collect();
    let rows: Vec<Vec<String>> = ALL
        .iter()
        .map(|attack| {
            let alarms = on_threads(b.args.threads, &jobs, |number| {
                fixed::all(&stream(b, attack, Victim::Person, *number))
            });
            let mut row = vec![attack.name.to_owned()];
            for other in 0..fixed::NAMES.len() {
                let before: Vec<Amount> =
                    alarms.iter().filter_map(|alarms| alarms[other].before).collect();
                let median = |part: fn(&Amount) -> u64| {
                    or_dash(quantile(&before.iter().map(part).collect::<Vec<_>>(), 0.5))
                };
                row.push(match before.len() {
                    0 => "never".into(),
                    some => format!(
                        "{}, {} ({})",
                        percent(some, count),
                        median(|amount| amount.messages),
                        median(|amount| amount.recipients)
                    ),
                });
            }
            row
        })
        .collect();
    report.table(&columns, &rows);
}
