//! What a replay came to, in the shapes in which it is printed.

mod notes;

use super::{
    Case, Counts, Ended, Lane, NearMiss, Outcomes, Params, Slowed, Suspicion,
    mail::{Abandoned, Answer, Mail, Sink},
};
use crate::{
    connector::Entity, maillog::Skip, record::CaseId, timestamp::Timestamp, view::FindingView,
};
use notes::{notes, word};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Pairs of senders before and after canonical maps that are counted apart.
const MOST_REWRITTEN: usize = 10_000;
/// Of those, how many are named.
const NAMED_REWRITTEN: usize = 20;

/// Feeds the same log to several lanes.
#[derive(Debug, Default)]
pub struct Replay {
    params: Vec<Params>,
    /// From the first message on.
    lanes: Vec<Lane>,
    messages: u64,
    recipients: u64,
    with_from: u64,
    rewritten: HashMap<(Box<str>, Box<str>), u64>,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Lines that were read.
    pub lines: u64,
    /// Those of them that say nothing about mail.
    pub skipped_lines: u64,
    /// The same, by why.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Time of the first line that says something.
    pub from: Option<Timestamp>,
    /// Time of the last one.
    pub to: Option<Timestamp>,
    /// It was stopped before the end.
    pub stopped: bool,
    /// Messages that clients sent, in whatever direction.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// Messages of which not all recipients were heard of within five minutes.
    pub incomplete_messages: u64,
    /// Messages that were begun and never queued.
    pub unfinished_messages: u64,
    /// What was logged so late that it could not be put in order.
    pub late: u64,
    /// What left before its time, and what was forgotten, since there was too
    /// much at once.
    pub crowded: u64,
    /// Senders that canonical maps made others of; those with most messages.
    pub rewritten_senders: Vec<Rewritten>,
    /// What the configuration would have done.
    #[serde(flatten)]
    pub outcome: LaneReport,
    /// The same under other settings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Compared>,
    /// What could not be read.
    pub warnings: Vec<String>,
    /// What to know about these numbers, one sentence each.
    pub notes: Vec<String>,
}

/// A sender that canonical maps made another of.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Rewritten {
    /// As the client gave it.
    pub given: Box<str>,
    /// As it was judged here.
    pub from: Box<str>,
    /// Messages.
    pub messages: u64,
}

/// What other settings would have done.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Those settings.
    pub set: Vec<String>,
    /// What they would have done.
    #[serde(flatten)]
    pub outcome: LaneReport,
}

/// What one configuration would have done.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    /// Connectors.
    pub connectors: u64,
    /// Messages that passed.
    pub passed_messages: u64,
    /// Relayed recipients of those.
    pub relayed_recipients: u64,
    /// Who would have been restricted, or marked in observe mode.
    pub restrictions: Vec<RestrictionReport>,
    /// Restrictions beyond those.
    pub more_restrictions: u64,
    /// Who would have been suspicious and never restricted.
    pub suspicious: Vec<SuspicionReport>,
    /// Who came nearest to a restriction without one.
    pub nearest_misses: Vec<NearMissReport>,
    /// What would have been slowed down, or refused for a hard limit.
    pub throttled: SlowedReport,
    /// Connectors that reached a hard limit.
    pub limited_connectors: u64,
    /// Messages relayed for clients that the configuration gives no right to.
    pub unattributed_messages: u64,
}

/// Who would have been restricted.
#[derive(Clone, Debug, Serialize)]
pub struct RestrictionReport {
    /// Who.
    pub entity: Entity,
    /// When.
    pub at: Timestamp,
    /// A number of this replay.
    pub case: CaseId,
    /// It would have been a mark: observe mode refuses nothing.
    pub mark: bool,
    /// Why.
    pub findings: Vec<FindingView>,
    /// Messages that passed since the first suspicion.
    pub passed_messages: u64,
    /// Their recipients.
    pub passed_recipients: u64,
    /// Messages that would have been refused or held since.
    pub refused_messages: u64,
    /// Their recipients.
    pub refused_recipients: u64,
}

/// Who would have been suspicious.
#[derive(Clone, Debug, Serialize)]
pub struct SuspicionReport {
    /// Who.
    pub entity: Entity,
    /// Since when, for the first time.
    pub at: Timestamp,
    /// Why.
    pub findings: Vec<FindingView>,
    /// Messages that would have been slowed down.
    pub throttled_messages: u64,
    /// Their recipients.
    pub throttled_recipients: u64,
}

/// Who came near.
#[derive(Clone, Debug, Serialize)]
pub struct NearMissReport {
    /// Who.
    pub entity: Entity,
    /// When its score was highest.
    pub at: Timestamp,
    /// That score, in nats.
    pub score: f32,
    /// The score that restricts.
    pub limit: f32,
    /// What made it.
    pub findings: Vec<FindingView>,
}

/// What would have been slowed down.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct SlowedReport {
    /// Connectors.
    pub connectors: u64,
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Messages that would have gone to the hold queue; among the others.
    pub held_messages: u64,
}

impl Replay {
    /// A lane for each of `params`.
    pub fn new(params: Vec<Params>) -> Self {
        Self { params, ..Self::default() }
    }

