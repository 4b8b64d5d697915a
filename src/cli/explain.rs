//! `explain`: how an entity is judged, signal by signal.

use super::{Error, Output, output};
use crate::{
    command::Command,
    connector::Entity,
    control,
    pending::Feedback,
    record::SignalName,
    view::{
        AmountView, ExplainView, JudgementView, OrganizationView, SignalView, State,
        raised_sentence,
    },
};
use std::{
    fmt::Write as _,
    io::{Write as _, stdout},
    path::Path,
};

/// Findings that are told in sentences.
const SENTENCES: usize = 3;

/// Prints how an entity is judged.
pub(super) fn explain(socket: &Path, entity: &str, options: Output) -> Result<(), Error> {
    let command = Command::Explain { entity: entity.to_owned() };
    let done = control::ask(socket, command, |_| Ok(()))?.done;
    let mut out = stdout().lock();
    if options.json {
        output::json(&mut out, &done)?;
    } else if done.get("signals").is_none() {
        let view: OrganizationView = serde_json::from_value(done)?;
        for sentence in &view.text {
            writeln!(out, "{}", output::clean(sentence))?;
        }
    } else {
        let view: ExplainView = serde_json::from_value(done)?;
        out.write_all(text(&view).as_bytes())?;
    }
    Ok(())
}

fn text(view: &ExplainView) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        let _ = writeln!(text, "{}", output::clean(line));
    };
    line(&headline(view));
    for finding in largest(view) {
        line(&format!("  {}", finding.text));
    }
    line("");
    for (name, value) in pairs(view) {
        line(&format!("  {name:<16}{value}"));
    }
    line("");
    let head = ["SIGNAL", "SCORE", "BAD OF ALL", "USUAL", "TO SUSPICIOUS", "TO COMPROMISED"];
    text.push_str(&output::table(&head, view.signals.iter().map(row).collect()));
    let off = off(view);
    if !off.is_empty() {
        text.push('\n');
    }
    for (why, signals) in off {
        let _ = writeln!(text, "off: {}: {}", signals.join(", "), output::clean(why));
    }
    text
}

/// The signals that are off, by the reason.
fn off(view: &ExplainView) -> Vec<(&str, Vec<String>)> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for signal in view.signals.iter().filter(|signal| !signal.on) {
        let why = signal.off_because.as_deref().unwrap_or("not observed");
        let name = signal.signal.to_string();
        match reasons.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, signals)) => signals.push(name),
            None => reasons.push((why, vec![name])),
        }
    }
    reasons
}

fn headline(view: &ExplainView) -> String {
    let judgement = match view.judgement {
        JudgementView::Normal => "normal",
        JudgementView::Suspicious => "suspicious",
        JudgementView::Compromised => "compromised",
    };
    let score = format!(
        "score {:.1}; suspicious from {} on, compromised from {} on",
        view.score, view.suspicious_at, view.compromised_at
    );
    let case = view.case.map(|case| format!(", case {case}")).unwrap_or_default();
    let entity = &view.entity;
    match view.state {
        Some(State::Restricted) => format!(
            "{entity} is restricted{case}: nothing that it tries is judged; see `connguard show {entity}`"
        ),
        Some(State::Marked) => format!(
            "{entity} is marked{case}: what it sends is not judged; see `connguard show {entity}`"
        ),
        Some(State::Trusted) => format!("{entity} is trusted and not judged: {score}"),
        _ => format!("{entity} is {judgement}: {score}"),
    }
}

/// The signals that say most, the largest first.
fn largest(view: &ExplainView) -> Vec<&SignalView> {
    let mut signals: Vec<&SignalView> =
        view.signals.iter().filter(|signal| signal.score > 0.0).collect();
    signals.sort_by(|a, b| b.score.total_cmp(&a.score));
    signals.truncate(SENTENCES);
    signals
}

fn pairs(view: &ExplainView) -> Vec<(&'static str, String)> {
    let days = if view.days_learned == 1 { "day" } else { "days" };
    let mut pairs = Vec::new();
    if let Entity::Sender { via, .. } = &view.entity {
        pairs.push(("sends through", format!("{via}, whose history is what is usual")));
    }
    pairs.extend([
        ("profile", view.profile.to_string()),
        (
            "history",
            format!("{} {days} learned, since {}", view.days_learned, view.first_seen.local()),
        ),
        (
            "deliveries",
            match view.feedback {
                Feedback::Off => "results are not known",
                Feedback::Watching => {
                    "the mail log is read, and has told of no message of this host so far"
                }
                Feedback::Coming => "results are known",
            }
            .to_owned(),
        ),
    ]);
    for (name, at, what) in [
        ("grace", view.grace_until, "it takes more to restrict it"),
        ("history lost", view.muted_until, "signals that need it are off"),
        ("declared usual", view.settling_until, "volume and crowds are learned, not judged"),
    ] {
        if let Some(at) = at {
            pairs.push((name, format!("until {}: {what}", at.local())));
        }
    }
    if let Some(raised) = &view.raised {
        pairs.push(("false positive", raised_sentence(raised)));
    }
    if view.learning {
        pairs.push(("new forwarder", "only watched in its first week".to_owned()));
    }
    let reference = &view.reference;
    let amount = |amount: &AmountView, what| {
        format!("{:.0} {what} (allowed: {:.0})", amount.now, amount.allowed)
    };
    let of_sender = matches!(view.entity, Entity::Sender { .. });
    if !of_sender {
        pairs.push((
            "last hour",
            format!(
                "{}, {}, {}",
                amount(&reference.messages, "messages"),
                amount(&reference.recipients, "recipients"),
                amount(&reference.new_recipients, "new recipients")
            ),
        ));
    }
    if let Some(throttle) = &view.throttle {
        pairs.push((
            "throttle",
            format!(
                "{} beyond {:.0} recipients an hour while it is suspicious, {:.0} at once now{}",
                throttle.action,
                throttle.rate,
                throttle.tokens.max(0.0),
                if of_sender {
                    String::new()
                } else {
                    format!("; {} of {} messages on their way", throttle.in_flight, throttle.limit)
                }
            ),
        ));
    }
    pairs
}

