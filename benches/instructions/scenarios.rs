//! What is counted. Each scenario prepares its world and gives a step, which is
//! made again and again and costs the same each time.

use super::{
    dialogue::Dialogue,
    support::{
        NOW,
        disk::{self, Kept},
        mail::{self, Mail, Scattered, Wanted, login, session},
        text,
    },
};
use connguard::{
    engine::{Blocked, Engine, Feedback},
    header::from_addresses,
    judge::Judgement,
    maillog,
    record::Actor,
    verdict::{Action, Verdict},
};
use std::{hint::black_box, process::ExitCode};

/// A scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Messages that are counted.
    pub(crate) messages: u64,
    prepare: fn() -> Step,
}

type Step = Box<dyn FnMut()>;

/// All of them. The longest first: two are counted at a time.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "one of 10,000 connectors", messages: 12_000, prepare: one_of_many },
    Scenario { name: "milter message, one recipient", messages: 1000, prepare: milter },
    Scenario { name: "two changes in the journal", messages: 2000, prepare: journal },
    Scenario { name: "relay client, known recipient", messages: 2000, prepare: known_recipient },
    Scenario { name: "relay client, ten recipients", messages: 1000, prepare: ten_recipients },
    Scenario { name: "relay client, new recipient", messages: 2000, prepare: new_recipient },
    Scenario { name: "relay client, new session", messages: 2000, prepare: new_session },
    Scenario { name: "login with network and From", messages: 2000, prepare: with_from },
    Scenario { name: "suspicious, passes", messages: 2000, prepare: suspicious },
    Scenario { name: "suspicious, slowed down", messages: 2000, prepare: slowed_down },
    Scenario { name: "restricted, refused", messages: 2000, prepare: refused },
    Scenario { name: "another is restricted", messages: 2000, prepare: another_restricted },
    Scenario { name: "with feedback, and its result", messages: 4000, prepare: with_result },
    Scenario { name: "From header, ordinary", messages: 2000, prepare: from },
    Scenario { name: "From headers, six awkward ones", messages: 1000, prepare: awkward_from },
    Scenario { name: "mail log, ten lines", messages: 1000, prepare: log_lines },
];

/// Makes the step of a scenario so many times.
pub(crate) fn run(name: &str, messages: u64) -> Result<ExitCode, String> {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
    let scenario = scenario.ok_or_else(|| format!("{name:?} is no scenario"))?;
    let mut step = (scenario.prepare)();
    for _ in 0..messages {
        step();
    }
    Ok(ExitCode::SUCCESS)
}

fn known_recipient() -> Step {
    let (engine, mut session, mail) = (mail::knowing(10), session(7), Mail::new(1));
    Box::new(move || drop(mail.send(&engine, &mut session)))
}

fn ten_recipients() -> Step {
    let (engine, mut session, mail) = (mail::knowing(10), session(7), Mail::new(10));
    Box::new(move || drop(mail.send(&engine, &mut session)))
}

fn new_recipient() -> Step {
    let (engine, mut session, mut mail) = (mail::knowing(10), session(7), Mail::new(1));
    Box::new(move || drop(mail.readdressed().send(&engine, &mut session)))
}

fn new_session() -> Step {
    let (engine, mail) = (mail::knowing(10), Mail::new(1));
    Box::new(move || drop(mail.send(&engine, &mut session(7))))
}

fn with_from() -> Step {
    let (engine, mut session, mut mail) = (mail::knowing(10), login(), Mail::new(1));
    mail.from = vec!["Alice@Example.org".into()];
    Box::new(move || drop(mail.send(&engine, &mut session)))
}

fn one_of_many() -> Step {
    const CONNECTORS: u32 = 10_000;
    let (engine, mail) = (mail::knowing(CONNECTORS), Mail::new(1));
    let mut numbers = Scattered::new(1);
    Box::new(move || drop(mail.send(&engine, &mut session(numbers.below(CONNECTORS)))))
}

/// An engine in which client 7 sends more than is usual.
fn loud(throttle: bool) -> Engine {
    let engine = Wanted { any_volume: false, throttle, ..Wanted::of(10) }.engine();
    let (mut session, mail) = (session(7), Mail::new(1));
    let is_suspicious = || {
        let tally = engine.roster().get(&"client:10.0.0.7".parse().unwrap());
        tally.is_some_and(|tally| tally.judgement() == Judgement::Suspicious)
    };
    for _ in 0..10_000 {
        if is_suspicious() {
            return engine;
        }
        mail.send(&engine, &mut session);
    }
    panic!("ten thousand messages at once are not suspicious");
}

fn suspicious() -> Step {
    let (engine, mut session, mail) = (loud(false), session(7), Mail::new(1));
    Box::new(move || drop(mail.send(&engine, &mut session)))
}

fn slowed_down() -> Step {
    let (engine, mut session, mail) = (loud(true), session(7), Mail::new(1));
    // Until the bucket is empty.
    for _ in 0..1000 {
        let mut transaction = mail.begin(&engine, &mut session);
        if mail.ask(&engine, &mut session, &mut transaction) == Verdict::Pass {
            mail.end(&engine, &mut session, transaction);
        }
    }
    Box::new(move || drop(mail.be_refused(&engine, &mut session)))
}

fn refused() -> Step {
    let (engine, mut session, mail) = (blocking("client:10.0.0.7"), session(7), Mail::new(1));
    Box::new(move || drop(mail.be_refused(&engine, &mut session)))
}

fn another_restricted() -> Step {
    let (engine, mail) = (blocking("client:10.0.0.8"), Mail::new(1));
    Box::new(move || drop(mail.send(&engine, &mut session(7))))
}

/// An engine in which this entity is restricted.
fn blocking(entity: &str) -> Engine {
    let engine = mail::knowing(10);
    let blocked = Blocked {
        entity: entity.parse().unwrap(),
        action: Some(Action::Tempfail),
        span: None,
        reason: "counted".into(),
    };
    engine.block(blocked, Actor::Operator("anna".into()), NOW).unwrap();
    engine
}

fn with_result() -> Step {
    let (engine, mut session, mut mail) = (mail::knowing(10), session(7), Mail::new(1));
    engine.set_feedback(Feedback::Coming);
    Box::new(move || {
        mail.queued().send(&engine, &mut session);
        mail.deliver(&engine);
    })
}

fn from() -> Step {
    Box::new(|| drop(black_box(from_addresses(black_box(text::FROM).as_bytes()))))
}

fn awkward_from() -> Step {
    Box::new(|| {
        for value in black_box(text::AWKWARD_FROM) {
            drop(black_box(from_addresses(value.as_bytes())));
        }
    })
}

fn log_lines() -> Step {
    Box::new(|| {
        for line in black_box(text::LOG) {
            let _ = black_box(maillog::parse(line));
        }
    })
}

/// Without syncs, which are the kernel's.
fn journal() -> Step {
    let (kept, who) = (Kept::new(false), disk::entity(7));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Box::new(move || runtime.block_on(kept.change_twice(&who)))
}

fn milter() -> Step {
    let mut dialogue = Dialogue::begin(mail::knowing(10));
    Box::new(move || dialogue.message())
}
