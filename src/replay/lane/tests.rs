#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use crate::{
    directory::{Params as Connectors, Terms},
    domain::DomainSet,
    message::Outcome,
    replay::mail::{self, End},
    verdict::Mode,
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_772_409_600 + second)
}

fn lane(mode: Mode) -> Lane {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let terms = Terms { mode, registered, ..Terms::default() };
    let connectors = Connectors {
        discovered: Arc::new(terms),
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        discover: true,
        ..Connectors::default()
    };
    let settings = Settings { throttle: true, ..Settings::with_directory(connectors) };
    Lane::new(Params { settings, max_connectors: 100, login_realm: None, is_kept: false }, at(0))
}

fn erp() -> Arc<Who> {
    Arc::new(Who { client: Some("10.0.0.1".parse().unwrap()), ..Who::default() })
}

fn mail(number: u64, from: &str, to: &[String]) -> Mail {
    let recipient = |to: &String| mail::Recipient {
        address: to.as_str().into(),
        transport: Some("smtp".into()),
    };
    Mail {
        at: at(number * 60),
        begun: at(number * 60),
        host: "mx".into(),
        queue_id: format!("A{number:05}").into(),
        service: "postfix".into(),
        who: erp(),
        from: from.into(),
        given_from: None,
        message_id: None,
        header_from: Vec::new(),
        size: None,
        nrcpt: None,
        recipients: to.iter().map(recipient).collect(),
        is_complete: true,
        unknown: Vec::new(),
        attempts: Vec::new(),
        end: End::Queued,
    }
}

fn answer(mail: &Mail, outcome: Outcome) -> Answer {
    Answer {
        at: mail.at.plus(std::time::Duration::from_secs(2)),
        host: Arc::clone(&mail.host),
        queue_id: Arc::clone(&mail.queue_id),
        who: Arc::clone(&mail.who),
        recipient: mail.recipients[0].address.clone(),
        outcome,
        class: None,
        by: None,
    }
}

/// Two days of ordinary mail, then mail from everywhere to everybody.
fn attacked(lane: &mut Lane) -> Outcomes {
    for n in 0..2000 {
        let ordinary = mail(n, "app@example.org", &[format!("r{}@far.test", n % 50)]);
        lane.mail(&ordinary);
        lane.answer(&answer(&ordinary, Outcome::Delivered));
        lane.gone(&ordinary.host, &ordinary.queue_id, ordinary.at);
    }
    for n in 2000..2200 {
        let spam = mail(n, &format!("a@lottery{n}.test"), &[format!("v{n}@victims.test")]);
        lane.mail(&spam);
        lane.answer(&answer(&spam, Outcome::Refused));
    }
    lane.outcomes(at(2200 * 60))
}

#[test]
fn an_attack_is_restricted_and_the_rest_of_it_refused() {
    let outcomes = attacked(&mut lane(Mode::Enforce));
    let [case] = &outcomes.cases[..] else { return assert_eq!(outcomes.cases.len(), 1) };
    assert_eq!(case.restriction.entity.to_string(), "client:10.0.0.1");
    let refused = case.refused.messages + outcomes.slowed.messages;
    assert!(refused >= 180, "{case:?}");
    assert_eq!(outcomes.passed_messages + refused, 2200, "each message passes or is kept back");
    assert!(outcomes.near_misses.is_empty(), "{:?}", outcomes.near_misses);
    assert!(outcomes.suspicions.is_empty(), "{:?}", outcomes.suspicions);
}

#[test]
fn a_mark_refuses_nothing() {
    let outcomes = attacked(&mut lane(Mode::Observe));
    assert!(outcomes.cases[0].restriction.mark);
    assert_eq!(outcomes.cases[0].refused, Slowed::default());
    assert_eq!(outcomes.passed_messages, 2200);
}

#[test]
fn what_a_milter_refused_then_counts_only_while_restricted() {
    let mut lane = lane(Mode::Enforce);
    let tried = |n: u64| Abandoned {
        at: at(n * 60),
        host: "mx".into(),
        service: "postfix".into(),
        who: erp(),
        from: None,
        unknown: Vec::new(),
        attempts: vec!["v@victims.test".into()],
    };
    lane.abandoned(&tried(1));
    assert_eq!(lane.outcomes(at(120)).connectors, 0, "an attempt makes nobody a connector");
    let before = attacked(&mut lane).cases[0].refused.recipients;
    lane.abandoned(&tried(2300));
    let after = lane.outcomes(at(2301 * 60)).cases[0].refused.recipients;
    assert_eq!(after, before + 1);
}
