//! `kill -9` of the daemon at random moments, under load: mail flows through a real
//! Postfix while clients are taken over and operators block, unblock and trust.
//!
//! After each start, checked with the command line and SMTP: whatever was
//! acknowledged or announced holds, what was in hand happened or did not, nothing
//! else exists, and no two incidents have one case number. Every message that was
//! accepted arrives once, and none that was refused.
//!
//! `CONNGUARD_SEED` repeats the choices, though not the moments; a failure names it.

mod actor;
mod known;
mod prepare;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::site::{INBOUND, OURS, REMOTE, Site};
use super::harness::smtp::case_in;
use super::harness::{SOON, free_port};
use super::under_load::{Ledger, Mailer, Rng, rng};
use actor::{Actor, Scene};
use known::{Known, Settled, Shown};
use prepare::{connectors, declare, strict_service};

const ACTORS: usize = 3;
/// Longest life of a daemon that is under load.
const LIFE_MS: u64 = 400;
/// How late a kill comes that aims at a step of somebody.
const AIM_US: u64 = 12_000;

#[test]
fn thirty_kills_under_load_lose_nothing() {
    kill(30);
}

#[test]
#[ignore = "takes an hour or two: tests/soak --kills 2000"]
fn many_kills_under_load_lose_nothing() {
    let kills = std::env::var("CONNGUARD_KILLS").map_or(2000, |text| text.parse().unwrap());
    kill(kills);
}

fn kill(kills: u32) {
    let seed = rng::seed();
    let mut world = World::start(seed, kills);
    let mut load = world.background(seed);
    let begun = Instant::now();
    for cycle in 1..=kills {
        world.cycle();
        if cycle.is_multiple_of(100) || cycle == kills {
            world.tell(cycle, kills, begun.elapsed());
        }
        if cycle.is_multiple_of(50) || cycle == kills {
            world.check_audit_trail();
        }
    }
    assert!(load.ends_well(), "mail of a client of no interest was refused");
    world.check_mail();
}

/// Clients of no interest, whose mail must arrive whatever happens.
struct Load {
    seed: u64,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    /// Ends it; whether all went well to the end.
    fn ends_well(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let results: Vec<_> = self.threads.drain(..).map(thread::JoinHandle::join).collect();
        results.iter().all(Result::is_ok)
    }
}

impl Drop for Load {
    #[allow(clippy::print_stderr, reason = "how to repeat a test that failed")]
    fn drop(&mut self) {
        self.ends_well();
        if thread::panicking() {
            eprintln!("again with CONNGUARD_SEED={}", self.seed);
        }
    }
}

/// A site, and what is known of it.
struct World {
    site: Site,
    rng: Rng,
    ledger: Arc<Ledger>,
    actors: Vec<Actor>,
    /// Where mail is tempfailed while the daemon is dead.
    strict: u16,
    /// Whose each case number is: also of one that only a client has read, since
    /// nobody announced it before the kill.
    cases: BTreeMap<String, String>,
    /// How much of the log was read.
    log_read: usize,
    slowest_start: Duration,
    undone: usize,
}

impl World {
    fn start(seed: u64, kills: u32) -> Self {
        let mut rng = Rng::new(seed);
        let strict = free_port();
        let ledger = Arc::new(Ledger::default());
        let crew: Vec<Vec<Known>> = (0..ACTORS).map(|actor| connectors(actor, kills)).collect();
        let site = Site::following(|config, settings| {
            config.no_throttle();
            crew.iter().flatten().enumerate().for_each(|(n, known)| declare(config, n, known));
            settings.milter_fails_to("accept");
            strict_service(settings, strict);
        });
        let actors = crew.into_iter().enumerate();
        let actors = actors.map(|(n, known)| Actor::new(n, rng.fork(), &ledger, known)).collect();
        Self {
            site,
            rng,
            ledger,
            actors,
            strict,
            cases: BTreeMap::new(),
            log_read: 0,
            slowest_start: Duration::ZERO,
            undone: 0,
        }
    }

