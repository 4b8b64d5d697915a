#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]
use super::*;
use crate::{
    case::Bucket,
    record::{Restriction, Trust},
    restriction::Table,
    verdict::{Action, Scope},
};
use std::collections::BTreeSet;

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn at(minutes: u64) -> Timestamp {
    START.plus(Duration::from_secs(60 * minutes))
}

fn entity(text: &str) -> Entity {
    text.parse().unwrap()
}

fn restrict(table: &Table, entity: &Entity, now: Timestamp) -> CaseId {
    let make = |case| Restriction {
        entity: entity.clone(),
        case,
        action: Action::Tempfail,
        scope: Scope::Relayed,
        since: now,
        until: None,
        reject_from: None,
        by: Actor::Judgement,
        reason: String::new(),
        mark: false,
        findings: Vec::new(),
        samples: Vec::new(),
        passed_messages: 0,
        passed_recipients: 0,
        keys: Vec::new(),
    };
    table.restrict(entity, now, make).0.restriction.case
}

fn anna() -> Actor {
    Actor::Operator("anna".into())
}

fn lift(table: &Table, entity: &Entity, now: Timestamp) {
    table.lift(entity, now, anna(), "cleaned", Duration::ZERO).unwrap();
}

fn steps(table: &Table, case: CaseId) -> Vec<(What, String)> {
    let file = table.cases().get(case).unwrap();
    file.steps.iter().map(|step| (step.what, step.entity.to_string())).collect()
}

#[test]
fn all_that_happens_at_a_connector_is_one_case() {
    let table = Table::default();
    let (erp, bob) = (entity("connector:erp"), entity("sender:bob@a.test,via=connector:erp"));
    let case = table.case_for(&erp, at(0));
    table.cases().suspect(case, &erp, Vec::new(), at(0));
    assert_eq!(restrict(&table, &bob, at(1)), case);
    assert_eq!(restrict(&table, &erp, at(2)), case);
    assert_ne!(restrict(&table, &entity("connector:crm"), at(2)), case);
    lift(&table, &bob, at(3));
    lift(&table, &erp, at(3));
    let trust = Trust { since: at(4), until: at(9), by: anna(), reason: "mailing".into() };
    table.exempt(&erp, trust);
    table.end_trust(&erp, at(5), anna(), "done");
    table.declare_usual(&erp, at(6), anna(), "new billing run");
    let (erp, bob) = ("connector:erp".to_owned(), "sender:bob@a.test,via=connector:erp".to_owned());
    assert_eq!(
        steps(&table, case),
        [
            (What::Suspicious, erp.clone()),
            (What::Restricted, bob.clone()),
            (What::Restricted, erp.clone()),
            (What::Lifted, bob),
            (What::Lifted, erp.clone()),
            (What::Trusted, erp.clone()),
            (What::Untrusted, erp.clone()),
            (What::DeclaredUsual, erp),
        ]
    );
    assert_eq!(table.cases().get(case).unwrap().steps[3].by, anna());
}

#[test]
fn a_case_is_over_after_a_quiet_day_and_the_next_incident_is_the_next_case() {
    let table = Table::default();
    let (book, erp) = (table.cases(), entity("connector:erp"));
    let first = restrict(&table, &erp, at(0));
    let day = 24 * 60;
    book.close_what_is_over(at(3 * day), |_| false);
    assert!(book.get(first).unwrap().is_open(), "it is restricted");
    lift(&table, &erp, at(3 * day));
    book.close_what_is_over(at(4 * day - 1), |_| false);
    assert_eq!(restrict(&table, &erp, at(4 * day - 1)), first, "it is still going on");
    lift(&table, &erp, at(4 * day));
    book.close_what_is_over(at(5 * day), |root| *root == erp);
    assert!(book.get(first).unwrap().is_open(), "it is suspicious");
    book.close_what_is_over(at(6 * day - 1), |_| false);
    assert!(book.get(first).unwrap().is_open(), "it was, less than a day ago");
    book.close_what_is_over(at(6 * day), |_| false);
    let file = book.get(first).unwrap();
    assert_eq!((file.closed, file.steps.last().unwrap().what), (Some(at(6 * day)), What::Over));
    // What is done a short time after still belongs to it.
    table.declare_usual(&erp, at(6 * day + 1), anna(), "a newsletter");
    assert_eq!(steps(&table, first).last().unwrap().0, What::DeclaredUsual);
    table.declare_usual(&erp, at(8 * day), anna(), "another");
    assert_eq!(steps(&table, first).len(), 6);
    assert_ne!(restrict(&table, &erp, at(8 * day)), first);
}

