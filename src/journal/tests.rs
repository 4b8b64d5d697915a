#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod crash;
mod damage;
mod faults;
mod folder;
mod formats;
mod model;

use super::*;
use crate::{
    connector::Entity,
    record::{Actor, CaseId, Event, Record, Restriction, Standing, Trust},
    verdict::{Action, Scope},
};
use std::{
    fs,
    sync::{Mutex, mpsc},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn client(n: usize) -> Entity {
    format!("login:user{n}").parse().unwrap()
}

fn restriction(who: &Entity, case: CaseId) -> Restriction {
    Restriction {
        entity: who.clone(),
        case,
        action: Action::Tempfail,
        scope: Scope::Relayed,
        since: at(0),
        until: None,
        reject_from: None,
        by: Actor::Judgement,
        reason: "9 of 9 messages \"from\"\nunregistered domains: ä".into(),
        mark: false,
        findings: Vec::new(),
        samples: Vec::new(),
        passed_messages: 9,
        passed_recipients: 12,
        keys: Vec::new(),
    }
}

fn restrict(table: &Table, n: usize) -> u64 {
    let who = client(n);
    let make = |case| restriction(&who, case);
    table.restrict(&who, at(1), make).1.unwrap()
}

fn lift(table: &Table, n: usize) -> u64 {
    let by = Actor::Operator("anna".into());
    let lifted = table.lift(&client(n), at(2), by, "cleaned", HOUR);
    lifted.unwrap().1
}

type Told = (Vec<Record>, bool, bool);

/// A daemon with nothing but a table and its journal.
struct Daemon {
    table: Arc<Table>,
    handle: Handle,
    warnings: Vec<String>,
    /// Records, on disk, incomplete.
    announced: Mutex<mpsc::Receiver<Told>>,
}

struct Setting {
    storage: Arc<dyn Storage>,
    params: Params,
    now: Timestamp,
}

impl Default for Setting {
    fn default() -> Self {
        Self { storage: Arc::new(Disk), params: Params::default(), now: at(0) }
    }
}

impl Setting {
    fn start(self, folder: &Path) -> Daemon {
        let (journal, recovered) = Journal::open_on(self.storage, folder).unwrap();
        let table = Arc::new(Table::default());
        table.restore(recovered.snapshot);
        let (sender, announced) = mpsc::channel();
        let announce = move |it: &Announcement<'_>| {
            let _ = sender.send((it.records.to_vec(), it.on_disk, it.incomplete));
        };
        let now = self.now;
        let clock: Clock = Arc::new(move || now);
        let handle = journal.start(Arc::clone(&table), self.params, clock, announce).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(handle.begun());
        Daemon { table, handle, warnings: recovered.warnings, announced: Mutex::new(announced) }
    }
}

impl Daemon {
    fn start(folder: &Path) -> Self {
        Setting::default().start(folder)
    }

    fn durable(&self, seq: u64) -> Result<(), NotDurable> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(DEADLINE, self.handle.durable(seq)).await })
            .unwrap_or_else(|_| panic!("change {seq} was neither written nor refused"))
    }

    fn told(&self, longest: Duration) -> Option<Told> {
        self.announced.lock().unwrap().recv_timeout(longest).ok()
    }

    fn in_force(&self) -> Vec<(Entity, Standing)> {
        in_force(&self.table)
    }
}

fn in_force(table: &Table) -> Vec<(Entity, Standing)> {
    let list = table.list(at(3)).into_iter();
    list.map(|it| (it.entity, *it.standing)).collect()
}

/// What a start on the files of `folder` would restore, as after a crash:
/// the lock and the threads of a running daemon are left alone.
fn after_crash(folder: &Path) -> (Vec<(Entity, Standing)>, Vec<String>) {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let (_journal, recovered) = Journal::open(copy.path()).unwrap();
    let table = Table::default();
    table.restore(recovered.snapshot);
    (in_force(&table), recovered.warnings)
}

fn segment(folder: &Path, number: u64) -> PathBuf {
    recovery::segment_path(folder, number)
}

#[test]
fn what_is_in_force_survives_a_stop_and_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for n in 0..5 {
        restrict(&daemon.table, n);
    }
    lift(&daemon.table, 2);
    let wrong = crate::restriction::Aftermath { raise: true, ..Default::default() };
    daemon.table.lift(&client(4), at(2), Actor::Daemon, "wrong", wrong).unwrap();
    let trust = Trust {
        since: at(2),
        until: at(9000),
        by: Actor::Operator("anna".into()),
        reason: "newsletter".into(),
    };
    let last = daemon.table.exempt(&client(9), trust);
    daemon.durable(last).unwrap();
    let expected = daemon.in_force();
    assert_eq!(expected.len(), 6);
    assert!(expected.iter().any(|(_, standing)| standing.raised.is_some()));
    assert_eq!(after_crash(folder.path()), (expected.clone(), vec![]));

    daemon.handle.stop().unwrap();
    let again = Daemon::start(folder.path());
    assert_eq!(again.in_force(), expected);
    assert_eq!(again.warnings, [""; 0]);
    // Numbers go on: of changes and of cases.
    assert_eq!(restrict(&again.table, 2), last + 1);
    let new = again.table.in_force(&client(2), at(3)).unwrap();
    assert_eq!(new.restriction.case, CaseId(6));
}

#[test]
fn a_stop_writes_what_nobody_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for n in 0..100 {
        restrict(&daemon.table, n);
    }
    daemon.handle.stop().unwrap();
    assert_eq!(daemon.durable(100), Ok(()));
    // A later change is refused, and not waited for.
    let late = restrict(&daemon.table, 100);
    assert!(daemon.durable(late).is_err());
    assert_eq!(after_crash(folder.path()).0.len(), 100);
}

