//! The troubles of a soak, one after another at random.

use std::thread;
use std::time::{Duration, Instant};

use super::super::harness::daemon::Daemon;
use super::super::harness::postfix::Postfix;
use super::super::harness::{SOON, wait_for};
use super::super::under_load::Rng;
use super::Plan;
use super::gauge::{Needs, needs};
use super::report::Report;
use super::stage::Stage;

/// Which troubles there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Troubles {
    All,
    /// Those that a daemon lives through.
    Gentle,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Kill,
    Stop,
    Reload,
    BrokenReload,
    Rename,
    CopyTruncate,
}

/// Who makes them.
pub(super) struct Chaos<'a> {
    stage: &'a Stage,
    daemon: &'a mut Daemon,
    postfix: &'a Postfix,
    rng: Rng,
    serial: u32,
}

impl<'a> Chaos<'a> {
    pub(super) fn new(
        stage: &'a Stage,
        daemon: &'a mut Daemon,
        postfix: &'a Postfix,
        rng: Rng,
    ) -> Self {
        Self { stage, daemon, postfix, rng, serial: 0 }
    }

    /// Makes troubles until then.
    pub(super) fn go_on(
        &mut self,
        until: Instant,
        which: Troubles,
        plan: &Plan,
        report: &mut Report,
    ) {
        let pause = u64::try_from(plan.pause.as_millis()).unwrap();
        while Instant::now() < until && !self.stage.is_over() {
            let time = Duration::from_millis(pause / 4 + self.rng.below(pause));
            let left = until.saturating_duration_since(Instant::now());
            self.stay(time.min(left));
            let trouble = match (which, report.kills) {
                (Troubles::All, 0) => Trouble::Kill,
                _ => self.choose(which),
            };
            self.make(trouble, report);
            report.tell(&self.stage.ledger);
        }
    }

    /// Waits, but not longer than the soak lasts.
    fn stay(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.stage.is_over() {
            thread::sleep(Duration::from_millis(20).min(end - Instant::now()));
        }
    }

    fn choose(&mut self, which: Troubles) -> Trouble {
        let from = if which == Troubles::All { 0 } else { 55 };
        match from + self.rng.below(100 - from) {
            0..40 => Trouble::Kill,
            40..55 => Trouble::Stop,
            55..70 => Trouble::Reload,
            70..82 => Trouble::BrokenReload,
            82..91 => Trouble::Rename,
            _ => Trouble::CopyTruncate,
        }
    }

    fn make(&mut self, trouble: Trouble, report: &mut Report) {
        match trouble {
            Trouble::Kill => {
                self.stage.life_ends();
                self.daemon.kill9();
                report.kills += 1;
                self.start(report);
            }
            Trouble::Stop => {
                self.stage.life_ends();
                let status = self.daemon.terminate();
                assert!(status.success(), "{status} at a stop");
                report.stops += 1;
                self.start(report);
            }
            Trouble::Reload => {
                self.serial += 1;
                let domain = format!("more{}.test", self.serial);
                self.daemon.configure(|config| {
                    config.registered_domains.truncate(1);
                    config.registered_domains.push(domain);
                });
                self.reload(0);
                report.reloads += 1;
            }
            Trouble::BrokenReload => {
                self.daemon.write_config("mode = \"enforce\"\nthis is broken\n");
                self.reload(4);
                self.daemon.configure(|_| ());
                report.broken_reloads += 1;
            }
            Trouble::Rename => {
                self.postfix.rename_log();
                // The new queue manager would leave what is in hand alone for a
                // minute: nothing is, but the sessions go on.
                let _guard = self.stage.hold_gate();
                self.postfix.reopen_log();
                report.renames += 1;
            }
            Trouble::CopyTruncate => {
                self.postfix.copytruncate_log();
                report.copytruncates += 1;
            }
        }
    }

    fn start(&mut self, report: &mut Report) {
        // Nobody runs for a while, or hardly.
        let down = if self.rng.percent(50) { 0 } else { self.rng.below(700) };
        thread::sleep(Duration::from_millis(down));
        let begun = Instant::now();
        self.daemon.start_again();
        report.slowest_start = report.slowest_start.max(begun.elapsed());
        self.stage.life_begins(self.daemon.pid());
    }

    /// By SIGHUP, or by the command, which must end with this code.
    fn reload(&mut self, code: i32) {
        if self.rng.percent(50) {
            return self.daemon.hup();
        }
        let answer = self.stage.cli(&["reload"]);
        assert_eq!(answer.code, code, "{answer:?}");
    }

    /// A new daemon, whose needs are measured.
    pub(super) fn begin_life(&mut self) {
        self.stage.life_ends();
        let status = self.daemon.terminate();
        assert!(status.success(), "{status} at a stop");
        self.daemon.start_again();
        self.stage.life_begins(self.daemon.pid());
        self.daemon.wait_mail_log();
    }

    /// What the daemon needs when nobody sends.
    pub(super) fn idle(&self) -> Needs {
        let _quiet = self.stage.quiet();
        let connections = || self.daemon.status("/milter/connections");
        wait_for(
            "the end of all sessions",
            SOON,
            || format!("{} go on", connections()),
            || (connections() == 0).then_some(()),
        );
        let look = |_| {
            thread::sleep(Duration::from_millis(20));
            needs(self.daemon.pid()).expect("the daemon's process")
        };
        // A command that asked just now may not be over.
        (0..10).map(look).min_by_key(|needs| needs.files.len()).expect("some looks")
    }
}
