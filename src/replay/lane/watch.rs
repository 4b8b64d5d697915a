//! What of a lane's engine is told at the end: restrictions, suspicions, what was
//! slowed down, and who came near.
//!
//! For each connector a few numbers are held, under the engine's own cap.

use crate::{
    connector::{ConnectorKey, Entity},
    engine::{Engine, Notice, Settings},
    judge,
    record::{CaseId, Event, Finding, Restriction},
    timestamp::Timestamp,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// Restrictions that are told one by one.
const MOST_CASES: usize = 100_000;
/// A lower score than this is near to nothing.
const FAINT: f32 = 0.5;
/// How often the clock is told to the engine: as the daemon does it, and more
/// rarely while nothing is logged; not at all when all is over that can be.
const TICK: Duration = Duration::from_secs(1);
const IDLE_TICK: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(15 * 60);

/// Mail that was not let through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) messages: u32,
    pub(super) recipients: u32,
    /// It went to the hold queue.
    pub(super) held: bool,
}

/// A restriction, or a mark in observe mode, and what came after it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The restriction as it was made.
    pub restriction: Arc<Restriction>,
    /// What was refused or held since.
    pub refused: Slowed,
}

/// Mail that was not let through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Slowed {
    /// Messages of which nothing was let through.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Messages that went to the hold queue; they are among the others.
    pub held: u64,
}

impl Slowed {
    fn add(&mut self, lost: Lost) {
        self.messages += u64::from(lost.messages);
        self.recipients += u64::from(lost.recipients);
        self.held += u64::from(lost.held);
    }
}

/// A connector that was suspicious and never restricted or marked.
#[derive(Clone, Debug)]
pub struct Suspicion {
    /// Who.
    pub key: ConnectorKey,
    /// When it became so for the first time.
    pub at: Timestamp,
    /// Because of these.
    pub findings: Vec<Finding>,
    /// What was slowed down.
    pub slowed: Slowed,
}

/// How near a connector came that was never restricted or marked.
#[derive(Clone, Debug)]
pub struct NearMiss {
    /// Who.
    pub key: ConnectorKey,
    /// Its highest fused score, in nats.
    pub score: f32,
    /// When that was.
    pub at: Timestamp,
    /// What made it.
    pub findings: Vec<Finding>,
}

/// What came of a log.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// Restrictions and marks, in the order of their time.
    pub cases: Vec<Case>,
    /// Restrictions beyond what is told one by one.
    pub more_cases: u64,
    /// In the order of their time.
    pub suspicions: Vec<Suspicion>,
    /// The ten highest.
    pub near_misses: Vec<NearMiss>,
    /// What was slowed down, or went beyond a hard limit, of all together.
    pub slowed: Slowed,
    /// Connectors that were.
    pub slowed_connectors: u64,
    /// Connectors that reached a hard limit of the configuration.
    pub limited: u64,
    /// Messages that passed.
    pub passed_messages: u64,
    /// Relayed recipients of those.
    pub relayed_recipients: u64,
    /// Messages relayed for clients that have no relay rights as far as the
    /// configuration knows.
    pub unattributed: u64,
    /// Connectors.
    pub connectors: u64,
}

/// What is known of one connector.
#[derive(Debug, Default)]
struct Watched {
    peak: f32,
    peak_at: Timestamp,
    findings: Vec<Finding>,
    suspicion: Option<(Timestamp, Vec<Finding>)>,
    slowed: Slowed,
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Watch {
    watched: HashMap<ConnectorKey, Watched>,
    most: usize,
    cases: Vec<Case>,
    more_cases: u64,
    by_number: HashMap<CaseId, usize>,
    limited: HashSet<ConnectorKey>,
    relayed: u64,
    totals: (u64, u64, u64),
    told: Timestamp,
}

impl Watch {
    /// For at most so many connectors; the log begins at `now`.
    pub(super) fn new(most: usize, now: Timestamp) -> Self {
        Self {
            watched: HashMap::new(),
            most,
            cases: Vec::new(),
            more_cases: 0,
            by_number: HashMap::new(),
            limited: HashSet::new(),
            relayed: 0,
            totals: (0, 0, 0),
            told: now,
        }
    }

    /// Tells the engine that time has passed, as the daemon does.
    pub(super) fn pass_time(&mut self, engine: &Engine, now: Timestamp) {
        if now.since(self.told) < TICK {
            return;
        }
        // What can be over by the clock is over after that long.
        let step = if now.since(self.told) < IDLE_TICK { TICK } else { IDLE_TICK };
        let end = now.min(self.told.plus(IDLE));
        while self.told.plus(step) < end {
            self.told = self.told.plus(step);
            engine.sweep(self.told);
        }
        self.told = now;
        engine.sweep(now);
        self.take_notices(engine, now);
    }

    /// Takes what the engine has to tell, with its totals.
    pub(super) fn collect(&mut self, engine: &Engine, now: Timestamp) {
        self.take_notices(engine, now);
        let counters = engine.counters();
        self.totals = (
            counters.messages.load(Relaxed),
            counters.unattributed.load(Relaxed),
            u64::try_from(engine.roster().len()).unwrap_or(u64::MAX),
        );
    }

