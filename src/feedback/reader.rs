//! What a line tells, on its way to the engine.
//!
//!   line -> maillog (what it says) -> trail (whose file it is)
//!        -> refusal (what the answer means) -> Delivery -> engine
//!
//! **Whom it is told of.** Of the recipient that the message passed for. That is
//! the one that is delivered to, also where the client spelt it so that Postfix
//! had to resolve it (`user%domain`, `domain!user`, a source route): `orig_to`
//! then has the spelling, which no milter was shown as the recipient. Else it is
//! `orig_to`: a canonical map leaves the domain as it is; then the result is that
//! recipient's. An alias that leads to another domain was not chosen by the
//! client: the result only ends the wait for it, as one that says nothing.
//! Recipients that `always_bcc` adds come without `orig_to`; the engine
//! knows that nobody sent to them.
//!
//! **When it was logged**, in engine time: as long ago as it is by the wall clock.
//!
//! A line that makes this code panic costs only itself.

use super::{
    journal::Entry,
    waiting::{Told, Waiting},
};
use crate::{
    connector::fold_address,
    domain,
    engine::Engine,
    maillog::{self, Accepted, Attempt, Calendar, Event, Skip, Stamp, Tag},
    message::{Delivery, Outcome},
    refusal,
    timestamp::Timestamp,
    trail::{Step, Trail},
};
use std::{
    borrow::Cow,
    collections::HashSet,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Addresses of content filters that are remembered.
const MOST_FILTERS: usize = 64;
/// The longest recipient that is told of, in octets; RFC 5321 allows 254.
const LONGEST_RECIPIENT: usize = 1024;

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Engine time.
    pub(super) now: Timestamp,
    /// The wall clock, by which lines are stamped.
    pub(super) wall: Timestamp,
}

impl Moment {
    /// Engine time of what the wall clock stamped.
    fn engine_time(self, logged: Timestamp) -> Timestamp {
        let age = self.wall.since(logged);
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(self.now.as_millis().saturating_sub(age))
    }
}

/// What was read, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    /// Lines.
    pub(super) lines: u64,
    /// Of these, not understood.
    pub(super) skipped: u64,
    /// Results of messages that the engine knows.
    pub(super) results: u64,
    /// Results of others.
    pub(super) unknown: u64,
    /// Lines that this code failed at.
    pub(super) panics: u64,
}

/// Reads lines.
pub(super) struct Reader {
    engine: Arc<Engine>,
    trail: Trail,
    waiting: Waiting,
    /// Where content filters are.
    filters: HashSet<IpAddr>,
    calendar: Calendar,
    counts: Counts,
    /// See [`Reader::take_newest`].
    newest: Option<Timestamp>,
}

impl Reader {
    pub(super) fn new(engine: Arc<Engine>, wall: Timestamp) -> Self {
        Self {
            engine,
            trail: Trail::default(),
            waiting: Waiting::default(),
            filters: HashSet::new(),
            calendar: Calendar::new(wall),
            counts: Counts::default(),
            newest: None,
        }
    }

    /// What was read, since the start.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// When the newest line since this was asked last was logged, by the wall
    /// clock: a host whose clock is ahead must not hide for ever how late we are.
    pub(super) fn take_newest(&mut self) -> Option<Timestamp> {
        self.newest.take()
    }

    /// Lines, or entries of the journal, that could not even be read.
    pub(super) fn skip(&mut self, lines: u64) {
        self.counts.lines += lines;
        self.counts.skipped += lines;
    }

    /// A line of a file.
    pub(super) fn line(&mut self, line: &[u8], moment: Moment) {
        let line = String::from_utf8_lossy(line);
        self.guarded(|reader| match maillog::parse(&line) {
            Ok(line) => {
                let logged = reader.calendar.at_now(line.stamp, moment.wall);
                reader.event(&line.event, logged, moment);
                Ok(())
            }
            Err(why) => Err(why),
        });
    }

    /// An entry of the journal.
    pub(super) fn entry(&mut self, entry: &Entry, moment: Moment) {
        self.guarded(|reader| {
            let tag = Tag::parse(&entry.tag).ok_or(Skip::NotPostfix)?;
            let event = maillog::event(tag.program, &entry.text)?;
            let logged = reader.calendar.at_now(Stamp::Full(entry.at), moment.wall);
            reader.event(&event, logged, moment);
            Ok(())
        });
    }

    fn guarded(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Skip>) {
        self.counts.lines += 1;
        let result = catch_unwind(AssertUnwindSafe(|| read(self)));
        match result {
            Ok(Ok(()) | Err(Skip::NoMail | Skip::NotPostfix | Skip::Warning)) => {}
            Ok(Err(Skip::Empty | Skip::NoTime | Skip::Cut | Skip::Unknown)) => {
                self.counts.skipped += 1;
            }
            Err(_) => {
                self.counts.skipped += 1;
                self.counts.panics += 1;
            }
        }
    }

    fn event(&mut self, event: &Event<'_>, logged: Timestamp, moment: Moment) {
        self.newest = self.newest.max(Some(logged));
        match event {
            Event::Accepted(accepted) => self.accepted(accepted, logged, moment),
            Event::Submitted { queue_id, original, .. } => {
                self.trail.came(queue_id, None, *original, logged);
            }
            Event::Delivery(attempt) if attempt.status != maillog::Status::Probe => {
                self.attempt(attempt, logged, moment);
            }
            Event::Removed { queue_id } => {
                let at = moment.engine_time(logged);
                self.engine.queued().remove(queue_id, Some(at));
                if let Some(root) = self.trail.removed(queue_id, logged) {
                    let logged = Some(moment.engine_time(logged));
                    self.engine.forget_delivery(&root, logged, moment.now);
                }
            }
            _ => {}
        }
    }

