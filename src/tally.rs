//! What is counted for one connector.
//!
//! Everything that a message changes is an atomic: a message never waits for
//! another one, and no update is lost. (Atomics are here for the absence of
//! waiting, not for speed. The one lock, around the evidence, is taken only
//! while the score is above zero, to count or copy a few things.)
//!
//! All trials of a message are made before the first score is read for the
//! judgement, so the last of several concurrent messages sees them all. One
//! thread wins the roll of the day, by compare-and-swap on the day.

mod counters;
mod evidence;
mod image;
mod kept_back;
mod senders;
#[cfg(test)]
mod tests;

pub use counters::{Counters, Totals};
pub use evidence::{Budget, Evidence};
pub use image::Image;
use kept_back::KeptBack;
pub use senders::Slowed;

use crate::{
    connector::Profile,
    day::Days,
    judge::{self, Judgement, Scores},
    known::Share,
    own_domains::OwnDomains,
    record::{Finding, Sample, SignalName},
    signal::{Context, Life, Observation, Signals, Told},
    throttle::Bucket,
    timestamp::Timestamp,
    window::Window,
};
use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    time::Duration,
};

/// Samples that a restriction takes along.
const SAMPLES: usize = 10;

/// One connector's counters and scores.
#[derive(Debug)]
pub struct Tally {
    /// Totals.
    pub counters: Counters,
    /// Relayed messages of the last hour.
    pub messages: Window,
    /// Relayed recipients of the last hour.
    pub recipients: Window,
    /// What this connector put into the shared memory of recipients.
    pub recipients_share: Share,
    /// What it put into that of the last hour.
    pub recent_share: Share,
    kept_back: OnceLock<Box<KeptBack>>,
    signals: Signals,
    own_domains: OwnDomains,
    bucket: Bucket,
    /// Accepted messages whose fate is not yet known.
    in_flight: AtomicU32,
    /// Messages and recipients that passed since a score left zero.
    passed_messages: AtomicU32,
    passed_recipients: AtomicU32,
    /// Stands for this connector in the shared memory of recipients, whatever
    /// name it gets.
    id: u64,
    first_seen: Timestamp,
    last_seen: AtomicU64,
    days: Days,
    suspicious: AtomicBool,
    /// Second of the last message while it was suspicious, 0 for none.
    warned: AtomicU32,
    /// Second of the last notice of another identity, 0 for none.
    change_told: AtomicU32,
    /// Second in which it was first seen as a declared forwarder, 0 for never.
    forwarder_since: AtomicU32,
    /// Second in which its volume went beyond what is usual, 0 while it is not.
    volume_since: AtomicU32,
    /// Until this second its volume and shape are learned and not judged, as an
    /// operator declared.
    settling_until: AtomicU32,
    /// Most connectors never have any.
    evidence: Mutex<Option<Box<Evidence>>>,
    /// Whether there is some: nobody takes the lock where there is none.
    has_evidence: AtomicBool,
    /// Whether it is collected for a case: its score was above zero.
    collecting: AtomicBool,
    /// Whether one of its senders is suspicious.
    slow_senders: AtomicBool,
    /// How many different senders it had, up to 255.
    met_senders: AtomicU8,
}

/// Weeks in which younger weeks count for the busiest hour too, beside the
/// delay.
const YOUNG_WEEKS: u32 = 2;
const DAY_S: u32 = 86_400;
/// How long what an operator declared usual is learned and not judged.
const SETTLING: Duration = Duration::from_secs(24 * 3600);

impl Tally {
    /// A tally that begins at `now`, with the number that stands for it in the
    /// shared memory of recipients.
    pub fn new(id: u64, now: Timestamp) -> Self {
        Self {
            counters: Counters::default(),
            messages: Window::default(),
            recipients: Window::default(),
            recipients_share: Share::default(),
            recent_share: Share::default(),
            kept_back: OnceLock::new(),
            signals: Signals::default(),
            own_domains: OwnDomains::default(),
            bucket: Bucket::default(),
            in_flight: AtomicU32::new(0),
            passed_messages: AtomicU32::new(0),
            passed_recipients: AtomicU32::new(0),
            id,
            first_seen: now,
            last_seen: AtomicU64::new(now.as_millis()),
            days: Days::new(now.day()),
            suspicious: AtomicBool::new(false),
            warned: AtomicU32::new(0),
            change_told: AtomicU32::new(0),
            forwarder_since: AtomicU32::new(0),
            volume_since: AtomicU32::new(0),
            settling_until: AtomicU32::new(0),
            evidence: Mutex::new(None),
            has_evidence: AtomicBool::new(false),
            collecting: AtomicBool::new(false),
            slow_senders: AtomicBool::new(false),
            met_senders: AtomicU8::new(0),
        }
    }

