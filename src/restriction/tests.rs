#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod model;

use super::*;
use crate::{
    record::{Finding, SignalName, Snapshot},
    verdict::{Action, Scope},
};
use proptest::prelude::*;
use std::sync::{Barrier, atomic::Ordering::Relaxed};

const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn entity(n: usize) -> Entity {
    format!("client:192.0.2.{n}").parse().unwrap()
}

fn restriction(entity: &Entity, case: CaseId, now: Timestamp) -> Restriction {
    Restriction {
        entity: entity.clone(),
        case,
        action: Action::Tempfail,
        scope: Scope::Relayed,
        since: now,
        until: None,
        reject_from: None,
        by: Actor::Judgement,
        reason: "mail from unregistered domains".into(),
        mark: false,
        findings: vec![Finding {
            signal: SignalName::UnregisteredSender,
            score: 15.0,
            limit: 14.0,
            unit: None,
            bad: 9,
            of: 9,
            distinct: 7,
            usual: 0.01,
            since: now,
        }],
        samples: Vec::new(),
        passed_messages: 0,
        passed_recipients: 0,
        keys: Vec::new(),
    }
}

fn restrict(
    table: &Table,
    entity: &Entity,
    now: Timestamp,
    until: Option<Timestamp>,
) -> Option<u64> {
    let make = |case| Restriction { until, ..restriction(entity, case, now) };
    table.restrict(entity, now, make).1
}

fn trust(now: Timestamp, length: Duration) -> Trust {
    Trust {
        since: now,
        until: now.plus(length),
        by: Actor::Operator("anna".into()),
        reason: "newsletter".into(),
    }
}

fn taken(table: &Table) -> Vec<Record> {
    table.changes().take(Duration::ZERO).records
}

#[test]
fn a_restriction_ends_by_the_clock_before_anybody_sweeps() {
    let (table, who) = (Table::default(), entity(1));
    restrict(&table, &who, at(0), Some(at(60)));
    assert!(table.in_force(&who, at(59)).is_some());
    assert!(table.in_force(&who, at(60)).is_none());
    assert!(table.list(at(60)).is_empty());
    assert!(table.lift(&who, at(60), Actor::Daemon, "", HOUR).is_none());
    assert!(table.holds(&who));

    table.sweep(at(60));
    assert!(!table.holds(&who));
    let records = taken(&table);
    assert_eq!(records.len(), 2);
    assert!(matches!(&records[1].event, Event::Lifted { grace: None, .. }));
}

#[test]
fn who_is_restricted_again_after_the_end_has_the_case_that_is_still_open() {
    let (table, who) = (Table::default(), entity(1));
    restrict(&table, &who, at(0), Some(at(60)));
    assert_eq!(restrict(&table, &who, at(59), None), None);
    assert!(restrict(&table, &who, at(60), None).is_some());
    let case = table.in_force(&who, at(60)).unwrap().restriction.case;
    assert_eq!(case, CaseId(1));
    // The end of the first is on the record too.
    assert!(matches!(&taken(&table)[1].event, Event::Lifted { case: CaseId(1), .. }));
}

#[test]
fn of_many_threads_one_restricts_and_all_see_its_case() {
    let (table, who) = (Table::default(), entity(1));
    let barrier = Barrier::new(8);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    table.restrict(&who, at(0), |case| restriction(&who, case, at(0)))
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|(_, new)| new.is_some()).count(), 1);
    assert!(results.iter().all(|(it, _)| it.restriction.case == CaseId(1)));
    assert_eq!(taken(&table).len(), 1);
}

#[test]
fn grace_follows_a_lift_and_names_the_signals_of_the_case() {
    let (table, who) = (Table::default(), entity(1));
    restrict(&table, &who, at(0), None);
    let by = Actor::Operator("anna".into());
    let (lifted, seq) = table.lift(&who, at(10), by, "cleaned", HOUR).unwrap();
    assert_eq!((lifted.restriction.case, seq), (CaseId(1), 2));
    assert!(table.in_force(&who, at(10)).is_none());
    let grace = table.grace(&who, at(10)).unwrap();
    assert_eq!(grace.until, at(3610));
    assert_eq!(grace.signals, [SignalName::UnregisteredSender]);
    assert!(table.grace(&who, at(3610)).is_none());
    table.sweep(at(3610));
    assert!(!table.holds(&who));
}

