//! The tables, in Markdown, in their section of benches/RESULTS.md.

use crate::{
    Told,
    args::Args,
    install,
    load::{
        pairs::{Bar, Quartiles},
        results,
    },
    own::{CLIENTS, CONNECTIONS, SESSIONS},
    peer::Name,
    samples::Sample,
};
use std::fmt::Write as _;

/// What connguard's messages a second to those of rspamd must at least be.
const BAR: f64 = 4.0;

/// The two ways to measure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Own,
    Postfix,
}

/// All samples of one row, in the order of the rounds.
struct Series {
    part: Part,
    name: Option<Name>,
    messages: usize,
    samples: Vec<Sample>,
}

/// What was measured so far.
pub(crate) struct Report {
    args: Args,
    series: Vec<Series>,
    absent: Vec<(Name, String)>,
}

impl Report {
    /// One without figures.
    pub(crate) fn new(args: &Args) -> Self {
        Self { args: args.clone(), series: Vec::new(), absent: Vec::new() }
    }

    /// One more measurement.
    pub(crate) fn sample(
        &mut self,
        part: Part,
        name: Option<Name>,
        messages: usize,
        sample: Sample,
    ) {
        let is = |it: &&mut Series| it.part == part && it.name == name && it.messages == messages;
        match self.series.iter_mut().find(is) {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series { part, name, messages, samples: vec![sample] }),
        }
    }

    /// This one is not measured (any more), and why.
    pub(crate) fn absent(&mut self, name: Name, error: String) {
        eprintln!("{name}: not measured: {error}");
        self.absent.push((name, error));
    }

    /// Whether that was said.
    pub(crate) fn is_absent(&self, name: Name) -> bool {
        self.absent.iter().any(|(absent, _)| *absent == name)
    }

    /// Whether everything that was asked for was measured.
    pub(crate) fn complete(&self) -> bool {
        self.absent.is_empty()
    }

    /// Prints the tables, and writes them where they are to be.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn write(&self) -> Told<()> {
        let text = self.text();
        print!("{text}");
        let Some(file) = &self.args.out else { return Ok(()) };
        results::write_section(file, "peers", &text)
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn text(&self) -> String {
        let mut text = format!(
            "## Beside rspamd, postfwd and policyd-rate-limit\n\n\
             `cargo bench --bench peers{}{}`: {} Installed: {}.\n\n\
             {CONNECTIONS} connections at once, {} rounds in which all take turns: median \
             (quartiles). rspamd, postfwd and policyd-rate-limit count by client with a limit that \
             nobody reaches, and do nothing else; connguard judges each client by all signals but those of \
             delivery results, \
             counting its messages for that. That each counts was seen first, with a limit of three \
             messages that only one client met. CPU and memory are those of all its processes, \
             Redis with rspamd. Memory is the most that was seen at the end of a measurement; what \
             processes share is counted once.\n",
            if self.args.typed.is_empty() { "" } else { " -- " },
            self.args.typed,
            results::provenance_of_milter(),
            install::versions(),
            self.args.rounds,
        );
        if self.args.own {
            self.own(&mut text);
        }
        if self.args.postfix {
            self.postfix(&mut text);
        }
        text
    }

    fn own(&self, text: &mut String) {
        let _ = write!(
            text,
            "\n### Over its own protocol\n\n\
             Milters over a unix socket, with a body of 4,000 octets if they want one; policy \
             servers over TCP, one request a message, on connections that stay, as Postfix keeps \
             them. {} clients{}.\n\n",
            thousands(CLIENTS),
            if self.args.quick { "" } else { ", all of which a milter has met before" },
        );
        self.verdict(text);
        self.rows(text, Part::Own);
    }

    fn postfix(&self, text: &mut String) {
        let _ = write!(
            text,
            "\n### Behind Postfix\n\n\
             smtp-source through a private Postfix that discards the mail. Its queue is in memory, \
             so that no disk hides the filter. p99 is what an SMTP client measures from MAIL to the \
             last reply, in runs of their own with one message a session and {} clients. \
             CPU and memory are those of the filter, without Postfix.\n\n",
            thousands(CLIENTS)
        );
        self.rows(text, Part::Postfix);
    }

    /// connguard to rspamd, each round for itself; judged as [`Bar`] says. What
    /// the milter that does nothing reaches is the most that this load can show.
    fn verdict(&self, text: &mut String) {
        text.push_str(
            "| to rspamd | messages a session | ratio | wanted | |\n|---|---|---|---|---|\n",
        );
        let bar = Bar::AtLeast(BAR);
        for messages in SESSIONS {
            let rate = self.ratio(Name::Connguard, messages, |sample| sample.rate);
            let cpu = self.ratio(Name::Connguard, messages, |sample| sample.cpu);
            // One that failed in the middle has figures, too, but not of all rounds.
            let is_whole = |name| {
                !self.is_absent(name) && self.find(Part::Own, Some(name), messages).is_some()
            };
            let both = |name| is_whole(name) && is_whole(Name::Rspamd);
            let shown = |name, ratio: Quartiles| match both(name) {
                true => ratio.to_string(),
                false => String::new(),
            };
            let judged = if both(Name::Connguard) {
                bar.judge(rate, cpu.median).to_string()
            } else {
                "not measured".to_owned()
            };
            let nothing = self.ratio(Name::Noop, messages, |sample| sample.rate);
            let (rate, cpu) = (shown(Name::Connguard, rate), shown(Name::Connguard, cpu));
            let nothing = shown(Name::Noop, nothing);
            let _ = write!(
                text,
                "| connguard, messages/s | {messages} | {rate} | {bar} | {judged} |\n\
                 | connguard, CPU | {messages} | {cpu} | | |\n\
                 | the milter that does nothing, messages/s | {messages} | {nothing} | | |\n"
            );
        }
        text.push('\n');
    }

    /// Of one to rspamd, in the same rounds.
    fn ratio(&self, name: Name, messages: usize, value: fn(&Sample) -> f64) -> Quartiles {
        let ours = self.values(Part::Own, name, messages, value);
        let theirs = self.values(Part::Own, Name::Rspamd, messages, value);
        Quartiles::of(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs))
    }

    fn values(
        &self,
        part: Part,
        name: Name,
        messages: usize,
        value: fn(&Sample) -> f64,
    ) -> Vec<f64> {
        let series = self.find(part, Some(name), messages);
        series.into_iter().flat_map(|it| it.samples.iter().map(value)).collect()
    }

    fn rows(&self, text: &mut String, part: Part) {
        text.push_str(
            "| filter | messages a session | messages/s | p99, ms | CPU s for 10,000 | memory, MiB |\n\
             |---|---|---|---|---|---|\n",
        );
        let names = Name::ALL.into_iter().filter(|name| self.args.does(*name)).map(Some);
        let none = (part == Part::Postfix).then_some(None);
        for name in none.into_iter().chain(names) {
            let label = name.map_or("no filter".into(), |name| name.to_string());
            for messages in SESSIONS {
                if let Some(series) = self.find(part, name, messages) {
                    let rounds = series.samples.len();
                    let few = match rounds < self.args.rounds {
                        true => format!(" (only {rounds} rounds)"),
                        false => String::new(),
                    };
                    let _ = writeln!(text, "| {label}{few} | {messages} | {} |", cells(series));
                }
            }
            if let Some((_, why)) = self.absent.iter().find(|(absent, _)| Some(*absent) == name) {
                let why = why.replace('|', "/").replace('\n', " ");
                let _ = writeln!(text, "| {label} | not measured: {why} | | | | |");
            }
        }
    }

    fn find(&self, part: Part, name: Option<Name>, messages: usize) -> Option<&Series> {
        let is = |it: &&Series| it.part == part && it.name == name && it.messages == messages;
        self.series.iter().find(is)
    }
}

fn cells(series: &Series) -> String {
    let middle = |value: fn(&Sample) -> f64| Quartiles::of(series.samples.iter().map(value));
    let p99: Vec<f64> = series.samples.iter().filter_map(|sample| sample.p99).collect();
    let p99 = if p99.is_empty() { "".into() } else { shown(Quartiles::of(p99), 2) };
    let memory = series.samples.iter().map(|sample| sample.memory).fold(0.0, f64::max);
    let (cpu, memory) = match series.name {
        Some(_) => (shown(middle(|sample| sample.cpu), 2), format!("{memory:.0}")),
        None => (String::new(), String::new()),
    };
    format!("{} | {p99} | {cpu} | {memory}", shown(middle(|sample| sample.rate), 0))
}

/// `100,000`.
fn thousands(number: u64) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

/// `median (low to high)`.
fn shown(quartiles: Quartiles, digits: usize) -> String {
    let Quartiles { low, median, high } = quartiles;
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}
