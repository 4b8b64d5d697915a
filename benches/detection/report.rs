//! The tables, in Markdown.

use crate::{Bench, random::Random, replay::Outcome, stats::poisson_bounds};
use connguard::record::SignalName;
use std::{collections::BTreeMap, fmt::Write};

/// What is written.
pub(crate) struct Report {
    head: String,
    goals: Vec<[String; 4]>,
    body: String,
}

impl Report {
    pub(crate) fn new(bench: &Bench<'_>) -> Self {
        Self { head: head(bench), goals: Vec::new(), body: String::new() }
    }

    /// A section with some words before its tables.
    pub(crate) fn section(&mut self, title: &str, words: &str) {
        eprintln!("{title}");
        write!(self.body, "\n## {title}\n\n").unwrap();
        if !words.is_empty() {
            writeln!(self.body, "{}\n", words.trim()).unwrap();
        }
    }

    /// A paragraph.
    pub(crate) fn words(&mut self, words: &str) {
        writeln!(self.body, "{}\n", words.trim()).unwrap();
    }

    /// A table.
    pub(crate) fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) {
        self.body.push_str(&table(columns, rows));
        self.body.push('\n');
    }

    /// One of the things that it must show.
    pub(crate) fn goal(&mut self, what: &str, wanted: &str, measured: &str, met: bool) {
        let met = if met { "yes" } else { "NO" };
        self.goals.push([what, wanted, measured, met].map(str::to_owned));
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> String {
        if !self.goals.is_empty() {
            let rows: Vec<Vec<String>> = self.goals.iter().map(|row| row.to_vec()).collect();
            self.head.push_str("\n## Goals\n\n");
            self.head.push_str(&table(&["goal", "wanted", "measured", "met"], &rows));
        }
        let text = self.head + &self.body;
        text.trim_end().to_owned() + "\n"
    }
}

fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let mut text = line(&head) + "|" + &"---|".repeat(columns.len()) + "\n";
    text.extend(rows.iter().map(|row| line(row)));
    text
}

fn head(bench: &Bench<'_>) -> String {
    let args = bench.args;
    let mut command = "cargo bench --bench detection --".to_owned();
    if args.quick {
        command.push_str(" --quick");
    }
    for part in &args.only {
        write!(command, " --only {}", format!("{part:?}").to_lowercase()).unwrap();
    }
    write!(command, " --draws {} --seed {}", args.draws, args.seed).unwrap();
    let mut text = format!(
        "# How well it judges\n\n\
         Written by `{command}`, connguard {}, {}.\n\n",
        env!("CARGO_PKG_VERSION"),
        args.date.as_deref().map_or("no date given".into(), |date| format!("on {date}")),
    );
    text.push_str(METHOD.trim());
    text.push_str("\n\n");
    for trace in &bench.found.traces {
        writeln!(
            text,
            "- {}: {} senders, {} messages, {:.0} sender-years, {:.1} years",
            trace.name,
            trace.senders.len(),
            trace.messages(),
            trace.sender_years(),
            trace.years(),
        )
        .unwrap();
    }
    for note in &bench.found.notes {
        writeln!(text, "- {note}").unwrap();
    }
    text
}

const METHOD: &str = "
All mail takes the calls of the real engine, with its real filters; results of deliveries come in
no order. One connector at a time: no connector fills another one's filters. Mode enforce, throttle by
tempfail unless said, no grace. Deferred mail of a connector is tried again as Postfix does (300 s, then
whenever its age has doubled, at least every 4,000 s, five days); mail of an attack is not. A block is lifted after
24 h, and nothing that was blocked is lost: it comes again. An attack ends with its block or after 24 h.

Real in the traces: times, senders, recipients. Drawn at random for each sender, since no trace has them:
bounces (Beta(0.5, 16.2), mean 3 %), lags of results (log-normal, median 16 s), client networks (80 % two fixed, 15 %
mobile: 2 of 5 mails from 24 networks of a carrier; 5 % travelling: a trip of 2 to 7 days about once a month, 3
networks each), unregistered sender domains (1 sender in 10 has one of its own in 1 % of its mail; besides 1
message in 5,000 has a mistyped one), the header From likewise, wrong spam verdicts (0.5 %), recipients that Postfix
itself refuses (1 message in 1,000).
A message is one sender in one second. Each sender is a login; each organization is one relay besides.
Not in it: parallel sessions, results that are lost or hours late, the log of a real smarthost.
";

