//! A disk that refuses.

use super::{super::writer::Writer, *};
use crate::{
    restriction::Batch,
    storage::{
        memory::Call,
        refusing::{ALWAYS, Refusing},
    },
};

fn faulty(folder: &Path) -> (Daemon, Refusing) {
    let disk = Refusing::default();
    let setting = Setting { storage: Arc::new(disk.clone()), ..Setting::default() };
    (setting.start(folder), disk)
}

#[test]
fn a_segment_that_somebody_removed_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (daemon, _) = faulty(&state);
    daemon.durable(restrict(&daemon.table, 1)).unwrap();
    let removals: [fn(&Path); 2] = [
        |state| fs::remove_file(newest(state)).unwrap(),
        |state| fs::remove_dir_all(state).unwrap(),
    ];
    for (n, remove) in removals.iter().enumerate() {
        remove(&state);
        daemon.durable(restrict(&daemon.table, 2 + n)).unwrap();
        assert!(daemon.handle.status().healthy);
        assert!(newest(&state).exists());
    }
}

/// The newest segment in `state`.
fn newest(state: &Path) -> PathBuf {
    let files = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "log")).max().unwrap()
}

#[test]
fn one_failure_is_answered_by_a_fresh_segment() {
    for call in [Call::Append, Call::Sync] {
        let folder = tempfile::tempdir().unwrap();
        let (daemon, disk) = faulty(folder.path());
        daemon.durable(restrict(&daemon.table, 1)).unwrap();
        disk.refuse(&[call], 1);
        daemon.durable(restrict(&daemon.table, 2)).unwrap();
        daemon.durable(restrict(&daemon.table, 3)).unwrap();
        let status = daemon.handle.status();
        assert!(status.healthy && status.segments == 2, "{status:?}");
        let (restored, warnings) = after_crash(folder.path());
        assert_eq!((restored, warnings), (daemon.in_force(), vec![]));
        let trail = history(folder.path(), None).unwrap().records;
        let numbers: Vec<_> = trail.iter().map(|it| it.seq).collect();
        assert_eq!(numbers, [1, 2, 3], "each once after a failed {call:?}");
    }
}

#[test]
fn a_disk_that_refuses_is_told_and_comes_back() {
    let all = [Call::Create, Call::Append, Call::Sync, Call::Rename, Call::SyncFolder];
    for call in all {
        let folder = tempfile::tempdir().unwrap();
        let (daemon, disk) = faulty(folder.path());
        daemon.durable(restrict(&daemon.table, 1)).unwrap();
        // A failed sync leads to a fresh segment, which then fails in its turn.
        disk.refuse(&[call, Call::Sync], ALWAYS);
        let lost = restrict(&daemon.table, 2);
        let error = daemon.durable(lost).unwrap_err().to_string();
        assert!(error.starts_with("not on disk: "), "{error}");
        assert!(error.contains("refused"), "{error}");
        // What was durable stays so, and the table goes on.
        daemon.durable(1).unwrap();
        assert!(daemon.table.in_force(&client(2), at(3)).is_some());
        let status = daemon.handle.status();
        assert!(!status.healthy && status.error.is_some(), "{status:?}");
        assert!(daemon.durable(restrict(&daemon.table, 3)).is_err());
        let told: Vec<_> = (0..3).map(|_| daemon.told(DEADLINE).unwrap().1).collect();
        assert_eq!(told, [true, false, false]);
        // A crash now loses what was said to be lost at most.
        assert!(!after_crash(folder.path()).0.is_empty());

        disk.refuse(&[], 0);
        let seq = restrict(&daemon.table, 4);
        daemon.durable(seq).unwrap();
        daemon.durable(lost).unwrap();
        let status = daemon.handle.status();
        assert!(status.healthy && status.durable_seq == seq, "{status:?}");
        let (restored, warnings) = after_crash(folder.path());
        assert_eq!((restored, warnings), (daemon.in_force(), vec![]), "{call:?}");
        let trail = history(folder.path(), None).unwrap().records;
        assert_eq!(trail.iter().map(|it| it.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}

#[test]
fn the_disk_is_tried_again_without_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, disk) = faulty(folder.path());
    disk.refuse(&[Call::Sync], 2);
    let seq = restrict(&daemon.table, 1);
    daemon.durable(seq).unwrap_err();
    let deadline = std::time::Duration::from_millis(20);
    for _ in 0..1000 {
        if daemon.handle.status().healthy {
            return daemon.durable(seq).unwrap();
        }
        let _ = daemon.told(deadline);
    }
    panic!("{:?}", daemon.handle.status());
}

#[test]
fn a_start_on_a_disk_that_refuses_keeps_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    daemon.durable(restrict(&daemon.table, 1)).unwrap();
    daemon.handle.stop().unwrap();
    drop(daemon);

    let disk = Refusing::default();
    disk.refuse(&[Call::Create], ALWAYS);
    let setting = Setting { storage: Arc::new(disk.clone()), ..Setting::default() };
    let daemon = setting.start(folder.path());
    assert_eq!(daemon.in_force().len(), 1);
    assert!(!daemon.handle.status().healthy);
    assert_eq!(daemon.durable(1), Ok(()));
    let seq = lift(&daemon.table, 1);
    assert!(daemon.durable(seq).is_err());
    // A stop tries once more.
    assert!(daemon.table.in_force(&client(1), at(3)).is_none());
    disk.refuse(&[], 0);
    daemon.handle.stop().unwrap();
    assert_eq!(after_crash(folder.path()).0, daemon.in_force());
}