    fn take_notices(&mut self, engine: &Engine, now: Timestamp) {
        let (notices, _) = engine.notices().take();
        for notice in notices {
            match notice {
                Notice::Suspicious(entity, findings) => {
                    if let Some(watched) = entity.connector().and_then(|key| self.watched(key)) {
                        watched.suspicion.get_or_insert((now, findings));
                    }
                }
                Notice::LimitReached(key, ..) if self.limited.len() < self.most => {
                    self.limited.insert(key);
                }
                _ => {}
            }
        }
        if !engine.table().is_empty() {
            self.collect_cases(engine, now);
        }
    }

    fn collect_cases(&mut self, engine: &Engine, now: Timestamp) {
        let batch = engine.table().changes().take(Duration::ZERO);
        for record in batch.records {
            if let Event::Restricted(restriction) = record.event {
                self.case(&restriction);
            }
        }
        if batch.overflowed {
            for listed in engine.table().list(now) {
                if let Some(restriction) = listed.standing.restriction {
                    self.case(&restriction);
                }
            }
        }
    }

    /// The place of a case, which is new or not.
    fn case(&mut self, restriction: &Arc<Restriction>) -> Option<&mut Case> {
        let at = match self.by_number.get(&restriction.case) {
            Some(at) => *at,
            None if self.cases.len() >= MOST_CASES => {
                self.more_cases += 1;
                return None;
            }
            None => {
                let restriction = Arc::clone(restriction);
                self.by_number.insert(restriction.case, self.cases.len());
                self.cases.push(Case { restriction, refused: Slowed::default() });
                self.cases.len() - 1
            }
        };
        self.cases.get_mut(at)
    }

    /// Mail met a restriction.
    pub(super) fn refused(&mut self, restriction: &Arc<Restriction>, lost: Lost) {
        if let Some(case) = self.case(restriction) {
            case.refused.add(lost);
        }
    }

    /// Mail was slowed down.
    pub(super) fn slowed(&mut self, key: &ConnectorKey, lost: Lost) {
        if let Some(watched) = self.watched(key) {
            watched.slowed.add(lost);
        }
    }

    /// A message with so many relayed recipients passed.
    pub(super) fn passed(&mut self, relayed: u32) {
        self.relayed += u64::from(relayed);
    }

    /// Looks how high the score of a connector is now.
    pub(super) fn note_peak(
        &mut self,
        engine: &Engine,
        settings: &Settings,
        key: &ConnectorKey,
        now: Timestamp,
    ) {
        let Some(tally) = engine.roster().get(key) else { return };
        let context = engine.context(settings, key, settings.directory.terms(key), now);
        let score = judge::fuse(&tally.scores(&context));
        if score < FAINT {
            return;
        }
        if let Some(watched) = self.watched(key).filter(|watched| watched.peak < score) {
            watched.peak = score;
            watched.peak_at = now;
            watched.findings = tally.findings(&context);
        }
    }

    fn watched(&mut self, key: &ConnectorKey) -> Option<&mut Watched> {
        if !self.watched.contains_key(key) {
            if self.watched.len() >= self.most {
                return None;
            }
            self.watched.insert(key.clone(), Watched::default());
        }
        self.watched.get_mut(key)
    }

    /// All of it.
    pub(super) fn outcomes(&self) -> Outcomes {
        let (passed_messages, unattributed, connectors) = self.totals;
        let mut outcomes = Outcomes {
            cases: self.cases.clone(),
            more_cases: self.more_cases,
            limited: u64::try_from(self.limited.len()).unwrap_or(u64::MAX),
            relayed_recipients: self.relayed,
            passed_messages,
            unattributed,
            connectors,
            ..Outcomes::default()
        };
        let restricted: HashSet<&Entity> =
            self.cases.iter().map(|case| &case.restriction.entity).collect();
        for (key, watched) in &self.watched {
            let slowed = watched.slowed;
            outcomes.slowed.messages += slowed.messages;
            outcomes.slowed.recipients += slowed.recipients;
            outcomes.slowed.held += slowed.held;
            outcomes.slowed_connectors += u64::from(slowed != Slowed::default());
            if restricted.contains(&Entity::from(key.clone())) {
                continue;
            }
            if let Some((at, findings)) = &watched.suspicion {
                let (key, findings) = (key.clone(), findings.clone());
                outcomes.suspicions.push(Suspicion { key, at: *at, findings, slowed });
            }
            if watched.peak >= FAINT {
                outcomes.near_misses.push(NearMiss {
                    key: key.clone(),
                    score: watched.peak,
                    at: watched.peak_at,
                    findings: watched.findings.clone(),
                });
            }
        }
        outcomes.suspicions.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        outcomes
            .near_misses
            .sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.key.cmp(&b.key)));
        outcomes.near_misses.truncate(NEAR_MISSES);
        outcomes
    }
}

/// How many are told of those who came near.
const NEAR_MISSES: usize = 10;