#[test]
fn an_end_by_the_clock_is_told_as_one() {
    let table = Table::default();
    let erp = entity("connector:erp");
    let mut case = CaseId(0);
    table.restrict(&erp, at(0), |number| {
        case = number;
        Restriction { until: Some(at(5)), ..Restriction::clone(&table_restriction(&erp, number)) }
    });
    table.sweep(at(6));
    assert_eq!(steps(&table, case).last().unwrap().0, What::Expired);
}

fn table_restriction(entity: &Entity, case: CaseId) -> Restriction {
    let other = Table::default();
    restrict(&other, entity, at(0));
    let held = other.in_force(entity, at(0)).unwrap();
    Restriction { case, ..Restriction::clone(&held.restriction) }
}

#[test]
fn a_case_follows_the_name_of_its_root() {
    let table = Table::default();
    let (address, erp) = (entity("client:192.0.2.7"), entity("connector:erp"));
    let case = restrict(&table, &address, at(0));
    table.transfer(&address, &[erp.clone(), address.clone()], &|_| Vec::new(), at(1));
    table.transfer(&address, std::slice::from_ref(&erp), &|_| Vec::new(), at(1));
    let file = table.cases().get(case).unwrap();
    assert_eq!((&file.root, file.restricted.len()), (&erp, 1));
    assert_eq!(steps(&table, case).last().unwrap(), &(What::Moved, "connector:erp".to_owned()));
    assert_eq!(steps(&table, case).len(), 2);
    assert_eq!(restrict(&table, &entity("sender:a@b.test,via=connector:erp"), at(2)), case);
    // A suspicion holds nothing in the table; the engine moves it.
    let other = entity("client:192.0.2.8");
    let case = table.case_for(&other, at(3));
    let crm = entity("connector:crm");
    table.cases().follow(&other, &crm, at(4));
    assert_eq!(table.cases().open_case(&crm), Some(case));
    assert_eq!(table.cases().open_case(&other), None);
}

#[test]
fn what_the_journal_says_is_true_after_a_restart() {
    let table = Table::default();
    let (erp, crm, web) =
        (entity("connector:erp"), entity("connector:crm"), entity("connector:web"));
    let case = restrict(&table, &erp, at(0));
    let unwritten = restrict(&table, &crm, at(1));
    let ended = restrict(&table, &web, at(2));
    let files: Vec<CaseFile> =
        [case, ended].iter().map(|case| table.cases().get(*case).unwrap()).collect();
    lift(&table, &web, at(3));
    let suspicion = CaseFile::new(CaseId(40), entity("connector:hr"), at(4));

    let next = Table::default();
    let mut kept = files.clone();
    kept.push(suspicion);
    next.cases().restore(kept);
    next.restore(table.snapshot());
    assert_eq!(next.cases().get(case).unwrap(), files[0]);
    assert_eq!(steps(&next, unwritten), [(What::Restricted, "connector:crm".to_owned())]);
    assert_eq!(steps(&next, ended).last().unwrap().0, What::Lifted);
    assert_eq!(next.cases().get(ended).unwrap().restricted.len(), 0);
    // No number is given twice, a suspicion's neither.
    assert_eq!(restrict(&next, &entity("connector:new"), at(5)), CaseId(41));
}

#[test]
fn a_flood_of_suspicions_ends_the_oldest_and_spares_what_is_restricted() {
    let table = Table::default();
    let restricted = restrict(&table, &entity("connector:erp"), at(0));
    suspect(&table, 10_000);
    table.case_for(&entity("login:last"), at(1));
    let all = table.cases().all();
    assert_eq!(all.len(), MOST_SUSPICIOUS + MOST_CLOSED + 1);
    assert_eq!(all.iter().filter(|file| file.is_open()).count(), MOST_SUSPICIOUS + 1);
    assert_eq!(all[0].case, restricted);
    assert_eq!(table.cases().open_case(&entity("login:u0")), None);
    assert!(table.cases().open_case(&entity("login:u9999")).is_some());
}

