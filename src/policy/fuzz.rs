//! Requests without a socket, for the fuzz target of the policy protocol.

use super::{
    Params, Role, answer, judge::Judge, request::Request, server::hand_over, shared::Shared,
};
use crate::{engine::Engine, timestamp::Timestamp};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A front-end that nobody connects to.
pub struct Desk {
    shared: Arc<Shared>,
    judge: Judge,
    now: Arc<AtomicU64>,
}

impl Desk {
    /// One in this role, whose logins get this realm; listens nowhere.
    pub fn new(engine: &Arc<Engine>, role: Role, realm: &str, now: Timestamp) -> Self {
        let params = Params {
            listen: Vec::new(),
            role,
            max_connections: 1,
            ignore_daemons: Vec::new(),
            login_realm: Some(realm.into()),
        };
        let at = Arc::new(AtomicU64::new(now.as_millis()));
        let clock = Arc::clone(&at);
        let clock = move || Timestamp::from_millis(clock.load(Relaxed));
        let shared = Arc::new(Shared::new(params, Arc::clone(engine), Box::new(clock)));
        Self { judge: Judge::new(Arc::clone(&shared)), shared, now: at }
    }

    /// Time goes on.
    pub fn at(&self, now: Timestamp) {
        self.now.store(now.as_millis(), Relaxed);
    }

    /// The action for a request without its empty line; nothing where it is none.
    pub fn answer(&mut self, text: &[u8]) -> Option<String> {
        let request = Request::parse(text).ok()?;
        if self.shared.params.load().role == Role::Identity {
            hand_over(&self.shared, &request);
            return Some(answer::PASS.to_owned());
        }
        Some(answer::action(&self.judge.answer(&request)))
    }
}
