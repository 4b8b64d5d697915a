//! The clients of a soak: those who only send, and those who are taken over again
//! and again, refused, and unblocked.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use super::super::harness::postfix::Postfix;
use super::super::harness::site::{INBOUND, OURS, REMOTE};
use super::super::harness::smtp::SmtpClient;
use super::super::under_load::{Fate, Mailer, Rng};
use super::stage::Stage;

/// A client whose mail is always accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Good {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
}

/// One that is taken over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bad {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
    pub(super) action: &'static str,
}

pub(super) const GOOD: [Good; 4] = [
    Good { name: "shop", address: "127.0.1.1" },
    Good { name: "desk", address: "127.0.1.2" },
    Good { name: "mill", address: "127.0.1.3" },
    Good { name: "yard", address: "127.0.1.4" },
];

pub(super) const BAD: [Bad; 3] = [
    Bad { name: "soft", address: "127.0.2.1", action: "tempfail" },
    Bad { name: "hard", address: "127.0.2.2", action: "reject" },
    Bad { name: "kept", address: "127.0.2.3", action: "hold" },
];

/// Messages that a client which was taken over sends at the most.
const MOST_ODD: u32 = 30;

/// One of them at work.
pub(super) struct Client {
    kind: Kind,
    rng: Rng,
    serial: u32,
}

enum Kind {
    Good(Good),
    Bad(Bad),
}

/// Everybody.
pub(super) fn all(rng: &mut Rng) -> Vec<Client> {
    let kinds = GOOD.into_iter().map(Kind::Good).chain(BAD.into_iter().map(Kind::Bad));
    kinds.map(|kind| Client { kind, rng: rng.fork(), serial: 0 }).collect()
}

impl Client {
    /// Sends until all is over.
    pub(super) fn work(mut self, stage: &Stage, postfix: &Postfix) {
        while !stage.is_over() {
            match self.kind {
                Kind::Good(good) => self.session(stage, &good),
                Kind::Bad(bad) => self.round(stage, postfix, &bad),
            }
        }
    }

    /// A session of some messages, which nobody may refuse.
    fn session(&mut self, stage: &Stage, good: &Good) {
        let mailer = stage.mailer(good.address);
        let mut session: Option<SmtpClient> = None;
        for _ in 0..=self.rng.below(6) {
            if stage.pauses() {
                session = None;
            }
            {
                let _guard = stage.enter();
                let to = self.recipients();
                let to: Vec<&str> = to.iter().map(String::as_str).collect();
                let session = session.get_or_insert_with(|| mailer.open());
                let fate = mailer.send_in(session, OURS, &to);
                assert!(fate.accepted(), "{fate:?} for {good:?}");
            }
            thread::sleep(Duration::from_millis(self.rng.below(60)));
        }
    }

    /// One to three recipients; a few are greylisted, or are unknown where they are.
    fn recipients(&mut self) -> Vec<String> {
        let count = 1 + self.rng.below(3);
        (0..count)
            .map(|_| {
                self.serial += 1;
                let Kind::Good(Good { name, .. }) = self.kind else { return REMOTE.to_owned() };
                match self.rng.below(200) {
                    0 => format!("dead-{name}-{}@remote.test", self.serial),
                    1..4 => format!("grey-{name}-{}@remote.test", self.serial),
                    4..30 => INBOUND.replace("bob", &format!("bob{}", self.serial)),
                    n => format!("friend{n}.{}@remote.test", self.serial % 50),
                }
            })
            .collect()
    }

    /// Taken over, refused, unblocked, in order again.
    fn round(&mut self, stage: &Stage, postfix: &Postfix, bad: &Bad) {
        let mailer = stage.mailer(bad.address);
        if self.misbehave(stage, &mailer, bad) {
            stage.blocks.fetch_add(1, SeqCst);
            self.try_in_vain(stage, &mailer, bad);
            self.unblock(stage, &mailer, bad);
            if bad.action == "hold" {
                postfix.release_held();
            }
        }
        thread::sleep(Duration::from_millis(100 + self.rng.below(300)));
    }

    /// Odd mail until it is restricted. Nobody sees that while no daemon runs.
    fn misbehave(&mut self, stage: &Stage, mailer: &Mailer, bad: &Bad) -> bool {
        let _guard = stage.enter();
        let mut session = mailer.open();
        for n in 0..MOST_ODD {
            self.serial += 1;
            let from = format!("win@odd{}-{}.test", self.serial, bad.name);
            match mailer.send_in(&mut session, &from, &[REMOTE]) {
                Fate::Refused(_) => return true,
                // What is held is accepted: only the list tells.
                Fate::Accepted(_) if bad.action == "hold" && n >= 4 && is_listed(stage, bad) => {
                    return true;
                }
                Fate::Accepted(_) => (),
            }
            if stage.is_over() {
                return false;
            }
        }
        false
    }

    fn try_in_vain(&mut self, stage: &Stage, mailer: &Mailer, bad: &Bad) {
        let from = format!("clerk@{}.test", bad.name);
        for _ in 0..=self.rng.below(4) {
            let _guard = stage.enter();
            let life = stage.life();
            let listed = is_listed(stage, bad);
            let fate = mailer.send(&from, &[REMOTE]);
            // Whoever lost it in a kill, or let it pass meanwhile, is no matter here.
            let is_settled = listed && life.is_some() && life == stage.life();
            let passes = fate.accepted() && bad.action != "hold";
            assert!(!(is_settled && passes), "{bad:?} is listed, and {fate:?}");
        }
    }

    fn unblock(&mut self, stage: &Stage, mailer: &Mailer, bad: &Bad) {
        let entity = format!("connector:{}", bad.name);
        let unblock = ["unblock", &entity, "--reason", "soaked", "--force", "--grace", "0s"];
        while !stage.is_over() {
            let life = stage.life();
            let answer = stage.cli(&unblock);
            match answer.code {
                0 => {
                    stage.unblocks.fetch_add(1, SeqCst);
                    let _guard = stage.enter();
                    let from = format!("clerk@{}.test", bad.name);
                    let fate = mailer.send(&from, &[REMOTE]);
                    assert!(fate.accepted(), "{fate:?} for {bad:?}, which was unblocked");
                    return;
                }
                // It was restricted when nobody had announced that yet.
                1 => return,
                3 => assert!(life.is_none() || life != stage.life(), "{answer:?}"),
                _ => panic!("{answer:?}"),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_listed(stage: &Stage, bad: &Bad) -> bool {
    let answer = stage.cli(&["list"]);
    answer.code == 0 && answer.stdout.contains(&format!("connector:{} ", bad.name))
}