/// So many become suspicious, and their cases are written meanwhile.
fn suspect(table: &Table, many: u32) {
    for number in 0..many {
        let root = entity(&format!("login:u{number}"));
        table.case_for(&root, at(1));
        if number % 50 == 49 {
            write(table);
        }
    }
}

/// As the thread does that writes them; says which.
fn write(table: &Table) -> Vec<CaseId> {
    let mut written = Vec::new();
    // Once more: then they are known to be on disk.
    for _ in 0..2 {
        // Of the shelved ones, what memory has is on disk here.
        for case in table.cases().unread(usize::MAX) {
            table.cases().supply(case, table.cases().get(case));
        }
        while let (files, _) = table.cases().take_changed(Duration::ZERO)
            && !files.is_empty()
        {
            written.extend(files.iter().map(|file| file.case));
        }
    }
    written
}

#[test]
fn thousands_that_end_at_once_are_ended_bit_by_bit() {
    let table = Table::default();
    let all = 20_000_u32;
    let root = |number: u32| entity(&format!("login:u{number}"));
    for number in 0..all {
        restrict(&table, &root(number), at(1));
    }
    for number in 0..all {
        lift(&table, &root(number), at(2));
    }
    let open = || table.cases().all().iter().filter(|file| file.is_open()).count();
    assert_eq!(open(), 20_000);
    for number in all..all + 40 {
        table.case_for(&root(number), at(3));
        write(&table);
    }
    assert_eq!(open(), MOST_SUSPICIOUS);
    assert_eq!(table.cases().all().len(), MOST_SUSPICIOUS + MOST_CLOSED);
}

#[test]
fn the_end_of_a_case_is_written_before_it_is_forgotten() {
    let table = Table::default();
    let oldest = restrict(&table, &entity("connector:erp"), at(0));
    suspect(&table, 4000);
    lift(&table, &entity("connector:erp"), at(2));
    table.case_for(&entity("login:new"), at(3));
    let file = table.cases().get(oldest).unwrap();
    assert!(!file.is_open(), "{file:?}");
    assert!(write(&table).contains(&oldest));
    table.case_for(&entity("login:newer"), at(4));
    assert_eq!(table.cases().get(oldest), None, "there is room for newer ones only");
}

#[test]
fn a_disk_that_fails_for_long_costs_only_the_oldest_cases_beyond_the_bound() {
    let table = Table::default();
    let most = MOST_SUSPICIOUS + MOST_CLOSED + MOST_UNWRITTEN;
    let root = |number: usize| entity(&format!("login:u{number}"));
    for number in 0..most + 10 {
        restrict(&table, &root(number), at(1));
        lift(&table, &root(number), at(2));
    }
    table.case_for(&entity("login:new"), at(3));
    assert_eq!(table.cases().all().len(), most);
    let written: BTreeSet<CaseId> = write(&table).into_iter().collect();
    assert_eq!(written.len(), most, "none of those that are left is forgotten");
}

#[test]
fn evidence_that_began_again_adds_to_what_was_there() {
    let table = Table::default();
    let case = restrict(&table, &entity("connector:erp"), at(0));
    let book = table.cases();
    let material = |since: u64, messages: u32| {
        let mut material = Material { since: at(since), ..Material::default() };
        for _ in 0..messages {
            material.senders.note("a@b.test", true);
        }
        material.timeline.note(messages, 0, at(since));
        material
    };
    book.collect(case, material(0, 3));
    book.count(case, 7, 0, at(1));
    book.collect(case, material(0, 5));
    let file = book.get(case).unwrap();
    assert_eq!((file.material.senders.total, file.refused), (5, 7));
    assert_eq!(
        file.material.timeline.buckets,
        [Bucket { messages: 5, refused: 0 }, Bucket { messages: 0, refused: 7 }]
    );
    book.collect(case, material(2, 4));
    book.count(case, 1, 2, at(2));
    book.collect(case, material(2, 6));
    let file = book.get(case).unwrap();
    assert_eq!((file.material.senders.total, file.refused, file.held), (11, 8, 2));
    assert_eq!(file.material.timeline.buckets[2], Bucket { messages: 6, refused: 1 });
    assert_eq!(file.last_attempt, Some(at(2)));
}

