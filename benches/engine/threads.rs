//! What a second thread brings.
//!
//! A round measures the same work on one thread and on two, for the engine and
//! for a computation that needs nothing but registers, in turn:
//!
//!   ratio    = (messages/s of two threads) / (2 x messages/s of one)
//!   quotient = ratio of the engine / ratio of the computation
//!
//! The machine's own share (a shared core, another guest, a frequency that falls)
//! is in both ratios, and so not in the quotient. The same is said in processor
//! time a message, as the kernel counts it for each thread: there a thread that
//! had to wait for its core does not count, nor does one that sleeps on a lock.

use super::support::mail::{Mail, Scattered, knowing, session};
use connguard::engine::{Engine, Session};
use std::{
    fmt::Write,
    fs,
    hint::black_box,
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

const CONNECTORS: u32 = 100_000;
/// Sessions that stay open, for each thread.
const OPEN: u32 = 10_000;
/// What is asked of the engine.
const BAR: f64 = 0.90;

pub(crate) fn measure(table: &mut String, quick: bool) {
    let (rounds, messages) = if quick { (3, 5000) } else { (21, 100_000) };
    let engine = knowing(if quick { 1000 } else { CONNECTORS });
    let connectors = u32::try_from(engine.roster().len()).unwrap();
    let _ = writeln!(
        table,
        "Two threads, {rounds} rounds of {messages} messages for each thread, {connectors} \
         connectors: throughput to twice that of one thread, median (quartiles). The last two \
         columns are the engine's ratio to that of a computation in registers, in time and in \
         processor time.\n\n\
         | what | engine | computation | quotient | quotient, processor time |\n\
         |---|---:|---:|---:|---:|"
    );
    let kinds = [
        ("many connectors, a session for each message", Kind::NewSessions, true),
        ("many connectors, sessions that stay open", Kind::OpenSessions, true),
        ("one hot connector", Kind::OneConnector, false),
    ];
    let mut told = String::new();
    for (name, kind, has_bar) in kinds {
        let load = Load::new(&engine, kind, connectors, messages);
        let spins = load.spins_for_the_same_time();
        let all: Vec<Round> = (0..rounds).map(|round| load.round(round, spins)).collect();
        let summed = |of: fn(&Round) -> f64| Quartiles::of(all.iter().map(of).collect());
        let (wall, processor) = (summed(Round::quotient), summed(Round::processor_quotient));
        let _ = writeln!(
            table,
            "| {name} | {} | {} | {wall} | {processor} |",
            summed(|round| round.engine.wall),
            summed(|round| round.pure.wall),
        );
        if has_bar {
            let met = wall.verdict(&processor);
            let _ = writeln!(told, "{name}, quotient at least {BAR:.2}: {met}.");
        }
    }
    let _ = writeln!(table, "\n{told}");
}

/// What two threads do to one.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    wall: f64,
    processor: f64,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    engine: Ratio,
    pure: Ratio,
}

impl Round {
    fn quotient(&self) -> f64 {
        self.engine.wall / self.pure.wall
    }

    fn processor_quotient(&self) -> f64 {
        self.engine.processor / self.pure.processor
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    NewSessions,
    OpenSessions,
    OneConnector,
}

struct Load<'a> {
    engine: &'a Engine,
    kind: Kind,
    connectors: u32,
    messages: u32,
    mail: Mail,
    /// Each thread's own.
    open: [Mutex<Vec<Session>>; 2],
}

impl<'a> Load<'a> {
    fn new(engine: &'a Engine, kind: Kind, connectors: u32, messages: u32) -> Self {
        let open = [0, 1].map(|thread| {
            let mut numbers = Scattered::new(thread);
            Mutex::new(match kind {
                Kind::NewSessions => Vec::new(),
                Kind::OpenSessions => {
                    (0..OPEN).map(|_| session(numbers.below(connectors))).collect()
                }
                Kind::OneConnector => vec![session(7)],
            })
        });
        Self { engine, kind, connectors, messages, mail: Mail::new(1), open }
    }