fn row(signal: &SignalView) -> Vec<String> {
    let score = if signal.on { format!("{:.1}", signal.score) } else { "off".to_owned() };
    let counts = match signal.signal {
        _ if !signal.on && signal.score == 0.0 => "-".to_owned(),
        SignalName::Volume => signal.bad.to_string(),
        _ if signal.of == 0 => "-".to_owned(),
        _ => format!("{} of {}", signal.bad, signal.of),
    };
    vec![
        signal.signal.to_string(),
        score,
        counts,
        usual(signal),
        signal.to_suspicious.clone(),
        signal.to_compromised.clone(),
    ]
}

/// Of volume the busiest hour is what is usual.
fn usual(signal: &SignalView) -> String {
    match signal.signal {
        _ if !signal.on && signal.score == 0.0 => "-".to_owned(),
        SignalName::Volume if signal.of == 0 => "none yet".to_owned(),
        SignalName::Volume => format!("{} an hour", signal.of),
        _ => format!("{:.1} %", signal.usual * 100.0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{connector::Profile, record::CaseId, timestamp::Timestamp, view::ReferenceView};

    fn signal(name: SignalName, score: f32, text: &str) -> SignalView {
        SignalView {
            signal: name,
            on: true,
            off_because: None,
            score,
            cap: 21.0,
            bad: 4,
            of: 5,
            usual: 0.005,
            since: None,
            text: text.into(),
            to_suspicious: "reached".into(),
            to_compromised: "+5.8".into(),
        }
    }

    fn off(name: SignalName) -> SignalView {
        SignalView {
            on: false,
            off_because: Some("the mail log is not read".into()),
            to_suspicious: "-".into(),
            to_compromised: "-".into(),
            ..signal(name, 0.0, "")
        }
    }

    fn view() -> ExplainView {
        ExplainView {
            entity: "connector:erp".parse().unwrap(),
            profile: Profile::Relay,
            judgement: JudgementView::Suspicious,
            state: None,
            case: None,
            score: 8.25,
            suspicious_at: 7.0,
            compromised_at: 14.0,
            grace_until: None,
            raised: None,
            first_seen: Timestamp::default(),
            days_learned: 1,
            feedback: Feedback::Off,
            muted_until: None,
            settling_until: None,
            learning: false,
            reference: ReferenceView {
                messages: AmountView { now: 31.4, allowed: 120.0 },
                recipients: AmountView { now: 40.0, allowed: 320.0 },
                new_recipients: AmountView { now: 0.0, allowed: 160.0 },
            },
            throttle: None,
            signals: vec![
                signal(SignalName::UnregisteredSender, 1.5, "the smaller one"),
                signal(SignalName::Volume, 6.75, "the larger\u{1b} one"),
                off(SignalName::MostRefused),
                off(SignalName::ManyRefused),
            ],
        }
    }

    #[test]
    fn the_judgement_comes_first_then_the_largest_findings() {
        let text = text(&view());
        let lines: Vec<&str> = text.lines().collect();
        let (head, signals) = lines.split_at(9);
        assert_eq!(
            head.get(..3).unwrap(),
            [
                "connector:erp is suspicious: score 8.2; suspicious from 7 on, compromised from 14 on",
                "  the larger\\u{1b} one",
                "  the smaller one",
            ]
        );
        assert_eq!(
            signals,
            [
                "SIGNAL               SCORE  BAD OF ALL  USUAL      TO SUSPICIOUS  TO COMPROMISED",
                "unregistered_sender  1.5    4 of 5      0.5 %      reached        +5.8",
                "volume               6.8    4           5 an hour  reached        +5.8",
                "most_refused         off    -           -          -              -",
                "many_refused         off    -           -          -              -",
                "",
                "off: most_refused, many_refused: the mail log is not read",
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let known = ExplainView {
            state: Some(State::Grace),
            case: Some(CaseId(7)),
            grace_until: Some(Timestamp::default()),
            ..view()
        };
        let names =
            |view: &ExplainView| pairs(view).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(&view()), ["profile", "history", "deliveries", "last hour"]);
        assert_eq!(names(&known), ["profile", "history", "deliveries", "grace", "last hour"]);
    }

    #[test]
    fn the_view_survives_its_json() {
        let json = serde_json::to_string(&view()).unwrap();
        assert_eq!(serde_json::from_str::<ExplainView>(&json).unwrap(), view());
    }
}