/// What came of many connectors together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) connectors: u64,
    pub(crate) years: f64,
    pub(crate) messages: u64,
    pub(crate) blocks: u64,
    pub(crate) warnings: u64,
    pub(crate) deferred: u64,
    pub(crate) held: u64,
    pub(crate) lost: u64,
    pub(crate) block_causes: BTreeMap<String, u64>,
    pub(crate) warning_causes: BTreeMap<String, u64>,
}

impl Sum {
    pub(crate) fn add(&mut self, outcome: &Outcome, years: f64) {
        self.connectors += 1;
        self.years += years;
        self.messages += outcome.messages;
        self.blocks += outcome.blocks.len() as u64;
        self.warnings += outcome.warnings.len() as u64;
        self.deferred += outcome.deferred;
        self.held += outcome.held;
        self.lost += outcome.lost;
        for signals in &outcome.blocks {
            *self.block_causes.entry(cause(signals, 3)).or_default() += 1;
        }
        for signals in &outcome.warnings {
            *self.warning_causes.entry(cause(signals, 2)).or_default() += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.connectors += other.connectors;
        self.years += other.years;
        self.messages += other.messages;
        self.blocks += other.blocks;
        self.warnings += other.warnings;
        self.deferred += other.deferred;
        self.held += other.held;
        self.lost += other.lost;
        for (to, from) in [
            (&mut self.block_causes, &other.block_causes),
            (&mut self.warning_causes, &other.warning_causes),
        ] {
            from.iter().for_each(|(cause, count)| *to.entry(cause.clone()).or_default() += count);
        }
    }

    /// `count` a year with its bounds, and per million messages.
    pub(crate) fn rate(&self, count: u64) -> String {
        let (low, high) = poisson_bounds(count);
        let (years, millions) = (self.years, self.messages as f64 / 1e6);
        format!(
            "{count}: {}/y ({}-{}); {:.1}/M",
            digits(count as f64 / years),
            digits(low / years),
            digits(high / years),
            count as f64 / millions
        )
    }
}

/// A rate with as many digits as it deserves.
pub(crate) fn digits(rate: f64) -> String {
    match rate {
        0.0 => "0".into(),
        rate if rate < 0.01 => format!("{rate:.5}"),
        rate if rate < 1.0 => format!("{rate:.3}"),
        rate => format!("{rate:.1}"),
    }
}

/// `X 3, V+Q 1`: causes with their counts, the most frequent first.
pub(crate) fn causes(of: &BTreeMap<String, u64>) -> String {
    let mut list: Vec<(&String, &u64)> = of.iter().collect();
    list.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let list: Vec<String> =
        list.into_iter().take(6).map(|(cause, count)| format!("{cause} {count}")).collect();
    if list.is_empty() { "-".into() } else { list.join(", ") }
}

fn cause(signals: &[SignalName], most: usize) -> String {
    let letters: Vec<&str> = signals.iter().take(most).map(|signal| letter(*signal)).collect();
    letters.join("+")
}

/// The letter of a signal.
pub(crate) fn letter(signal: SignalName) -> &'static str {
    match signal {
        SignalName::UnregisteredSender => "U",
        SignalName::ForeignFrom => "F",
        SignalName::NewNetworks => "A",
        SignalName::ShiftedNetworks => "A2",
        SignalName::UnknownCrowds => "X",
        SignalName::MostRefused => "R1",
        SignalName::ManyRefused => "R2",
        SignalName::UnknownRecipients => "J",
        SignalName::SpamVerdict => "Q",
        SignalName::Volume => "V",
    }
}

/// `part` of `all` in percent.
pub(crate) fn percent(part: usize, all: usize) -> String {
    if all == 0 {
        return "-".into();
    }
    let share = 100.0 * part as f64 / all as f64;
    if part > 0 && part < all { format!("{share:.1} %") } else { format!("{share:.0} %") }
}

/// A number or a dash.
pub(crate) fn or_dash(number: Option<u64>) -> String {
    number.map_or("-".into(), |number| number.to_string())
}

/// The generator of run `number` of something with this name.
pub(crate) fn random_of(bench: &Bench<'_>, name: &str, number: usize) -> Random {
    Random::new(bench.args.seed, &[crate::random::label(name), number as u64])
}
