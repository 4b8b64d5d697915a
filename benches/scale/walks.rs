//! One thread sends ordinary mail among a million connectors, while another one
//! walks over all of them, as the housekeeping, a save or an operator does.

use crate::{
    flood::blocked,
    mail::{self, client, day, fill, resident, send, settings},
    stall::{Times, Watch, least},
    text::{commas, time},
};
use connguard::{
    connector::{ConnectorKey, Entity},
    engine::Engine,
    history::{Saved, Store},
    record::{Actor, Restriction},
    timestamp::Timestamp,
    verdict::Verdict,
    view,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const ROUNDS: usize = 3;
/// Numbers of restricted and of new clients begin here.
const RESTRICTED: u32 = 8_000_000;
const NEW: u32 = 9_000_000;

struct Bed {
    engine: Arc<Engine>,
    known: u32,
    now: Timestamp,
    /// A restriction.
    like: Restriction,
    /// How many new clients have come.
    new: AtomicU64,
    /// Walks that were made.
    walks: AtomicU64,
    directory: tempfile::TempDir,
}

/// Says that it is time to stop when it is dropped, by a panic too: else whoever
/// runs beside would be waited for for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A walk, and what it is called.
type Walk = (&'static str, fn(&Bed));

const WALKS: [Walk; 11] = [
    ("none, the other thread computes", compute),
    ("`Engine::sweep` with its look at all evidence", sweep),
    ("history saved as the daemon does", save),
    ("`list --all`", list),
    ("`top`", top),
    ("a look at each connector", look),
    ("reload with another directory", reload),
    ("`count_attempts`, 100,000 restrictions", attempts),
    ("snapshot for the journal, 100,000 restrictions", snapshot),
    ("`sweep` of the table, 100,000 restrictions", table),
    ("1,000 restrictions a second made and lifted", restrict),
];

pub(crate) fn all(scale: u32) -> String {
    let known = 1_000_000 / scale;
    let engine = mail::engine(known + known / 2);
    let now = day(fill(&engine, known, client, 0));
    for number in 0..100_000 / scale {
        let entity = Entity::from(key(RESTRICTED + number));
        engine.block(blocked(entity), Actor::Daemon, now).unwrap();
    }
    let held = engine.table().in_force(&key(RESTRICTED).into(), now).unwrap();
    let bed = Bed {
        like: Restriction::clone(&held.restriction),
        engine: Arc::new(engine),
        known,
        now,
        new: AtomicU64::new(0),
        walks: AtomicU64::new(0),
        directory: tempfile::tempdir().unwrap(),
    };
    let span = Duration::from_secs(if scale > 1 { 1 } else { 3 });
    let before = resident();
    let mut text = format!(
        "{} connectors, {} restrictions, {} MB. Every 20th message is of a new client, and with every 64th somebody is restricted and forgiven, as by the message that tips the scale. Peak: by how much memory was above that.\n\n\
        | walk | of its calls the fastest | messages | p99 wall | longest wall | longest ours | longest processor | longest restriction, ours | peak |\n|---|---|---|---|---|---|---|---|---|\n",
        commas(bed.engine.roster().len() as u64),
        commas(bed.engine.table().len() as u64),
        commas(before / 1_000_000),
    );
    for (name, walk) in WALKS {
        text.push_str(&measure(&bed, name, walk, span));
    }
    text
}

fn measure(bed: &Bed, name: &str, walk: fn(&Bed), span: Duration) -> String {
    let (mut rounds, mut restricting) = (Vec::new(), Vec::new());
    let (mut messages, mut peak, mut fastest) = (0, 0, Duration::MAX);
    let before = resident();
    for _ in 0..ROUNDS {
        let stop = AtomicBool::new(false);
        let (times, restrictions, highest) = std::thread::scope(|scope| {
            let walker = scope.spawn(|| {
                let mut fastest = Duration::MAX;
                while !stop.load(Relaxed) {
                    let start = Instant::now();
                    walk(bed);
                    fastest = fastest.min(start.elapsed());
                    bed.walks.fetch_add(1, Relaxed);
                }
                fastest
            });
            let sent = {
                let _stop = Stop(&stop);
                mail_for(bed, span)
            };
            fastest = fastest.min(walker.join().unwrap());
            sent
        });
        messages += times.len();
        peak = peak.max(highest.saturating_sub(before));
        rounds.push(times.rows());
        restricting.push(restrictions.rows());
    }
    let [wall, ours, cpu] = least(&rounds);
    let [_, restricting, _] = least(&restricting);
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} MB |\n",
        time(u64::try_from(fastest.as_nanos()).unwrap_or(u64::MAX)),
        commas(messages as u64),
        time(wall[1]),
        time(wall[3]),
        time(ours[3]),
        time(cpu[3]),
        time(restricting[3]),
        commas(peak / 1_000_000),
    )
}