#[test]
fn a_raised_bar_outlasts_restrictions_until_one_above_it_was_right() {
    let (table, who) = (Table::default(), entity(1));
    let wrong = Aftermath { grace: HOUR, raise: true };
    let lift = |after, now| table.lift(&who, now, Actor::Daemon, "", after).unwrap();
    let times = |now| table.raised(&who, now).map(|raised| raised.times);
    restrict(&table, &who, at(0), None);
    lift(wrong, at(1));
    assert_eq!(times(at(1)), Some(1.5));
    let first = table.raised(&who, at(1)).unwrap();
    assert_eq!(first.until, at(1).plus(Raised::LASTS));
    // Of a block by hand nobody says that it was right.
    let by_hand = Restriction { by: Actor::Daemon, ..restriction(&who, CaseId(7), at(2)) };
    table.restrict(&who, at(2), |_| by_hand);
    assert_eq!(times(at(2)), Some(1.5));
    lift(HOUR.into(), at(3));
    assert_eq!(table.raised(&who, at(3)), Some(first));
    // One that ends by the clock neither.
    restrict(&table, &who, at(4), Some(at(5)));
    table.sweep(at(6));
    assert_eq!(times(at(6)), Some(1.5));
    restrict(&table, &who, at(7), None);
    lift(wrong, at(8));
    assert_eq!(times(at(8)), Some(2.0));
    let until = table.raised(&who, at(8)).unwrap().until;
    let records = taken(&table);
    let again = restored(Snapshot::default(), &records);
    assert_eq!(in_force(&again, at(9)), in_force(&table, at(9)));
    let again = restored(table.snapshot(), &[]);
    assert_eq!(again.raised(&who, at(9)), table.raised(&who, at(9)));

    restrict(&table, &who, at(9), None);
    lift(HOUR.into(), at(10));
    assert_eq!(times(at(10)), None);
    // That of the other ends by the clock, and leaves nothing behind.
    assert!(again.raised(&who, until).is_none());
    again.sweep(until);
    assert!(again.is_empty());
}

#[test]
fn a_mark_or_a_lift_without_grace_leaves_nothing_behind() {
    let table = Table::default();
    let make = |case| Restriction { mark: true, ..restriction(&entity(1), case, at(0)) };
    table.restrict(&entity(1), at(0), make);
    restrict(&table, &entity(2), at(0), None);
    table.lift(&entity(1), at(1), Actor::Daemon, "", HOUR).unwrap();
    table.lift(&entity(2), at(1), Actor::Daemon, "", Duration::ZERO).unwrap();
    assert!(!table.holds(&entity(1)) && !table.holds(&entity(2)));
}

#[test]
fn an_exemption_ends_by_hand_or_by_the_clock() {
    let (table, who) = (Table::default(), entity(1));
    table.exempt(&who, trust(at(0), HOUR));
    assert!(table.trust(&who, at(3599)).is_some());
    assert!(table.end_trust(&who, at(5), Actor::Daemon, "over").is_some());
    assert!(!table.holds(&who));

    table.exempt(&who, trust(at(0), HOUR));
    assert!(table.end_trust(&who, at(3600), Actor::Daemon, "over").is_none());
    table.sweep(at(3600));
    assert!(!table.holds(&who));
}

#[test]
fn a_transfer_moves_what_is_in_force_and_keeps_what_the_target_had() {
    let table = Table::default();
    let (old, new, held) = (entity(1), "connector:erp".parse().unwrap(), entity(2));
    restrict(&table, &old, at(0), None);
    let tried = table.in_force(&old, at(0)).unwrap().attempts;
    tried.refuse(1, at(1));
    restrict(&table, &held, at(0), Some(at(10)));
    assert!(table.transfer(&old, &[Entity::clone(&new), held.clone()], &no_keys, at(5)));

    assert!(!table.holds(&old));
    let moved = table.in_force(&new, at(5)).unwrap();
    assert_eq!((moved.restriction.case, &moved.restriction.entity), (CaseId(1), &new));
    assert_eq!(moved.attempts.refused.load(Relaxed), 1);
    assert_eq!(table.in_force(&held, at(5)).unwrap().restriction.case, CaseId(2));
    assert!(!table.transfer(&old, &[new], &no_keys, at(5)));
}

