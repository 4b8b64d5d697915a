//! Files of every format so far open, and the newest ones are what is written today.
//!
//! `tests/fixtures/README.md` says what to do when the last test fails.

use super::{crash::Site, *};
use crate::{
    connector::ConnectorKey,
    record::{Finding, Sample, SignalName, Unit},
    restriction::Aftermath,
    storage::memory::Memory,
};
use std::collections::BTreeMap;

/// Every field has a value here that says so.
fn full(who: &Entity, case: CaseId) -> Restriction {
    let finding = Finding {
        signal: SignalName::Volume,
        score: 9.5,
        limit: 8.0,
        unit: Some(Unit::Recipients),
        bad: 700,
        of: 120,
        distinct: 300,
        usual: 0.25,
        since: at(1),
    };
    let sample = Sample {
        at: at(1),
        queue_id: Some("4Zk1aQ0000z".into()),
        message_id: Some("<1@example.org>".into()),
        sender: "alice@example.org".into(),
        from: Some("Älice@example.org".into()),
        recipients: 50,
        passed: true,
    };
    Restriction {
        entity: who.clone(),
        case,
        action: Action::Reject,
        scope: Scope::All,
        since: at(1),
        until: Some(at(1_000_000)),
        reject_from: Some(at(500_000)),
        by: Actor::Judgement,
        reason: "700 recipients in the last hour \u{1b}[31m".into(),
        mark: true,
        findings: vec![finding],
        samples: vec![sample],
        passed_messages: 9,
        passed_recipients: 12,
        keys: vec!["login:erp".parse().unwrap()],
    }
}

/// Every kind of change, in one batch or each in its own; then a restart.
fn written(in_one: bool) -> (Memory, BTreeMap<Entity, Standing>) {
    let disk = Memory::default();
    let mut site = Site::start(&disk, Params::default(), 0).unwrap();
    let anna = || Actor::Operator("anna".into());
    let entity = |name: &str| -> Entity { name.parse().unwrap() };
    let sender = Entity::Sender {
        address: "alice@example.org".into(),
        via: ConnectorKey::Named("erp".into()),
    };
    let trust = Trust { since: at(2), until: at(90_000), by: anna(), reason: "newsletter".into() };
    let no_keys = |_: &Entity| Vec::new();
    let wrong = Aftermath { grace: HOUR, raise: true };
    let restrict = |table: &Table, who: &Entity, make: &dyn Fn(&Entity, CaseId) -> Restriction| {
        table.restrict(who, at(1), |case| make(who, case));
    };
    let changes: [&dyn Fn(&Table); 9] = [
        &|table| restrict(table, &entity("connector:erp"), &full),
        &|table| restrict(table, &sender, &restriction),
        &|table| restrict(table, &entity("client:192.0.2.7"), &restriction),
        &|table| {
            table.lift(&entity("client:192.0.2.7"), at(2), anna(), "cleaned", wrong);
        },
        &|table| {
            table.exempt(&entity("cert:erp/Example%20CA"), trust.clone());
        },
        &|table| {
            table.exempt(&entity("login:bob"), trust.clone());
        },
        &|table| {
            table.end_trust(&entity("login:bob"), at(3), anna(), "over");
        },
        &|table| {
            table.declare_usual(&entity("login:bob"), at(3), anna(), "monthly");
        },
        &|table| {
            let to = [entity("organization:default")];
            table.transfer(&sender, &to, &no_keys, at(3));
        },
    ];
    for change in changes {
        change(&site.table);
        if !in_one {
            site.write();
        }
    }
    site.table.changes().close();
    site.write();
    let expected = site.in_force();
    Site::start(&disk, Params::default(), 4).unwrap();
    (disk, expected)
}

/// The fixtures, and whether they were written in one batch.
const FIXTURES: [(&str, bool); 2] = [("journal-1", false), ("journal-1-batches", true)];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn every_format_so_far_opens() {
    for (name, _) in FIXTURES {
        let disk = Memory::default();
        for entry in fs::read_dir(fixture(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            disk.put(&Path::new(crash::FOLDER).join(path.file_name().unwrap()), &bytes);
        }
        let site = Site::start(&disk, Params::default(), 5).unwrap();
        assert_eq!(site.warnings, [""; 0], "{name}");
        assert_eq!(site.recovered, written(true).1, "{name}");
        let trail = history(&fixture(name), None).unwrap();
        let numbers: Vec<u64> = trail.records.iter().map(|record| record.seq).collect();
        assert_eq!((numbers, trail.warnings), ((1..=10).collect(), vec![]), "{name}");
    }
}

#[test]
fn what_is_written_today_is_the_newest_fixture() {
    for (name, in_one) in FIXTURES {
        let (disk, _) = written(in_one);
        let write = std::env::var_os("CONNGUARD_WRITE_FIXTURES").is_some();
        for (path, bytes) in disk.content() {
            let kept = fixture(name).join(path.file_name().unwrap());
            if write {
                fs::create_dir_all(fixture(name)).unwrap();
                fs::write(&kept, &bytes).unwrap();
            }
            let (kept, bytes) = (fs::read(&kept).unwrap(), String::from_utf8(bytes).unwrap());
            assert_eq!(
                String::from_utf8(kept).unwrap(),
                bytes,
                "the format of the journal changed: see tests/fixtures/README.md"
            );
        }
    }
}
