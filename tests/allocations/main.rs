//! A message costs not one allocation more than it does in a milter that does
//! nothing in the same stages.
//!
//! Both run in this process, and what is counted is the whole process: the MTA
//! that plays the mail allocates nothing meanwhile. What the milter library
//! makes for each frame is in both counts, so the difference is connguard's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking, and this one shows its figures"
)]

mod mta;
mod servers;

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
/// Messages until every buffer has its size and every table its entries.
const WARM_UP: usize = 1_000;
/// Messages that are counted.
const MESSAGES: usize = 4_000;
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
        let (base, offered) = allocations(&noop, &mail, &clock);
        let (ours, agreed) = allocations(&connguard, &mail, &clock);
        assert_eq!(agreed, offered, "both negotiate the same");
        eprintln!(
            "{recipients} recipients: {base:.3} allocations a message without connguard, {ours:.3} with it"
        );
        assert!(ours - base < TOLERANCE, "{recipients} recipients: {ours} instead of {base}");
    }
}

/// Allocations for a message in a session of many, and what was negotiated.
fn allocations(server: &Server, mail: &[Mail], clock: &AtomicU64) -> (f64, Vec<u8>) {
    for client in 1..10 {
        let (mut mta, _) = Mta::open(&server.socket());
        mta.connect(&format!("192.0.2.{client}"));
        mail.iter().for_each(|mail| mta.send(mail));
    }
    let (mut mta, offer) = Mta::open(&server.socket());
    mta.connect("192.0.2.7");
    let mut send = |count| {
        for mail in mail.iter().cycle().take(count) {
            clock.fetch_add(PACE, Relaxed);
            mta.send(mail);
        }
    };
    send(WARM_UP);
    let region = Region::new(ALLOCATOR);
    send(MESSAGES);
    let change = region.change();
    // Exact: far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "so few are exact")]
    let each = (change.allocations + change.reallocations) as f64 / MESSAGES as f64;
    (each, offer)
}
