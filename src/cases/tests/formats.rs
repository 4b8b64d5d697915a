//! Files of every format so far open, and the newest one is what is written today.
//!
//! `tests/fixtures/README.md` says what to do when the last test fails.

use super::*;
use crate::{
    case::{AlertKind, Change, Seen, Step, Told, Trait, What},
    record::{Actor, Finding, Sample, SignalName},
};

/// Every field has a value here.
fn full() -> CaseFile {
    let domains = [("a.test".into(), 3)];
    let changes = [Change { what: Trait::HeloName, value: "laptop".into(), at: NOW }];
    let seen = Seen {
        sender: "alice@example.org",
        sender_domain: "example.org",
        client: Some([192, 0, 2, 7].into()),
        helo: "laptop",
        recipient_domains: &domains,
        relayed: 4,
        inbound: 2,
        bad: true,
        changes: &changes,
    };
    let mut material = crate::case::Material::default();
    material.note(&seen, NOW);
    material.keep(Sample {
        at: NOW,
        queue_id: Some("4Zk1aQ0000z".into()),
        message_id: None,
        sender: "alice@example.org".into(),
        from: Some("Älice\u{202e}@example.org".into()),
        recipients: 4,
        passed: false,
    });
    let finding = Finding { signal: SignalName::NewNetworks, bad: 3, of: 4, ..Finding::default() };
    let step = Step {
        at: NOW,
        by: Actor::Operator("anna".into()),
        what: What::Restricted,
        entity: erp(),
        reason: "stolen".into(),
        findings: vec![finding],
    };
    let told = Told { kind: AlertKind::Restricted, entity: erp(), at: NOW, id: "1@mx".into() };
    CaseFile {
        case: CaseId(17),
        root: erp(),
        opened: NOW,
        closed: Some(NOW.plus(Duration::from_secs(60))),
        active: NOW,
        restricted: [erp()].into(),
        first_seen: Some(NOW),
        steps: vec![step],
        material,
        refused: 12,
        held: 1,
        last_attempt: Some(NOW),
        told: vec![told],
    }
}

const FIXTURES: [&str; 1] = ["cases-1"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn every_format_so_far_opens() {
    for name in FIXTURES {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("cases");
        fs::create_dir(&folder).unwrap();
        let file = fixture(name).join("C-000017.json");
        fs::copy(file, folder.join("C-000017.json")).unwrap();
        let loaded = Store::open(state.path()).load();
        assert_eq!((loaded.files, loaded.warnings), (vec![full()], vec![]), "{name}");
    }
}

#[test]
fn what_is_written_today_is_the_newest_fixture() {
    let state = tempfile::tempdir().unwrap();
    let mut store = Store::open(state.path());
    store.prepare().unwrap();
    store.save(&full()).unwrap();
    let text = fs::read_to_string(state.path().join("cases/C-000017.json")).unwrap();
    let kept = fixture(FIXTURES[FIXTURES.len() - 1]).join("C-000017.json");
    if std::env::var_os("CONNGUARD_WRITE_FIXTURES").is_some() {
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(&kept, &text).unwrap();
    }
    let kept = fs::read_to_string(&kept).unwrap();
    assert_eq!(kept, text, "the format of cases changed: see tests/fixtures/README.md");
}