#[test]
fn changes_are_announced_once_and_after_they_are_durable() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for n in 0..20 {
        restrict(&daemon.table, n);
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let (records, on_disk, incomplete) = daemon.told(DEADLINE).unwrap();
        assert!(on_disk && !incomplete);
        for record in records {
            assert!(record.seq <= daemon.handle.status().durable_seq);
            seen.push(record.seq);
        }
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[test]
fn many_threads_wait_for_their_own_change() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                for n in 0..10 {
                    let n = thread * 100 + n;
                    daemon.durable(restrict(&daemon.table, n)).unwrap();
                }
            });
        }
    });
    assert_eq!(after_crash(folder.path()).0, daemon.in_force());
    assert_eq!(daemon.handle.status().durable_seq, 80);
}

#[test]
fn a_person_can_read_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    daemon.durable(restrict(&daemon.table, 1)).unwrap();
    let text = fs::read_to_string(segment(folder.path(), 1)).unwrap();
    let lines: Vec<_> = text.lines().map(|line| &line[9..]).collect();
    assert_eq!(
        lines[0],
        r#"{"connguard_journal":1,"segment":1,"created":"2026-11-18T11:06:40.000Z","seq":0,"next_case":1,"live":0}"#
    );
    assert!(lines[1].starts_with(r#"{"change":{"seq":1,"at":"2026-11-18T11:06:41.000Z","by":"judgement","event":{"restricted":{"entity":"login:user1","case":"C-000001","#));
    assert_eq!(lines.len(), 2);
    let status = daemon.handle.status();
    assert_eq!((status.records, status.bytes), (1, text.len() as u64));
    assert_eq!((status.segments, status.healthy), (1, true));
}

#[test]
fn a_full_segment_is_followed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting {
        params: Params { segment_bytes: 2000, ..Params::default() },
        ..Setting::default()
    };
    let daemon = setting.start(folder.path());
    for n in 0..30 {
        let seq = restrict(&daemon.table, n);
        daemon.durable(seq).unwrap();
    }
    lift(&daemon.table, 3);
    daemon.handle.stop().unwrap();
    assert!(daemon.handle.status().segments > 3);
    assert_eq!(after_crash(folder.path()), (daemon.in_force(), vec![]));

    let all = history(folder.path(), None).unwrap();
    let numbers: Vec<_> = all.records.iter().map(|it| it.seq).collect();
    assert_eq!(numbers, (1..=31).collect::<Vec<_>>());
    assert_eq!(all.warnings, [""; 0]);
    let one = history(folder.path(), Some(&client(3))).unwrap().records;
    assert_eq!(one.len(), 2);
    assert!(matches!(&one[1].event, Event::Lifted { reason, .. } if reason == "cleaned"));
    assert_eq!(one[1].by, Actor::Operator("anna".into()));
}

#[test]
fn what_was_declared_usual_is_in_the_audit_trail_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    restrict(&daemon.table, 1);
    let by = Actor::Operator("anna".into());
    let seq = daemon.table.declare_usual(&client(2), at(3), by, "newsletter \"May\"");
    daemon.durable(seq).unwrap();
    let expected = daemon.in_force();
    daemon.handle.stop().unwrap();
    assert_eq!(after_crash(folder.path()), (expected, vec![]));
    let trail = history(folder.path(), Some(&client(2))).unwrap().records;
    assert_eq!(trail.len(), 1);
    assert!(
        matches!(&trail[0].event, Event::Usual { reason, .. } if reason == "newsletter \"May\"")
    );
}

#[test]
fn the_audit_trail_goes_over_restarts_and_ends_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let day = 86_400_u64;
    let run = |n, days: u64| {
        let setting = Setting { now: at(days * day), ..Setting::default() };
        let daemon = setting.start(folder.path());
        restrict(&daemon.table, n);
        daemon.handle.stop().unwrap();
    };
    let trail = || {
        let records = history(folder.path(), None).unwrap().records;
        records.iter().map(|it| it.seq).collect::<Vec<_>>()
    };
    run(1, 0);
    run(2, 300);
    assert_eq!(trail(), [1, 2]);
    // The first segment was written to until day 300.
    run(3, 650);
    assert_eq!(trail(), [1, 2, 3]);
    run(4, 701);
    assert_eq!(trail(), [2, 3, 4]);
    run(5, 5000);
    assert_eq!(trail(), [4, 5]);
    assert_eq!(after_crash(folder.path()).0.len(), 5);
}

#[test]
fn a_hundred_thousand_restrictions_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let live = (0..100_000)
        .map(|n: u32| crate::record::Live {
            seq: u64::from(n) + 1,
            entity: client(n as usize),
            standing: Standing {
                restriction: Some(Arc::new(restriction(&client(n as usize), CaseId(7)))),
                ..Standing::default()
            },
        })
        .collect();
    daemon.handle.stop().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    let table = Arc::new(Table::default());
    table.restore(Snapshot { seq: 100_000, next_case: 8, live });
    let clock: Clock = Arc::new(|| at(0));
    let handle = journal.start(table, Params::default(), clock, |_| {}).unwrap();
    handle.stop().unwrap();
    let (_journal, recovered) = Journal::open(folder.path()).unwrap();
    assert_eq!(recovered.snapshot.live.len(), 100_000);
    assert_eq!(recovered.snapshot.seq, 100_000);
}

#[test]
fn waiting_can_be_moved_between_threads() {
    fn sendable<T: Send>(_: &T) {}
    fn shared<T: Send + Sync>(_: &T) {}
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    sendable(&daemon.handle.durable(0));
    shared(&daemon.handle);
}
