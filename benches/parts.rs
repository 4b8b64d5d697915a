//! What the parts around the engine cost: `cargo bench --bench parts`. Changes of
//! the journal on real files in a temporary folder, lines of a mail log, From
//! headers. Beside them stands what it costs to look at each byte.

#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use connguard::{header::from_addresses, maillog};
use criterion::{Criterion, Throughput};
use std::{hint::black_box, sync::Arc};
use support::{disk::Kept, text};

fn main() {
    // Cargo runs benches with the tests too.
    if support::is_wanted() {
        let mut c = Criterion::default().configure_from_args();
        log_lines(&mut c);
        from_headers(&mut c);
        journal(&mut c);
        c.final_summary();
    }
}

fn log_lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("mail log");
    for (name, at) in [("client", 1), ("qmgr", 3), ("sent", 5), ("bounced", 7), ("foreign", 9)] {
        let line = text::LOG.get(at).unwrap();
        group.bench_function(name, |b| b.iter(|| maillog::parse(black_box(line))));
    }
    let bytes: usize = text::LOG.iter().map(|line| line.len()).sum();
    group.throughput(Throughput::Elements(text::LOG.len().try_into().unwrap()));
    group.bench_function("ten lines", |b| {
        b.iter(|| black_box(text::LOG).iter().filter(|line| maillog::parse(line).is_ok()).count());
    });
    group.throughput(Throughput::Bytes(bytes.try_into().unwrap()));
    group.bench_function("ten lines, each byte looked at", |b| {
        b.iter(|| black_box(text::LOG).iter().map(|line| spaces(line)).sum::<usize>());
    });
    group.finish();
}

fn from_headers(c: &mut Criterion) {
    let mut group = c.benchmark_group("From header");
    let ordinary = ("ordinary".to_owned(), text::FROM);
    let awkward = text::AWKWARD_FROM.iter().enumerate();
    let awkward = awkward.map(|(number, value)| (format!("awkward {}", number + 1), *value));
    for (name, value) in std::iter::once(ordinary).chain(awkward) {
        group.bench_function(name, |b| b.iter(|| from_addresses(black_box(value.as_bytes()))));
    }
    // As long as Postfix lets one be.
    let longest = "\"a\" <a@b.test>, ".repeat(6400);
    group.throughput(Throughput::Bytes(longest.len().try_into().unwrap()));
    group.bench_function("100 kB of addresses", |b| {
        b.iter(|| from_addresses(black_box(longest.as_bytes())));
    });
    group.bench_function("100 kB, each byte looked at", |b| b.iter(|| spaces(black_box(&longest))));
    group.finish();
}

fn journal(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal, changes on disk");
    group.sample_size(10);
    for waiters in [1, 64] {
        let kept = Arc::new(Kept::new(true));
        // Two changes for each who waits.
        let changes = 2 * waiters;
        group.throughput(Throughput::Elements(changes.try_into().unwrap()));
        group.bench_function(format!("by {waiters} who wait"), |b| {
            b.iter_custom(|times| kept.time_of(waiters, changes * usize::try_from(times).unwrap()));
        });
    }
    group.finish();
}

fn spaces(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b' ').count()
}
