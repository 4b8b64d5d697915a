//! What is told of incidents.

use super::*;
use AlertKind::{
    ConnectorChanged, ConnectorSilent, Digest, Expired, Lifted, NewConnector, Restricted,
    StillRestricted, Suspicious, Trouble as OwnTrouble,
};

#[test]
fn an_incident_of_two_hours_with_a_restart_is_four_alerts() {
    let mut site = Site::new(quiet());
    for _ in 0..30 {
        site.send("127.0.0.8", "a@example.org");
    }
    site.suspect("127.0.0.8");
    site.pass(5 * MINUTE);
    assert_eq!(site.told(), [Suspicious]);
    site.take_over("127.0.0.8");
    site.pass(50 * MINUTE);
    assert_eq!(site.told(), [Suspicious, Restricted]);
    site.restart(MINUTE);
    site.pass(30 * MINUTE);
    site.unblock("client:127.0.0.8");
    site.pass(30 * MINUTE);
    assert_eq!(site.told(), [Suspicious, Restricted, StillRestricted, Lifted]);

    // One thread, in one case.
    let told = site.herald.list();
    let case = site.engine.cases().all()[0].clone();
    assert_eq!(case.told.len(), 4);
    assert!(told.iter().all(|alert| alert.case == Some(case.case)));
    assert_eq!(case.told[0].id, told[3].id);
    site.restart(MINUTE);
    site.pass(2 * MINUTE);
    assert_eq!(site.told().len(), 4, "a restart tells nothing again");
}

#[test]
fn who_is_restricted_at_once_needs_no_warning() {
    let mut site = Site::new(quiet());
    site.suspect("127.0.0.8");
    site.take_over("127.0.0.8");
    site.pass(3 * MINUTE);
    assert_eq!(site.told(), [Restricted]);
}

#[test]
fn a_suspicion_that_is_over_by_its_turn_is_not_told() {
    let mut site = Site::new(quiet());
    site.block("client:127.0.0.7", None);
    site.look();
    site.suspect("127.0.0.8");
    site.pass(10 * Duration::from_secs(1));
    let by = Actor::Operator("root".into());
    let entity: Entity = "client:127.0.0.8".parse().unwrap();
    let trust = crate::record::Trust {
        since: site.now(),
        until: site.now().plus(DAY),
        by,
        reason: "mailing".into(),
    };
    site.engine.trust(&entity, trust).unwrap();
    site.pass(3 * MINUTE);
    assert_eq!(site.told(), [Restricted]);
}

#[test]
fn what_was_told_is_known_even_if_the_case_was_not_written() {
    let mut site = Site::new(quiet());
    site.take_over("127.0.0.8");
    site.look();
    assert_eq!(site.told(), [Restricted]);
    site.restart_forgetting(MINUTE, |case| case.told.clear());
    site.pass(2 * MINUTE);
    assert_eq!(site.told(), [Restricted]);
    assert_eq!(site.engine.cases().all()[0].told.len(), 1);
}

#[test]
fn three_hundred_at_once_are_two_alerts() {
    let mut site = Site::new(quiet());
    for second in 0..60 {
        for n in 0..5 {
            site.block(&client(second * 5 + n), None);
        }
        site.pass(Duration::from_secs(1));
    }
    site.pass(10 * MINUTE);
    assert_eq!(site.told(), [Digest, Digest]);
    let told = |case: &Arc<crate::case::CaseFile>| case.told.len();
    let cases = site.engine.cases().all();
    assert_eq!(cases.iter().map(told).collect::<Vec<_>>(), [1; 300]);
    // Their reminders come together too.
    site.pass(HOUR);
    assert_eq!(site.told(), [Digest; 4]);
}

#[test]
fn what_comes_within_a_minute_waits_and_goes_as_itself_if_it_is_one() {
    let mut site = Site::new(quiet());
    site.block("client:127.0.0.7", None);
    site.look();
    site.block("client:127.0.0.8", None);
    site.pass(59 * Duration::from_secs(1));
    assert_eq!(site.told(), [Restricted]);
    site.pass(Duration::from_secs(1));
    assert_eq!(site.told(), [Restricted, Restricted]);
}

#[test]
fn what_ends_by_the_clock_is_told_as_that() {
    let mut site = Site::new(quiet());
    site.block("client:127.0.0.8", Some(30 * MINUTE));
    site.pass(40 * MINUTE);
    assert_eq!(site.told(), [Restricted, Expired]);
    site.block("client:127.0.0.8", None);
    site.pass(2 * MINUTE);
    assert_eq!(site.told(), [Restricted, Expired, Restricted], "again, in the same case");
}

#[test]
fn reminders_come_as_configured() {
    for (repeat, expected) in [(None, 0), (Some(HOUR), 3), (Some(3 * HOUR), 1)] {
        let mut site = Site::new(Params { repeat, ..quiet() });
        site.block("client:127.0.0.8", None);
        site.pass(200 * MINUTE);
        let reminders = site.told().iter().filter(|kind| **kind == StillRestricted).count();
        assert_eq!(reminders, expected, "{repeat:?}");
        let told = site.engine.cases().all()[0].told.len();
        assert_eq!(told, 1 + expected.min(1), "the case remembers the last one");
    }
}

