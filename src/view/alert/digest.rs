//! One alert for several things that are due at once, each with a line. Where they
//! are few, the gravest is told in full.

use super::{
    Alert, AlertKind, Due, body, data,
    facts::Facts,
    page::{self, Page},
    signature, words,
};
use crate::{engine::Engine, text::cut, timestamp::Timestamp, verdict::Mode};
use serde_json::{Value, json};

/// Up to so many are few.
const FEW: usize = 3;
/// Up to so many have a line.
const MOST_LINES: usize = 30;

/// Writes one alert for many things.
pub fn digest(engine: &Engine, due: &[Due], id: String, now: Timestamp) -> Alert {
    let mut all: Vec<Facts<'_>> = due.iter().map(|due| Facts::gather(engine, due, now)).collect();
    all.sort_by_key(|facts| gravity(facts.due.kind));
    let observe = match all.as_slice() {
        [] => engine.settings().mode() == Mode::Observe,
        all => all.iter().all(|facts| facts.observe),
    };
    let subject = match all.as_slice() {
        [gravest, others @ ..] if !others.is_empty() && all.len() <= FEW => {
            let first = words::subject(gravest);
            let first = first.trim_end_matches("...");
            let first = cut(first, 100).replace('…', "...");
            format!("{first} (and {} more)", others.len())
        }
        all => format!("{}{} alerts at once: {}", words::prefix(observe), all.len(), kinds(all)),
    };
    let shown = all.iter().take(MOST_LINES);
    let alerts: Vec<Value> = shown
        .map(|facts| data::short(facts, &words::sentence(facts).replace(page::GLUE, " ")))
        .collect();
    let more = all.len().saturating_sub(MOST_LINES);
    let text =
        if (1..=FEW).contains(&all.len()) { in_full(&all) } else { in_lines(&all, observe, more) };
    Alert {
        id,
        kind: AlertKind::Digest,
        at: now,
        entity: None,
        case: None,
        in_reply_to: thread(&all),
        text,
        data: json!({
            "kind": AlertKind::Digest,
            "at": now,
            "entity": null,
            "case": null,
            "organization": null,
            "observe": observe,
            "subject": subject,
            "sentence": format!("{} alerts at once: {}", all.len(), kinds(&all)),
            "findings": [],
            "alerts": alerts,
            "more": more,
        }),
        subject,
    }
}

/// The smaller, the sooner somebody should read it.
fn gravity(kind: AlertKind) -> u8 {
    match kind {
        AlertKind::Restricted => 0,
        AlertKind::Trouble => 1,
        AlertKind::Suspicious => 2,
        AlertKind::ConnectorChanged => 3,
        AlertKind::Lifted | AlertKind::Expired => 4,
        AlertKind::ConnectorSilent => 5,
        AlertKind::StillRestricted => 6,
        AlertKind::NewConnector | AlertKind::Digest | AlertKind::Test => 7,
    }
}

/// The first alert of the case, where all are of one.
fn thread(all: &[Facts<'_>]) -> Option<String> {
    let case = all.first()?.due.case.as_ref()?;
    let is_its = |facts: &Facts<'_>| facts.case_id() == Some(case.case);
    let first = case.told.first().filter(|_| all.iter().all(is_its))?;
    Some(first.id.clone())
}

fn in_full(all: &[Facts<'_>]) -> String {
    let mut page = Page::default();
    let [gravest, others @ ..] = all else { return String::new() };
    page.paragraph(&format!("{} things happened at once; the gravest first.", all.len()));
    page.gap();
    body(&mut page, gravest);
    page.heading("What else happened");
    for facts in others {
        page.item(&words::in_one_line(facts));
    }
    page.command("connguard alerts", "all that was told");
    page.command("connguard list --all", "all that are restricted or suspicious, and why");
    signature(&mut page, gravest.case_id());
    page.into_text()
}

fn in_lines(all: &[Facts<'_>], observe: bool, more: usize) -> String {
    let mut page = Page::default();
    if observe {
        page.paragraph("OBSERVE MODE: connguard only watches. Nothing of this is refused.");
        page.gap();
    }
    page.paragraph(&format!(
        "{} things happened at once, so that they are told in one mail: {}.",
        all.len(),
        kinds(all)
    ));
    page.gap();
    for facts in all.iter().take(MOST_LINES) {
        page.item(&words::in_one_line(facts));
    }
    if more > 0 {
        page.item(&format!("and {more} more"));
    }
    page.heading("What to do");
    page.paragraph("Many at once often have one cause: a stolen list of passwords, a web host with many accounts, a mailing that nobody announced, or a setting (registered_domains, relay_networks) that lacks something. Look at a few of them first:");
    page.command("connguard list --all", "all that are restricted or suspicious, and why");
    page.command("connguard show CASE", "one of them in full, CASE as C-000017");
    page.command("connguard unblock CASE --reason 'what was done'", "let it relay again");
    signature(&mut page, None);
    page.into_text()
}

/// How many of which kind.
fn kinds(all: &[Facts<'_>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for facts in all {
        let event = words::event(facts);
        match counts.iter_mut().find(|(known, _)| *known == event) {
            Some((_, count)) => *count += 1,
            None => counts.push((event, 1)),
        }
    }
    let counts = counts.iter().map(|(event, count)| {
        format!("{count} {}", event.trim_start_matches("is ").trim_start_matches("has "))
    });
    counts.collect::<Vec<_>>().join(", ")
}
