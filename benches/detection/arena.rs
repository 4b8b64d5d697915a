//! One connector in the real engine, through the calls that every message of
//! the daemon takes. All that depends on the engine's interface is here.

use crate::{
    model::Variant,
    stream::{Draft, Kind, Stream, Target},
};
use connguard::{
    connector::{ConnectorKey, Entity, Identities},
    directory::{Params, Terms},
    domain::DomainSet,
    engine::{Engine, Feedback, Memory, Notice, RestrictionTerms, Session, Settings},
    judge::Judgement,
    message::{Delivery, Fate, Message, Outcome, Recipient, Sender},
    record::{Actor, SignalName},
    timestamp::Timestamp,
    verdict::{Mode, Throttle, Verdict},
};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

/// Under which everything is hashed: always the same, so that the errors of the
/// filters are.
const KEY: [u8; 16] = *b"detection bench.";
/// The daemon looks after what is over by the clock every second.
const SWEEP: u64 = 60_000;

fn settings(terms: Terms, variant: &Variant) -> Settings {
    let params = Params {
        discovered: Arc::new(terms),
        relay_networks: "10.0.0.0/8".parse().into_iter().collect(),
        discover: true,
        ..Params::default()
    };
    Settings {
        restriction: RestrictionTerms { grace: Duration::ZERO, ..RestrictionTerms::default() },
        throttle: *variant != Variant::NoThrottle,
        model: variant.model(),
        ..Settings::with_directory(params)
    }
}

/// What became of a message.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Recipients that were accepted for delivery.
    pub(crate) accepted: Vec<Target>,
    /// Recipients that are to be tried again.
    pub(crate) deferred: Vec<Target>,
    /// The message went to the hold queue.
    pub(crate) held: bool,
}

/// A block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Signals that made it, the largest first.
    pub(crate) signals: Vec<SignalName>,
}

/// The engine with one connector.
pub(crate) struct Arena {
    engine: Engine,
    kind: Kind,
    key: ConnectorKey,
    login: Option<Arc<str>>,
    feedback: bool,
    next_queue: u64,
    swept: u64,
    /// The sender of the last mail of an attack.
    attacker: Option<String>,
}

impl Arena {
    pub(crate) fn new(stream: &Stream, variant: &Variant, throttle: Throttle) -> Self {
        let mut registered = DomainSet::default();
        registered.insert("example.org").unwrap();
        let terms = Terms {
            mode: Mode::Enforce,
            registered,
            profile: stream.profile,
            throttle: Some(throttle),
            ..Terms::default()
        };
        let start = stream.mails.first().map_or(0, |mail| mail.at);
        let start = Timestamp::from_millis(start);
        let mut engine = Engine::new(settings(terms, variant), 8, start);
        // Nothing was lost, but the key is to be the same in every run: what
        // this mutes is long over.
        let memory = Memory { key: KEY, filters: None, muted_until: None };
        engine.recall(Some(memory), [], Timestamp::default());
        let feedback = *variant != Variant::NoFeedback;
        engine.set_feedback(if feedback { Feedback::Coming } else { Feedback::Off });
        let (key, login): (ConnectorKey, Option<Arc<str>>) = match stream.kind {
            Kind::Login => ("login:someone".parse().unwrap(), Some("someone".into())),
            Kind::Relay => ("client:10.0.0.1".parse().unwrap(), None),
        };
        let kind = stream.kind;
        Self { engine, kind, key, login, feedback, next_queue: 0, swept: 0, attacker: None }
    }

    /// A message from MAIL to its end; gives the number of its queue file too.
    pub(crate) fn send(&mut self, draft: &Draft, to: &[Target], at: u64) -> (Answer, u64) {
        let now = Timestamp::from_millis(at);
        self.next_queue += 1;
        if at >= self.swept + SWEEP {
            self.swept = at;
            self.engine.sweep(now);
        }
        let mut session = Session::default();
        session.identify(self.identities(draft.client));
        let address = format!("u{}@{}", draft.user, Domain(draft.sender_domain));
        if draft.attack {
            self.attacker = Some(address.clone());
        }
        let sender = Sender::Address { address: &address, qualified: true };
        let mut transaction = self.engine.begin(&mut session, &sender);
        let mut answer = Answer::default();
        let mut to_whom = String::new();
        for target in to {
            write_recipient(&mut to_whom, target.id);
            let recipient =
                Recipient { address: &to_whom, transport: Some("smtp"), fate: Fate::Accepted };
            match self.engine.at_recipient(&mut session, &mut transaction, &recipient, now) {
                Verdict::Pass => answer.accepted.push(*target),
                _ => answer.deferred.push(*target),
            }
        }
        for number in 0..draft.unknown {
            let address = format!("nobody{number}.{}@nowhere.test", self.next_queue);
            let recipient =
                Recipient { address: &address, transport: Some("smtp"), fate: Fate::Unknown };
            let _ = self.engine.at_recipient(&mut session, &mut transaction, &recipient, now);
        }
        if answer.accepted.is_empty() {
            self.engine.at_abandon(&session, &transaction, now);
            return (answer, self.next_queue);
        }
        let from = [format!("u{}@{}", draft.user, Domain(draft.from_domain))];
        let message_id = format!("{}@example.org", self.next_queue);
        let queue_id = queue_id(self.next_queue);
        let message = Message {
            sender,
            queue_id: Some(&queue_id),
            message_id: Some(&message_id),
            from: &from,
            spam: Some(draft.spam),
            report: false,
            size: None,
            host: Some("mx.example.org"),
        };
        match self.engine.at_end(&mut session, transaction, &message, now) {
            Verdict::Pass => {}
            Verdict::Refuse(_) => answer.deferred.append(&mut answer.accepted),
            Verdict::Hold(_) => {
                answer.held = true;
                answer.accepted.clear();
            }
        }
        (answer, self.next_queue)
    }

