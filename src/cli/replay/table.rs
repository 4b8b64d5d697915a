//! A replay as a person reads it.

use super::super::output::{clean, table};
use crate::{
    replay::{LaneReport, NearMissReport, Report, RestrictionReport, SuspicionReport},
    view::FindingView,
};
use std::{collections::HashSet, fmt::Write};

/// All of it.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report);
    if let [other] = &*report.compared {
        compared(&mut text, &report.outcome, &other.outcome, &other.set.join(" "));
    } else {
        lane(&mut text, &report.outcome);
    }
    if !report.rewritten_senders.is_empty() {
        put(&mut text, "\nsenders rewritten by canonical maps, judged as rewritten:");
        let row = |one: &crate::replay::Rewritten| {
            vec![one.given.to_string(), one.from.to_string(), one.messages.to_string()]
        };
        let rows = report.rewritten_senders.iter().map(row).collect();
        text += &table(&["GIVEN", "REWRITTEN", "MESSAGES"], rows);
    }
    for warning in &report.warnings {
        put(&mut text, &format!("\nwarning: {}", clean(warning)));
    }
    for note in &report.notes {
        put(&mut text, &format!("\nnote: {}", clean(note)));
    }
    text
}

fn put(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn head(text: &mut String, report: &Report) {
    let span = match (report.from, report.to) {
        (Some(from), Some(to)) => format!(" from {} to {}", from.local(), to.local()),
        _ => String::new(),
    };
    if report.stopped {
        put(text, "stopped before the end: this is what was read until then");
    }
    let lines = report.lines;
    let said = lines.saturating_sub(report.skipped_lines);
    put(text, &format!("{lines} lines{span}, {said} of them about mail"));
    let skipped = report.skipped.iter().map(|(why, count)| format!("{count} {}", skip(why)));
    let skipped: Vec<String> = skipped.collect();
    if !skipped.is_empty() {
        put(text, &format!("skipped: {}", skipped.join(", ")));
    }
    put(
        text,
        &format!(
            "{} from clients to {}, {}",
            many(report.messages, "message"),
            many(report.recipients, "recipient"),
            many(report.outcome.connectors, "connector")
        ),
    );
}

/// Why lines were skipped, for people.
fn skip(word: &str) -> &str {
    match word {
        "empty" => "empty",
        "no_time" => "without a time",
        "not_postfix" => "of other programs",
        "no_mail" => "of Postfix about no message",
        "warning" => "warnings of Postfix",
        "cut" => "cut off",
        _ => "not understood",
    }
}

fn many(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn lane(text: &mut String, lane: &LaneReport) {
    let marks = lane.restrictions.iter().any(|one| one.mark);
    restrictions(
        text,
        if marks { "would have been marked" } else { "would have been restricted" },
        &lane.restrictions.iter().collect::<Vec<_>>(),
    );
    if lane.more_restrictions > 0 {
        put(text, &format!("and {} more", lane.more_restrictions));
    }
    suspicious(text, &lane.suspicious);
    slowed(text, lane);
    nearest(text, &lane.nearest_misses);
}

fn restrictions(text: &mut String, what: &str, all: &[&RestrictionReport]) {
    if all.is_empty() {
        return put(text, &format!("\nnobody {what}"));
    }
    put(text, &format!("\n{what} (messages/recipients passed before, refused since):"));
    let row = |one: &&RestrictionReport| {
        vec![
            one.entity.to_string(),
            one.at.local(),
            format!("{}/{}", one.passed_messages, one.passed_recipients),
            format!("{}/{}", one.refused_messages, one.refused_recipients),
            why(&one.findings),
        ]
    };
    let rows = all.iter().map(row).collect();
    text.push_str(&table(&["ENTITY", "AT", "PASSED", "REFUSED", "WHY"], rows));
}

fn suspicious(text: &mut String, all: &[SuspicionReport]) {
    if all.is_empty() {
        return;
    }
    put(text, "\nsuspicious, never restricted:");
    let row = |one: &SuspicionReport| {
        vec![
            one.entity.to_string(),
            one.at.local(),
            format!("{}/{}", one.throttled_messages, one.throttled_recipients),
            why(&one.findings),
        ]
    };
    text.push_str(&table(&["ENTITY", "SINCE", "SLOWED", "WHY"], all.iter().map(row).collect()));
}

fn slowed(text: &mut String, lane: &LaneReport) {
    let throttled = lane.throttled;
    if throttled.messages + throttled.recipients == 0 {
        return;
    }
    let held = match throttled.held_messages {
        0 => String::new(),
        held => format!(", {held} of the messages held"),
    };
    let line = format!(
        "\nslowed down: {} to {} of {}{held}",
        many(throttled.messages, "message"),
        many(throttled.recipients, "recipient"),
        many(throttled.connectors, "connector")
    );
    put(text, &line);
}

fn nearest(text: &mut String, all: &[NearMissReport]) {
    if all.is_empty() {
        return;
    }
    put(text, "\nnearest to a restriction without one:");
    let row = |one: &NearMissReport| {
        vec![
            one.entity.to_string(),
            one.at.local(),
            format!("{:.1} of {:.0}", one.score, one.limit),
            why(&one.findings),
        ]
    };
    text.push_str(&table(&["ENTITY", "AT", "SCORE", "WHY"], all.iter().map(row).collect()));
}

/// The findings that say most: the first, and a second one that says at least half
/// as much.
fn why(findings: &[FindingView]) -> String {
    let half = findings.first().map_or(0.0, |first| first.finding.score / 2.0);
    let telling = findings.iter().take(2).filter(|one| one.finding.score >= half);
    telling.map(|one| one.text.as_str()).collect::<Vec<_>>().join("; ")
}

/// Two outcomes side by side, and what only one of them has.
fn compared(text: &mut String, base: &LaneReport, other: &LaneReport, set: &str) {
    let count = |lane: &LaneReport| {
        let sum = |of: fn(&RestrictionReport) -> u64| lane.restrictions.iter().map(of).sum::<u64>();
        let pair = |messages: u64, recipients: u64| format!("{messages}/{recipients}");
        [
            lane.restrictions.len().to_string(),
            pair(sum(|one| one.passed_messages), sum(|one| one.passed_recipients)),
            pair(sum(|one| one.refused_messages), sum(|one| one.refused_recipients)),
            lane.suspicious.len().to_string(),
            pair(lane.throttled.messages, lane.throttled.recipients),
            lane.limited_connectors.to_string(),
        ]
    };
    let names = [
        "restricted",
        "passed before (messages/recipients)",
        "refused since (messages/recipients)",
        "suspicious, never restricted",
        "slowed down (messages/recipients)",
        "reached a hard limit",
    ];
    let rows = names.iter().zip(count(base)).zip(count(other));
    let rows = rows.map(|((name, base), other)| vec![(*name).to_owned(), base, other]);
    text.push('\n');
    text.push_str(&table(&["", "AS IT IS", set], rows.collect()));
    let of = |lane: &LaneReport| -> HashSet<_> {
        lane.restrictions.iter().map(|one| one.entity.clone()).collect()
    };
    let (of_base, of_other) = (of(base), of(other));
    let only = |lane: &LaneReport, not: &HashSet<_>| -> Vec<RestrictionReport> {
        let alone = lane.restrictions.iter().filter(|one| !not.contains(&one.entity));
        alone.cloned().collect()
    };
    for (what, alone) in [
        ("restricted only as it is".to_owned(), only(base, &of_other)),
        (format!("restricted only with {}", clean(set)), only(other, &of_base)),
    ] {
        if !alone.is_empty() {
            restrictions(text, &what, &alone.iter().collect::<Vec<_>>());
        }
    }
    let mut rows = Vec::new();
    for one in &base.restrictions {
        let same = other.restrictions.iter().find(|two| two.entity == one.entity);
        if let Some(two) = same.filter(|two| two.at != one.at) {
            let mut times = String::new();
            // Writing to text never fails.
            let _ = write!(times, "{}/{}", two.passed_messages, two.passed_recipients);
            rows.push(vec![
                one.entity.to_string(),
                one.at.local(),
                format!("{}/{}", one.passed_messages, one.passed_recipients),
                two.at.local(),
                times,
            ]);
        }
    }
    if !rows.is_empty() {
        put(text, "\nrestricted at another time:");
        text.push_str(&table(&["ENTITY", "AS IT IS", "PASSED", "THEN", "PASSED"], rows));
    }
    nearest(text, &base.nearest_misses);
}