#[test]
fn a_transfer_is_not_stopped_by_what_is_over() {
    let table = Table::default();
    restrict(&table, &entity(1), at(0), None);
    restrict(&table, &entity(2), at(0), Some(at(10)));
    table.transfer(&entity(1), &[entity(2)], &no_keys, at(20));
    assert_eq!(table.in_force(&entity(2), at(20)).unwrap().restriction.case, CaseId(1));
}

#[test]
fn what_is_over_is_not_moved_and_takes_nothing_from_the_target() {
    let table = Table::default();
    restrict(&table, &entity(1), at(0), Some(at(10)));
    table.exempt(&entity(2), trust(at(5), HOUR));
    assert!(!table.transfer(&entity(1), &[entity(2)], &no_keys, at(20)));
    assert!(table.trust(&entity(2), at(20)).is_some());
    assert!(!table.holds(&entity(1)));
}

#[test]
fn a_transfer_to_itself_loses_nothing() {
    let table = Table::default();
    restrict(&table, &entity(1), at(0), None);
    assert!(table.transfer(&entity(1), &[entity(1)], &no_keys, at(1)));
    assert!(table.in_force(&entity(1), at(1)).is_some());
}

#[test]
fn a_full_queue_says_that_it_overflowed_and_the_table_has_it_all() {
    let table = Table::default();
    let count = QUEUE + 10;
    for n in 0..count {
        let who = format!("login:user{n}").parse().unwrap();
        table.exempt(&who, trust(at(0), HOUR));
    }
    let batch = table.changes().take(Duration::ZERO);
    assert!(batch.overflowed && batch.records.len() < 10);
    assert_eq!(table.snapshot().live.len(), count);
    assert!(!table.changes().take(Duration::ZERO).overflowed);
}

#[test]
fn case_numbers_go_on_after_a_restart() {
    let table = Table::default();
    restrict(&table, &entity(1), at(0), None);
    table.lift(&entity(1), at(1), Actor::Daemon, "", Duration::ZERO);
    let again = Table::default();
    again.restore(replay(Snapshot::default(), taken(&table)));
    assert_eq!(restrict(&again, &entity(1), at(2), None), Some(3));
    assert_eq!(again.in_force(&entity(1), at(2)).unwrap().restriction.case, CaseId(2));
}

#[test]
fn a_declaration_of_what_is_usual_changes_nothing_that_is_in_force() {
    let (table, [trusted, nobody]) = (Table::default(), [1, 2].map(entity));
    table.exempt(&trusted, trust(at(0), HOUR));
    let by = Actor::Operator("anna".into());
    assert_eq!(table.declare_usual(&trusted, at(1), by.clone(), "newsletter"), 2);
    assert_eq!(table.declare_usual(&nobody, at(2), by, "newsletter"), 3);
    assert!(table.trust(&trusted, at(2)).is_some());
    assert!(!table.holds(&nobody));
    assert_eq!(table.len(), 1);
    let records = taken(&table);
    assert!(matches!(&records[2].event, Event::Usual { entity, .. } if *entity == nobody));
    let again = restored(Snapshot::default(), &records);
    assert_eq!(in_force(&again, at(2)), in_force(&table, at(2)));
    assert_eq!(again.snapshot().seq, 3);
}

#[derive(Clone, Debug)]
enum Operation {
    Restrict(usize, Option<u64>),
    Lift(usize, u64),
    LiftWrong(usize),
    Exempt(usize, u64),
    EndTrust(usize),
    DeclareUsual(usize),
    Transfer(usize, Vec<usize>),
    Sweep,
    Pass(u64),
    Snapshot,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let who = 0..4_usize;
    prop_oneof![
        (who.clone(), proptest::option::of(1..50_u64)).prop_map(|(a, b)| Restrict(a, b)),
        (who.clone(), 0..50_u64).prop_map(|(a, b)| Lift(a, b)),
        who.clone().prop_map(LiftWrong),
        (who.clone(), 1..50_u64).prop_map(|(a, b)| Exempt(a, b)),
        who.clone().prop_map(EndTrust),
        who.clone().prop_map(DeclareUsual),
        (who.clone(), proptest::collection::vec(who, 0..3)).prop_map(|(a, b)| Transfer(a, b)),
        Just(Sweep),
        (1..30_u64).prop_map(Pass),
        Just(Snapshot),
    ]
}