    /// What became of one recipient of a message that was accepted.
    pub(crate) fn result(&mut self, queue: u64, target: Target, at: u64) {
        if self.feedback {
            let mut address = String::new();
            write_recipient(&mut address, target.id);
            let outcome = if target.refused { Outcome::Refused } else { Outcome::Delivered };
            let queue_id = queue_id(queue);
            let delivery = Delivery::new(&queue_id, &address, outcome);
            self.engine.on_delivery(&delivery, Timestamp::from_millis(at));
        }
    }

    /// The block that is in force: of the connector, or of a sender of it. While
    /// there is an attack, of its sender.
    pub(crate) fn block(&self, at: u64) -> Option<Block> {
        let table = self.engine.table();
        if table.is_empty() {
            return None;
        }
        let listed = table.list(Timestamp::from_millis(at)).into_iter();
        let mut met = listed.filter(|listed| self.is_met(&listed.entity));
        let held = met.find_map(|listed| listed.standing.restriction)?;
        let signals = held.findings.iter().map(|finding| finding.signal).collect();
        Some(Block { signals })
    }

    /// Whether what holds for an entity holds for the attack, or where there is
    /// none, for any mail.
    fn is_met(&self, entity: &Entity) -> bool {
        match (entity, &self.attacker) {
            (Entity::Sender { address, .. }, Some(attacker)) => **address == **attacker,
            _ => true,
        }
    }

    /// Whether the connector, or a sender of it, is taken for suspicious.
    pub(crate) fn is_suspicious(&self, at: u64) -> bool {
        let Some(tally) = self.engine.roster().get(&self.key) else { return false };
        let now = Timestamp::from_millis(at);
        let senders = self.engine.suspicious_senders(&self.key, &tally, now);
        tally.judgement() != Judgement::Normal
            || senders.iter().any(|(entity, _)| self.is_met(entity))
    }

    /// The signals of a warning, the largest first, if there was one.
    pub(crate) fn warning(&self) -> Option<Vec<SignalName>> {
        let (notices, _) = self.engine.notices().take();
        notices.into_iter().find_map(|notice| match notice {
            Notice::Suspicious(_, findings) => {
                Some(findings.into_iter().map(|finding| finding.signal).collect())
            }
            _ => None,
        })
    }

    /// Lifts the block.
    pub(crate) fn unblock(&self, at: u64) {
        let now = Timestamp::from_millis(at);
        let by = Actor::Operator("bench".into());
        for listed in self.engine.table().list(now) {
            self.engine.unblock(&listed.entity, "after a day", None, by.clone(), now);
        }
        self.engine.sweep(now);
        // Nobody writes a journal here.
        self.engine.table().changes().take(Duration::ZERO);
    }

    fn identities(&self, client: u32) -> Identities {
        let address = match self.kind {
            // Each number is a /24 of its own.
            Kind::Login => Ipv4Addr::from(0x0b00_0001 + (client << 8)),
            Kind::Relay => Ipv4Addr::new(10, 0, 0, 1),
        };
        Identities {
            client: Some(address.into()),
            login: self.login.clone(),
            ..Identities::default()
        }
    }
}

fn queue_id(number: u64) -> String {
    format!("4{number:011X}")
}

fn write_recipient(address: &mut String, id: u32) {
    use std::fmt::Write;
    address.clear();
    // Some 500 domains; which one says nothing about the recipient.
    let domain = id.wrapping_mul(2_654_435_761) >> 23;
    write!(address, "r{id}@d{domain}.test").unwrap();
}

/// A sender domain by its number.
struct Domain(u32);

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("example.org"),
            number => write!(f, "odd{number}.test"),
        }
    }
}
