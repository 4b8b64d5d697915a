//! The power fails: at every call of a scripted history, with every kind of torn last
//! write, and again while the daemon starts after that.
//!
//! What was in force is compared as a whole: after a start it must be what it was after
//! some change, none of them before the last one that was acknowledged or announced.

use super::*;
use crate::{
    journal::{handle::State, writer::Writer},
    restriction::Aftermath,
    storage::memory::{Bytes, Call, Lie, Memory, Names, Torn},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};
use tokio::sync::watch;

pub(super) const FOLDER: &str = "/state";

/// What is in force for whom.
pub(super) type Force = BTreeMap<Entity, Standing>;

/// What happened until the power failed, as people saw it.
#[derive(Default)]
struct Account {
    /// What was in force after each change, with its number.
    after: Vec<(u64, Force)>,
    /// Up to this change all was acknowledged, or announced as on disk.
    told: u64,
    /// The largest number of a case that anybody saw.
    largest: u64,
}

/// A daemon with nothing but a table and its journal, and without threads.
pub(super) struct Site {
    pub(super) table: Arc<Table>,
    writer: Writer,
    state: watch::Receiver<State>,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) recovered: Force,
    pub(super) warnings: Vec<String>,
}

impl Site {
    /// Starts on this disk; nothing where that is refused.
    pub(super) fn start(disk: &Memory, params: Params, seconds: u64) -> Option<Self> {
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let (journal, recovered) = Journal::open_on(storage, Path::new(FOLDER)).ok()?;
        let table = Arc::new(Table::default());
        let live = recovered.snapshot.live.iter();
        let in_force = live.map(|it| (it.entity.clone(), it.standing.clone())).collect();
        table.restore(recovered.snapshot);
        let clock = Arc::new(AtomicU64::new(seconds));
        let now = Arc::clone(&clock);
        let Journal { storage, folder, seq, found, .. } = journal;
        let (mut writer, state) = Writer::new(
            (storage, folder),
            (seq, found),
            Arc::clone(&table),
            params,
            (Arc::new(move || at(now.load(SeqCst))), Arc::default()),
        );
        // In the order of a daemon.
        writer.reserve();
        writer.fresh();
        let warnings = recovered.warnings;
        Some(Self { table, writer, state, clock, recovered: in_force, warnings })
    }

    /// Lets the journal write what changed; gives up to which change all is told.
    pub(super) fn write(&mut self) -> u64 {
        let batch = self.table.changes().take(Duration::ZERO);
        let mut told = 0;
        let mut announce = |it: &Announcement<'_>| {
            let last = it.records.last().filter(|_| it.on_disk);
            told = last.map_or(0, |record| record.seq);
        };
        self.writer.turn(&batch, &mut announce);
        assert!(told <= self.durable(), "announced before it is durable");
        self.durable()
    }

    pub(super) fn durable(&self) -> u64 {
        self.state.borrow().durable
    }

    pub(super) fn in_force(&self) -> Force {
        in_force(&self.table).into_iter().collect()
    }
}

/// Writes down what a script does.
struct Script<'a> {
    site: Site,
    account: &'a mut Account,
    disk: &'a Memory,
}

impl Script<'_> {
    /// Notes what changed: what is in force now.
    fn note(&mut self) -> &mut Self {
        let seq = self.site.table.snapshot().seq;
        self.account.after.push((seq, self.site.in_force()));
        self.account.largest = self.account.largest.max(self.site.table.next_case() - 1);
        self
    }

    fn restrict(&mut self, n: usize, reason: usize) -> &mut Self {
        let who = client(n);
        let make = |case| Restriction { reason: "x".repeat(reason), ..restriction(&who, case) };
        self.site.table.restrict(&who, at(1), make).1.unwrap();
        self.note()
    }

    fn lift(&mut self, n: usize, after: impl Into<Aftermath>) -> &mut Self {
        let by = Actor::Operator("anna".into());
        self.site.table.lift(&client(n), at(2), by, "cleaned", after).unwrap();
        self.note()
    }

    fn trust(&mut self, n: usize) -> &mut Self {
        let by = Actor::Operator("anna".into());
        let trust = Trust { since: at(2), until: at(90_000), by, reason: "newsletter".into() };
        self.site.table.exempt(&client(n), trust);
        self.note()
    }

    fn end_trust(&mut self, n: usize) -> &mut Self {
        self.site.table.end_trust(&client(n), at(2), Actor::Daemon, "over").unwrap();
        self.note()
    }

    /// The configuration gives what `from` holds to two others.
    fn transfer(&mut self, from: usize, to: [usize; 2]) -> &mut Self {
        let before = self.site.in_force();
        let first = self.site.table.snapshot().seq;
        let targets = to.map(client);
        self.site.table.transfer(&client(from), &targets, &|_| Vec::new(), at(2));
        let after = self.site.in_force();
        let mut between = before;
        for (seq, target) in (first + 1..).zip(targets) {
            between.insert(target.clone(), after[&target].clone());
            self.account.after.push((seq, between.clone()));
        }
        self.note()
    }

    /// A suspicion draws a number, and tells it.
    fn suspect(&mut self, n: usize) -> &mut Self {
        self.site.table.case_for(&client(n), at(2));
        self.account.largest = self.account.largest.max(self.site.table.next_case() - 1);
        self
    }

    /// Says whether the power is still there.
    fn write(&mut self) -> bool {
        self.account.told = self.account.told.max(self.site.write());
        !self.disk.is_down()
    }
}

