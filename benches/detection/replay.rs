//! A connector's mail and its delivery results, in time order, through the
//! engine; and what came of it.
//!
//! Each accepted recipient has its result after its lag (the message's, times
//! a log-normal factor of its own, so results come in no order). Deferred mail
//! of the connector itself is tried again as Postfix does: after 300 s, then
//! whenever its age has doubled, at least every 4,000 s, for five days. A
//! block is lifted by hand after a day. Mail of an attack is not tried again,
//! and ends with the block.

use crate::{
    arena::{Arena, Block},
    model::Variant,
    random::Random,
    stream::{Mail, Stream, Target},
};
use connguard::{record::SignalName, verdict::Throttle};
use std::{cmp::Reverse, collections::BinaryHeap};

const SECOND: u64 = 1000;
const DAY: u64 = 86_400 * SECOND;
const FIRST_RETRY: u64 = 300 * SECOND;
const SLOWEST_RETRY: u64 = 4000 * SECOND;
const GIVE_UP: u64 = 5 * DAY;

/// How it is run.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) variant: Variant,
    pub(crate) throttle: Throttle,
    /// Deferred mail is tried again.
    pub(crate) retries: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { variant: Variant::Delivered, throttle: Throttle::Tempfail, retries: true }
    }
}

/// Mail of an attack, or what of it had been accepted at some moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Amount {
    pub(crate) messages: u64,
    pub(crate) recipients: u64,
}

/// What came of a connector's mail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// For each block its signals, the largest first.
    pub(crate) blocks: Vec<Vec<SignalName>>,
    /// For each warning its signals, the largest first. A connector that was
    /// suspicious within the last day is not warned of again.
    pub(crate) warnings: Vec<Vec<SignalName>>,
    /// Messages.
    pub(crate) messages: u64,
    /// Messages that were deferred at least once while there was no block.
    pub(crate) deferred: u64,
    /// Messages that went to the hold queue.
    pub(crate) held: u64,
    /// Messages that were deferred until they were given up.
    pub(crate) lost: u64,
    /// The attack was blocked.
    pub(crate) caught: bool,
    /// Of the attack: all that was accepted.
    pub(crate) leaked: Amount,
    /// Of the attack: what was accepted before it was suspicious or blocked.
    pub(crate) unnoticed: Option<Amount>,
}

/// Something that happens between messages. At one moment, in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Unblock,
    Result { queue: u64, id: u32, refused: bool },
    Retry { waiting: usize },
}

/// A message that is to be tried again.
struct Waiting<'a> {
    mail: &'a Mail,
    to: Vec<Target>,
}

/// Runs `stream` to its end; an attack to its block, if it is blocked.
pub(crate) fn run(stream: &Stream, rules: &Rules) -> Outcome {
    Run {
        arena: Arena::new(stream, &rules.variant, rules.throttle),
        rules,
        events: BinaryHeap::new(),
        waiting: Vec::new(),
        outcome: Outcome::default(),
        blocked: false,
        suspicious_at: None,
        attacked: false,
        random: Random::new(0, &[stream.mails.len() as u64]),
        sequence: 0,
    }
    .all(stream)
}

struct Run<'a> {
    arena: Arena,
    rules: &'a Rules,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    waiting: Vec<Waiting<'a>>,
    outcome: Outcome,
    blocked: bool,
    suspicious_at: Option<u64>,
    attacked: bool,
    random: Random,
    sequence: u64,
}