    fn background(&self, seed: u64) -> Load {
        let port = self.site.postfix.port();
        let clients = ["127.30.0.1", "127.30.0.2"].map(|it| Mailer::new(it, port, &self.ledger));
        let stop = Arc::new(AtomicBool::new(false));
        let run = |mailer: Mailer| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut session = mailer.open();
                    for to in [&[REMOTE][..], &[INBOUND], &["one@remote.test", "two@else.test"]] {
                        let fate = mailer.send_in(&mut session, OURS, to);
                        assert!(fate.accepted(), "{fate:?} for {}", mailer.address);
                        // As no spammer would: the machine has other work.
                        thread::sleep(Duration::from_millis(40));
                    }
                }
            })
        };
        let threads = clients.map(run).into();
        Load { seed, stop, threads }
    }

    /// A life under load, its end, the next start, and all checks.
    fn cycle(&mut self) {
        self.live_and_die();
        if self.rng.percent(25) {
            self.meet_nobody();
        }
        let begun = Instant::now();
        self.site.daemon.start_again();
        self.slowest_start = self.slowest_start.max(begun.elapsed());
        let changed = self.check_list();
        self.read_log();
        self.check_mail_of(changed);
        self.ledger.take_in(&self.site.sink);
    }

    fn live_and_die(&mut self) {
        let dead = AtomicBool::new(false);
        let (begins, begun) = channel();
        let moment = Moment::choose(&mut self.rng);
        let site = &self.site;
        thread::scope(|scope| {
            for actor in &mut self.actors {
                let scene = Scene { site, port: self.strict, dead: &dead, begins: begins.clone() };
                scope.spawn(move || actor.work(&scene));
            }
            drop(begins);
            moment.wait(&begun);
            dead.store(true, Ordering::SeqCst);
            site.daemon.signal("KILL");
        });
        self.site.daemon.wait_exit(SOON);
    }

    /// While nobody runs, Postfix does what it is configured to.
    fn meet_nobody(&mut self) {
        let restricted = self.all().find(|known| known.standing.restriction.is_some());
        let address = restricted.map_or("127.30.0.9", |known| &known.address).to_owned();
        let port = self.site.postfix.port();
        let open = Mailer::new(&address, port, &self.ledger).send(OURS, &[REMOTE]);
        assert!(open.accepted(), "{open:?} though default_action=accept");
        let closed = Mailer::new(&address, self.strict, &self.ledger).send(OURS, &[REMOTE]);
        assert_eq!(closed.reply().code, 451, "{closed:?} though default_action=tempfail");
        assert_eq!(case_in(&closed.reply().text), None, "{closed:?} while nobody runs");
    }

    fn all(&self) -> impl Iterator<Item = &Known> {
        self.actors.iter().flat_map(|actor| &actor.known)
    }

    /// What is listed is what is known, and nothing else. Gives who changed in
    /// the last life: actor and place.
    fn check_list(&mut self) -> Vec<(usize, usize)> {
        let daemon = &self.site.daemon;
        let Value::Array(items) = daemon.json(&["list", "--all"]) else { panic!("no array") };
        let mut listed: BTreeMap<String, Shown> = BTreeMap::new();
        for item in &items {
            let (entity, shown) = Shown::of(item);
            if let Some(shown) = shown {
                let earlier = listed.insert(entity, shown);
                assert!(earlier.is_none(), "listed twice: {earlier:?} and {item}");
            }
        }
        let mut changed = Vec::new();
        let mut cases = Vec::new();
        for (number, actor) in self.actors.iter_mut().enumerate() {
            for at in 0..actor.known.len() {
                let known = &mut actor.known[at];
                let shown = listed.remove(&known.entity);
                let doubt = known.doubt.as_ref();
                let announced = doubt.is_some_and(|it| it.is_announced(daemon, &known.entity));
                if doubt.is_some() {
                    changed.push((number, at));
                }
                let settled = known.settle(shown.as_ref(), announced);
                if let Some(case) = shown.and_then(|shown| shown.case) {
                    cases.push((case, known.entity.clone()));
                }
                match settled {
                    Settled::Done(doubt) => actor.done.extend(doubt.reason),
                    Settled::Undone(doubt) => {
                        self.undone += 1;
                        // Its client has read the number.
                        let held = doubt.after.restriction;
                        let case = held.and_then(|held| held.case);
                        cases.extend(case.map(|case| (case, known.entity.clone())));
                        actor.undone.extend(doubt.reason);
                    }
                    Settled::Nothing => (),
                }
            }
        }
        assert!(listed.is_empty(), "nobody ever restricted, trusted or lifted {listed:?}");
        for (case, entity) in cases {
            self.note_case(&case, &entity);
        }
        changed
    }

    /// The case numbers in what was logged since the last time.
    fn read_log(&mut self) {
        let log = self.site.daemon.log();
        let new = log.get(self.log_read..).unwrap_or_default();
        let mut found = Vec::new();
        for line in new.lines() {
            assert!(!line.contains("panicked") && !line.contains(" ERROR "), "{line}");
            let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key));
            if let (Some(entity), Some(case)) = (word("entity="), word("case=")) {
                found.push((case.to_owned(), entity.to_owned()));
            }
        }
        self.log_read = log.len();
        for (case, entity) in found {
            self.note_case(&case, &entity);
        }
    }

    fn note_case(&mut self, case: &str, entity: &str) {
        let owner = self.cases.entry(case.to_owned()).or_insert_with(|| entity.to_owned());
        assert_eq!(owner, entity, "{case} belongs to two incidents");
    }

    /// Mail of those of whom something was in doubt, and of some others, meets what
    /// is in force: the first commands of the first sessions.
    fn check_mail_of(&mut self, mut whom: Vec<(usize, usize)>) {
        let alive = AtomicBool::new(false);
        let (begins, _) = channel();
        let scene = Scene { site: &self.site, port: self.strict, dead: &alive, begins };
        for number in 0..self.actors.len() {
            let at = self.rng.index(self.actors[number].known.len());
            whom.push((number, at));
        }
        for (number, at) in whom {
            self.actors[number].probe(&scene, at);
        }
    }

    /// The audit trail tells every command that was done, once, and no other.
    fn check_audit_trail(&self) {
        let Value::Array(records) = self.site.daemon.json(&["history"]) else { panic!("no array") };
        let mut told: BTreeMap<String, u32> = BTreeMap::new();
        let offenders: BTreeSet<&str> = self
            .all()
            .filter(|known| known.judged.is_some())
            .map(|known| known.entity.as_str())
            .collect();
        for record in &records {
            let text = |field: &str| record[field].as_str().unwrap_or_default();
            if text("by") == "judgement" {
                assert!(offenders.contains(text("entity")), "{record}");
                continue;
            }
            // Behind a trust's reason stands until when.
            let why = text("why").split(" (until").next().unwrap_or_default();
            *told.entry(why.to_owned()).or_default() += 1;
        }
        for actor in &self.actors {
            for reason in &actor.done {
                assert_eq!(told.remove(reason), Some(1), "{reason:?} in the audit trail");
            }
        }
        assert!(told.is_empty(), "nobody did {told:?}");
    }

    /// Every accepted message arrives once, those on hold when they are released.
    fn check_mail(&self) {
        let postfix = &self.site.postfix;
        let queue = postfix.queue();
        for id in self.actors.iter().flat_map(|actor| &actor.held) {
            let is_held = |it: &&Value| it["queue_id"] == **id && it["queue_name"] == "hold";
            assert!(queue.iter().any(|it| is_held(&it)), "{id} is not on hold");
        }
        postfix.release_held();
        let balance = self.ledger.settle(&self.site.sink, Duration::from_secs(150));
        assert!(balance.faults().is_empty(), "{:#?}", balance.faults());
        assert!(balance.accepted > 0 && balance.refused > 0, "{balance:?}");
    }

    #[allow(clippy::print_stdout, reason = "how far it is, for whoever waits")]
    fn tell(&self, cycle: u32, kills: u32, time: Duration) {
        let commands: usize = self.actors.iter().map(|actor| actor.done.len()).sum();
        let balance = self.ledger.balance();
        println!(
            "{cycle} of {kills} kills, {:.2} s each; {commands} commands done, {} in hand undone, \
             {} cases; {} messages accepted, {} refused; slowest start {} ms, transaction {} ms",
            time.as_secs_f64() / f64::from(cycle),
            self.undone,
            self.cases.len(),
            balance.accepted,
            balance.refused,
            self.slowest_start.as_millis(),
            balance.slowest.as_millis(),
        );
    }
}

/// When the daemon is killed.
enum Moment {
    /// After so long.
    After(Duration),
    /// So long after so many steps have begun.
    InStep(u64, Duration),
}

impl Moment {
    fn choose(rng: &mut Rng) -> Self {
        if rng.percent(50) {
            Self::After(Duration::from_millis(rng.below(LIFE_MS)))
        } else {
            Self::InStep(1 + rng.below(12), Duration::from_micros(rng.below(AIM_US)))
        }
    }

    fn wait(&self, begun: &Receiver<()>) {
        match self {
            Self::After(time) => thread::sleep(*time),
            Self::InStep(steps, time) => {
                for _ in 0..*steps {
                    if begun.recv_timeout(SOON).is_err() {
                        break;
                    }
                }
                thread::sleep(*time);
            }
        }
    }
}