const PARAMS: Params = Params { keep: HOUR, segment_bytes: 9000, nanos: || 0 };

/// Two runs of a daemon; nothing where the power failed.
fn history_of_two_days(disk: &Memory, account: &mut Account) -> Option<()> {
    account.after = vec![(0, Force::new())];
    let site = Site::start(disk, PARAMS, 0).filter(|_| !disk.is_down())?;
    let mut script = Script { site, account, disk };
    let mut step = |act: &dyn Fn(&mut Script<'_>)| {
        act(&mut script);
        script.write().then_some(())
    };
    step(&|it| {
        it.restrict(1, 40);
    })?;
    step(&|it| {
        it.suspect(50).restrict(2, 40);
    })?;
    step(&|it| {
        it.lift(1, HOUR);
    })?;
    step(&|it| {
        it.trust(3);
    })?;
    let wrong = Aftermath { raise: true, ..Aftermath::default() };
    step(&|it| {
        it.restrict(4, 40).lift(4, wrong).restrict(4, 40);
    })?;
    // Over several pages, with several changes of one entity, and more than a segment.
    step(&|it| {
        it.trust(2).lift(2, HOUR).restrict(5, 3500).trust(6).end_trust(6).restrict(2, 2500);
        it.end_trust(3).lift(5, HOUR).trust(5).restrict(6, 3500).restrict(7, 40);
    })?;
    // The old segment is pruned with the next one.
    script.site.clock.store(10_000, SeqCst);
    let mut step = |act: &dyn Fn(&mut Script<'_>)| {
        act(&mut script);
        script.write().then_some(())
    };
    step(&|it| {
        it.transfer(6, [8, 9]);
    })?;
    step(&|it| {
        it.restrict(10, 5000).restrict(11, 5000);
    })?;
    step(&|it| {
        it.suspect(51).suspect(52).lift(7, HOUR);
    })?;
    step(&|it| {
        it.site.table.declare_usual(&client(12), at(2), Actor::Daemon, "newsletter");
        it.note();
    })?;
    // A stop.
    script.site.table.changes().close();
    script.write().then_some(())?;
    let Script { account, .. } = script;
    let site = Site::start(disk, PARAMS, 20_000).filter(|_| !disk.is_down())?;
    let mut script = Script { site, account, disk };
    script.lift(10, HOUR).restrict(13, 40).suspect(53);
    script.write().then_some(())
}

/// Whether what a start found is what it must be.
fn check(account: &Account, found: Snapshot, torn: Torn) -> Result<(), String> {
    let next = found.next_case;
    if next <= account.largest {
        return Err(format!("case {next} would be given twice"));
    }
    let since: Vec<&Force> = {
        let last = account.after.iter().rposition(|(seq, _)| *seq <= account.told);
        account.after[last.unwrap_or(0)..].iter().map(|(_, force)| force).collect()
    };
    let found: Force = found.live.into_iter().map(|it| (it.entity, it.standing)).collect();
    if since.contains(&&found) {
        return Ok(());
    }
    // Where a bit is turned in a line that nobody was told of, those behind it are read:
    // it could as well be one that was told of. Then each part is one that was there.
    let is_one = matches!(torn.bytes, Bytes::Flipped(_)) && {
        let all: HashSet<&Entity> = since.iter().flat_map(|force| force.keys()).collect();
        let nothing = Standing::default();
        let of = |force: &Force, who: &Entity| force.get(who).unwrap_or(&nothing).clone();
        let is_had = |who: &&Entity| {
            let now = of(&found, who);
            since.iter().any(|it| of(it, who).restriction == now.restriction)
                && since.iter().any(|it| of(it, who).trust == now.trust)
                && since.iter().any(|it| of(it, who).grace == now.grace)
                && since.iter().any(|it| of(it, who).raised == now.raised)
        };
        all.iter().all(is_had) && found.keys().all(|who| all.contains(who))
    };
    if is_one { Ok(()) } else { Err(format!("this never was in force: {found:#?}")) }
}

