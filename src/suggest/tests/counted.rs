//! What is counted, of whom, and how much of it is held.

use super::{Log, START, client, login};
use crate::{
    connector::ConnectorKey,
    domain::DomainSet,
    message::Outcome,
    replay::{Abandoned, Answer, Sink, Who},
    suggest::{Known, Origin, Postfix, Survey, suggest},
    timestamp::Timestamp,
};
use std::sync::Arc;

#[test]
fn strangers_are_no_relay_clients() {
    let mut log = Log::new();
    for n in 0..15 {
        for day in 0..14 {
            let stranger = client(&format!("198.51.{n}.1"), "mx.stranger.example");
            let to = ["info@branch.example", "sales@branch.example"];
            log.mail(day, n, &stranger, "bob@stranger.example", &to);
        }
    }
    let config = log.config();
    assert_eq!(config.settings.directory.connectors().len(), 0);
    let text = log.comments();
    assert!(!text.contains("198.51."), "{text}");
    assert!(text.contains("branch.example, which is delivered elsewhere"), "{text}");
}

#[test]
fn a_refusal_that_is_tried_again_counts_once() {
    let mut log = Log::new();
    let erp = client("10.0.0.1", "erp.example.org");
    log.mail(0, 0, &erp, "a@example.org", &["gone@y.example", "b@y.example"]);
    let mut again = Answer {
        at: Timestamp::from_seconds(START + 60),
        host: "mx".into(),
        queue_id: format!("Q{}", log.number).as_str().into(),
        who: Arc::new(erp.clone()),
        recipient: "gone@y.example".into(),
        outcome: Outcome::Refused,
        class: None,
        by: None,
    };
    for _ in 0..5 {
        log.survey.answer(&again);
    }
    again.outcome = Outcome::Deferred;
    log.survey.answer(&again);
    let figures = log.survey.identities.values().next().unwrap();
    assert_eq!((figures.refused, figures.delivered), (1, 1));
}

#[test]
fn refused_recipients_of_whom_relays_are_counted() {
    let mut log = Log::new();
    let erp = client("10.0.0.1", "erp.example.org");
    let abandoned = |who: &Who| Abandoned {
        at: Timestamp::from_seconds(START),
        host: "mx".into(),
        service: "postfix".into(),
        who: Arc::new(who.clone()),
        from: None,
        unknown: vec!["x@example.org".into(); 3],
        attempts: Vec::new(),
    };
    log.survey.abandoned(&abandoned(&client("203.0.113.200", "unknown")));
    assert_eq!(log.survey.identities.len(), 0, "nobody who relays");
    log.mail(0, 0, &erp, "a@example.org", &["b@y.example"]);
    log.survey.abandoned(&abandoned(&erp));
    assert_eq!(log.survey.identities.values().next().unwrap().unknown, 3);
}

#[test]
fn of_too_many_those_with_the_most_mail_are_kept() {
    let mut log = Log { survey: Survey::with_room_for(10, Known::default()), number: 0 };
    for round in 0..2 {
        for n in 0..100 {
            let who = login(&format!("user{n}@example.org"), "192.0.2.1");
            for message in 0..if n < 5 { 5 } else { 1 } {
                log.mail(round, n * 10 + message, &who, "a@example.org", &["b@y.example"]);
            }
        }
    }
    assert!(log.survey.identities.len() <= 20);
    for n in 0..5 {
        let key = ConnectorKey::Login(format!("user{n}@example.org").into());
        assert_eq!(log.survey.identities[&key].messages, 10);
    }
    let text = log.comments();
    assert!(text.contains("Left out for lack of room: "), "{text}");
}

#[test]
fn what_is_known_of_postfix_settles_directions() {
    let mut inbound = DomainSet::default();
    inbound.insert(".example.org").unwrap();
    let known = Known { inbound, networks: vec!["192.0.2.0/24".parse().unwrap()] };
    let mut log = Log { survey: Survey::new(known), number: 0 };
    let gateway = client("192.0.2.1", "unknown");
    log.mail(0, 0, &gateway, "a@x.example", &["b@relay.example.org"]);
    assert_eq!(log.survey.identities.len(), 0, "that is no relaying");
    log.ordinary(&gateway, "example.org", 1);
    let outside = client("198.51.100.1", "unknown");
    log.ordinary(&outside, "example.org", 5);
    let postfix = Postfix { host: "mx.example.org".into(), ..Postfix::default() };
    let suggestion = suggest(&log.survey, Some(&postfix), &Origin::default()).unwrap();
    let warnings = suggestion.warnings.join("\n");
    assert!(warnings.contains("1 client (198.51.100.1) without login relays"), "{warnings}");
    let postfix = Postfix { host: "other.example.org".into(), ..Postfix::default() };
    let suggestion = suggest(&log.survey, Some(&postfix), &Origin::default()).unwrap();
    assert!(suggestion.warnings[0].contains("the Postfix that was asked is other.example.org"));
}

#[test]
fn logins_with_and_without_realm_are_one() {
    let mut log = Log::new();
    for user in ["alice", "bob"] {
        log.ordinary(&login(user, "192.0.2.1"), "example.org", 20);
        log.ordinary(&login(&format!("{user}@example.org"), "192.0.2.2"), "example.org", 20);
    }
    let text = log.suggest().text;
    assert!(text.contains("login_realm = \"example.org\""), "{text}");
    assert!(text.contains("# 2 logins relayed."), "{text}");
}
