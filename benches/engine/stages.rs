//! What each call costs with so many connectors, in random order: every message
//! from another client than the last one, in a session of its own, and each of its
//! calls timed where it stands. Of ten runs the fastest counts.

use super::support::mail::{Mail, Scattered, client, knowing, session};
use connguard::{
    connector::ConnectorKey,
    engine::{Engine, Feedback},
    verdict::Verdict,
};
use std::{
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

/// What is timed, as the table names it.
const STAGES: [&str; 7] = [
    "tally look-up",
    "begin",
    "at_recipient",
    "at_end",
    "at_end, results are waited for",
    "on_delivery",
    "whole message in a new session",
];

type Times = [Duration; STAGES.len()];

pub(crate) fn measure(table: &mut String, quick: bool) {
    let (runs, messages) = if quick { (3, 2000) } else { (10, 50_000) };
    let sizes: &[u32] = if quick { &[1, 1000] } else { &[1, 1000, 100_000, 1_000_000] };
    let columns: Vec<Times> = sizes.iter().map(|size| fastest(*size, runs, messages)).collect();
    let _ = writeln!(
        table,
        "Nanoseconds a call, messages in random order, to one recipient that is known and without \
         a From header, the fastest of {runs} runs of {messages} \
         messages. Each holds the cost of reading the clock, {:.0} ns here.\n",
        nanoseconds(reading_the_clock(), 1)
    );
    let heads: Vec<String> = sizes.iter().map(|size| format!(" {size} |")).collect();
    let _ = writeln!(table, "| connectors |{}", heads.concat());
    let _ = writeln!(table, "|---|{}", "---:|".repeat(sizes.len()));
    for (row, stage) in STAGES.iter().enumerate() {
        let cell = |times: &Times| format!(" {:.0} |", nanoseconds(times[row], messages));
        let cells: String = columns.iter().map(cell).collect();
        let _ = writeln!(table, "| {stage} |{cells}");
    }
    if let Some(at) = sizes.iter().position(|size| *size == 100_000) {
        for stage in [3, 4] {
            let took = nanoseconds(columns[at][stage], messages);
            let met = if took <= 3000.0 { "met" } else { "missed" };
            let name = STAGES[stage];
            let _ = writeln!(table, "\n{name}, at 100,000 connectors at most 3,000 ns: {met}.");
        }
    }
    table.push('\n');
}

fn fastest(connectors: u32, runs: u32, messages: u32) -> Times {
    let engine = knowing(connectors);
    let mut fastest = [Duration::MAX; STAGES.len()];
    for seed in 0..runs {
        let mut times = [Duration::ZERO; STAGES.len()];
        let mut run = Run { engine: &engine, connectors, numbers: Scattered::new(seed) };
        run.lookups(messages, &mut times);
        engine.set_feedback(Feedback::Off);
        run.whole(messages, &mut times);
        run.calls(messages, &mut times);
        engine.set_feedback(Feedback::Coming);
        run.results(messages, &mut times);
        for (least, time) in fastest.iter_mut().zip(times) {
            *least = (*least).min(time);
        }
    }
    fastest
}

struct Run<'a> {
    engine: &'a Engine,
    connectors: u32,
    numbers: Scattered,
}

impl Run<'_> {
    fn next(&mut self) -> u32 {
        self.numbers.below(self.connectors)
    }

    fn lookups(&mut self, messages: u32, times: &mut Times) {
        for _ in 0..messages {
            let key = ConnectorKey::Client(client(self.next()).into());
            let begun = Instant::now();
            let found = black_box(self.engine.roster().get(&key));
            times[0] += begun.elapsed();
            assert!(found.is_some());
        }
    }

    fn calls(&mut self, messages: u32, times: &mut Times) {
        let mail = Mail::new(1);
        for _ in 0..messages {
            let mut session = session(self.next());
            let begun = Instant::now();
            let mut transaction = mail.begin(self.engine, &mut session);
            let asked = Instant::now();
            let verdict = mail.ask(self.engine, &mut session, &mut transaction);
            let ended = Instant::now();
            let last = mail.end(self.engine, &mut session, transaction);
            times[3] += ended.elapsed();
            times[1] += asked - begun;
            times[2] += ended - asked;
            assert_eq!((verdict, last), (Verdict::Pass, Verdict::Pass));
        }
    }

    fn results(&mut self, messages: u32, times: &mut Times) {
        let mut mail = Mail::new(1);
        for _ in 0..messages {
            let mut session = session(self.next());
            let mail = mail.queued();
            let mut transaction = mail.begin(self.engine, &mut session);
            let verdict = mail.ask(self.engine, &mut session, &mut transaction);
            let ended = Instant::now();
            let last = mail.end(self.engine, &mut session, transaction);
            let told = Instant::now();
            mail.deliver(self.engine);
            times[5] += told.elapsed();
            times[4] += told - ended;
            assert_eq!((verdict, last), (Verdict::Pass, Verdict::Pass));
        }
    }

    /// Without looking at the clock within.
    fn whole(&mut self, messages: u32, times: &mut Times) {
        let mail = Mail::new(1);
        let begun = Instant::now();
        for _ in 0..messages {
            mail.send(self.engine, &mut session(self.next()));
        }
        times[6] += begun.elapsed();
    }
}

fn reading_the_clock() -> Duration {
    const READINGS: u32 = 10_000;
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        for _ in 0..READINGS {
            black_box(Instant::now());
        }
        fastest = fastest.min(begun.elapsed() / READINGS);
    }
    fastest
}

fn nanoseconds(time: Duration, calls: u32) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(calls)
}