/// Lets the power fail at every call of the script with every tear, and starts again.
/// Gives how often, or what was wrong first.
fn fail_everywhere(lies: &[Lie]) -> Result<usize, String> {
    let mut count = 0;
    for fails_at in 0.. {
        let disk = Memory::default();
        disk.lie(lies);
        disk.fail_at(fails_at);
        let mut account = Account::default();
        let went_through = history_of_two_days(&disk, &mut account).is_some();
        let mut seen = HashSet::new();
        for torn in disk.tears() {
            let after = disk.crash(torn);
            if !seen.insert(after.content()) {
                continue;
            }
            count += 1;
            let call = disk.calls().pop();
            let wrong = |why| format!("call {fails_at}, {call:?}, {torn:?}: {why}");
            let opened = Journal::open_on(Arc::new(after), Path::new(FOLDER));
            let (_, recovered) = opened.map_err(|error| wrong(error.to_string()))?;
            // Of what a crash explains, nothing is called damage.
            if !matches!(torn.bytes, Bytes::Flipped(_)) && !recovered.set_aside.is_empty() {
                return Err(wrong(recovered.warnings.concat()));
            }
            check(&account, recovered.snapshot, torn).map_err(wrong)?;
        }
        if went_through {
            assert_eq!(account.told, account.after.last().unwrap().0);
            return Ok(count);
        }
    }
    unreachable!()
}

#[test]
fn the_script_does_all_that_a_journal_does() {
    let disk = Memory::default();
    let mut account = Account::default();
    history_of_two_days(&disk, &mut account).unwrap();
    let calls = disk.calls();
    let count = |what: Call, part: &str| {
        let is_meant = |(call, path): &&(Call, PathBuf)| {
            *call == what && path.to_string_lossy().contains(part)
        };
        calls.iter().filter(is_meant).count()
    };
    assert_eq!(count(Call::Append, ".tmp"), count(Call::Sync, ".tmp"));
    assert!(count(Call::Rename, "journal-") >= 4, "segments are begun: {calls:#?}");
    assert!(count(Call::Remove, "journal-") >= 1, "and pruned: {calls:#?}");
    assert!(count(Call::Rename, "next-case") >= 3, "numbers are reserved: {calls:#?}");
    assert!(calls.len() > 60, "{}", calls.len());
}

#[test]
fn whenever_the_power_fails_nothing_is_lost_or_invented() {
    let count = fail_everywhere(&[]).unwrap();
    assert!(count > 3000, "{count} crashes");
}

/// That the test above sees what it is there for: a disk that only says that it synced.
#[test]
fn a_sync_that_is_missing_is_noticed() {
    for lie in [Lie::Unfinished, Lie::Finished, Lie::Folder] {
        assert!(fail_everywhere(&[lie]).is_err(), "{lie:?}");
    }
}

/// The power fails again, at every call of the start that follows.
#[test]
fn a_start_that_is_cut_off_finds_the_same_again() {
    let mut restarts = 0;
    for fails_at in (0..).step_by(4) {
        let disk = Memory::default();
        disk.fail_at(fails_at);
        let mut account = Account::default();
        let went_through = history_of_two_days(&disk, &mut account).is_some();
        let (names, bytes) = disk.waiting();
        let half = Torn { names: Names::First(names / 2), bytes: Bytes::First(bytes / 2) };
        let turned =
            Torn { names: Names::First(names), bytes: Bytes::Flipped(bytes.saturating_sub(90)) };
        for torn in [Torn::ALL, Torn::NOTHING, half, turned] {
            let crashed = disk.crash(torn);
            let first = crashed.crash(Torn::NOTHING);
            let expected = Site::start(&first, PARAMS, 30_000).unwrap();
            let next = expected.table.next_case();
            let calls = first.calls().len();
            for again_at in 0..=calls {
                let second = crashed.crash(Torn::NOTHING);
                second.fail_at(again_at);
                let _ = Site::start(&second, PARAMS, 30_000);
                for torn in [Torn::ALL, Torn::NOTHING] {
                    let third = second.crash(torn);
                    let site = Site::start(&third, PARAMS, 30_000).unwrap();
                    assert_eq!(site.recovered, expected.recovered, "{fails_at} {again_at}");
                    assert!(next <= site.table.next_case());
                    restarts += 1;
                }
            }
        }
        if went_through {
            break;
        }
    }
    assert!(restarts > 1000, "{restarts}");
}
