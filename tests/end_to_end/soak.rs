//! The soak: mail through a real Postfix for minutes or hours, while the daemon is
//! killed, stopped, reloaded with good and with broken files, its log rotated, and
//! clients are taken over, refused and unblocked.
//!
//! Every message that was accepted arrives once, none that was refused, Postfix's
//! queue is empty at the end, and the daemon needs no more memory and no more files
//! at the end than after its warm-up. A table says how it went.
//!
//! The first third is [trouble](chaos); then one daemon lives on, and what it needs is
//! [measured](gauge), from 23 minutes in all on also judged. `CONNGUARD_SEED` repeats the choices.

mod chaos;
mod clients;
mod gauge;
mod report;
mod stage;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::harness::config::Config;
use super::harness::postfix::Settings;
use super::harness::site::Site;
use super::under_load::{Ledger, Rng, rng};
use chaos::{Chaos, Troubles};
use report::Report;
use stage::Stage;

/// Until then memory grows under a steady load: what Postfix has removed from its
/// queue is remembered for ten minutes.
const WARM_UP: Duration = Duration::from_secs(12 * 60);
/// Less than this says nothing.
const MEASURED: Duration = Duration::from_secs(3 * 60);

/// How long each part takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Kills, stops and all else.
    trouble: Duration,
    /// One life of the daemon, its warm-up included.
    steady: Duration,
    warm_up: Duration,
    /// Longest pause between two troubles.
    pause: Duration,
    /// Whether memory must be flat: there was time to warm up.
    judges_memory: bool,
}

#[test]
fn a_short_soak_loses_and_doubles_nothing() {
    let seconds = Duration::from_secs;
    soak(Plan {
        trouble: seconds(6),
        steady: seconds(3),
        warm_up: seconds(1),
        pause: Duration::from_millis(600),
        judges_memory: false,
    });
}

#[test]
#[ignore = "takes half an hour: tests/soak --minutes 30"]
fn a_soak_loses_and_doubles_nothing_and_needs_no_more() {
    let minutes = std::env::var("CONNGUARD_MINUTES").map_or(30, |text| text.parse().unwrap());
    soak(Plan::of(Duration::from_secs(minutes * 60)));
}

impl Plan {
    /// A third of it is trouble.
    fn of(all: Duration) -> Self {
        let (trouble, steady) = (all / 3, all - all / 3);
        let judges_memory = steady >= WARM_UP + MEASURED;
        let warm_up = if judges_memory { WARM_UP } else { steady / 2 };
        Self { trouble, steady, warm_up, pause: Duration::from_secs(4), judges_memory }
    }
}

fn soak(plan: Plan) {
    let seed = rng::seed();
    let mut rng = Rng::new(seed);
    let ledger = Arc::new(Ledger::default());
    let mut site = Site::following(prepare);
    let stage = Stage::new(&site, &ledger);
    let mut report = Report::new(seed);
    {
        let Site { daemon, postfix, sink, .. } = &mut site;
        let (postfix, sink) = (&*postfix, &*sink);
        thread::scope(|scope| {
            let stage = &stage;
            for client in clients::all(&mut rng) {
                scope.spawn(move || {
                    let _stop = stage.stop_at_panic();
                    client.work(stage, postfix);
                });
            }
            let gauge = scope.spawn(move || {
                let _stop = stage.stop_at_panic();
                gauge::watch(stage, sink)
            });
            let _stop = stage.stop_at_end();
            let mut chaos = Chaos::new(stage, daemon, postfix, rng.fork());
            chaos.go_on(Instant::now() + plan.trouble, Troubles::All, &plan, &mut report);
            chaos.begin_life();
            report.idle_first = chaos.idle();
            let life = Instant::now();
            chaos.go_on(life + plan.steady, Troubles::Gentle, &plan, &mut report);
            report.idle_last = chaos.idle();
            stage.stop.store(true, Ordering::SeqCst);
            let samples = gauge.join().expect("the gauge");
            report.measure(&samples, life, &plan);
        });
    }
    // Those on hold were accepted, too.
    site.postfix.release_held();
    report.balance = ledger.settle(&site.sink, Duration::from_secs(180));
    report.look_at(&site);
    report.blocks = stage.blocks.load(Ordering::SeqCst);
    report.unblocks = stage.unblocks.load(Ordering::SeqCst);
    report.end(&site);
}

/// Clients that are taken over have organizations of their own, for which it takes
/// three of them to be restricted as a whole.
fn prepare(config: &mut Config, settings: &mut Settings) {
    settings.milter_fails_to("accept");
    // What is late because a queue file was locked when Postfix was reloaded.
    settings.set("queue_run_delay", "1s");
    for client in clients::GOOD {
        let lines = format!("clients = [{:?}]\nthrottle = \"off\"", client.address);
        config.connector(client.name, &lines);
    }
    for client in clients::BAD {
        let clients::Bad { name, address, action } = client;
        config.sections.push_str(&format!(
            "\n[[organization]]\nname = \"{name}\"\nregistered_domains = [\"{name}.test\"]\n"
        ));
        let lines = format!(
            "clients = [{address:?}]\norganization = {name:?}\naction = {action:?}\n\
             throttle = \"off\""
        );
        config.connector(name, &lines);
    }
}