#[test]
fn a_stop_says_when_something_is_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, disk) = faulty(folder.path());
    disk.refuse(&[Call::Sync], ALWAYS);
    restrict(&daemon.table, 1);
    assert!(daemon.handle.stop().is_err());
}

#[test]
fn an_overflow_costs_no_restriction() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, open) = mpsc::channel::<()>();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    let table = Arc::new(Table::default());
    let (sender, announced) = mpsc::channel();
    let announce = move |it: &Announcement<'_>| {
        let _ = sender.send(it.incomplete);
        // The journal stands still, as behind a slow disk.
        let _ = open.recv_timeout(DEADLINE);
    };
    let clock: Clock = Arc::new(|| at(0));
    let handle = journal.start(Arc::clone(&table), Params::default(), clock, announce).unwrap();
    restrict(&table, 0);
    assert!(!announced.recv_timeout(DEADLINE).unwrap());
    for n in 1..9000 {
        restrict(&table, n);
    }
    gate.send(()).unwrap();
    assert!(announced.recv_timeout(DEADLINE).unwrap());
    drop(gate);
    handle.stop().unwrap();
    assert_eq!(handle.status().durable_seq, 9000);
    assert_eq!(after_crash(folder.path()), (in_force(&table), vec![]));
}

#[test]
fn a_panic_is_a_failed_write() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, disk) = faulty(folder.path());
    daemon.durable(restrict(&daemon.table, 1)).unwrap();
    // Once: the fresh segment has it.
    disk.panic();
    daemon.durable(restrict(&daemon.table, 2)).unwrap();
    assert!(daemon.handle.status().healthy);
    daemon.durable(lift(&daemon.table, 1)).unwrap();
    daemon.handle.stop().unwrap();
    assert_eq!(after_crash(folder.path()), (in_force(&daemon.table), vec![]));
}

#[test]
fn an_announcement_that_panics_does_not_end_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    let table = Arc::new(Table::default());
    let clock: Clock = Arc::new(|| at(0));
    let handle = journal
        .start(Arc::clone(&table), Params::default(), clock, |_| panic!("a fault in the alert"))
        .unwrap();
    restrict(&table, 1);
    restrict(&table, 2);
    handle.stop().unwrap();
    assert_eq!(after_crash(folder.path()).0.len(), 2);
}

#[test]
fn a_change_that_never_came_holds_up_the_others_for_one_turn_only() {
    let folder = tempfile::tempdir().unwrap();
    let table = Arc::new(Table::default());
    let (mut writer, state) = Writer::new(
        (Arc::new(Disk), folder.path().to_owned()),
        (0, Found::default()),
        Arc::clone(&table),
        Params::default(),
        (Arc::new(|| at(0)), Arc::default()),
    );
    let mut turn = |batch: &Batch| writer.turn(batch, &mut |_| {});
    restrict(&table, 1);
    turn(&table.changes().take(Duration::ZERO));
    assert_eq!(state.borrow().durable, 1);
    // As where a thread ends between the two.
    restrict(&table, 2);
    drop(table.changes().take(Duration::ZERO));
    restrict(&table, 3);
    turn(&table.changes().take(Duration::ZERO));
    turn(&table.changes().take(Duration::ZERO));
    assert_eq!(state.borrow().durable, 3);
    assert_eq!(after_crash(folder.path()), (in_force(&table), vec![]));
}
