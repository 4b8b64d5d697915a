//! What is kept back of one connector's mail without a restriction: what a
//! suspicious one sends beyond its rate or with too many messages in flight,
//! and what goes beyond a hard limit.

use super::{Tally, is_due};
use crate::{
    pending::Feedback,
    record::Unit,
    restriction::Attempts,
    signal::Context,
    throttle::{Rate, in_flight_limit},
    timestamp::Timestamp,
};
use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst},
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What was kept back. Most connectors never have any.
#[derive(Debug, Default)]
pub(super) struct KeptBack {
    over_limit: Attempts,
    throttled: Attempts,
    /// Second of the last notice that mail is held, and that there is no more
    /// room for it; 0 for none.
    hold_told: AtomicU32,
    full_told: AtomicU32,
    /// The same of a hard limit.
    limit_told: AtomicU32,
}

impl Tally {
    /// Whether it is time to tell that a hard limit was reached, which is once
    /// an hour; of several threads one is told so.
    pub fn limit_notice_is_due(&self, now: Timestamp) -> bool {
        is_due(&self.kept_back.get_or_init(Box::default).limit_told, 3600, now)
    }

    /// Whether its mail has to wait: it is suspicious, and the rate that its
    /// history allows is used up, or too many of its messages have an unknown
    /// fate.
    pub fn must_wait(&self, context: &Context<'_>) -> bool {
        if !self.suspicious.load(SeqCst) || self.life(context).learning {
            return false;
        }
        let busiest = self.signals.volume.usual(Unit::Messages, context);
        // A log that does not tell of our messages never makes room again.
        let crowded = context.feedback == Feedback::Coming
            && self.in_flight.load(SeqCst) >= in_flight_limit(busiest, context.model);
        crowded || !self.bucket.has(self.rate(context), context.now)
    }

    /// Charges a message of a suspicious connector to its rate.
    pub fn charge(&self, recipients: u32, context: &Context<'_>) {
        if self.suspicious.load(SeqCst) {
            self.bucket.charge(recipients, self.rate(context), context.now);
        }
    }

    /// What the throttle allows a suspicious connector.
    pub fn rate(&self, context: &Context<'_>) -> Rate {
        let busiest = self.signals.volume.usual(Unit::Recipients, context);
        Rate::of(context.profile, busiest, context.model)
    }

    /// Recipients that a suspicious connector may have at once now; see
    /// [`Bucket::tokens`].
    pub fn tokens(&self, context: &Context<'_>) -> f32 {
        self.bucket.tokens(self.rate(context), context.now)
    }

    /// A message whose fate is not known was accepted.
    pub fn took_off(&self) {
        self.in_flight.fetch_add(1, SeqCst);
    }

    /// The fate of a message is known, or counts as such.
    pub fn landed(&self) {
        let _ = self.in_flight.fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1));
    }

    /// Accepted messages whose fate is not yet known.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    /// What went beyond a hard limit of the configuration.
    pub fn over_limit(&self) -> &Attempts {
        &self.kept_back.get_or_init(Box::default).over_limit
    }

    /// What the throttle kept back.
    pub fn throttled(&self) -> &Attempts {
        &self.kept_back.get_or_init(Box::default).throttled
    }

    /// Whether it is time to tell that mail of it is held, or with `full` that
    /// there is no more room for it, which is once an hour each; of several
    /// threads one is told so.
    pub fn hold_notice_is_due(&self, full: bool, now: Timestamp) -> bool {
        let kept_back = self.kept_back.get_or_init(Box::default);
        let told = if full { &kept_back.full_told } else { &kept_back.hold_told };
        is_due(told, 3600, now)
    }

    /// Its messages in the hold queue, as far as they were put there without a
    /// restriction.
    pub fn held(&self) -> u64 {
        let held = |attempts: &Attempts| attempts.held_messages.load(Relaxed);
        let kept_back = self.kept_back.get();
        kept_back.map_or(0, |it| held(&it.over_limit) + held(&it.throttled))
    }

    /// A message is within the hard limits: see [`Attempts::forget_held`]. Not
    /// before an hour without one that was not.
    pub fn forget_over_limit(&self, now: Timestamp) {
        if let Some(kept_back) = self.kept_back.get() {
            let over_limit = &kept_back.over_limit;
            if over_limit.last().is_none_or(|last| now.since(last) >= HOUR) {
                over_limit.forget_held();
            }
        }
    }

    /// The throttle is over: see [`Attempts::forget_held`].
    pub fn forget_throttled(&self) {
        if let Some(kept_back) = self.kept_back.get() {
            kept_back.throttled.forget_held();
        }
    }
}