#[test]
fn a_reminder_of_a_week_survives_restarts() {
    let mut site = Site::new(Params { repeat: Some(7 * DAY), ..quiet() });
    site.block("client:127.0.0.8", None);
    site.pass(MINUTE);
    assert_eq!(site.told(), [Restricted]);
    // What a file of a case does not tell after a crash, the list of alerts does.
    let lose = |case: &mut crate::case::CaseFile| {
        case.told.retain(|told| told.kind != StillRestricted);
    };
    for day in 1..=20_u32 {
        site.restart_forgetting(DAY, lose);
        site.pass(MINUTE);
        let expected = 1 + usize::try_from(day / 7).unwrap();
        assert_eq!(site.told().len(), expected, "day {day}: {:?}", site.told());
    }
    assert_eq!(site.told(), [Restricted, StillRestricted, StillRestricted]);
}

#[test]
fn new_connectors_are_told_at_once_and_then_together() {
    let mut site = Site::new(Params { new_connectors: true, ..quiet() });
    site.send("127.0.0.8", "a@example.org");
    site.look();
    assert_eq!(site.told(), [NewConnector]);
    site.send("127.0.0.9", "a@example.org");
    site.send("127.0.0.10", "a@example.org");
    site.pass(59 * MINUTE);
    assert_eq!(site.told(), [NewConnector]);
    site.pass(2 * MINUTE);
    assert_eq!(site.told(), [NewConnector, Digest]);
}

#[test]
fn new_connectors_that_wait_for_their_turn_are_not_lost_by_a_stop() {
    let mut site = Site::new(Params { new_connectors: true, ..quiet() });
    site.send("127.0.0.8", "a@example.org");
    site.look();
    site.send("127.0.0.9", "a@example.org");
    site.send("127.0.0.10", "a@example.org");
    // Of this one more is told than that it is new.
    site.send("127.0.0.11", "a@example.org");
    site.pass(5 * MINUTE);
    site.block("client:127.0.0.11", None);
    assert_eq!(site.told(), [NewConnector]);
    site.herald.stop(site.now());
    assert_eq!(site.told(), [NewConnector, Digest]);
    let told = &site.herald.list()[0].subject;
    assert!(told.contains("(and 1 more)"), "{told}");
    site.restart(MINUTE);
    site.pass(2 * MINUTE);
    assert_eq!(site.told(), [NewConnector, Digest, Restricted]);
}

#[test]
fn a_connector_that_shows_another_identity_is_told() {
    let mut site = Site::new(quiet());
    let change = crate::case::Change {
        what: crate::case::Trait::HeloName,
        value: "WIN-7Q2\r\nBcc: x@example.net".into(),
        at: site.now(),
    };
    let changed = Notice::Changed(ConnectorKey::Named("erp".into()), vec![change]);
    let now = site.now();
    site.herald.take(Message::Notices(vec![changed]), now);
    site.look();
    assert_eq!(site.told(), [ConnectorChanged]);
    assert_eq!(site.herald.list()[0].entity, Some("connector:erp".parse().unwrap()));
}

#[test]
fn a_trouble_of_our_own_is_told_once() {
    let mut site = Site::new(quiet());
    let trouble =
        || vec![Trouble { key: "journal".into(), text: "No space left on device.".into() }];
    let tell = |site: &mut Site| {
        let now = site.now();
        site.herald.take(Message::Troubles(trouble()), now);
    };
    for _ in 0..120 {
        tell(&mut site);
        site.pass(Duration::from_secs(1));
    }
    assert_eq!(site.told(), [OwnTrouble]);
    site.restart(MINUTE);
    for _ in 0..120 {
        tell(&mut site);
        site.pass(Duration::from_secs(1));
    }
    assert_eq!(site.told(), [OwnTrouble]);
}

#[test]
fn a_connector_that_was_regular_is_missed_once() {
    let mut site = Site::new(quiet());
    for day in 0..36 {
        site.send("127.0.0.8", "a@example.org");
        // Comes and goes.
        if day < 3 {
            site.send("127.0.0.9", "a@example.org");
        }
        site.millis.fetch_add(u64::try_from(DAY.as_millis()).unwrap(), SeqCst);
        site.look();
    }
    assert_eq!(site.told(), []);
    for hour in 0..200 {
        site.millis.fetch_add(u64::try_from(HOUR.as_millis()).unwrap(), SeqCst);
        site.look();
        if hour == 46 {
            assert_eq!(site.told(), [], "not before three days");
        }
    }
    assert_eq!(site.told(), [ConnectorSilent]);
    let about = site.herald.list()[0].entity.clone();
    assert_eq!(about, Some("client:127.0.0.8".parse().unwrap()));
    // It sends again, and stops again.
    site.send("127.0.0.8", "a@example.org");
    for _ in 0..400 {
        site.millis.fetch_add(u64::try_from(HOUR.as_millis()).unwrap(), SeqCst);
        site.look();
    }
    assert!(site.told().len() <= 2, "{:?}", site.told());
}