impl<'a> Run<'a> {
    fn all(mut self, stream: &'a Stream) -> Outcome {
        let is_attack = stream.mails.iter().any(|mail| mail.draft.attack);
        let last = stream.mails.last().map_or(0, |mail| mail.at);
        for mail in &stream.mails {
            while let Some(at) = self.next_event().filter(|at| *at < mail.at) {
                self.event(at);
                if self.outcome.caught {
                    return self.outcome;
                }
            }
            self.attacked |= mail.draft.attack;
            if self.attacked && self.blocked {
                // Its own mail had it blocked before.
                self.outcome.caught = true;
                self.outcome.unnoticed = Some(Amount::default());
                return self.outcome;
            }
            self.outcome.messages += 1;
            self.first_try(mail);
            if self.outcome.caught {
                return self.outcome;
            }
        }
        // An attack is over with its last message but for late results.
        let end = if is_attack { last + DAY / 24 } else { u64::MAX };
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.event(at);
            if self.outcome.caught {
                break;
            }
        }
        self.outcome
    }

    fn next_event(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((at, ..))| *at)
    }

    fn first_try(&mut self, mail: &'a Mail) {
        let deferred = self.send(mail, &mail.to, mail.at);
        if deferred.is_empty() {
            return;
        }
        self.outcome.deferred += u64::from(!self.blocked && !mail.draft.attack);
        if self.rules.retries && !mail.draft.attack {
            self.waiting.push(Waiting { mail, to: deferred });
            let waiting = self.waiting.len() - 1;
            self.later(mail.at + FIRST_RETRY, Event::Retry { waiting });
        }
    }

    /// Sends a message; gives the recipients that are deferred.
    fn send(&mut self, mail: &Mail, to: &[Target], at: u64) -> Vec<Target> {
        let (answer, queue) = self.arena.send(&mail.draft, to, at);
        self.look(at);
        for target in &answer.accepted {
            let factor = self.random.log_normal(0.0, 0.3);
            let lag = (mail.draft.lag_s * factor * 1000.0) as u64;
            let Target { id, refused } = *target;
            self.later(at + lag.max(1), Event::Result { queue, id, refused });
        }
        self.outcome.held += u64::from(answer.held);
        if mail.draft.attack && !answer.accepted.is_empty() {
            self.outcome.leaked.messages += 1;
            self.outcome.leaked.recipients += answer.accepted.len() as u64;
        }
        answer.deferred
    }

    fn later(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn event(&mut self, at: u64) {
        let Some(Reverse((_, _, event))) = self.events.pop() else { return };
        match event {
            Event::Unblock => {
                self.arena.unblock(at);
                self.blocked = false;
            }
            Event::Result { queue, id, refused } => {
                self.arena.result(queue, Target { id, refused }, at);
                self.look(at);
            }
            Event::Retry { waiting } => self.retry(waiting, at),
        }
    }

    fn retry(&mut self, waiting: usize, at: u64) {
        let mail = self.waiting[waiting].mail;
        let to = std::mem::take(&mut self.waiting[waiting].to);
        let deferred = self.send(mail, &to, at);
        if deferred.is_empty() {
            return;
        }
        let age = at - mail.at;
        if age >= GIVE_UP {
            self.outcome.lost += 1;
            return;
        }
        self.waiting[waiting].to = deferred;
        self.later(at + age.clamp(FIRST_RETRY, SLOWEST_RETRY), Event::Retry { waiting });
    }

    /// Looks at what the engine makes of the connector after each call, before
    /// what that call let through is counted.
    fn look(&mut self, at: u64) {
        if !self.blocked
            && let Some(Block { signals }) = self.arena.block(at)
        {
            self.blocked = true;
            self.outcome.blocks.push(signals);
            self.outcome.caught = self.attacked;
            self.later(at + DAY, Event::Unblock);
        }
        let suspicious = self.arena.is_suspicious(at);
        if suspicious {
            let warning = self.arena.warning();
            if self.suspicious_at.is_none_or(|last| at > last + DAY) {
                self.outcome.warnings.push(warning.unwrap_or_default());
            }
            self.suspicious_at = Some(at);
        }
        if self.attacked && (suspicious || self.blocked) && self.outcome.unnoticed.is_none() {
            self.outcome.unnoticed = Some(self.outcome.leaked);
        }
    }
}
