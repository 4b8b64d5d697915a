//! What to know about the numbers of a replay.

use super::Report;
use crate::maillog::Skip;

/// Why lines were skipped, as JSON names it.
pub(super) fn word(skip: Skip) -> &'static str {
    match skip {
        Skip::Empty => "empty",
        Skip::NoTime => "no_time",
        Skip::NotPostfix => "not_postfix",
        Skip::NoMail => "no_mail",
        Skip::Warning => "warning",
        Skip::Cut => "cut",
        Skip::Unknown => "unknown",
    }
}

/// What to know about the numbers.
pub(super) fn notes(report: &Report, with_from: u64) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |is: bool, text: String| {
        if is {
            notes.push(text);
        }
    };
    let lanes =
        || std::iter::once(&report.outcome).chain(report.compared.iter().map(|c| &c.outcome));
    note(
        lanes().any(|lane| lane.throttled.messages > 0),
        "mail that would have been slowed down is not sent again here: a real client sends it \
         again later, so what it would have met then is not in these numbers"
            .into(),
    );
    note(
        report.outcome.unattributed_messages > 0,
        format!(
            "{} messages were relayed for clients that this configuration gives no right to, and \
             were not judged: it lacks milter.relay_networks, or milter.inbound_domains",
            report.outcome.unattributed_messages
        ),
    );
    note(
        report.messages > 0 && with_from == 0,
        "this log shows no From headers and no verdicts of spam filters: what they would have \
         shown is not in these numbers (header_checks can log them: see docs/replay.md)"
            .into(),
    );
    note(
        report.incomplete_messages > 0,
        format!(
            "of {} messages not every recipient was tried within five minutes: the others are not \
             in their numbers",
            report.incomplete_messages
        ),
    );
    note(
        report.late > 0,
        format!(
            "{} events were logged too late to be put in order and count as of when they came",
            report.late
        ),
    );
    note(
        report.crowded > 0,
        format!("the log is so busy that {} events could not wait for theirs", report.crowded),
    );
    notes
}