    /// The lanes; none before the first message.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// What came of it. `sets` are the settings of the lanes behind the first.
    pub fn report(&mut self, counts: &Counts, ended: &Ended, sets: &[Vec<String>]) -> Report {
        let (from, to) = ended.span.unzip();
        self.begin(from.unwrap_or_default());
        let limits: Vec<f32> =
            self.params.iter().map(|params| params.settings.model.compromised).collect();
        let now = to.unwrap_or_default();
        let outcomes = self.lanes.iter_mut().map(|lane| lane.outcomes(now));
        let mut reports =
            outcomes.zip(limits).map(|(outcomes, limit)| lane_report(outcomes, limit));
        let outcome = reports.next().unwrap_or_else(|| lane_report(Outcomes::default(), 0.0));
        let compared = sets.iter().cloned().zip(reports);
        let compared = compared.map(|(set, outcome)| Compared { set, outcome }).collect();
        let tidings = &ended.tidings;
        let skipped = Skip::ALL.map(|skip| (word(skip), counts.skipped(skip)));
        let mut report = Report {
            lines: counts.lines,
            skipped_lines: counts.all_skipped(),
            skipped: skipped.into_iter().filter(|(_, count)| *count > 0).collect(),
            from,
            to,
            stopped: ended.stopped,
            messages: self.messages,
            recipients: self.recipients,
            incomplete_messages: tidings.incomplete,
            unfinished_messages: tidings.unfinished,
            late: tidings.late,
            crowded: tidings.early + tidings.forgotten + tidings.crowded,
            rewritten_senders: self.rewritten(),
            outcome,
            compared,
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        report.notes = notes(&report, self.with_from);
        report
    }

    fn begin(&mut self, now: Timestamp) {
        if self.lanes.is_empty() {
            let lane = |params: &Params| Lane::new(params.clone(), now);
            self.lanes = self.params.iter().map(lane).collect();
        }
    }

    fn each(&mut self, at: Timestamp, mut tell: impl FnMut(&mut Lane)) {
        self.begin(at);
        self.lanes.iter_mut().for_each(&mut tell);
    }

    fn rewritten(&self) -> Vec<Rewritten> {
        let mut all: Vec<Rewritten> = self
            .rewritten
            .iter()
            .map(|((given, from), messages)| {
                let (given, from) = (given.clone(), from.clone());
                Rewritten { given, from, messages: *messages }
            })
            .collect();
        all.sort_by(|a, b| b.messages.cmp(&a.messages).then_with(|| a.given.cmp(&b.given)));
        all.truncate(NAMED_REWRITTEN);
        all
    }
}

impl Sink for Replay {
    fn mail(&mut self, mail: &Mail) {
        self.messages += 1;
        self.recipients += u64::try_from(mail.recipients.len()).unwrap_or(u64::MAX);
        self.with_from += u64::from(!mail.header_from.is_empty());
        if let Some(given) = mail.rewritten_from() {
            let pair = (given.into(), mail.from.clone());
            if self.rewritten.len() < MOST_REWRITTEN || self.rewritten.contains_key(&pair) {
                *self.rewritten.entry(pair).or_default() += 1;
            }
        }
        self.each(mail.at, |lane| lane.mail(mail));
    }

    fn abandoned(&mut self, abandoned: &Abandoned) {
        self.each(abandoned.at, |lane| lane.abandoned(abandoned));
    }

    fn answer(&mut self, answer: &Answer) {
        self.each(answer.at, |lane| lane.answer(answer));
    }

    fn gone(&mut self, host: &Arc<str>, queue_id: &str, at: Timestamp) {
        self.each(at, |lane| lane.gone(host, queue_id, at));
    }
}

fn lane_report(outcomes: Outcomes, limit: f32) -> LaneReport {
    let views = |findings: &[crate::record::Finding]| {
        findings.iter().map(FindingView::from).collect::<Vec<_>>()
    };
    let restriction = |Case { restriction, refused }: Case| RestrictionReport {
        entity: restriction.entity.clone(),
        at: restriction.since,
        case: restriction.case,
        mark: restriction.mark,
        findings: views(&restriction.findings),
        passed_messages: restriction.passed_messages,
        passed_recipients: restriction.passed_recipients,
        refused_messages: refused.messages,
        refused_recipients: refused.recipients,
    };
    let suspicion = |Suspicion { key, at, findings, slowed }: Suspicion| SuspicionReport {
        entity: key.into(),
        at,
        findings: views(&findings),
        throttled_messages: slowed.messages,
        throttled_recipients: slowed.recipients,
    };
    let near_miss = |NearMiss { key, score, at, findings }: NearMiss| NearMissReport {
        entity: key.into(),
        at,
        score,
        limit,
        findings: views(&findings),
    };
    let Slowed { messages, recipients, held } = outcomes.slowed;
    LaneReport {
        connectors: outcomes.connectors,
        passed_messages: outcomes.passed_messages,
        relayed_recipients: outcomes.relayed_recipients,
        restrictions: outcomes.cases.into_iter().map(restriction).collect(),
        more_restrictions: outcomes.more_cases,
        suspicious: outcomes.suspicions.into_iter().map(suspicion).collect(),
        nearest_misses: outcomes.near_misses.into_iter().map(near_miss).collect(),
        throttled: SlowedReport {
            connectors: outcomes.slowed_connectors,
            messages,
            recipients,
            held_messages: held,
        },
        limited_connectors: outcomes.limited,
        unattributed_messages: outcomes.unattributed,
    }
}
