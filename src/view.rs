//! The sentences and shapes in which entities, findings and cases are shown,
//! the same for the command line, JSON and the log.

mod alert;
mod case;
mod explain;
mod list;
mod log;
mod sentence;
mod show;
mod top;

pub use alert::{About, Alert, Due, alert, digest};
pub use case::{CaseView, direction, step_in_words};
pub use explain::{
    AmountView, ExplainView, JudgementView, OrganizationView, ReferenceView, SignalView,
    ThrottleView, explain, explain_organization, raised_sentence,
};
pub use list::{ListView, State, list};
pub use log::{log_line, suspicion_line};
pub use sentence::sentence;
pub use show::{QueuedView, ShowView, TotalsView, last_case, show};
pub use top::{TOP_MOST, TopView, busiest, top};

use crate::{
    connector::Entity,
    record::{Actor, CaseId, Event, Finding, Record, Restriction},
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
    /// `restricted`, `marked`, `lifted`, `trusted`, `untrusted`, `inherited`,
    /// `moved` or `declared usual`.
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
            Event::Lifted { case, reason, raised, .. } => {
                let why = match raised.as_ref().filter(|raised| raised.case == *case) {
                    Some(raised) => format!(
                        "{reason} (false positive: its levels are {} times those of others until {})",
                        raised.times,
                        raised.until.local()
                    ),
                    None => reason.clone(),
                };
                ("lifted", Some(*case), why)
            }
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
            Event::Usual { reason, .. } => ("declared usual", None, reason.clone()),
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
    if !restriction.reason.is_empty() {
        return restriction.reason.clone();
    }
    largest(&restriction.findings)
}

/// The same of findings.
pub fn reasons(findings: &[Finding]) -> String {
    largest(findings)
}

/// The sentences of the findings that say most: the first, and a second one that
/// says at least half as much.
fn largest(findings: &[Finding]) -> String {
    let half = findings.first().map_or(0.0, |first| first.score / 2.0);
    let telling = findings.iter().take(2).filter(|finding| finding.score >= half);
    telling.map(sentence).collect::<Vec<_>>().join("; ")
}
