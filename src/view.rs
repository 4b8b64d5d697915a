//! The sentences and shapes in which entities, findings and cases are shown,
//! the same for the command line, JSON and the log.

mod list;
mod log;
mod show;

pub use list::{ListView, State, list};
pub use log::{log_line, suspicion_line};
pub use show::{CaseView, ShowView, TotalsView, show};

use crate::{
    connector::Entity,
    record::{Actor, CaseId, Event, Finding, Record, Restriction, SignalName},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A finding with its sentence.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FindingView {
    /// The numbers.
    #[serde(flatten)]
    pub finding: Finding,
    /// The sentence.
    pub text: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self { finding: finding.clone(), text: sentence(finding) }
    }
}

/// One line of the audit trail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct HistoryView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// `restricted`, `marked`, `lifted`, `trusted`, `untrusted`, `inherited`
    /// or `moved`.
    pub what: String,
    /// Whom.
    pub entity: Entity,
    /// The case, where there is one.
    pub case: Option<CaseId>,
    /// Why, or where to.
    pub why: String,
}

impl From<&Record> for HistoryView {
    fn from(record: &Record) -> Self {
        let (what, case, why) = match &record.event {
            Event::Restricted(restriction) => {
                let what = if restriction.mark { "marked" } else { "restricted" };
                (what, Some(restriction.case), why(restriction))
            }
            Event::Lifted { case, reason, .. } => ("lifted", Some(*case), reason.clone()),
            Event::Trusted { trust, .. } => {
                ("trusted", None, format!("{} (until {})", trust.reason, trust.until.local()))
            }
            Event::Untrusted { reason, .. } => ("untrusted", None, reason.clone()),
            Event::Inherited { from, standing, .. } => {
                let case = standing.restriction.as_ref().map(|restriction| restriction.case);
                ("inherited", case, format!("the configuration changed: from {from}"))
            }
            Event::Moved { to, .. } => {
                ("moved", None, format!("the configuration changed: to {}", names(to, " ")))
            }
        };
        Self {
            at: record.at,
            by: record.by.clone(),
            what: what.to_owned(),
            entity: record.event.entity().clone(),
            case,
            why,
        }
    }
}

/// Several things in one line.
pub fn names(things: &[impl ToString], between: &str) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

/// Why an entity is restricted: the operator's reason, or the sentence of the
/// largest finding.
pub fn why(restriction: &Restriction) -> String {
    match restriction.findings.first() {
        Some(finding) if restriction.reason.is_empty() => sentence(finding),
        _ => restriction.reason.clone(),
    }
}

/// A finding in one plain sentence with measured and usual values.
pub fn sentence(finding: &Finding) -> String {
    let Finding { bad, of, distinct, .. } = finding;
    match finding.signal {
        SignalName::UnregisteredSender => {
            let domains = if *distinct == 1 {
                "1 sender domain that is"
            } else {
                &format!("{distinct} sender domains that are")
            };
            let of = if of == bad {
                format!("all of the last {of}")
            } else {
                format!("{bad} of the last {of}")
            };
            format!(
                "{of} messages came from {domains} not registered; usual: {}",
                share(finding.usual)
            )
        }
        _ => format!("{bad} of {of} trials were bad; usual: {}", share(finding.usual)),
    }
}

fn share(share: f32) -> String {
    let percent = share * 100.0;
    if percent < 1.0 { "under 1 %".into() } else { format!("{percent:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::COMPROMISED;

    fn finding(bad: u32, of: u32, distinct: u32, usual: f32) -> Finding {
        Finding {
            signal: SignalName::UnregisteredSender,
            score: 15.24,
            limit: COMPROMISED,
            bad,
            of,
            distinct,
            usual,
            since: Timestamp::default(),
        }
    }

    #[test]
    fn findings_are_sentences() {
        for (finding, text) in [
            (
                finding(9, 9, 7, 0.005),
                "all of the last 9 messages came from 7 sender domains that are not registered; usual: under 1 %",
            ),
            (
                finding(9, 12, 1, 0.126),
                "9 of the last 12 messages came from 1 sender domain that is not registered; usual: 13 %",
            ),
        ] {
            assert_eq!(sentence(&finding), text);
        }
    }
}