    fn accepted(&mut self, accepted: &Accepted<'_>, logged: Timestamp, moment: Moment) {
        let Accepted { queue_id, client, original_queue_id, .. } = *accepted;
        let from = client.address;
        self.trail.came(queue_id, from, original_queue_id, logged);
        if let Some(original) = original_queue_id {
            let at = moment.engine_time(logged);
            self.engine.queued().follow(original, queue_id, at);
        }
        let is_filter = |from: IpAddr| from.is_loopback() || self.filters.contains(&from);
        if original_queue_id.is_none() && from.is_none_or(is_filter) {
            self.count_lost(|waiting| waiting.came(queue_id, moment.now));
        }
    }

    fn attempt(&mut self, attempt: &Attempt<'_>, logged: Timestamp, moment: Moment) {
        let step = if self.claims_another(attempt) {
            Step::Result { root: self.trail.root(attempt.queue_id) }
        } else {
            self.trail.attempt(attempt)
        };
        match step {
            Step::Result { root } => {
                let told = told(attempt, moment.engine_time(logged));
                if let Some(told) = told {
                    self.tell(&root, told, moment);
                }
            }
            Step::HandedOn { next } => {
                let relay = attempt.relay.and_then(|relay| relay.address);
                self.filters.extend(relay.filter(|_| self.filters.len() < MOST_FILTERS));
                let Some(next) = next else { return };
                if !self.trail.is_removed(&next) {
                    let at = moment.engine_time(logged);
                    self.engine.queued().follow(attempt.queue_id, &next, at);
                }
                let root = self.trail.root(&next);
                for told in self.waiting.take(&next) {
                    self.tell(&root, told, moment);
                }
            }
            Step::Expanded { .. } => {}
        }
    }

    /// Whether a host that is not this one says that it handed back a message
    /// that passed here as one of a client: a client that also receives mail
    /// could hide what becomes of its messages behind another one.
    fn claims_another(&self, attempt: &Attempt<'_>) -> bool {
        let address = attempt.relay.and_then(|relay| relay.address);
        let is_remote = address.is_some_and(|address| !fold_address(address).is_loopback());
        is_remote && attempt.queued_as().is_some_and(|next| self.engine.awaits(next))
    }

    /// Tells the engine; keeps what it does not know, in case a message turns out
    /// to be its root.
    fn tell(&mut self, root: &str, told: Told, moment: Moment) {
        let (recipient, outcome) = self.whose(root, &told);
        let delivery = Delivery {
            queue_id: root,
            recipient,
            outcome,
            by: told.provider(),
            logged: Some(told.logged),
        };
        if self.engine.on_delivery(&delivery, moment.now) {
            self.counts.results += 1;
        } else {
            self.count_lost(|waiting| waiting.keep(root, told, moment.now));
        }
    }

    /// Which recipient of the message `root` a result is of, and what it says.
    fn whose<'a>(&self, root: &str, told: &'a Told) -> (&'a str, Outcome) {
        match &told.original {
            Some(original) if !self.engine.awaits_result_of(root, &told.to) => {
                let chosen = domain::is_rewritten_within(original, &told.to);
                (original, if chosen { told.outcome } else { Outcome::Deferred })
            }
            _ => (&told.to, told.outcome),
        }
    }

    fn count_lost(&mut self, lost: impl FnOnce(&mut Waiting) -> usize) {
        let lost = lost(&mut self.waiting);
        self.counts.unknown += u64::try_from(lost).unwrap_or(u64::MAX);
    }
}

/// What an attempt tells, and of whom.
fn told(attempt: &Attempt<'_>, logged: Timestamp) -> Option<Told> {
    let longest = attempt.to.len().max(attempt.original_to.map_or(0, str::len));
    if longest > LONGEST_RECIPIENT {
        return None;
    }
    let class = refusal::class(attempt);
    let may_mean_us = class.is_some_and(refusal::Class::may_mean_us);
    let relay = attempt.relay.as_ref().and_then(maillog::provider_name);
    Some(Told {
        to: attempt.to.into(),
        original: attempt.original_to.map(Into::into),
        outcome: refusal::outcome(attempt, class),
        by: relay.map(|name: Cow<'_, str>| (name.into(), may_mean_us)),
        logged,
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use crate::engine::Settings;
    use proptest::prelude::*;

    const NOW: Moment =
        Moment { now: Timestamp::from_seconds(1), wall: Timestamp::from_seconds(1) };

    fn reader() -> Reader {
        Reader::new(Arc::new(Engine::new(Settings::default(), 100, NOW.now)), NOW.wall)
    }

    #[test]
    fn a_line_that_breaks_the_reader_costs_only_itself() {
        let mut reader = reader();
        reader.guarded(|_| panic!("a fault"));
        reader.line(b"2026-11-22T08:00:00+00:00 mx postfix/qmgr[7]: ABCDE01: removed", NOW);
        let expected = Counts { lines: 2, skipped: 1, panics: 1, ..Counts::default() };
        assert_eq!(reader.counts(), expected);
    }

    #[test]
    fn what_the_wall_clock_stamped_is_as_old_in_engine_time() {
        let at = Timestamp::from_seconds;
        let moment = Moment { now: at(1000), wall: at(5000) };
        assert_eq!(moment.engine_time(at(4990)), at(990));
        assert_eq!(moment.engine_time(at(6000)), at(1000));
        assert_eq!(moment.engine_time(at(0)), at(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line(lines in prop::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut reader = reader();
            for line in &lines {
                reader.line(line, NOW);
            }
            prop_assert_eq!(reader.counts().panics, 0);
            prop_assert_eq!(reader.counts().lines, lines.len() as u64);
        }
    }
}