#[test]
fn steps_and_what_was_told_are_bounded() {
    let book = Book::default();
    let erp = entity("connector:erp");
    book.begin(CaseId(1), &erp, at(0));
    for minute in 0..1000 {
        book.suspect(CaseId(1), &erp, Vec::new(), at(minute));
    }
    let file = book.get(CaseId(1)).unwrap();
    assert_eq!(file.steps.len(), super::super::MOST_STEPS);
    assert_eq!((file.steps[0].at, file.steps[99].at), (at(0), at(99)));
    assert_eq!((file.steps[100].at, file.steps[199].at), (at(900), at(999)));
}

/// Two tables after a start: one whose case files were read before, and one in which
/// those of what is restricted are still to be read.
fn started(files: &[CaseFile], snapshot: &crate::record::Snapshot) -> [Table; 2] {
    let [eager, late] = [Table::default(), Table::default()];
    eager.cases().restore(files.to_vec());
    eager.restore(snapshot.clone());
    late.cases().read_later(files.iter().map(|file| file.case));
    late.restore(snapshot.clone());
    [eager, late]
}

#[test]
fn a_case_is_the_same_whether_its_file_was_read_before_or_later() {
    let (erp, mia) = (entity("connector:erp"), entity("sender:mia@example.org,via=connector:erp"));
    let before = Table::default();
    let case = restrict(&before, &erp, at(0));
    restrict(&before, &mia, at(1));
    before.cases().count(case, 7, 1, at(2));
    let written = before.cases().get(case).unwrap();
    // The last steps before the end were not written, or the journal knows better.
    let restrictions = [(true, true), (true, false), (false, true)];
    for ((holds_erp, holds_mia), is_old) in
        restrictions.into_iter().flat_map(|held| [(held, false), (held, true)])
    {
        let mut snapshot = before.snapshot();
        snapshot
            .live
            .retain(|live| live.entity == erp && holds_erp || live.entity == mia && holds_mia);
        let mut file = written.clone();
        if is_old {
            file.restricted.remove(&mia);
            file.steps.pop();
        }
        let both = started(&[file.clone()], &snapshot);
        let held = if holds_erp { &erp } else { &mia };
        for table in &both {
            assert_eq!(table.cases().open_case(&erp), Some(case));
            table.cases().count(case, 3, 0, at(10));
            let material = Material { since: at(11), external: 5, ..Material::default() };
            table.cases().collect(case, material);
            let told = crate::case::Told {
                kind: crate::case::AlertKind::Restricted,
                entity: held.clone(),
                at: at(11),
                id: "1@example.org".into(),
            };
            table.cases().update(case, |file| file.tell(told));
            lift(table, held, at(12));
            assert_eq!(restrict(table, &erp, at(13)), case);
        }
        let [eager, late] = both;
        assert!(late.cases().take_changed(Duration::ZERO).0.is_empty(), "it would lack its past");
        late.cases().supply(case, Some(file));
        assert!(late.cases().is_read());
        let sorted = |table: &Table| {
            let mut file = table.cases().get(case).unwrap();
            file.steps.sort_by_key(|step| step.at);
            file
        };
        assert_eq!(sorted(&late), sorted(&eager), "{holds_erp} {holds_mia} {is_old}");
        assert_eq!(late.cases().take_changed(Duration::ZERO).0.len(), 1);
    }
}

#[test]
fn what_did_not_change_is_not_written_again_after_it_was_read() {
    let erp = entity("connector:erp");
    let before = Table::default();
    let case = restrict(&before, &erp, at(0));
    let [_, late] = started(&[before.cases().get(case).unwrap()], &before.snapshot());
    assert_eq!(late.cases().unread(9), [case]);
    late.cases().close();
    // Nothing of it is to be written at the end, so it need not be read.
    assert!(late.cases().unread(9).is_empty());
    late.cases().supply(case, before.cases().get(case));
    assert!(late.cases().take_changed(Duration::ZERO).0.is_empty());
    assert_eq!(late.cases().get(case), before.cases().get(case));
}

#[test]
fn a_case_whose_file_can_t_be_read_begins_with_what_the_journal_says() {
    let erp = entity("connector:erp");
    let before = Table::default();
    let case = restrict(&before, &erp, at(0));
    let [_, late] = started(&[before.cases().get(case).unwrap()], &before.snapshot());
    late.cases().supply(case, None);
    assert_eq!(steps(&late, case), [(What::Restricted, "connector:erp".into())]);
    assert_eq!(late.cases().take_changed(Duration::ZERO).0.len(), 1);
}
