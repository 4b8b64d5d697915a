//! Log lines: one an event, `key=value`, made for grep.

use super::names;
use crate::{
    connector::Entity,
    judge::{self, Scores},
    record::{Event, Finding, Record},
};

/// The log line of a restriction, mark or lift: `key=value`, made for grep. The
/// signal is the one that says most; the score is that of all together.
pub fn log_line(record: &Record) -> String {
    let entity = record.event.entity();
    match &record.event {
        Event::Restricted(held) => {
            let what = if held.mark { "marked" } else { "restricted" };
            let mut line = format!(
                "{what} entity={entity} case={} action={} by={}",
                held.case,
                held.action,
                word(&record.by.to_string())
            );
            if let Some(finding) = held.findings.first() {
                line.push_str(&format!(
                    "{} score={:.1} limit={:.0}",
                    measured(finding),
                    fused(&held.findings),
                    finding.limit
                ));
            }
            line
        }
        Event::Lifted { case, reason, raised, .. } => {
            let raised = raised.as_ref().map(|raised| format!(" raised={}", raised.times));
            format!(
                "lifted entity={entity} case={case} by={}{} reason={reason:?}",
                word(&record.by.to_string()),
                raised.unwrap_or_default()
            )
        }
        Event::Trusted { trust, .. } => format!(
            "trusted entity={entity} until={} by={} reason={:?}",
            trust.until,
            word(&record.by.to_string()),
            trust.reason
        ),
        Event::Untrusted { reason, .. } => {
            format!(
                "untrusted entity={entity} by={} reason={reason:?}",
                word(&record.by.to_string())
            )
        }
        Event::Inherited { from, .. } => format!("inherited entity={entity} from={from}"),
        Event::Moved { to, .. } => {
            format!("moved entity={entity} to={}", names(to, "+"))
        }
        Event::Usual { reason, .. } => {
            format!("usual entity={entity} by={} reason={reason:?}", word(&record.by.to_string()))
        }
    }
}

/// The log line of a suspicion.
pub fn suspicion_line(what: &str, entity: &Entity, findings: &[Finding]) -> String {
    let mut line = format!("{what} entity={entity}");
    for finding in findings {
        line.push_str(&format!("{} score={:.1}", measured(finding), finding.score));
    }
    line
}

/// What a finding measured, beside what is usual.
fn measured(finding: &Finding) -> String {
    let Finding { signal, bad, of, distinct, usual, .. } = finding;
    match finding.unit {
        Some(unit) => {
            format!(
                " signal={signal} unit={unit} last_hour={bad} busiest_hour={of} usual={distinct}"
            )
        }
        None => format!(" signal={signal} bad={bad} of={of} usual={usual:.2}"),
    }
}

/// The score that is compared with the limit.
fn fused(findings: &[Finding]) -> f32 {
    judge::fuse(&Scores::of_findings(findings))
}

/// A text as one word of a log line.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connector::ConnectorKey,
        record::{Actor, CaseId, Restriction, SignalName},
        timestamp::Timestamp,
        verdict::{Action, Scope},
    };
    use std::sync::Arc;

    #[test]
    fn log_lines_are_one_line_of_words() {
        let restriction = Restriction {
            entity: ConnectorKey::Named("erp".into()).into(),
            case: CaseId(17),
            action: Action::Tempfail,
            scope: Scope::Relayed,
            since: Timestamp::default(),
            until: None,
            reject_from: None,
            by: Actor::Judgement,
            reason: String::new(),
            mark: false,
            findings: vec![Finding {
                signal: SignalName::UnregisteredSender,
                score: 15.24,
                limit: 14.0,
                unit: None,
                bad: 9,
                of: 9,
                distinct: 7,
                usual: 0.01,
                since: Timestamp::default(),
            }],
            samples: Vec::new(),
            passed_messages: 4,
            passed_recipients: 4,
            keys: Vec::new(),
        };
        let record =
            |event| Record { seq: 1, at: Timestamp::default(), by: Actor::Judgement, event };
        assert_eq!(
            log_line(&record(Event::Restricted(Arc::new(restriction)))),
            "restricted entity=connector:erp case=C-000017 action=tempfail by=judgement \
             signal=unregistered_sender bad=9 of=9 usual=0.01 score=15.2 limit=14"
        );
        let lifted = Event::Lifted {
            entity: ConnectorKey::Local.into(),
            case: CaseId(1),
            reason: "two\nlines \u{1b}[31m".into(),
            grace: None,
            raised: None,
        };
        assert_eq!(
            log_line(&record(lifted)),
            "lifted entity=local case=C-000001 by=judgement reason=\"two\\nlines \\u{1b}[31m\""
        );
        let usual = Event::Usual { entity: ConnectorKey::Local.into(), reason: "a \"b\"\n".into() };
        assert_eq!(
            log_line(&record(usual)),
            "usual entity=local by=judgement reason=\"a \\\"b\\\"\\n\""
        );
    }
}
