//! Requests of the control socket: a line each, carried out at an engine as the
//! daemon does it, and the lines of the answer.

use super::{
    bytes::Bytes,
    site::{self, START, Shared},
};
use connguard::{
    command::{Command, Failure, FailureKind, Line, Request, VERSION},
    connector::{ConnectorKey, Entity},
    engine::{Blocked, Engine, Unblocked},
    operator::fuzz::find,
    record::{Actor, CaseId, Trust},
    timestamp::Timestamp,
    view,
};
use serde_json::{Value, json};
use std::{cell::RefCell, sync::Arc, time::Duration};

thread_local! {
    static WORLD: RefCell<Shared<World>> = const { RefCell::new(Shared::new(World::new)) };
}

struct World {
    engine: Arc<Engine>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let engine = site::engine();
        for text in ["login:alice@example.org", "client:192.0.2.1", "client:2001:db8::/64", "local"]
        {
            let key: ConnectorKey = text.parse().unwrap();
            engine.roster().admit(&key, START, &|_| false);
        }
        Self { engine, now: START }
    }
}

const ENTITIES: [&str; 15] = [
    "login:alice@example.org",
    "Alice",
    "192.0.2.1",
    "client:192.0.2.1",
    "client:192.0.2.0/24",
    "2001:db8::5",
    "connector:erp",
    "erp",
    "sender:b@odd.test,via=erp",
    "sender:B%2Cx@odd.test,via=connector:erp",
    "organization:default",
    "cert:erp.example.org/Example%20CA",
    "local",
    "overflow",
    "C-000001",
];
const REASONS: [&str; 3] = ["cleaned", "", "\u{1b}[31m\u{202e}\n"];
const COMMANDS: [&str; 16] = [
    "status",
    "list",
    "show",
    "block",
    "unblock",
    "trust",
    "untrust",
    "explain",
    "normal",
    "history",
    "top",
    "alerts",
    "test_alerts",
    "queue",
    "queued",
    "reload",
];

/// Requests, one a line.
pub fn run(data: &[u8]) {
    WORLD.with_borrow_mut(|shared| {
        shared.run(data, |world| {
            for line in data.split(|byte| *byte == b'\n').take(8) {
                world.now = world.now.plus(Duration::from_secs(1));
                world.request(line);
            }
            drop(world.engine.table().changes().take(Duration::ZERO));
        });
    });
}

impl World {
    fn request(&mut self, line: &[u8]) {
        let text = match line.split_first() {
            // Most bytes make no JSON: these are put into a request.
            Some((first, rest)) if *first < 16 => made(*first, Bytes(rest)),
            _ => String::from_utf8_lossy(line).into_owned(),
        };
        let result = Command::parse(&text).and_then(|command| {
            let again = serde_json::to_string(&Request { v: VERSION, command: command.clone() });
            assert_eq!(Command::parse(&again.unwrap()), Ok(command.clone()), "read again");
            self.carry_out(command)
        });
        if let Err(failure) = &result {
            assert!(!failure.message.is_empty());
            let is_parsed = Command::parse(&text).is_ok();
            assert!(is_parsed || failure.kind == FailureKind::Usage, "{failure:?}");
        }
        one_line(&match result {
            Ok(value) => Line::Done(value),
            Err(failure) => Line::Failed(failure),
        });
    }

    fn find(&self, text: &str) -> Result<Entity, Failure> {
        let found = find(&self.engine, Some("example.org"), text, self.now)?;
        // Its full name means the same, unless nothing of it is there any more.
        let full = found.to_string();
        assert_eq!(full.parse::<Entity>().as_ref(), Ok(&found), "of {text:?}");
        assert_eq!(
            find(&self.engine, Some("example.org"), &full, self.now).ok(),
            Some(found.clone())
        );
        Ok(found)
    }