    fn round(&self, number: u32, spins: u64) -> Round {
        let send = |thread| self.send(thread, number);
        let compute = |thread| spin(thread, spins);
        // Which comes first changes, so that neither is always on the warm side.
        if number.is_multiple_of(2) {
            let engine = ratio(&send);
            Round { engine, pure: ratio(&compute) }
        } else {
            let pure = ratio(&compute);
            Round { engine: ratio(&send), pure }
        }
    }

    fn send(&self, thread: usize, round: u32) {
        let mut open = self.open[thread].lock().unwrap();
        let mut numbers = Scattered::new(round * 2 + u32::from(thread > 0));
        for _ in 0..self.messages {
            if matches!(self.kind, Kind::NewSessions) {
                self.mail.send(self.engine, &mut session(numbers.below(self.connectors)));
            } else {
                let among = u32::try_from(open.len()).unwrap();
                let at = usize::try_from(numbers.below(among)).unwrap();
                self.mail.send(self.engine, &mut open[at]);
            }
        }
    }

    /// How much computation takes as long as the messages of one thread.
    fn spins_for_the_same_time(&self) -> u64 {
        const TRY: u64 = 10_000_000;
        self.send(0, 0);
        let begun = Instant::now();
        self.send(0, 0);
        let messages = begun.elapsed();
        let begun = Instant::now();
        spin(0, TRY);
        let nanoseconds = (begun.elapsed().as_nanos() / u128::from(TRY)).max(1);
        u64::try_from(messages.as_nanos() / nanoseconds).unwrap()
    }
}

/// Hashes a number again and again, in registers only.
fn spin(thread: usize, times: u64) {
    let mut state = black_box(u64::from(thread > 0));
    for _ in 0..times {
        state = (state ^ (state >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
    }
    black_box(state);
}

fn ratio(work: &(impl Fn(usize) + Sync)) -> Ratio {
    let (one, two) = (run(1, work), run(2, work));
    Ratio {
        wall: one.wall.as_secs_f64() / two.wall.as_secs_f64(),
        processor: 2.0 * one.processor.as_secs_f64() / two.processor.as_secs_f64(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Took {
    /// From the first start to the last end.
    wall: Duration,
    /// Of all threads.
    processor: Duration,
}

fn run(threads: usize, work: &(impl Fn(usize) + Sync)) -> Took {
    let start = Barrier::new(threads);
    let one = |number| {
        let used = processor_time();
        start.wait();
        let begun = Instant::now();
        work(number);
        (begun, Instant::now(), processor_time() - used)
    };
    let one = &one;
    let done: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || one(number))).collect();
        running.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let begun = done.iter().map(|it| it.0).min().unwrap();
    let ended = done.iter().map(|it| it.1).max().unwrap();
    Took { wall: ended - begun, processor: done.iter().map(|it| it.2).sum() }
}

/// What this thread has used of a processor. The kernel brings that up to date
/// when it schedules.
fn processor_time() -> Duration {
    thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[derive(Clone, Copy, Debug)]
struct Quartiles {
    lower: f64,
    median: f64,
    upper: f64,
}

impl Quartiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Self { lower: at(1), median: at(2), upper: at(3) }
    }

    /// Where the quartiles straddle the bar, processor time decides.
    fn verdict(&self, processor: &Self) -> &'static str {
        let straddle = self.lower < BAR && BAR <= self.upper;
        match (straddle, self.median >= BAR, processor.median >= BAR) {
            (false, true, _) => "met",
            (false, false, _) => "missed",
            (true, _, true) => "met in processor time, while the quartiles straddle the bar",
            (true, _, false) => "missed in processor time, while the quartiles straddle the bar",
        }
    }
}

impl std::fmt::Display for Quartiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} ({:.3} – {:.3})", self.median, self.lower, self.upper)
    }
}
