//! Policy requests of several clients at once, with any bytes, in both roles.
//!
//! The input is requests as they come on a connection, each ended by an empty line. A
//! line `+N` lets N seconds pass, `!block` and `!unblock` are an operator's.

use super::site::{self, START, Shared};
use connguard::{
    connector::{ConnectorKey, Entity},
    engine::{Blocked, Engine, Unblocked},
    policy::{Role, fuzz::Desk},
    record::Actor,
    timestamp::Timestamp,
    verdict::Action,
};
use std::{cell::RefCell, sync::Arc, time::Duration};

thread_local! {
    static WORLD: RefCell<Shared<World>> = const { RefCell::new(Shared::new(World::new)) };
}

struct World {
    engine: Arc<Engine>,
    judge: Desk,
    identity: Desk,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let engine = site::engine();
        engine.handover().open();
        let judge = Desk::new(&engine, Role::Judge, "example.org", START);
        let identity = Desk::new(&engine, Role::Identity, "example.org", START);
        Self { engine, judge, identity, now: START }
    }

    fn operate(&mut self, line: &[u8]) -> bool {
        let erp = Entity::Connector(ConnectorKey::Named("erp".into()));
        let by = Actor::Operator("root".into());
        match line {
            b"!block" => {
                let blocked = Blocked {
                    entity: erp,
                    action: Some(Action::Tempfail),
                    span: None,
                    reason: "x".into(),
                };
                let _ = self.engine.block(blocked, by, self.now);
            }
            b"!unblock" => {
                let how = Unblocked { grace: None, false_positive: false };
                let _ = self.engine.unblock(&erp, "y", how, by, self.now);
            }
            [b'+', digits @ ..] => {
                let digits = std::str::from_utf8(digits).ok();
                let seconds = digits.and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
                self.now = self.now.plus(Duration::from_secs(seconds.into()));
                self.judge.at(self.now);
                self.identity.at(self.now);
                self.engine.sweep(self.now);
            }
            _ => return false,
        }
        true
    }

    fn ask(&mut self, request: &[u8]) {
        let handed = self.identity.answer(request);
        let judged = self.judge.answer(request);
        assert_eq!(handed.is_some(), judged.is_some(), "a request is one in both roles");
        assert!(handed.is_none_or(|action| action == "DUNNO"));
        let Some(action) = judged else { return };
        assert!(!action.contains(['\n', '\r', '\0']), "{action:?}");
        let refuses = ["451 4.7.1 ", "550 5.7.1 ", "421 4.7.1 "];
        let is_known = action == "DUNNO"
            || action.starts_with("HOLD ")
            || refuses.iter().any(|reply| action.starts_with(reply));
        assert!(is_known, "{action:?}");
    }
}

/// See the head of this module.
pub fn run(input: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        world.run(input, |world| {
            let mut request = Vec::new();
            for line in input.split(|byte| *byte == b'\n') {
                if line.is_empty() {
                    world.ask(&request);
                    request.clear();
                } else if !world.operate(line) {
                    request.extend_from_slice(line);
                    request.push(b'\n');
                }
            }
            world.ask(&request);
            // Who is restricted relays nothing, whatever it says of itself.
            world.operate(b"!block");
            for (instance, login) in [("z1", "erp"), ("z2", "ERP@example.org")] {
                let text = format!(
                    "request=smtpd_access_policy\nprotocol_state=RCPT\nsender=a@example.org\n\
                     recipient=b@elsewhere.test\nclient_address=203.0.113.77\nclient_port=9\n\
                     server_address=127.0.0.1\nserver_port=25\nsasl_username={login}\n\
                     instance={instance}{}\n",
                    world.now.as_millis()
                );
                let action = world.judge.answer(text.as_bytes()).unwrap_or_default();
                let observes = world.engine.settings().mode() == connguard::verdict::Mode::Observe;
                assert!(action != "DUNNO" || observes, "{action:?}");
            }
            world.operate(b"!unblock");
        });
    });
}
