//! A message costs not one allocation more than it does in a milter that does
//! nothing in the same stages.
//!
//! Both run in this process, and what is counted is the whole process: the MTA
//! that plays the mail allocates nothing meanwhile. What the milter library
//! makes for each frame is in both counts, so the difference is connguard's.
//!
//! The housekeeping, once a second in the daemon, is counted apart and only shown:
//! it takes in what messages left, and remembers which are in Postfix's queue.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking, and this one shows its figures"
)]

mod mta;
#[path = "../../benches/load/noop.rs"]
#[allow(dead_code, reason = "it is a program of its own elsewhere")]
mod noop;
mod servers;

use connguard::timestamp::Timestamp;
use mta::{Mail, Mta};
use servers::Server;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{
    alloc::System,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Milliseconds from one message to the next.
const PACE: u64 = 250;
/// Rounds until every buffer has its size and every table its entries.
const WARM_UP: usize = 4;
/// Messages between two rounds of housekeeping: fewer than may wait for it, so
/// that none has to take in what others left.
const ROUND: usize = 250;
/// Rounds that are counted.
const ROUNDS: usize = 16;
/// Allocations more for a message: none, but for what grows as time goes on
/// (rings of hours, tables), which is some ten in all these messages. One in
/// every hundredth message would be seen.
const TOLERANCE: f64 = 0.01;

#[test]
fn a_message_costs_no_allocation_of_ours() {
    let clock = Arc::new(AtomicU64::new(1_795_000_000_000));
    let (noop, connguard) = (Server::noop(), Server::connguard(&clock));
    for recipients in [1, 10] {
        let mail: Vec<Mail> = (0..100).map(|number| Mail::new(number, recipients)).collect();
        let base = measure(&noop, &mail, &clock);
        let ours = measure(&connguard, &mail, &clock);
        assert_eq!(ours.agreed, base.agreed, "both negotiate the same");
        eprintln!(
            "{recipients} recipients: {:.3} allocations a message without connguard, {:.3} with it, and {:.3} in its housekeeping",
            base.messages, ours.messages, ours.housekeeping
        );
        let more = ours.messages - base.messages;
        assert!(more < TOLERANCE, "{recipients} recipients: {more} more");
    }
}

/// What was counted, for each message.
struct Measured {
    messages: f64,
    housekeeping: f64,
    /// What was negotiated.
    agreed: Vec<u8>,
}

/// Allocations for a message in a session of many.
fn measure(server: &Server, mail: &[Mail], clock: &AtomicU64) -> Measured {
    for client in 1..10 {
        let (mut mta, _) = Mta::open(&server.socket());
        mta.connect(&format!("192.0.2.{client}"));
        mail.iter().for_each(|mail| mta.send(mail));
    }
    let (mut mta, agreed) = Mta::open(&server.socket());
    mta.connect("192.0.2.7");
    let (mut messages, mut housekeeping) = (0, 0);
    let mut next = mail.iter().cycle();
    for round in 0..WARM_UP + ROUNDS {
        let region = Region::new(ALLOCATOR);
        for mail in next.by_ref().take(ROUND) {
            clock.fetch_add(PACE, Relaxed);
            mta.send(mail);
        }
        let sent = allocations(&region);
        server.housekeeping(Timestamp::from_millis(clock.load(Relaxed)));
        if round >= WARM_UP {
            messages += sent;
            housekeeping += allocations(&region) - sent;
        }
    }
    let each = |count: u32| f64::from(count) / (ROUNDS * ROUND) as f64;
    Measured { messages: each(messages), housekeeping: each(housekeeping), agreed }
}

fn allocations(region: &Region<'_, System>) -> u32 {
    let change = region.change();
    u32::try_from(change.allocations + change.reallocations).unwrap()
}
