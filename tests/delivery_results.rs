//! What holds of delivery results whatever becomes of the log that tells them:
//! lines that are lost, late, doubled, in another order, of an earlier message
//! with the same queue id, or read again after a crash.
//!
//! **One message** of n recipients ends at `max(0, bR + gD)` nats, with R and D the
//! recipients of which at least one line says that they were refused or delivered,
//! b and g what such a recipient weighs (g < 0): so a doubled, late, greylisted or
//! reordered line makes no difference, and a lost one none but its own.
//!
//! **Many messages** end at `bR` summed over all at the most: each refused recipient
//! of each message once, whatever else was lost or came first. (More can't be
//! promised: a score that is at zero loses nothing by good results, so that the
//! order in which good and bad messages come matters, and good ones that are lost
//! are missing.)

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use connguard::{
    connector::{ConnectorKey, Identities},
    directory::{Params, Terms},
    engine::{Engine, Feedback, Memory, Session, Settings, Waiting},
    message::{Delivery, Fate, Message, Outcome, Recipient, Sender},
    model::Model,
    record::SignalName,
    signal::Shape,
    tally,
    timestamp::Timestamp,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

const START: Timestamp = Timestamp::from_seconds(20_600 * 86_400 + 3600);

/// Scores that nothing but results changes: no cap, no fading, no consequences.
fn model() -> Model {
    let mut model = Model { compromised: f32::MAX, suspicious: f32::MAX, ..Model::default() };
    for shape in [&mut model.most_refused, &mut model.many_refused] {
        shape.strong_cap = 1e9;
        shape.halflife_s = 1e15;
    }
    model
}

fn settings() -> Settings {
    let params = Params {
        discovered: Arc::new(Terms::default()),
        relay_networks: vec!["127.0.0.0/8".parse().unwrap()],
        discover: true,
        ..Params::default()
    };
    Settings { model: model(), throttle: false, ..Settings::with_directory(params) }
}

/// A line of the log, or what happens to its reader.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// What becomes of a recipient at last.
    Decides {
        message: usize,
        recipient: usize,
    },
    /// A retry comes first.
    Deferred {
        message: usize,
        recipient: usize,
    },
    /// A line of an earlier message with the same queue id.
    Earlier {
        message: usize,
        recipient: usize,
        refused: bool,
    },
    Wait(u64),
    Sweep,
    Save,
    Crash,
}

/// What the history has, and up to where the log was read then.
type Saved = (Memory, Vec<(ConnectorKey, tally::Image)>, Vec<Waiting>, usize);

struct World {
    engine: Arc<Engine>,
    now: Timestamp,
    /// For each message whether each of its recipients is refused.
    messages: Vec<Vec<bool>>,
    /// What was read since the beginning.
    log: Vec<Step>,
    saved: Option<Saved>,
    /// The result of each recipient, if a line told it.
    told: BTreeMap<(usize, usize), bool>,
}

fn engine() -> Engine {
    Engine::new(settings(), 1000, START)
}

impl World {
    fn new(messages: Vec<Vec<bool>>) -> Self {
        let world = Self {
            engine: Arc::new(engine()),
            now: START,
            messages,
            log: Vec::new(),
            saved: None,
            told: BTreeMap::new(),
        };
        world.engine.set_feedback(Feedback::Coming);
        for (number, recipients) in world.messages.iter().enumerate() {
            send(&world.engine, number, recipients.len());
        }
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(seconds) => self.now = self.now.plus(Duration::from_secs(seconds)),
            Step::Sweep => self.engine.sweep(self.now),
            Step::Save => {
                let filters = Some(self.engine.filters());
                let memory = Memory { key: self.engine.key(), filters, muted_until: None };
                let histories = self.engine.histories().collect();
                let waiting = self.engine.waiting().collect();
                self.saved = Some((memory, histories, waiting, self.log.len()));
            }
            Step::Crash => self.crash(),
            line => {
                self.log.push(line);
                self.read(line);
            }
        }
    }

    /// The log is read again from the place that was saved.
    fn crash(&mut self) {
        let Some((memory, histories, waiting, place)) = self.saved.clone() else {
            return;
        };
        let mut engine = engine();
        engine.recall(Some(memory), histories, self.now);
        engine.recall_waiting(waiting, self.now);
        engine.set_feedback(Feedback::Coming);
        self.engine = Arc::new(engine);
        for number in place..self.log.len() {
            self.read(self.log[number]);
        }
    }

    fn read(&mut self, line: Step) {
        let (message, recipient, outcome, logged) = match line {
            Step::Decides { message, recipient } => {
                let refused = self.messages[message][recipient];
                self.told.insert((message, recipient), refused);
                let outcome = if refused { Outcome::Refused } else { Outcome::Delivered };
                (message, recipient, outcome, self.now)
            }
            Step::Deferred { message, recipient } => {
                (message, recipient, Outcome::Deferred, self.now)
            }
            Step::Earlier { message, recipient, refused } => {
                let outcome = if refused { Outcome::Refused } else { Outcome::Delivered };
                (message, recipient, outcome, Timestamp::from_millis(START.as_millis() - 3000))
            }
            _ => return,
        };
        let (id, to) = (queue_id(message), address(message, recipient));
        let delivery = Delivery { logged: Some(logged), ..Delivery::new(&id, &to, outcome) };
        self.engine.on_delivery(&delivery, self.now);
    }

    /// The score of a signal once nothing is waited for any more.
    fn score(&mut self, signal: SignalName) -> f32 {
        self.now = self.now.plus(Duration::from_secs(600));
        self.engine.sweep(self.now);
        let key: ConnectorKey = "client:127.0.0.1".parse().unwrap();
        let tally = self.engine.roster().get(&key).unwrap();
        assert_eq!(tally.in_flight(), 0);
        let found = self.engine.findings(&key, &tally, self.now);
        found.iter().find(|finding| finding.signal == signal).map_or(0.0, |found| found.score)
    }

    /// What the results of a message weigh that were told: b R and g D.
    fn weights(&self, message: usize, shape: &Shape) -> (f32, f32) {
        let of = self.messages[message].len();
        let share = of.min(5) as f32 / of as f32;
        let told = self.told.iter().filter(|((of, _), _)| *of == message);
        let weight = |refused| share * shape.weight(refused, 0.05);
        told.fold((0.0, 0.0), |(bad, good), (_, refused)| match refused {
            true => (bad + weight(true), good),
            false => (bad, good + weight(false)),
        })
    }
}