fn perform(table: &Table, operation: &Operation, now: Timestamp) {
    let seconds = Duration::from_secs;
    match operation {
        Operation::Restrict(who, length) => {
            let until = length.map(|length| now.plus(seconds(length)));
            restrict(table, &entity(*who), now, until);
        }
        Operation::Lift(who, grace) => {
            table.lift(&entity(*who), now, Actor::Daemon, "", seconds(*grace));
        }
        Operation::LiftWrong(who) => {
            let after = Aftermath { raise: true, ..Aftermath::default() };
            table.lift(&entity(*who), now, Actor::Daemon, "", after);
        }
        Operation::Exempt(who, length) => {
            table.exempt(&entity(*who), trust(now, seconds(*length)));
        }
        Operation::EndTrust(who) => {
            table.end_trust(&entity(*who), now, Actor::Daemon, "");
        }
        Operation::DeclareUsual(who) => {
            table.declare_usual(&entity(*who), now, Actor::Daemon, "");
        }
        Operation::Transfer(from, to) => {
            let to: Vec<_> = to.iter().map(|n| entity(*n)).collect();
            table.transfer(&entity(*from), &to, &no_keys, now);
        }
        Operation::Sweep => table.sweep(now),
        Operation::Pass(_) | Operation::Snapshot => {}
    }
}

fn in_force(table: &Table, now: Timestamp) -> Vec<(Entity, Standing)> {
    let list = table.list(now).into_iter();
    list.map(|it| (it.entity, *it.standing)).collect()
}

fn restored(snapshot: Snapshot, records: &[Record]) -> Table {
    let table = Table::default();
    table.restore(replay(snapshot, records.to_vec()));
    table
}

proptest! {
    #[test]
    fn any_snapshot_and_the_records_give_the_table(
        operations in proptest::collection::vec(operation(), 1..60)
    ) {
        let table = Table::default();
        let mut now = at(0);
        let mut snapshots = vec![table.snapshot()];
        for operation in &operations {
            match operation {
                Operation::Pass(length) => now = now.plus(Duration::from_secs(*length)),
                Operation::Snapshot => snapshots.push(table.snapshot()),
                other => perform(&table, other, now),
            }
        }
        let records = taken(&table);
        for snapshot in snapshots {
            let again = restored(snapshot, &records);
            prop_assert_eq!(in_force(&again, now), in_force(&table, now));
            let (again, table) = (again.snapshot(), table.snapshot());
            prop_assert_eq!((again.seq, again.next_case), (table.seq, table.next_case));
        }
        let len = table.len.load(SeqCst);
        prop_assert_eq!(len, table.entries.len());
        prop_assert!(table.entries.iter().all(|entry| !entry.standing.is_empty()));
    }
}

#[test]
fn a_snapshot_taken_amid_changes_and_the_records_give_the_table() {
    let table = Table::default();
    let snapshots = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let table = &table;
                scope.spawn(move || {
                    for n in 0..400 {
                        let who = (n * 7 + thread) % 4;
                        let operation = match (n + thread) % 5 {
                            0 | 1 => Operation::Restrict(who, None),
                            2 => Operation::Lift(who, 1000),
                            3 => Operation::Exempt(who, 1000),
                            _ => Operation::Transfer(who, vec![(who + 1) % 4]),
                        };
                        perform(table, &operation, at(0));
                    }
                })
            })
            .collect();
        let mut snapshots = Vec::new();
        while !threads.iter().all(|it| it.is_finished()) {
            snapshots.push(table.snapshot());
        }
        snapshots
    });
    let records = taken(&table);
    for snapshot in snapshots.into_iter().take(200) {
        let again = restored(snapshot, &records);
        assert_eq!(in_force(&again, at(0)), in_force(&table, at(0)));
    }
}

fn no_keys(_: &Entity) -> Vec<Entity> {
    Vec::new()
}
