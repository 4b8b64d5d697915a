//! Every line of a real log is an event, or is skipped with a reason.

use super::unpacked;
use connguard::maillog::{Event, Skip, Tag, parse};
use std::collections::BTreeMap;

/// Reads a log; at most `unknown` of a thousand lines may be unknown.
fn check(name: &str, unknown: usize) {
    let Some(bytes) = unpacked(name) else { return };
    let text = String::from_utf8_lossy(&bytes);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut lines, mut skipped, mut deliveries, mut statuses) = (0, [0; Skip::ALL.len()], 0, 0);
    for line in text.lines() {
        lines += 1;
        statuses += usize::from(has_status(line));
        let what = match parse(line) {
            Ok(line) => {
                deliveries += usize::from(matches!(line.event, Event::Delivery(_)));
                let event = format!("{:?}", line.event);
                event.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
            }
            Err(skip) => {
                skipped[Skip::ALL.iter().position(|one| *one == skip).unwrap()] += 1;
                format!("skipped: {skip:?}")
            }
        };
        *counts.entry(what).or_default() += 1;
    }
    println!("{name}: {lines} lines");
    for (what, count) in &counts {
        println!("{count:8} {what}");
    }
    assert_eq!(counts.values().sum::<usize>(), lines);
    let unknowns = skipped[Skip::ALL.iter().position(|one| *one == Skip::Unknown).unwrap()];
    assert!(unknowns * 1000 <= lines * unknown, "{unknowns} of {lines} lines are unknown");
    assert_eq!(deliveries, statuses, "deliveries, and lines of Postfix with to= and status=");
}

/// Whether a line is a delivery result, as a naive reader would find it.
fn has_status(line: &str) -> bool {
    let of_postfix =
        |word: &str| word.strip_suffix(':').is_some_and(|tag| Tag::parse(tag).is_some());
    line.split(' ').any(of_postfix)
        && line.contains(": to=")
        && ["sent", "deferred", "bounced", "expired", "deliverable", "undeliverable"]
            .iter()
            .any(|word| line.contains(&format!(", status={word} (")))
}

#[test]
fn pixelpark() {
    check("pixelpark-mail-2023.log.xz", 1);
}

#[test]
fn lightmeter() {
    check("lightmeter-sample-2021.log.xz", 1);
}

#[test]
fn infohtreasure() {
    check("infohtreasure-maillog-2012-2022.log.xz", 10);
}
