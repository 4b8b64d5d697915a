//! More of everything than there is room for: what outsiders choose (client
//! addresses, logins, senders, their domains, recipients, queue ids) comes in floods of
//! millions, and
//!
//! - memory stays within what the cap allows, and flat in the second half of a flood;
//! - no connector that is restricted, trusted, in grace or long known is pushed out;
//! - the mail of others is answered all the while, as it was before.
//!
//! `tests/run` sends 54,000 of each kind against a cap of 18,000; `tests/exhaust` sends
//! 3,000,000 against 1,000,000, with the program as it is shipped, and prints a table.
//! Each kind has a process of its own, so that none measures memory of another one.
//! (Floods of other kinds: `tests/milter/exhaustion.rs`, `tests/end_to_end/exhaustion.rs`.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are worth knowing")]

mod kinds;
mod site;

use kinds::{KINDS, Kind};
use mimalloc::MiMalloc;
use site::{Site, resident};
use std::{
    env,
    process::{Child, Command, Stdio},
};

/// That of the program: it decides how much memory something takes.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What a connector may take, in octets: the limit of `tests/memory.rs`.
const CONNECTOR: u64 = 1536;
/// What everything else may take that does not grow with the cap, in octets.
const REST: u64 = 192 << 20;
/// How much memory may grow in the second half of a flood, in octets.
const FLAT: u64 = 24 << 20;

#[test]
fn floods_take_no_more_than_their_room() {
    run(18_000, 54_000, 2);
}

#[test]
#[ignore = "minutes, and 2 GB: see tests/exhaust"]
fn three_million_of_each_kind() {
    println!("| flood of | sent | connectors | before | at a half | at the end | allowed |");
    println!("|---|---|---|---|---|---|---|");
    run(1_000_000, 3_000_000, 1);
}

/// Sends a flood of each kind, some at a time.
fn run(cap: u32, coming: u32, at_a_time: usize) {
    for kinds in KINDS.chunks(at_a_time) {
        let children: Vec<Child> = kinds.iter().map(|kind| start(kind, cap, coming)).collect();
        for (kind, child) in kinds.iter().zip(children) {
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "a flood of {}: {told}{errors}", kind.name);
            let row = told.lines().find(|line| line.starts_with('|'));
            println!("{}", row.unwrap_or_else(|| panic!("it did not run: {told}")));
        }
    }
}

fn start(kind: &Kind, cap: u32, coming: u32) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "one_flood", "--nocapture"])
        .env("FLOOD", kind.name)
        .env("FLOOD_CAP", cap.to_string())
        .env("FLOOD_COMING", coming.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the others start it"]
fn one_flood() {
    let Ok(name) = env::var("FLOOD") else { return };
    let number = |name: &str| env::var(name).unwrap().parse::<u32>().unwrap();
    // As the daemon does.
    nix::sys::prctl::set_thp_disable(true).unwrap();
    let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
    flood(kind, number("FLOOD_CAP"), number("FLOOD_COMING"));
}

fn flood(kind: &Kind, cap: u32, coming: u32) {
    let mut site = Site::new(cap);
    let before = resident();
    let steps = coming / kind.at_once;
    let mut half = 0;
    for number in 0..steps {
        // A hundred a second.
        site.pass(f64::from(kind.at_once) / 100.0);
        (kind.step)(&mut site, number);
        if number.is_multiple_of((steps / 60).max(1)) {
            site.assert_mail_flows();
        }
        if number + 1 == steps / 2 {
            half = resident();
        }
    }
    let end = resident();
    site.assert_all_are_there();
    (kind.check)(&site, coming);
    // Networks of clients that found no room have a quarter more.
    let stays = u64::from(steps) * kind.stays;
    let allowed = u64::from(cap) * CONNECTOR * 5 / 4 + REST + stays;
    let mb = |octets: u64| octets / 1_000_000;
    println!(
        "| {} | {coming} | {} | {} MB | {} MB | {} MB | {} MB |",
        kind.name,
        site.engine.roster().len(),
        mb(before),
        mb(half),
        mb(end),
        mb(allowed)
    );
    assert!(end <= allowed, "{} MB of {}", mb(end), mb(allowed));
    assert!(end <= half + FLAT + stays / 2, "from {} to {} MB", mb(half), mb(end));
}
