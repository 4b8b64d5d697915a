//! Names and addresses that an attacker chose.

use super::*;

/// What clients may call themselves.
fn names() -> Vec<String> {
    vec![
        "x\r\nSubject: all is well\r\n\r\nWhat to do\r\n  1. Nothing.".into(),
        "\u{1b}[2J\u{1b}[31mred\u{7}".into(),
        "Nothing is refused: it was lifted by an operator, and nobody has to do anything".into(),
        "%s%n%x %d {} {case}".into(),
        "a\u{202e}b\u{200b}c\u{2028}d\u{feff}e\u{301}f\u{85}g".into(),
        "\" --reason 'x'; rm -rf / #`id`$(id)".into(),
        "\u{fffd}\u{fffd}\u{1}\u{0}".into(),
        "宽".repeat(300),
        "x".repeat(998),
        format!("{}@{}.example", "l".repeat(64), "d".repeat(60)),
        String::new(),
    ]
}

/// Every kind of entity of this name.
fn entities(name: &str) -> Vec<Entity> {
    let login = ConnectorKey::Login(crate::connector::fold_login(name, None));
    let certificate = ConnectorKey::Certificate(CertificateName::new(name, name));
    let via = |key: &ConnectorKey| Entity::Sender { address: name.into(), via: key.clone() };
    let all = vec![
        via(&login),
        via(&ConnectorKey::Named("erp".into())),
        login.into(),
        certificate.into(),
        Entity::Organization(name.into()),
    ];
    // Nobody has no name.
    all.into_iter().filter(|entity| entity.to_string().parse::<Entity>().is_ok()).collect()
}

const KINDS: [AlertKind; 9] = [
    AlertKind::Suspicious,
    AlertKind::Restricted,
    AlertKind::StillRestricted,
    AlertKind::Lifted,
    AlertKind::Expired,
    AlertKind::NewConnector,
    AlertKind::ConnectorChanged,
    AlertKind::ConnectorSilent,
    AlertKind::Trouble,
];

#[test]
fn nothing_breaks_out_of_its_line() {
    for name in names() {
        for entity in entities(&name) {
            for findings in [refused_elsewhere(), unregistered(), volume()] {
                told(&name, &entity, &findings);
            }
        }
    }
}

fn told(name: &str, entity: &Entity, findings: &[Finding]) {
    let engine = site(Mode::Enforce);
    let mut case = case("connector:erp", &[(name, 9, 9), ("b@shop.example", 1, 1)]);
    for top in [
        &mut case.material.sender_domains,
        &mut case.material.recipient_domains,
        &mut case.material.clients,
        &mut case.material.helos,
    ] {
        *top = super::top(&[(name, 9, 9), (name, 1, 1)]);
    }
    for sample in &mut case.material.samples {
        sample.queue_id = Some(name.into());
        sample.message_id = Some(name.into());
    }
    let what = Trait::HeloName;
    case.material.changes = vec![Change { what, value: name.into(), at: ago(3) }];
    restrict(&engine, &mut case, &entity.to_string(), findings.to_vec(), Action::Tempfail);
    for kind in KINDS {
        let about = match kind {
            AlertKind::Trouble => About::Trouble(name.into()),
            AlertKind::ConnectorChanged => About::Changes(case.material.changes.clone()),
            _ => About::Case,
        };
        let due = Due { kind, entity: Some(entity.clone()), case: Some(case.clone()), about };
        let alert = written(&engine, &due);
        look(name, &alert, kind == AlertKind::Trouble);
        let digest = digest(&engine, &[due.clone(), due], "id@mx".into(), NOW);
        look(name, &checked(digest), kind == AlertKind::Trouble);
    }
}

/// Our own words in trouble are not told apart from what they quote.
fn look(name: &str, alert: &Alert, ours: bool) {
    for line in alert.text.lines() {
        assert!(line.chars().all(is_harmless), "{name:?}: {line}");
        for claim in ["Subject:", "1. Nothing", "Nothing is refused: it was lifted"] {
            assert!(ours || !line.trim_start().starts_with(claim), "{name:?}: {line}");
        }
    }
    assert_eq!(alert.text.matches("\nWhat to do\n").count().max(1), 1);
    assert!(ours || !alert.text.contains("rm -rf / #`id`$(id)\n"), "{}", alert.text);
    assert!(texts(&alert.data).iter().all(|text| text.chars().all(is_harmless)), "{name:?}");
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_is_to_be_pasted_is_one_word_for_a_shell() {
    let engine = site(Mode::Enforce);
    let name = "a'b;$(id)@example.org";
    let entity = Entity::from(ConnectorKey::Login(name.into()));
    let mut case = case(&entity.to_string(), &SPAM);
    restrict(&engine, &mut case, &entity.to_string(), unregistered(), Action::Tempfail);
    let alert = written(&engine, &due(AlertKind::Restricted, &entity.to_string(), &case));
    let command = r"connguard unblock 'login:a'\''b;$(id)@example.org' --reason 'what was done'";
    assert!(alert.text.contains(command), "{}", alert.text);
    assert_eq!(alert.data["restriction"]["unblock"], command);
    // What is too long for a line is named by its case.
    let long = Entity::from(ConnectorKey::Login("l".repeat(200).into()));
    restrict(&engine, &mut case, &long.to_string(), unregistered(), Action::Tempfail);
    let alert = written(&engine, &due(AlertKind::Restricted, &long.to_string(), &case));
    assert!(alert.text.contains("connguard unblock C-000017 --reason"), "{}", alert.text);
}