    fn carry_out(&mut self, command: Command) -> Result<Value, Failure> {
        let (engine, now) = (&self.engine, self.now);
        let by = Actor::Operator("anna".into());
        let refused = |error: &dyn ToString| Failure::refused(error.to_string());
        Ok(match command {
            Command::List { all } => {
                for item in view::list(engine, all, now) {
                    one_line(&Line::Item(serde_json::to_value(&item).unwrap()));
                }
                Value::Null
            }
            Command::Show { what } | Command::Queue { what } => {
                let entity = match what.parse::<CaseId>() {
                    Ok(case) => engine.entities_of(case, now).into_iter().next(),
                    Err(_) => Some(self.find(&what)?),
                };
                let shown = entity.and_then(|entity| view::show(engine, &entity, None, &[], now));
                serde_json::to_value(&shown).unwrap()
            }
            Command::Explain { entity } => {
                let entity = self.find(&entity)?;
                serde_json::to_value(view::explain(engine, &entity, now)).unwrap()
            }
            Command::Top => serde_json::to_value(view::top(engine, now)).unwrap(),
            Command::Block { entity, reason, span_s, action } => {
                let entity = self.find(&entity)?;
                let span = span_s.map(Duration::from_secs).filter(|span| !span.is_zero());
                let blocked = Blocked { entity: entity.clone(), action, span, reason };
                let (held, _) = engine.block(blocked, by, now).map_err(|error| refused(&error))?;
                let restriction = &held.restriction;
                assert!(engine.table().in_force(&restriction.entity, now).is_some());
                assert!(engine.table().trust(&restriction.entity, now).is_none());
                json!({ "case": restriction.case, "until": restriction.until.map(Timestamp::local) })
            }
            Command::Unblock { what, reason, grace_s, false_positive, .. } => {
                let entity = self.find(&what)?;
                let how = Unblocked { grace: grace_s.map(Duration::from_secs), false_positive };
                let lifted = engine.unblock(&entity, &reason, how, by, now);
                assert!(engine.table().in_force(&entity, now).is_none());
                json!(lifted.map(|(_, seq)| seq))
            }
            Command::Trust { entity, span_s, reason } => {
                let entity = self.find(&entity)?;
                let until = now.plus(Duration::from_secs(span_s));
                let trust = Trust { since: now, until, by, reason };
                let seq = engine.trust(&entity, trust).map_err(|error| refused(&error))?;
                assert!(
                    engine.table().in_force(&entity, now).is_none_or(|held| held.restriction.mark)
                );
                json!([seq, until.local()])
            }
            Command::Untrust { entity, reason } => {
                let entity = self.find(&entity)?;
                json!(engine.end_trust(&entity, &reason, by, now))
            }
            Command::Normal { entity, reason } => {
                let entity = self.find(&entity)?;
                json!(engine.normal(&entity, &reason, by, now).map_err(|error| refused(&error))?)
            }
            Command::History { entity } => json!(entity.map(|text| self.find(&text)).transpose()?),
            Command::Queued { what, .. } => json!(self.find(&what)?),
            Command::Status | Command::Alerts | Command::TestAlerts | Command::Reload => {
                Value::Null
            }
        })
    }
}

/// A request with this command.
fn made(command: u8, mut bytes: Bytes<'_>) -> String {
    let name = COMMANDS[usize::from(command)];
    let (entity, reason) = (bytes.text(&ENTITIES), bytes.text(&REASONS));
    let span = match bytes.byte() {
        0 => None,
        255 => Some(u64::MAX),
        number => Some(1_u64 << (number % 64)),
    };
    let of = json!({
        "all": span.is_some(),
        "what": entity,
        "entity": entity,
        "reason": reason,
        "span_s": if name == "trust" { Some(span.unwrap_or(0)) } else { span },
        "grace_s": span,
        "action": bytes.byte_of(&[Value::Null, json!("reject"), json!("hold"), json!("odd")]),
        "held": 1, "released": 2, "force": true, "false_positive": span.is_none(),
    });
    let command = match name {
        "status" | "top" | "alerts" | "test_alerts" | "reload" => json!(name),
        _ => json!({ name: of }),
    };
    json!({ "v": 1, "do": command }).to_string()
}

/// Every answer is one line of JSON, which is read as an answer of the same kind.
fn one_line(line: &Line) {
    let text = serde_json::to_string(line).unwrap();
    assert!(!text.bytes().any(|byte| byte < b' '), "{text:?}");
    let read: Line = serde_json::from_str(&text).unwrap();
    match (line, &read) {
        (Line::Failed(wrong), Line::Failed(read)) => assert_eq!(wrong, read),
        // Of numbers the last digit may be another one.
        (Line::Done(_), Line::Done(_)) | (Line::Item(_), Line::Item(_)) => {}
        _ => panic!("{text} is read as {read:?}"),
    }
}
