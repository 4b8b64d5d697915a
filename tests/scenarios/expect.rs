//! What must be true at a line of a scenario.

use crate::{
    mail::Sent,
    words::{Outcome, Words},
    world::World,
};
use connguard::{
    connector::Entity,
    engine::{Engine, Moves, Notice},
    judge::Judgement,
    record::{Finding, SignalName, Unit},
    restriction::InForce,
    timestamp::{Timestamp, format_span},
    view,
};
use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

/// Facts by their names, as words.
type Facts = BTreeMap<&'static str, String>;

/// Checks what the rest of an `expect` line says.
pub(crate) fn check(world: &World, words: &mut Words<'_>) -> Outcome {
    let (engine, now) = (world.engine()?, world.now);
    match words.next("what to expect")? {
        "total" => compare(&totals(engine), words),
        "nothing" if words.skip("restricted") => {
            let list = engine.table().list(now).into_iter();
            let held: Vec<String> = list
                .filter(|listed| listed.standing.restriction.is_some())
                .map(|listed| listed.entity.to_string())
                .collect();
            words.end()?;
            claim(held.is_empty(), || format!("{} is restricted or marked", held.join(" and ")))
        }
        "connector" => {
            let entity: Entity = words.parse("an entity")?;
            compare(&connector(engine, &entity, now).ok_or("it is no connector")?, words)
        }
        "no" if words.skip("connector") => {
            let entity: Entity = words.parse("an entity")?;
            words.end()?;
            let known =
                engine.roster().get(entity.as_connector().ok_or("it is no connector")?).is_some();
            claim(!known, || "it is a connector".into())
        }
        "finding" => {
            let (entity, signal) = finding_of(words)?;
            let found = finding(engine, &entity, &signal, now)?;
            compare(&found.ok_or("there is no such finding")?, words)
        }
        "no" if words.skip("finding") => {
            let (entity, signal) = finding_of(words)?;
            let found = finding(engine, &entity, &signal, now)?;
            words.end()?;
            claim(found.is_none(), || format!("there is one: {found:?}"))
        }
        kind @ ("restricted" | "marked") => {
            let entity: Entity = words.parse("an entity")?;
            let held = engine.table().in_force(&entity, now);
            let held = held.ok_or("it is neither restricted nor marked")?;
            claim(held.restriction.mark == (kind == "marked"), || {
                format!("it is not {kind}, but {held:?}")
            })?;
            compare(&restriction(&held), words)
        }
        "unrestricted" => {
            let entity: Entity = words.parse("an entity")?;
            let held = engine.table().in_force(&entity, now);
            words.end()?;
            claim(held.is_none(), || format!("it is: {held:?}"))
        }
        "not" => {
            let what = words.next("trusted, grace or raised")?;
            let held = standing(engine, what, words, now)?;
            claim(!held, || format!("it is in force: {what}"))
        }
        "raised" if words.skip("by") => {
            let times = words.parse::<f32>("how many times")?;
            let raised = engine.table().raised(&words.parse("an entity")?, now);
            words.end()?;
            claim(raised.as_ref().is_some_and(|raised| raised.times == times), || {
                format!("it is {raised:?}")
            })
        }
        what @ ("trusted" | "grace" | "raised") => {
            let held = standing(engine, what, words, now)?;
            claim(held, || format!("it is not in force: {what}"))
        }
        "notices" => {
            let (kind, entity) = (words.next("a kind")?, words.next("an entity")?);
            let (expected, found) =
                (words.parse::<usize>("a number")?, notices(world, kind, entity)?);
            claim(found == expected, || format!("there were {found}: {:?}", world.notices))
        }
        "organization" => {
            let entity: Entity = words.parse("an entity")?;
            compare(&organization(engine, &entity, now)?, words)
        }
        other => Err(format!("{other:?} can't be expected")),
    }
}

/// The engine's totals, as far as clients see them too.
pub(crate) fn total(engine: &Engine) -> Sent {
    let counters = engine.counters();
    Sent {
        messages: counters.messages.load(Relaxed),
        recipients: counters.recipients.load(Relaxed),
        refused: counters.refused.load(Relaxed),
        held: counters.held.load(Relaxed),
    }
}

