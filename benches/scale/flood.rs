//! Many more clients than there are places: memory stays flat, whoever is worth
//! keeping stays, and nobody waits.

use crate::{
    mail::{self, client, day, fill, key, login, resident, send},
    stall::{Times, Watch, least, table},
    text::{commas, time},
};
use connguard::{
    connector::{ConnectorKey, Entity, Identities},
    engine::{Blocked, Engine},
    record::{Actor, Trust},
    timestamp::Timestamp,
    verdict::Verdict,
};
use std::time::Duration;

const ROUNDS: usize = 3;

/// Numbers of those who come in a flood begin here.
const OTHERS: u32 = 4_000_000;

/// Who is there before, and who comes.
struct Plan {
    cap: u32,
    long_known: u32,
    coming: u32,
    who: fn(u32) -> Identities,
}

pub(crate) fn clients(scale: u32) -> String {
    let cap = 1_000_000 / scale;
    rounds(&Plan { cap, long_known: cap / 10 * 7, coming: 3 * cap, who: client })
}

pub(crate) fn logins(scale: u32) -> String {
    let cap = 1_000_000 / scale;
    rounds(&Plan { cap, long_known: cap / 10 * 7, coming: 3 * cap, who: login })
}

pub(crate) fn full(scale: u32) -> String {
    let cap = 1_000_000 / scale;
    rounds(&Plan { cap, long_known: cap, coming: cap, who: client })
}

fn rounds(plan: &Plan) -> String {
    let mut text = String::new();
    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        let (told, times) = flood(plan);
        if round == 0 {
            text = told;
        }
        rows.push(times.rows());
        let mut longest = times.longest;
        longest.sort_unstable_by(|a, b| b.cmp(a));
        for (nanos, at) in longest.iter().take(8) {
            eprintln!(
                "  round {round}: message {}: {} of processor",
                commas(*at as u64),
                time(*nanos)
            );
        }
    }
    text + "\n" + &table(&least(&rows))
}

fn flood(plan: &Plan) -> (String, Times) {
    let Plan { cap, long_known, coming, who } = *plan;
    let engine = mail::engine(cap);
    let mut now = day(fill(&engine, long_known, who, 0));
    let held = hold(&engine, plan, now);
    let mut text = format!("| after | connectors | memory |\n|---|---|---|\n{}", row(&engine, 0));
    let mut watch = Watch::start();
    let mut times = Times::default();
    let mut flat = Vec::new();
    for number in 0..coming {
        // About 100 new ones a second.
        if number.is_multiple_of(100) {
            now = now.plus(Duration::from_secs(1));
        }
        let identities = who(OTHERS + scattered(number, coming));
        let queue_id = format!("4X{number:08x}");
        let (verdict, took) =
            watch.time(|| send(&engine, &identities, mail::queued(&queue_id), now));
        assert_eq!(verdict, Verdict::Pass);
        times.note(took);
        // As the housekeeping does.
        if number.is_multiple_of(1000) {
            engine.sweep(now);
            engine.notices().take();
        }
        if (number + 1).is_multiple_of(coming / 6) {
            text.push_str(&row(&engine, number + 1));
            flat.push(resident());
        }
    }
    let kept = (0..long_known).filter(|number| engine.roster().get(&key(&who(*number))).is_some());
    let kept = kept.count() + held.iter().filter(|key| engine.roster().get(key).is_some()).count();
    let known = long_known as usize + held.len();
    let grown = flat.last().unwrap_or(&0).saturating_sub(flat[2]);
    text.push_str(&format!(
        "\nIn the second half memory grew by {:.1} MB. Of {} long-known, restricted and trusted connectors {} are still there.\n",
        grown as f64 / 1e6,
        commas(known as u64),
        commas(kept as u64),
    ));
    assert_eq!(kept, known);
    (text, times)
}

/// A few newcomers that are restricted or trusted.
fn hold(engine: &Engine, plan: &Plan, now: Timestamp) -> Vec<ConnectorKey> {
    if plan.long_known == plan.cap {
        return Vec::new();
    }
    let held = 0..plan.cap / 1000;
    held.map(|number| {
        let identities = (plan.who)(plan.long_known + number);
        send(engine, &identities, None, now);
        let key = key(&identities);
        let entity = Entity::from(key.clone());
        if number.is_multiple_of(2) {
            engine.block(blocked(entity), Actor::Daemon, now).unwrap();
        } else {
            let until = now.plus(Duration::from_secs(86_400 * 30));
            let trust = Trust { since: now, until, by: Actor::Daemon, reason: "a mailing".into() };
            engine.trust(&entity, trust).unwrap();
        }
        key
    })
    .collect()
}

/// A restriction by hand.
pub(crate) fn blocked(entity: Entity) -> Blocked {
    Blocked { entity, action: None, span: None, reason: "to be measured".into() }
}

/// All numbers below `count`, in another order.
fn scattered(number: u32, count: u32) -> u32 {
    let step = 2_654_435_761_u64;
    ((u64::from(number) * step) % u64::from(count)) as u32
}

fn row(engine: &Engine, messages: u32) -> String {
    format!(
        "| {} messages | {} | {} MB |\n",
        commas(messages),
        commas(engine.roster().len() as u64),
        commas(resident() / 1_000_000)
    )
}
