//! A case in words: what happened, in one sentence, and what was done.

use super::{FindingView, largest, sentence::share};
use crate::{
    case::{CaseFile, Change, Trait, What},
    record::{Finding, Sample},
};
use serde::{Deserialize, Serialize};

/// A case, open or over.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CaseView {
    /// All of it.
    #[serde(flatten)]
    pub file: CaseFile,
    /// What happened, in one sentence.
    pub sentence: String,
    /// What was found last, with measured and usual values.
    pub findings: Vec<FindingView>,
    /// What the connector never showed before, in words.
    pub changed: Vec<String>,
}

impl CaseView {
    /// The case in words.
    pub fn new(file: CaseFile) -> Self {
        let findings = found(&file).iter().map(FindingView::from).collect();
        Self {
            sentence: sentence(&file),
            findings,
            changed: file.material.changes.iter().map(change).collect(),
            file,
        }
    }

    /// Bad messages, oldest first.
    pub fn samples(&self) -> &[Sample] {
        &self.file.material.samples
    }
}

/// What the newest step with findings found.
fn found(file: &CaseFile) -> &[Finding] {
    let step = file.steps.iter().rev().find(|step| !step.findings.is_empty());
    step.map(|step| step.findings.as_slice()).unwrap_or_default()
}

fn sentence(file: &CaseFile) -> String {
    let why = largest(found(file));
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let restricted: Vec<String> = file.restricted.iter().take(3).map(ToString::to_string).collect();
    let more = file.restricted.len().saturating_sub(restricted.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let since = file.opened.local();
    let state = match (file.closed, restricted.is_empty()) {
        (Some(closed), _) => format!("is over since {}", closed.local()),
        (None, true) => format!("is open since {since}; nothing of it is restricted"),
        (None, false) => {
            format!("is open since {since}; restricted: {}{more}", restricted.join(", "))
        }
    };
    let refused = match (file.refused, file.held) {
        (0, 0) => String::new(),
        (refused, 0) => format!("; {refused} recipients were refused since"),
        (0, held) => format!("; {held} messages were put on hold since"),
        (refused, held) => {
            format!("; {refused} recipients were refused and {held} messages put on hold since")
        }
    };
    format!("The case of {} {state}{refused}{why}", file.root)
}

fn change(change: &Change) -> String {
    let what = match change.what {
        Trait::ClientAddress => "client address",
        Trait::CertificateIssuer => "certificate issuer",
        Trait::HeloName => "HELO name",
        Trait::UnregisteredDomain => "unregistered sender domain",
    };
    format!("{what} never seen before, since {}: {}", change.at.local(), change.value)
}

/// What a step did, in words.
pub const fn step_in_words(what: What) -> &'static str {
    match what {
        What::Suspicious => "suspicious",
        What::Restricted => "restricted",
        What::Marked => "marked (observe mode)",
        What::Lifted => "lifted",
        What::Expired => "expired",
        What::Trusted => "trusted",
        What::Untrusted => "trust ended",
        What::DeclaredUsual => "declared usual",
        What::Held => "put on hold in the queue",
        What::Released => "released from the queue",
        What::Moved => "moved",
        What::Over => "over",
    }
}

/// External against local, in percent.
pub fn direction(file: &CaseFile) -> String {
    let (external, local) = (file.material.external, file.material.local);
    let all = external.saturating_add(local);
    if all == 0 {
        return "no recipients yet".to_owned();
    }
    let part = external as f32 / all as f32;
    format!("{external} of {all} recipients ({}) are elsewhere, {local} of this site", share(part))
}