/// Whether a reload or restart moved what the words say.
pub(crate) fn moved(moves: &Moves, outcome: Option<&str>) -> Outcome {
    let Some(outcome) = outcome else {
        return Ok(());
    };
    let mut lines: Vec<String> = Vec::new();
    for (from, to) in &moves.moved {
        let to: Vec<String> = to.iter().map(ToString::to_string).collect();
        lines.push(format!("moved {from} to {}", to.join(" ")));
    }
    for (from, to) in &moves.split {
        let to: Vec<String> = to.iter().map(ToString::to_string).collect();
        lines.push(format!("split {from} from {}", to.join(" ")));
    }
    for (from, networks) in &moves.freed {
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        lines.push(format!("freed {} of {from}", networks.join(" ")));
    }
    for (word, entities) in
        [("lost", &moves.lost), ("idle", &moves.idle), ("unmarked", &moves.unmarked)]
    {
        lines.extend(entities.iter().map(|entity| format!("{word} {entity}")));
    }
    let mut expected: Vec<&str> = outcome.split(';').map(str::trim).collect();
    expected.retain(|line| *line != "nothing");
    expected.sort_unstable();
    lines.sort();
    if lines == expected {
        Ok(())
    } else {
        Err(format!("expected {outcome}, but this happened: {}", lines.join("; ")))
    }
}