    /// Stands for this connector in the shared memory of recipients.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Marks the connector as seen and ends the days that are over. Whoever
    /// wins the roll commits the pending baselines: whole for a quiet day,
    /// half for one with suspicion, nothing for one with a restriction.
    pub fn touch(&self, context: &Context<'_>) {
        let now = context.now;
        self.last_seen.fetch_max(now.as_millis(), Relaxed);
        self.note_profile(context);
        if let Some(roll) = self.days.roll(now.day(), self.suspicious.load(SeqCst)) {
            self.signals.commit(&roll, self.life(context), context);
            self.own_domains.commit(roll.last, roll.share >= 1.0);
        }
    }

    /// All trials of a message. Says whether any was bad.
    pub fn observe(&self, seen: &Observation, context: &Context<'_>) -> bool {
        self.signals.observe(seen, self.life(context), context)
    }

    /// Recipients that Postfix refused as unknown, of one message.
    pub fn unknown(&self, recipients: u32, context: &Context<'_>) {
        self.signals.trials().unknown(recipients, context);
    }

    /// Accepted recipients of a message that relays nothing.
    pub fn accepted(&self, recipients: u32, context: &Context<'_>) {
        self.signals.trials().accepted(recipients, context);
    }

    /// What delivery results tell of a message.
    pub fn result(&self, told: &Told, context: &Context<'_>) {
        self.signals.trials().result(told, context);
    }

    /// Counts a message as passed. It becomes part of the history if it was
    /// judged, or if somebody vouches for it.
    pub fn pass(&self, seen: &Observation, context: &Context<'_>) {
        self.count(seen.recipients, context.now);
        self.signals.pass(seen, context);
    }

    /// Counts a message of `recipients` relayed ones, and learns nothing of it.
    pub fn count(&self, recipients: u32, now: Timestamp) {
        self.counters.messages.fetch_add(1, Relaxed);
        self.counters.recipients.fetch_add(recipients.into(), Relaxed);
        self.messages.add(1, now);
        self.recipients.add(recipients, now);
    }

    /// What of a message's evidence is to be kept beside its trials, `z` being
    /// the fused score behind them: how much passed since it left zero.
    pub fn weigh(&self, z: f32, recipients: u32, context: &Context<'_>) {
        if z > 0.0 {
            self.passed_messages.fetch_add(1, Relaxed);
            self.passed_recipients.fetch_add(recipients, Relaxed);
        } else if self.passed_messages.load(Relaxed) > 0 || self.collecting.load(SeqCst) {
            // Not for every good message: there is a lock in it.
            self.rest(|senders| senders.settle(context));
        }
    }

    /// All scores.
    pub fn scores(&self, context: &Context<'_>) -> Scores {
        self.signals.scores(self.life(context), context)
    }

    /// All scores that are above zero, made readable, the largest first.
    pub fn findings(&self, context: &Context<'_>) -> Vec<Finding> {
        let mut findings = self.all_findings(context).to_vec();
        findings.retain(|finding| finding.score > 0.0);
        findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        findings
    }

    /// What is to be shown of every signal, in the order in which they are
    /// shown.
    pub fn all_findings(&self, context: &Context<'_>) -> [Finding; SignalName::ALL.len()] {
        let mut findings = self.signals.findings(self.life(context), context);
        let since = self.volume_since.load(Relaxed);
        for finding in &mut findings {
            if finding.signal == SignalName::Volume && since > 0 {
                finding.since = Timestamp::from_seconds(since.into());
            }
        }
        findings
    }

    /// Remembers since when its volume has been more than usual.
    pub fn note_volume(&self, scores: &Scores, now: Timestamp) {
        let since = self.volume_since.load(Relaxed);
        let is_more = scores.of(SignalName::Volume) > 0.0;
        if is_more != (since > 0) {
            self.volume_since.store(if is_more { now.as_seconds() } else { 0 }, Relaxed);
        }
    }

    /// Its signals.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Domains that are its own by use.
    pub fn own_domains(&self) -> &OwnDomains {
        &self.own_domains
    }

    /// What it was last taken for.
    pub fn judgement(&self) -> Judgement {
        if self.suspicious.load(SeqCst) { Judgement::Suspicious } else { Judgement::Normal }
    }

    /// Remembers what it is taken for, `z` being the fused score; says whether
    /// a warning is due, which is after 24 hours without a reason for one.
    pub fn set_judgement(&self, judgement: Judgement, z: f32, context: &Context<'_>) -> bool {
        let suspicious = judgement != Judgement::Normal;
        let was = self.suspicious.swap(suspicious, SeqCst);
        if !suspicious {
            // Of several at once the one that saw less may come last.
            if was && judge::fuse(&self.scores(context)) >= context.model.normal_again {
                self.suspicious.store(true, SeqCst);
            }
            return false;
        }
        if !was {
            self.bucket.fill(context.now);
        }
        self.days.mark_suspicious();
        if z < context.model.suspicious {
            return false;
        }
        let now = context.now.as_seconds();
        let last = self.warned.swap(now, SeqCst);
        last == 0 || now.saturating_sub(last) >= DAY_S
    }

    /// Whether it is time to tell that it shows another identity, which is once a day;
    /// of several threads one is told so.
    pub fn change_notice_is_due(&self, now: Timestamp) -> bool {
        is_due(&self.change_told, DAY_S, now)
    }