/// Sends ordinary mail for so long, and until a walk was over; gives the highest use
/// of memory too.
fn mail_for(bed: &Bed, span: Duration) -> (Times, Times, u64) {
    let mut watch = Watch::start();
    let (mut times, mut restrictions, mut highest) = (Times::default(), Times::default(), 0);
    let (start, walks) = (Instant::now(), bed.walks.load(Relaxed));
    let mut state = 1_u32;
    while start.elapsed() < span || bed.walks.load(Relaxed) == walks {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let number = if state.is_multiple_of(20) {
            NEW + bed.new.fetch_add(1, Relaxed) as u32
        } else {
            (state >> 4) % bed.known
        };
        let identities = client(number);
        let queue_id = format!("4X{state:08x}");
        let (verdict, took) =
            watch.time(|| send(&bed.engine, &identities, mail::queued(&queue_id), bed.now));
        assert_eq!(verdict, Verdict::Pass);
        times.note(took);
        if times.len().is_multiple_of(64) {
            let key = key(NEW - 1 - state % 100_000);
            restrictions.note(watch.time(|| tip(bed, key)).1);
        }
        if times.len().is_multiple_of(4096) {
            highest = highest.max(resident());
            bed.engine.notices().take();
        }
    }
    (times, restrictions, highest)
}

fn key(number: u32) -> ConnectorKey {
    mail::key(&client(number))
}

fn compute(bed: &Bed) {
    let mut word = u64::from(bed.known);
    for _ in 0..10_000_000 {
        word = std::hint::black_box(word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn sweep(bed: &Bed) {
    // Each one finds that it is time to look at all evidence.
    let count = bed.walks.load(Relaxed);
    bed.engine.sweep(bed.now.plus(Duration::from_secs(601 * (count + 1))));
}

fn save(bed: &Bed) {
    let engine = &bed.engine;
    let saved = Saved {
        key: engine.key(),
        connectors: engine.histories(),
        filters: engine.filters(),
        messages: engine.waiting(),
        place: None,
        saved_at: bed.now,
        muted_until: None,
    };
    Store::open(bed.directory.path(), 1).save(saved).unwrap();
}

fn list(bed: &Bed) {
    std::hint::black_box(view::list(&bed.engine, true, bed.now).count());
}

fn top(bed: &Bed) {
    std::hint::black_box(view::top(&bed.engine, bed.now));
}

fn look(bed: &Bed) {
    let mut oldest = bed.now;
    bed.engine.roster().for_each(|_, tally| oldest = oldest.min(tally.last_seen()));
    std::hint::black_box(oldest);
}

fn reload(bed: &Bed) {
    let domains = ["example.org", "example.net"];
    let some = 1 + bed.walks.load(Relaxed) as usize % 2;
    bed.engine.reload(settings(&domains[..some]), bed.now);
}

fn attempts(bed: &Bed) {
    bed.engine.table().count_attempts();
}

fn snapshot(bed: &Bed) {
    std::hint::black_box(bed.engine.table().snapshot());
}

fn table(bed: &Bed) {
    bed.engine.table().sweep(bed.now);
}

/// What the message does that tips the scale, with the lifting after it.
fn tip(bed: &Bed, key: ConnectorKey) {
    let (table, entity) = (bed.engine.table(), Entity::from(key));
    let make = |case| Restriction { case, entity: entity.clone(), ..bed.like.clone() };
    table.restrict(&entity, bed.now, make);
    table.lift(&entity, bed.now, Actor::Daemon, "measured", Duration::ZERO);
}

fn restrict(bed: &Bed) {
    std::thread::sleep(Duration::from_millis(1));
    tip(bed, key(RESTRICTED - 1 - bed.walks.load(Relaxed) as u32 % 1000));
}
