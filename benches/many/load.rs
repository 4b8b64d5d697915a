//! A steady load of messages, with and without `list` in a loop beside it.

use crate::{
    args::Args,
    daemon::{Daemon, PROGRAM},
    mta::{Mta, Reply},
    state::client,
};
use std::{
    io,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Messages a second.
const RATE: u64 = 500;
/// Messages of one client, before its volume is unusual.
const MOST: u64 = 60;
/// Clients that sent so far.
static CLIENTS: AtomicU32 = AtomicU32::new(1);

/// How long messages took in one stretch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// Lists that were made meanwhile.
    pub(crate) lists: u64,
}

/// Stretches without anything beside, with a loop that does as much as a client
/// without asking the daemon, and with `list`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    pub(crate) alone: Vec<Stretch>,
    pub(crate) busy: Vec<Stretch>,
    pub(crate) lists: Vec<Stretch>,
}

pub(crate) fn measure(daemon: &Daemon, args: &Args) -> io::Result<Beside> {
    let mut beside = Beside::default();
    let length = Duration::from_secs(args.seconds);
    stretch(daemon, args, length, &|_| {})?;
    for _ in 0..args.pairs {
        beside.alone.push(stretch(daemon, args, length, &|_| {})?);
        beside.busy.push(stretch(daemon, args, length, &burn)?);
        beside.lists.push(stretch(daemon, args, length, &|stop| list(daemon, stop))?);
        eprintln!(
            "alone {:?}\nbusy  {:?}\nlists {:?}",
            beside.alone.last(),
            beside.busy.last(),
            beside.lists.last()
        );
    }
    Ok(beside)
}

struct Beat<'a> {
    stop: &'a AtomicBool,
    done: &'a AtomicU64,
}

/// Says that it is time to stop when it is dropped, by a panic too: else whoever
/// runs beside would be waited for for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// One core is busy with something else: what sharing the machine costs.
fn burn(beat: &Beat<'_>) {
    let mut n = 1_u64;
    while !beat.stop.load(Relaxed) {
        for _ in 0..10_000 {
            n = std::hint::black_box(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

fn list(daemon: &Daemon, beat: &Beat<'_>) {
    while !beat.stop.load(Relaxed) {
        let mut command = Command::new(PROGRAM);
        command.arg("list").arg("--socket").arg(daemon.control()).stdout(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        loop {
            match child.try_wait().expect("it is our child") {
                Some(status) => {
                    assert!(status.success(), "list failed");
                    beat.done.fetch_add(1, Relaxed);
                    break;
                }
                None if beat.stop.load(Relaxed) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break;
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

fn stretch(
    daemon: &Daemon,
    args: &Args,
    length: Duration,
    beside: &(dyn Fn(&Beat<'_>) + Sync),
) -> io::Result<Stretch> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut taken = thread::scope(|scope| {
        scope.spawn(|| beside(&Beat { stop: &stop, done: &done }));
        let _stop = Stop(&stop);
        messages(daemon, args, length)
    })?;
    taken.sort();
    let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
    Ok(Stretch { p50: at(0.5), p99: at(0.99), max: at(1.0), lists: done.into_inner() })
}

/// How long each message took; of a client without a restriction and one with, in
/// turn.
fn messages(daemon: &Daemon, args: &Args, length: Duration) -> io::Result<Vec<Duration>> {
    let next = || {
        let number = args.connectors + CLIENTS.fetch_add(1, Relaxed);
        Mta::connect(&daemon.milter(), client(number))
    };
    let mut free = next()?;
    let mut refused = Mta::connect(&daemon.milter(), client(11))?;
    let pause = Duration::from_micros(1_000_000 / RATE);
    let (begun, mut taken) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        let n = taken.len() as u64;
        let due = begun + pause * n as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let from = Instant::now();
        let is_free = n.is_multiple_of(2);
        let mta = if is_free { &mut free } else { &mut refused };
        let reply = mta.message("news@example.org", "customer1@shop.example", n)?;
        taken.push(from.elapsed());
        let code = matches!(&reply, Reply::Code(_));
        assert!(code != is_free, "client {}: {reply:?}", if is_free { "free" } else { "refused" });
        if n % (2 * MOST) == 2 * MOST - 2 {
            free = next()?;
        }
        if !is_free && n % 14 == 13 {
            // After 8 refusals a session is closed, as Postfix would.
            refused = Mta::connect(&daemon.milter(), client(11))?;
        }
    }
    Ok(taken)
}