    /// Evidence starts again from zero. With `restricted` the day is not
    /// learned, and what an operator declared usual is judged again; without,
    /// the next suspicion is told whenever the last one was.
    pub fn reset(&self, restricted: bool) {
        self.counters.resets.fetch_add(1, SeqCst);
        self.signals.reset();
        self.forget_evidence();
        self.suspicious.store(false, SeqCst);
        if restricted {
            self.days.mark_restricted();
            self.settling_until.store(0, SeqCst);
        } else {
            self.warned.store(0, SeqCst);
        }
    }

    /// What it sends now is usual, said an operator: it is written into its
    /// history at once, suspicion ends, and for a day its volume and shape are
    /// learned and not judged.
    pub fn declare(&self, context: &Context<'_>) {
        let until = context.now.plus(SETTLING).as_seconds();
        self.settling_until.store(until, SeqCst);
        self.signals.declare(context);
        self.reset(false);
    }

    /// Until when what an operator declared usual is learned and not judged.
    pub fn settling_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.settling_until.load(SeqCst);
        (until > now.as_seconds()).then(|| Timestamp::from_seconds(until.into()))
    }

    /// What of its own life matters to a trial.
    pub fn life(&self, context: &Context<'_>) -> Life {
        let (model, now) = (context.model, context.now);
        let days = |count: u32| Duration::from_secs(u64::from(count * DAY_S));
        let age = now.since(self.first_seen);
        let young = 7 * (model.volume.delay_weeks + YOUNG_WEEKS);
        let learned = self.forwarder_since.load(Relaxed) + model.old_after_days * DAY_S;
        Life {
            is_old: age >= days(model.old_after_days),
            is_young: age < days(young),
            learning: context.profile == Profile::Forwarder && now.as_seconds() < learned,
            settling: self.settling_until.load(Relaxed) > now.as_seconds(),
        }
    }

    /// Looks at the evidence, which begins with this where there is none; nothing
    /// where the budget is used up.
    pub fn collect<T>(&self, budget: &Budget, take: impl FnOnce(&mut Evidence) -> T) -> Option<T> {
        let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        if evidence.is_none() {
            *evidence = Evidence::begin(budget);
            self.has_evidence.store(evidence.is_some(), SeqCst);
        }
        self.collecting.store(evidence.is_some(), SeqCst);
        evidence.as_deref_mut().map(take)
    }

    /// Looks at the evidence where there is some.
    pub fn with_evidence<T>(&self, look: impl FnOnce(&mut Evidence) -> T) -> Option<T> {
        if !self.has_evidence.load(SeqCst) {
            return None;
        }
        let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        evidence.as_deref_mut().map(look)
    }

    /// The newest bad messages that are like that, oldest first.
    pub fn samples(&self, are_meant: impl Fn(&Sample) -> bool) -> Vec<Sample> {
        let newest = |evidence: &mut Evidence| {
            let samples = evidence.material.samples.iter();
            let meant: Vec<&Sample> = samples.filter(|sample| are_meant(sample)).collect();
            let newest = meant.iter().skip(meant.len().saturating_sub(SAMPLES));
            newest.map(|sample| Sample::clone(sample)).collect()
        };
        self.with_evidence(newest).unwrap_or_default()
    }

    /// Messages and recipients that passed since a score left zero.
    pub fn passed(&self) -> (u32, u32) {
        (self.passed_messages.load(Relaxed), self.passed_recipients.load(Relaxed))
    }

    /// When it was first counted.
    pub fn first_seen(&self) -> Timestamp {
        self.first_seen
    }

    /// When it was last counted.
    pub fn last_seen(&self) -> Timestamp {
        Timestamp::from_millis(self.last_seen.load(Relaxed))
    }

    /// Days that went into its baselines.
    pub fn days_learned(&self) -> u32 {
        self.days.learned()
    }

    /// Remembers since when it is a declared forwarder.
    fn note_profile(&self, context: &Context<'_>) {
        let since = self.forwarder_since.load(Relaxed);
        let is_forwarder = context.profile == Profile::Forwarder;
        if is_forwarder != (since != 0) {
            let now = if is_forwarder { context.now.as_seconds() } else { 0 };
            self.forwarder_since.store(now, Relaxed);
        }
    }

    fn forget_evidence(&self) {
        self.passed_messages.store(0, Relaxed);
        self.passed_recipients.store(0, Relaxed);
        if self.has_evidence.load(SeqCst) {
            let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
            *evidence = None;
            self.has_evidence.store(false, SeqCst);
            self.collecting.store(false, SeqCst);
            self.slow_senders.store(false, SeqCst);
        }
    }
}

/// Whether `every_s` seconds are over since the last time, and if so takes
/// this time as the last one.
fn is_due(last_time: &AtomicU32, every_s: u32, now: Timestamp) -> bool {
    let (now, last) = (now.as_seconds(), last_time.load(SeqCst));
    let due = last == 0 || now.saturating_sub(last) >= every_s;
    due && last_time.compare_exchange(last, now, SeqCst, SeqCst).is_ok()
}