fn queue_id(message: usize) -> String {
    format!("4A{message}")
}

fn address(message: usize, recipient: usize) -> String {
    format!("r{recipient}.{message}@y.test")
}

fn send(engine: &Engine, number: usize, recipients: usize) {
    let mut session = Session::default();
    session
        .identify(Identities { client: Some(Ipv4Addr::LOCALHOST.into()), ..Identities::default() });
    let mut transaction = engine.begin(&mut session, &Sender::Null);
    for recipient in 0..recipients {
        let address = address(number, recipient);
        let recipient = Recipient { address: &address, transport: None, fate: Fate::Accepted };
        let _ = engine.at_recipient(&mut session, &mut transaction, &recipient, START);
    }
    let message = Message {
        sender: Sender::Null,
        queue_id: Some(&queue_id(number)),
        message_id: None,
        from: &[],
        spam: None,
        report: false,
        size: None,
        host: None,
    };
    let _ = engine.at_end(&mut session, transaction, &message, START);
}

/// Lines about messages with so many recipients, each of them any number of times,
/// or never.
fn lines(sizes: Vec<usize>) -> impl Strategy<Value = Vec<Step>> {
    let place = any::<prop::sample::Index>().prop_map(move |index| {
        let all: Vec<(usize, usize)> = sizes
            .iter()
            .enumerate()
            .flat_map(|(message, size)| (0..*size).map(move |recipient| (message, recipient)))
            .collect();
        *index.get(&all)
    });
    let step = prop_oneof![
        12 => place.clone()
            .prop_map(|(message, recipient)| Step::Decides { message, recipient }),
        4 => place.clone()
            .prop_map(|(message, recipient)| Step::Deferred { message, recipient }),
        2 => (place, any::<bool>()).prop_map(|((message, recipient), refused)| {
            Step::Earlier { message, recipient, refused }
        }),
        // Not beyond the four hours for which results are told.
        3 => (0_u64..100).prop_map(Step::Wait),
        1 => Just(Step::Wait(600)),
        2 => Just(Step::Sweep),
        1 => Just(Step::Save),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..60)
}

/// Messages, by whether each recipient is refused, and lines about them.
fn log(count: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<Vec<bool>>, Vec<Step>)> {
    let message = prop::collection::vec(prop::bool::weighted(0.6), 1..12);
    prop::collection::vec(message, count).prop_flat_map(|messages| {
        let sizes = messages.iter().map(Vec::len).collect();
        (Just(messages), lines(sizes))
    })
}

/// Reads it; the four hours are not over then.
fn read((messages, steps): (Vec<Vec<bool>>, Vec<Step>)) -> World {
    let mut world = World::new(messages);
    for step in steps {
        if world.now.since(START) < Duration::from_secs(3 * 3600) || !matches!(step, Step::Wait(_))
        {
            world.step(step);
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_message_ends_where_its_results_put_it_however_they_are_told(log in log(1..2)) {
        let mut world = read(log);
        let model = model();
        for (signal, shape) in [
            (SignalName::MostRefused, &model.most_refused),
            (SignalName::ManyRefused, &model.many_refused),
        ] {
            let (bad, good) = world.weights(0, shape);
            let (score, expected) = (world.score(signal), (bad + good).max(0.0));
            prop_assert!((score - expected).abs() < 1e-3, "{signal}: {score}, not {expected}");
        }
    }

    #[test]
    fn no_log_makes_more_of_refusals_than_they_are(log in log(2..6)) {
        let mut world = read(log);
        let model = model();
        for (signal, shape) in [
            (SignalName::MostRefused, &model.most_refused),
            (SignalName::ManyRefused, &model.many_refused),
        ] {
            let most: f32 =
                (0..world.messages.len()).map(|message| world.weights(message, shape).0).sum();
            let score = world.score(signal);
            prop_assert!(score <= most + 1e-3, "{signal}: {score}, more than {most}");
        }
    }
}
