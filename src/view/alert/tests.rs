#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

//! Every kind of alert as it is read (`snapshots/`), and what holds for all of
//! them whatever clients choose to call themselves.

mod hostile;

use super::*;
use crate::{
    case::{Count, Step, Told, Top, Trait, What},
    connector::{CertificateName, ConnectorKey},
    directory::{Directory, Named, Params, Terms},
    domain::DomainSet,
    engine::Settings,
    record::{Actor, Restriction, Sample, SignalName, Unit},
    restriction::InForce,
    sender,
    text::{columns, is_harmless},
    verdict::{Action, Mode, Scope},
};
use std::{sync::Arc, time::Duration};

/// 2026-11-22T03:12:04Z.
const NOW: Timestamp = Timestamp::from_seconds(1_795_317_124);

fn ago(minutes: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - minutes * 60_000)
}

fn domains(names: &[&str]) -> DomainSet {
    let mut set = DomainSet::default();
    for name in names {
        set.insert(name).unwrap();
    }
    set
}

/// A site with two connectors of its own.
fn site(mode: Mode) -> Engine {
    let terms = Terms {
        organization: "example".into(),
        registered: domains(&["example.org", ".example.net"]),
        mode,
        ..Terms::default()
    };
    let erp = Named {
        name: "erp".into(),
        clients: vec!["192.0.2.10/32".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
        certificate: Some(CertificateName::new("erp.example.org", "Example CA")),
        digests: Vec::new(),
        logins: Vec::new(),
        terms: Arc::new(Terms { action: Action::Reject, ..terms.clone() }),
    };
    let smarthost = Named {
        name: "smarthost".into(),
        clients: vec!["192.0.2.20/32".parse().unwrap()],
        certificate: None,
        digests: Vec::new(),
        logins: vec!["relay@example.org".into()],
        terms: Arc::new(terms.clone()),
    };
    let directory = Directory::new(Params {
        connectors: vec![erp, smarthost],
        discovered: Arc::new(terms),
        relay_networks: vec!["192.0.2.0/24".parse().unwrap()],
        discover: true,
        ..Params::default()
    });
    let settings = Settings { directory, throttle: true, ..Settings::default() };
    Engine::new(settings, 1000, ago(90 * 1440))
}

fn entity(text: &str) -> Entity {
    text.parse().unwrap()
}

fn finding(signal: SignalName, bad: u32, of: u32, distinct: u32) -> Finding {
    Finding {
        signal,
        score: 15.2,
        limit: 14.0,
        bad,
        of,
        distinct,
        usual: 0.02,
        since: ago(25),
        unit: None,
    }
}

fn refused_elsewhere() -> Vec<Finding> {
    let networks =
        Finding { score: 9.0, usual: 0.005, ..finding(SignalName::NewNetworks, 14, 15, 14) };
    vec![finding(SignalName::ManyRefused, 37, 40, 0), networks]
}

fn unregistered() -> Vec<Finding> {
    let crowds = Finding { score: 8.0, ..finding(SignalName::UnknownCrowds, 6, 9, 0) };
    vec![Finding { usual: 0.005, ..finding(SignalName::UnregisteredSender, 9, 9, 3) }, crowds]
}

fn volume() -> Vec<Finding> {
    let unit = Some(Unit::Messages);
    vec![Finding { unit, score: 9.1, usual: 0.0, ..finding(SignalName::Volume, 412, 31, 47) }]
}

fn top(names: &[(&str, u64, u64)]) -> Top {
    let count =
        |&(name, count, bad): &(&str, u64, u64)| Count { name: name.into(), count, bad, over: 0 };
    Top { counts: names.iter().map(count).collect(), total: names.iter().map(|name| name.1).sum() }
}

fn sample(minutes: u64, id: &str, sender: &str, passed: bool) -> Sample {
    Sample {
        at: ago(minutes),
        queue_id: Some(id.into()),
        message_id: Some("1@mailer.example".into()),
        sender: sender.into(),
        from: None,
        recipients: 40,
        passed,
    }
}

/// A case of `root` in which something was collected.
fn case(root: &str, from: &[(&str, u64, u64)]) -> CaseFile {
    let mut case = CaseFile::new(CaseId(17), entity(root), ago(25));
    case.first_seen = Some(ago(80 * 1440));
    let senders = from.iter().map(|(name, ..)| *name);
    let material = &mut case.material;
    material.since = ago(25);
    material.senders = top(from);
    let domain = |name: &str| name.rsplit_once('@').map_or("", |at| at.1).to_owned();
    let of: Vec<(String, u64, u64)> =
        from.iter().map(|one| (domain(one.0), one.1, one.2)).collect();
    let of: Vec<(&str, u64, u64)> = of.iter().map(|one| (one.0.as_str(), one.1, one.2)).collect();
    material.sender_domains = top(&of);
    material.recipient_domains = top(&[("gmail.example", 31, 30), ("web.example", 9, 7)]);
    material.clients = top(&[("198.51.100.7", 12, 12), ("203.0.113.99", 11, 10)]);
    material.helos = top(&[("[127.0.0.1]", 20, 20), ("WIN-7Q2", 3, 2)]);
    (material.external, material.local) = (1240, 3);
    material.samples = senders
        .zip(1..)
        .map(|(sender, n)| sample(25 - n, &format!("4XyzQ{n}"), sender, true))
        .collect();
    case
}

/// Restricts it as the judgement does, and notes it in the case.
fn restrict(
    engine: &Engine,
    case: &mut CaseFile,
    text: &str,
    findings: Vec<Finding>,
    action: Action,
) -> InForce {
    let settings = engine.settings();
    let terms = settings.directory.terms_of(&entity(text));
    let mark = terms.mode == Mode::Observe;
    let (held, _) = engine.table().restrict(&entity(text), ago(20), |_| Restriction {
        entity: entity(text),
        case: case.case,
        action,
        scope: Scope::Relayed,
        since: ago(20),
        until: mark.then(|| ago(20).plus(Duration::from_secs(86_400))),
        reject_from: None,
        by: Actor::Judgement,
        reason: String::new(),
        mark,
        findings: findings.clone(),
        samples: Vec::new(),
        passed_messages: 40,
        passed_recipients: 1200,
        keys: Vec::new(),
    });
    step(case, if mark { What::Marked } else { What::Restricted }, text, Actor::Judgement, "");
    case.steps.last_mut().unwrap().findings = findings;
    held
}

fn step(case: &mut CaseFile, what: What, text: &str, by: Actor, reason: &str) {
    let at = if what == What::Lifted || what == What::Expired { NOW } else { ago(20) };
    let findings = Vec::new();
    case.steps.push(Step { at, by, what, entity: entity(text), reason: reason.into(), findings });
}

fn due(kind: AlertKind, text: &str, case: &CaseFile) -> Due {
    Due { kind, entity: Some(entity(text)), case: Some(case.clone()), about: About::Case }
}

fn about(kind: AlertKind, text: &str, about: About) -> Due {
    Due { kind, entity: Some(entity(text)), case: None, about }
}

fn written(engine: &Engine, due: &Due) -> Alert {
    checked(alert(engine, due, "alert-1@mx.example.org".into(), NOW))
}

/// What holds for every alert.
fn checked(alert: Alert) -> Alert {
    let subject = &alert.subject;
    assert!(columns(subject) <= 120 && subject.chars().all(is_harmless), "{subject}");
    assert!(alert.subject.starts_with("[connguard] "));
    for line in alert.text.lines() {
        assert!(columns(line) <= 99, "{line}");
        assert!(!line.chars().any(char::is_control));
    }
    assert!(alert.text.lines().count() <= 100, "two screens: {}", alert.text);
    for name in ["kind", "at", "entity", "case", "organization", "observe", "sentence", "findings"]
    {
        assert!(alert.data.get(name).is_some(), "{name}");
    }
    alert
}

/// As it is read, in UTC.
fn page(alert: &Alert) -> String {
    let mut text = format!("Subject: {}\n\n{}", alert.subject, alert.text);
    for minutes in (0..=30).chain([60, 125, 80 * 1440, 90 * 1440, 3 * 1440]) {
        for time in [ago(minutes), ago(minutes).plus(Duration::from_secs(86_400))] {
            let utc = format!("{}+00:00", &time.to_string()[..19]);
            text = text.replace(&time.local(), &utc);
        }
    }
    text
}

macro_rules! reads {
    ($name:literal, $engine:expr, $due:expr) => {
        insta::assert_snapshot!($name, page(&written(&$engine, &$due)))
    };
}

const SPAM: [(&str, u64, u64); 3] =
    [("sale@shop.example", 21, 21), ("bank@pay.example", 12, 12), ("alice@example.org", 7, 4)];

fn fill_queue(engine: &Engine, key: &str, sender: &str, count: u32) {
    let Entity::Connector(key) = entity(key) else { panic!("{key}") };
    let hash = engine.fingerprint_of_sender(&sender::fold(sender));
    for n in 0..count {
        engine.queued().enter(&format!("4XyzQ{sender}{n}"), &key, hash, false, ago(22));
    }
}

#[test]
fn a_login_is_restricted() {
    let engine = site(Mode::Enforce);
    let mut case = case("login:alice@example.org", &SPAM);
    let held = restrict(
        &engine,
        &mut case,
        "login:alice@example.org",
        refused_elsewhere(),
        Action::Tempfail,
    );
    held.attempts.refuse(320, ago(1));
    fill_queue(&engine, "login:alice@example.org", "sale@shop.example", 12);
    reads!(
        "restricted_login",
        engine,
        due(AlertKind::Restricted, "login:alice@example.org", &case)
    );
}

#[test]
fn a_configured_connector_is_restricted() {
    let engine = site(Mode::Enforce);
    let mut case = case("connector:erp", &SPAM);
    restrict(&engine, &mut case, "connector:erp", unregistered(), Action::Reject);
    reads!("restricted_connector", engine, due(AlertKind::Restricted, "connector:erp", &case));
}

#[test]
fn a_certificate_is_restricted() {
    let engine = site(Mode::Enforce);
    let text = "cert:web.example.org/Example%20CA";
    let mut case = case(text, &SPAM);
    restrict(&engine, &mut case, text, volume(), Action::Tempfail);
    reads!("restricted_certificate", engine, due(AlertKind::Restricted, text, &case));
}

#[test]
fn an_address_is_restricted() {
    let engine = site(Mode::Enforce);
    let mut case = case("client:192.0.2.77", &SPAM);
    restrict(&engine, &mut case, "client:192.0.2.77", unregistered(), Action::Tempfail);
    reads!("restricted_address", engine, due(AlertKind::Restricted, "client:192.0.2.77", &case));
}

#[test]
fn local_mail_is_held() {
    let engine = site(Mode::Enforce);
    let mut case = case("local", &SPAM);
    restrict(&engine, &mut case, "local", unregistered(), Action::Hold);
    reads!("restricted_local", engine, due(AlertKind::Restricted, "local", &case));
}

#[test]
fn a_sender_is_restricted() {
    let engine = site(Mode::Enforce);
    let text = "sender:bob@example.org,via=connector:smarthost";
    let mut case =
        case("connector:smarthost", &[("bob@example.org", 40, 37), ("eve@example.org", 90, 0)]);
    restrict(&engine, &mut case, text, refused_elsewhere(), Action::Tempfail);
    fill_queue(&engine, "connector:smarthost", "bob@example.org", 3);
    fill_queue(&engine, "connector:smarthost", "eve@example.org", 5);
    reads!("restricted_sender", engine, due(AlertKind::Restricted, text, &case));
}

#[test]
fn an_organization_is_restricted() {
    let engine = site(Mode::Enforce);
    let mut case = case("organization:example", &SPAM);
    restrict(&engine, &mut case, "organization:example", unregistered(), Action::Tempfail);
    fill_queue(&engine, "connector:erp", "sale@shop.example", 2);
    fill_queue(&engine, "login:alice@example.org", "sale@shop.example", 2);
    reads!(
        "restricted_organization",
        engine,
        due(AlertKind::Restricted, "organization:example", &case)
    );
}

#[test]
fn in_observe_mode_nothing_is_refused() {
    let engine = site(Mode::Observe);
    let mut case = case("login:alice@example.org", &SPAM);
    restrict(&engine, &mut case, "login:alice@example.org", unregistered(), Action::Tempfail);
    let due = due(AlertKind::Restricted, "login:alice@example.org", &case);
    let alert = written(&engine, &due);
    assert!(alert.subject.contains("[observing, nothing is refused]"));
    assert_eq!(alert.data["observe"], true);
    reads!("restricted_observe", engine, due);
}

#[test]
fn an_operator_restricts() {
    let engine = site(Mode::Enforce);
    let mut case = case("connector:erp", &[]);
    case.material = crate::case::Material::default();
    let by = Actor::Operator("anna".into());
    let blocked = crate::engine::Blocked {
        entity: entity("connector:erp"),
        action: None,
        span: None,
        reason: "the vendor says that it was broken into".into(),
    };
    engine.block(blocked, by.clone(), ago(20)).unwrap();
    step(
        &mut case,
        What::Restricted,
        "connector:erp",
        by,
        "the vendor says that it was broken into",
    );
    reads!("restricted_by_hand", engine, due(AlertKind::Restricted, "connector:erp", &case));
}

#[test]
fn suspicions() {
    for (name, mode) in [("suspicious", Mode::Enforce), ("suspicious_observe", Mode::Observe)] {
        let engine = site(mode);
        let mut case = case("login:alice@example.org", &SPAM);
        step(&mut case, What::Suspicious, "login:alice@example.org", Actor::Judgement, "");
        let about = About::Findings(volume());
        let due = Due { about, ..due(AlertKind::Suspicious, "login:alice@example.org", &case) };
        insta::assert_snapshot!(name, page(&written(&engine, &due)));
    }
}

#[test]
fn a_sender_is_suspicious() {
    let engine = site(Mode::Enforce);
    let text = "sender:bob@example.org,via=connector:smarthost";
    let mut case = case("connector:smarthost", &[("bob@example.org", 40, 37)]);
    step(&mut case, What::Suspicious, text, Actor::Judgement, "");
    let due = Due { about: About::Findings(volume()), ..due(AlertKind::Suspicious, text, &case) };
    reads!("suspicious_sender", engine, due);
}

#[test]
fn commands_that_take_no_case_get_none() {
    let engine = site(Mode::Enforce);
    let text = format!("sender:{}@example.org,via=connector:smarthost", "x".repeat(60));
    for kind in [AlertKind::Suspicious, AlertKind::Restricted, AlertKind::Lifted] {
        let case = case("connector:smarthost", &SPAM);
        let alert = written(&engine, &due(kind, &text, &case));
        for command in ["block", "normal", "trust", "explain"] {
            assert!(!alert.text.contains(&format!("connguard {command} C-")), "{}", alert.text);
        }
        assert!(alert.text.contains("connguard show C-000017"));
    }
}

#[test]
fn a_reminder_answers_to_the_first_alert() {
    let engine = site(Mode::Enforce);
    let mut case = case("login:alice@example.org", &SPAM);
    let held = restrict(
        &engine,
        &mut case,
        "login:alice@example.org",
        refused_elsewhere(),
        Action::Tempfail,
    );
    held.attempts.refuse(320, ago(1));
    let told =
        |kind, id: &str| Told { kind, entity: case.root.clone(), at: ago(20), id: id.into() };
    case.told =
        vec![told(AlertKind::Suspicious, "first@mx"), told(AlertKind::Restricted, "second@mx")];
    let due = due(AlertKind::StillRestricted, "login:alice@example.org", &case);
    assert_eq!(written(&engine, &due).in_reply_to.unwrap(), "first@mx");
    reads!("still_restricted", engine, due);
}

#[test]
fn ends() {
    let engine = site(Mode::Enforce);
    let mut case = case("login:alice@example.org", &SPAM);
    let name = "login:alice@example.org";
    restrict(&engine, &mut case, name, refused_elsewhere(), Action::Tempfail);
    (case.refused, case.held) = (320, 4);
    let by = Actor::Operator("anna".into());
    engine.unblock(&entity(name), "password changed", None, by.clone(), NOW).unwrap();
    step(&mut case, What::Lifted, name, by, "password changed");
    reads!("lifted", engine, due(AlertKind::Lifted, name, &case));
    case.steps.pop();
    step(&mut case, What::Expired, name, Actor::Daemon, "");
    reads!("expired", engine, due(AlertKind::Expired, name, &case));
}

#[test]
fn the_end_of_a_mark_promises_no_retries() {
    let engine = site(Mode::Observe);
    let name = "login:alice@example.org";
    let mut case = case(name, &SPAM);
    restrict(&engine, &mut case, name, unregistered(), Action::Tempfail);
    case.refused = 320;
    let by = Actor::Operator("anna".into());
    engine.unblock(&entity(name), "a mailing", None, by.clone(), NOW).unwrap();
    step(&mut case, What::Lifted, name, by, "a mailing");
    reads!("lifted_observe", engine, due(AlertKind::Lifted, name, &case));
}

#[test]
fn things_that_change() {
    let engine = site(Mode::Enforce);
    let Entity::Connector(key) = entity("client:192.0.2.77") else { panic!() };
    engine.roster().admit(&key, ago(1), &|_| false);
    reads!(
        "new_connector",
        engine,
        about(AlertKind::NewConnector, "client:192.0.2.77", About::Case)
    );
    let changes = vec![
        Change { what: Trait::CertificateIssuer, value: "Other CA".into(), at: ago(3) },
        Change { what: Trait::HeloName, value: "WIN-7Q2".into(), at: ago(3) },
    ];
    let due = about(AlertKind::ConnectorChanged, "connector:erp", About::Changes(changes));
    reads!("connector_changed", engine, due);
    let silent = About::Silent { last_seen: ago(3 * 1440), weeks: 4 };
    reads!("connector_silent", engine, about(AlertKind::ConnectorSilent, "connector:erp", silent));
}

#[test]
fn about_ourselves() {
    let engine = site(Mode::Enforce);
    let text = "the journal can't be written (No space left on device): what is in force holds, but a restart loses the latest changes; free space or mend the disk, it is tried again every few seconds";
    let of_us = |kind, about| Due { kind, entity: None, case: None, about };
    reads!("trouble", engine, of_us(AlertKind::Trouble, About::Trouble(text.into())));
    reads!("test", engine, of_us(AlertKind::Test, About::Case));
    let watching = site(Mode::Observe);
    let test = written(&watching, &of_us(AlertKind::Test, About::Case));
    assert!(test.subject.contains("nothing is refused"));
}

#[test]
fn of_a_few_at_once_the_gravest_is_told_in_full() {
    let engine = site(Mode::Enforce);
    let mut case = case("login:alice@example.org", &SPAM);
    let opened = Told {
        kind: AlertKind::Suspicious,
        entity: case.root.clone(),
        at: NOW,
        id: "first@mx.example.org".into(),
    };
    case.told.push(opened);
    restrict(&engine, &mut case, "login:alice@example.org", unregistered(), Action::Tempfail);
    let bad = due(AlertKind::Restricted, "login:alice@example.org", &case);
    let new = about(AlertKind::NewConnector, "client:192.0.2.9", About::Case);
    let both = checked(digest(&engine, &[new, bad.clone()], "d-1@mx.example.org".into(), NOW));
    assert!(both.subject.starts_with("[connguard] login:alice@example.org restricted"));
    assert!(both.subject.ends_with("(and 1 more)"), "{}", both.subject);
    assert_eq!(both.in_reply_to, None);
    insta::assert_snapshot!("digest_of_two", page(&both));

    let lifted = due(AlertKind::Lifted, "login:alice@example.org", &case);
    let of_one = digest(&engine, &[bad, lifted], "d-2@mx.example.org".into(), NOW);
    assert_eq!(of_one.in_reply_to.as_deref(), Some("first@mx.example.org"));
}

#[test]
fn many_at_once_are_one_digest() {
    let engine = site(Mode::Enforce);
    let mut all = Vec::new();
    for n in 0..40 {
        let name = format!("login:user{n}@example.org");
        let mut case = CaseFile::new(CaseId(100 + n), entity(&name), ago(25));
        restrict(&engine, &mut case, &name, refused_elsewhere(), Action::Tempfail);
        all.push(due(AlertKind::Restricted, &name, &case));
    }
    all.push(about(AlertKind::NewConnector, "client:192.0.2.77", About::Case));
    let digest = checked(digest(&engine, &all, "digest-1@mx.example.org".into(), NOW));
    assert_eq!(digest.data["alerts"].as_array().unwrap().len(), 30);
    assert_eq!(digest.data["more"], 11);
    insta::assert_snapshot!("digest", page(&digest));
}

#[test]
fn the_same_as_data() {
    let engine = site(Mode::Enforce);
    let mut case = case("connector:erp", &SPAM);
    restrict(&engine, &mut case, "connector:erp", unregistered(), Action::Reject);
    let alert = written(&engine, &due(AlertKind::Restricted, "connector:erp", &case));
    let data = serde_json::to_string_pretty(&alert.data).unwrap();
    insta::assert_snapshot!("data", data.replace(&ago(20).local(), "2026-11-22T02:52:04+00:00"));
}

#[test]
fn what_is_lifted_meanwhile_is_not_called_refused() {
    let engine = site(Mode::Enforce);
    let mut case = case("connector:erp", &SPAM);
    restrict(&engine, &mut case, "connector:erp", unregistered(), Action::Reject);
    engine.unblock(&entity("connector:erp"), "mistake", None, Actor::Daemon, NOW).unwrap();
    let alert = written(&engine, &due(AlertKind::Restricted, "connector:erp", &case));
    assert!(alert.text.contains("Nothing: it is no longer restricted."), "{}", alert.text);
    assert!(alert.data["restriction"].is_null());
}

#[test]
fn a_key_of_a_connector_is_told_by_its_connector() {
    let engine = site(Mode::Enforce);
    let mut case = case("client:192.0.2.10", &SPAM);
    restrict(&engine, &mut case, "client:192.0.2.10", unregistered(), Action::Tempfail);
    let alert = written(&engine, &due(AlertKind::Restricted, "client:192.0.2.10", &case));
    assert!(alert.text.contains("belongs to connector:erp"), "{}", alert.text);
    assert_eq!(alert.data["connector"]["name"], "erp");
}