fn claim(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Pairs of a name and a value; of `bad 5 of 5` both are such pairs.
fn compare(facts: &Facts, words: &mut Words<'_>) -> Outcome {
    while let Some(name) = words.any() {
        let expected = words.next("a value")?;
        match facts.get(name) {
            Some(found) if is_within(found, expected) => {}
            Some(found) => return Err(format!("{name} is {found}, not {expected} ({facts:?})")),
            None => return Err(format!("{name:?} is none of {:?}", facts.keys())),
        }
    }
    Ok(())
}

/// Whether a value is the one expected, or a number in `LOW..HIGH`.
fn is_within(found: &str, expected: &str) -> bool {
    let range = expected.split_once("..");
    let number = |text: &str| text.parse::<f64>().ok();
    match range.map(|(low, high)| (number(low), number(high), number(found))) {
        Some((Some(low), Some(high), Some(found))) => (low..=high).contains(&found),
        _ => found == expected,
    }
}

fn finding_of(words: &mut Words<'_>) -> Outcome<(Entity, String)> {
    let (entity, signal) = (words.parse("an entity")?, words.next("a signal")?);
    if SignalName::ALL.iter().any(|known| known.to_string() == signal) {
        Ok((entity, signal.to_owned()))
    } else {
        Err(format!("{signal:?} is no signal"))
    }
}

/// What a signal says: in the case of a restricted or marked entity, else now.
fn finding(
    engine: &Engine,
    entity: &Entity,
    signal: &str,
    now: Timestamp,
) -> Outcome<Option<Facts>> {
    let findings = match engine.table().in_force(entity, now) {
        Some(held) => held.restriction.findings.clone(),
        None if entity.as_connector().is_none() => {
            let view = view::explain(engine, entity, now).ok_or("nothing is known of it")?;
            let signals = view.signals.into_iter().filter(|found| found.score > 0.0);
            signals
                .map(|found| Finding {
                    signal: found.signal,
                    score: found.score,
                    bad: found.bad,
                    of: found.of,
                    usual: found.usual,
                    ..Finding::default()
                })
                .collect()
        }
        None => {
            let tally = engine
                .roster()
                .get(entity.as_connector().ok_or("it is no connector")?)
                .ok_or("it is no connector")?;
            engine.findings(entity.as_connector().ok_or("it is no connector")?, &tally, now)
        }
    };
    let found = findings.into_iter().find(|found| found.signal.to_string() == signal);
    Ok(found.map(|found| {
        let unit = match found.unit {
            None => "none",
            Some(Unit::Messages) => "messages",
            Some(Unit::Recipients) => "recipients",
            Some(Unit::NewRecipients) => "new_recipients",
        };
        [
            ("bad", found.bad.to_string()),
            ("of", found.of.to_string()),
            ("distinct", found.distinct.to_string()),
            ("score", format!("{:.2}", found.score)),
            ("usual", format!("{:.3}", found.usual)),
            ("unit", unit.to_owned()),
        ]
        .into()
    }))
}

fn totals(engine: &Engine) -> Facts {
    let counters = engine.counters();
    [
        ("messages", counters.messages.load(Relaxed)),
        ("recipients", counters.recipients.load(Relaxed)),
        ("refused", counters.refused.load(Relaxed)),
        ("would_refuse", counters.would_refuse.load(Relaxed)),
        ("held", counters.held.load(Relaxed)),
        ("unattributed", counters.unattributed.load(Relaxed)),
        ("connectors", engine.roster().len() as u64),
        ("evidence", engine.evidence_rooms() as u64),
    ]
    .map(|(name, value)| (name, value.to_string()))
    .into()
}

fn connector(engine: &Engine, entity: &Entity, now: Timestamp) -> Option<Facts> {
    let tally = engine.roster().get(entity.as_connector()?)?;
    let totals = tally.counters.totals();
    let judgement = match engine.judgement(entity.as_connector()?, &tally, now) {
        Judgement::Normal => "normal",
        _ => "suspicious",
    };
    engine.take_in_deliveries();
    let mut facts: Facts = [
        ("messages", totals.messages),
        ("recipients", totals.recipients),
        ("null", totals.null_senders),
        ("unregistered", totals.unregistered),
        ("unknown", totals.unknown_recipients),
        ("refused", totals.refused),
        ("would_refuse", totals.would_refuse),
        ("days", tally.days_learned().into()),
        ("senders", tally.senders_met().into()),
        ("hour", tally.messages.estimate(now)),
        ("throttled", tally.throttled().refused.load(Relaxed)),
        ("held", tally.throttled().held_messages.load(Relaxed)),
        ("in_flight", tally.in_flight().into()),
    ]
    .map(|(name, value)| (name, value.to_string()))
    .into();
    facts.insert("judgement", judgement.into());
    let finding = engine
        .findings(entity.as_connector()?, &tally, now)
        .into_iter()
        .find(|finding| finding.signal == SignalName::UnregisteredSender);
    let (bad, of) = finding.map_or((0, 0), |finding| (finding.bad, finding.of));
    facts.insert("bad", bad.to_string());
    facts.insert("of", of.to_string());
    Some(facts)
}

fn restriction(held: &InForce) -> Facts {
    let restriction = &held.restriction;
    let attempts = &held.attempts;
    let span = |until: Option<Timestamp>| match until {
        Some(until) => format_span(until.since(restriction.since)),
        None => "ever".into(),
    };
    let mut facts: Facts = [
        ("case", restriction.case.to_string()),
        ("action", restriction.action.to_string()),
        ("scope", restriction.scope.to_string()),
        ("by", restriction.by.to_string()),
        ("for", span(restriction.until)),
        ("rejects_after", span(restriction.reject_from)),
        ("passed", restriction.passed_messages.to_string()),
        ("passed_recipients", restriction.passed_recipients.to_string()),
        ("samples", restriction.samples.len().to_string()),
        ("refused", attempts.refused.load(Relaxed).to_string()),
        ("held", attempts.held_messages.load(Relaxed).to_string()),
        ("held_bytes", attempts.held_bytes.load(Relaxed).to_string()),
    ]
    .into();
    if let Some(finding) = restriction.findings.first() {
        facts.insert("signal", finding.signal.to_string());
        facts.insert("bad", finding.bad.to_string());
        facts.insert("of", finding.of.to_string());
        facts.insert("distinct", finding.distinct.to_string());
        facts.insert("score", format!("{:.0}", finding.score));
    }
    facts
}

fn organization(engine: &Engine, entity: &Entity, now: Timestamp) -> Outcome<Facts> {
    let Entity::Organization(name) = entity else { return Err("it is none".into()) };
    let state = engine.organization(name, now).ok_or("there is none of this name")?;
    Ok([
        ("bad", format!("{:.1}", state.share.bad)),
        ("of", format!("{:.1}", state.share.all)),
        ("connectors", state.restricted.len().to_string()),
        ("needed", state.needed.to_string()),
    ]
    .into())
}

fn standing(engine: &Engine, what: &str, words: &mut Words<'_>, now: Timestamp) -> Outcome<bool> {
    let entity: Entity = words.parse("an entity")?;
    words.end()?;
    match what {
        "trusted" => Ok(engine.table().trust(&entity, now).is_some()),
        "grace" => Ok(engine.table().grace(&entity, now).is_some()),
        "raised" => Ok(engine.table().raised(&entity, now).is_some()),
        _ => Err(format!("{what:?} is none of trusted, grace and raised")),
    }
}

fn notices(world: &World, kind: &str, entity: &str) -> Outcome<usize> {
    if !["new_connector", "suspicious", "changed", "limit_reached", "held", "hold_full"]
        .contains(&kind)
    {
        return Err(format!("{kind:?} is no kind of notice"));
    }
    let of_it = |notice: &&Notice| match notice {
        Notice::NewConnector(key) => kind == "new_connector" && key.to_string() == entity,
        Notice::Suspicious(key, _) => kind == "suspicious" && key.to_string() == entity,
        Notice::Changed(key, _) => kind == "changed" && key.to_string() == entity,
        Notice::LimitReached(key, ..) => kind == "limit_reached" && key.to_string() == entity,
        Notice::Held(key, _) => kind == "held" && key.to_string() == entity,
        Notice::HoldFull(key, _) => kind == "hold_full" && key.to_string() == entity,
        Notice::OverflowCompromised(_) => false,
    };
    Ok(world.notices.iter().filter(of_it).count())
}
