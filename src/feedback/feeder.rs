//! One look after the other: finds the log, reads what is new, tells the engine,
//! and knows how it is.
//!
//! | the log | the engine is told |
//! |---|---|
//! | can't be read, for a minute or since the start | [`Feedback::Off`] |
//! | is read, and has said nothing of our messages | [`Feedback::Watching`] |
//! | tells of them | [`Feedback::Coming`] |

use super::{
    Params, Status,
    choose::{self, Found, MailLog},
    file, journal,
    proof::{Proof, State},
    reader::{Moment, Reader},
};
use crate::{
    engine::{Engine, Feedback},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// How often a log is looked for where none is, or none that is any good.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long one may be gone.
const GRACE: Duration = Duration::from_secs(60);

/// How far the log was read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Place {
    File(file::Place),
    Journal(journal::Place),
}

impl Place {
    /// Whether it is one in this log.
    fn is_of(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::File(place), Found::File(path)) => place.path == *path,
            (Self::Journal(_), Found::Journal) => true,
            _ => false,
        }
    }
}

/// What is followed.
enum Follower {
    File(file::Follower),
    Journal(journal::Follower),
}

/// See the head of this file.
pub(super) struct Feeder {
    params: Params,
    engine: Arc<Engine>,
    reader: Reader,
    found: Found,
    follower: Option<Follower>,
    /// Where the last follower was.
    place: Option<Place>,
    look_again: Timestamp,
    /// Whether it could be read since it was found.
    was_read: bool,
    proof: Proof,
    feedback: Feedback,
    healthy: bool,
    /// Whether its trouble was logged; and until when the next one is not.
    complained: bool,
    silent_until: Timestamp,
    trouble: Option<(Timestamp, String)>,
    lag: Duration,
}

impl Feeder {
    /// Begins at the place where the last run stopped, if the log is the same.
    pub(super) fn new(
        params: Params,
        engine: Arc<Engine>,
        place: Option<Place>,
        moment: Moment,
    ) -> Self {
        Self {
            params,
            reader: Reader::new(Arc::clone(&engine), moment.wall),
            found: Found::Off,
            follower: None,
            place,
            look_again: moment.now,
            was_read: false,
            proof: Proof::new(0, awaited(&engine)),
            feedback: engine.feedback(),
            engine,
            healthy: true,
            complained: false,
            silent_until: moment.now,
            trouble: None,
            lag: Duration::ZERO,
        }
    }

    /// Reads another log from now on, if it is another one.
    pub(super) fn reconfigure(&mut self, mail_log: MailLog, moment: Moment) {
        if self.params.mail_log != mail_log {
            self.params.mail_log = mail_log;
            self.look_again = moment.now;
            self.find(moment);
        }
    }

    /// One look. Says whether there was anything.
    pub(super) fn turn(&mut self, moment: Moment) -> bool {
        if self.is_to_be_found(moment.now) {
            self.find(moment);
        }
        let octets = self.read(moment);
        self.lag =
            self.reader.take_newest().map_or(Duration::ZERO, |newest| moment.wall.since(newest));
        self.examine(moment.now);
        octets > 0
    }

    /// How far the log was read: all of it was told.
    pub(super) fn place(&self) -> Option<Place> {
        match &self.follower {
            Some(Follower::File(follower)) => Some(Place::File(follower.place())),
            Some(Follower::Journal(follower)) => Some(Place::Journal(follower.place().clone())),
            None => self.place.clone(),
        }
    }

    pub(super) fn status(&self) -> Status {
        let counts = self.reader.counts();
        let (kind, file) = match &self.found {
            Found::File(path) => ("file", Some(path.clone())),
            Found::Journal => ("journal", None),
            Found::Off | Found::Nothing(_) => ("none", None),
        };
        Status {
            kind,
            file,
            healthy: self.healthy,
            state: self.feedback,
            lag_s: self.lag.as_secs(),
            lines: counts.lines,
            skipped: counts.skipped,
            results: counts.results,
            unknown: counts.unknown,
            panics: counts.panics,
            doubtful: self.proof.state() == State::Doubtful,
            error: self.trouble.as_ref().map(|(_, why)| why.clone()),
        }
    }

    /// Whether the log has to be found (again).
    fn is_to_be_found(&self, now: Timestamp) -> bool {
        let is_auto = self.params.mail_log == MailLog::Auto;
        let is_bad = self.is_over(now) || self.proof.state() == State::Doubtful;
        let nothing_yet = self.follower.is_none() && self.params.mail_log != MailLog::None;
        (nothing_yet || is_auto && is_bad) && now >= self.look_again
    }

    fn find(&mut self, moment: Moment) {
        self.look_again = moment.now.plus(LOOK_AGAIN);
        let found = choose::find(&self.params.mail_log, &self.params.tools, moment.wall);
        if found == self.found && self.follower.is_some() {
            return;
        }
        self.place = self.place();
        self.follower = self.follow(&found, moment);
        if found != self.found && self.follower.is_some() {
            let is_there = !matches!(&found, Found::File(path) if !path.exists());
            let does = if is_there { "follows" } else { "waits for" };
            tracing::info!("mail log: {does} {found}");
        }
        self.found = found;
        // A run that reads on where the last one stopped may start amid a rotation.
        self.was_read = self.place.as_ref().is_some_and(|place| place.is_of(&self.found));
        self.trouble = None;
        self.proof = Proof::new(self.reader.counts().results, awaited(&self.engine));
    }

    fn follow(&self, found: &Found, moment: Moment) -> Option<Follower> {
        let journalctl = || self.params.tools.journalctl.clone();
        Some(match (found, &self.place) {
            (Found::File(path), Some(Place::File(place))) if place.path == *path => {
                Follower::File(file::Follower::resume(place, moment.now))
            }
            (Found::File(path), _) => Follower::File(file::Follower::begin(path, moment.now)),
            (Found::Journal, Some(Place::Journal(place))) => {
                Follower::Journal(journal::Follower::new(journalctl(), place.clone(), moment.now))
            }
            (Found::Journal, _) => {
                let from = journal::Place::From(moment.wall.as_millis() / 1000);
                Follower::Journal(journal::Follower::new(journalctl(), from, moment.now))
            }
            (Found::Off | Found::Nothing(_), _) => return None,
        })
    }

    fn read(&mut self, moment: Moment) -> u64 {
        let reader = &mut self.reader;
        match &mut self.follower {
            Some(Follower::File(follower)) => {
                let octets = follower.poll(moment.now, &mut |line| reader.line(line, moment));
                reader.skip(follower.take_overlong());
                for news in follower.take_news() {
                    tracing::warn!("{news}");
                }
                octets
            }
            Some(Follower::Journal(follower)) => {
                let octets = follower.poll(moment.now, &mut |entry| reader.entry(&entry, moment));
                reader.skip(follower.take_unread());
                octets
            }
            None => 0,
        }
    }

    /// Settles how it is, and tells who wants to know.
    fn examine(&mut self, now: Timestamp) {
        self.trouble = match (&self.found, &self.follower) {
            (Found::File(path), Some(Follower::File(follower))) => {
                follower.trouble().map(|(since, error)| (since, choose::unreadable(path, error)))
            }
            (_, Some(Follower::Journal(follower))) => {
                follower.trouble().map(|(since, why)| (since, why.to_owned()))
            }
            (Found::Nothing(why), _) => Some((now, why.clone())),
            _ => None,
        };
        self.was_read |= self.follower.is_some() && self.trouble.is_none();
        let over = self.is_over(now);
        let is_file = matches!(self.follower, Some(Follower::File(_)));
        let healthy = if is_file { !over } else { self.trouble.is_none() };
        let proof = self.proof.update(self.reader.counts().results, awaited(&self.engine), now);
        let feedback = match proof {
            _ if over || self.follower.is_none() => Feedback::Off,
            State::Proven => Feedback::Coming,
            State::Open | State::Doubtful => Feedback::Watching,
        };
        self.healthy = healthy;
        self.complain(now);
        self.tell(feedback);
    }

    /// Whether there was trouble for so long that it no longer passes for a
    /// rotation, which leaves no file for a moment.
    fn is_over(&self, now: Timestamp) -> bool {
        let since = self.trouble.as_ref().map(|(since, _)| *since);
        since.is_some_and(|since| !self.was_read || now.since(since) >= GRACE)
    }

    /// Logs a change of health, at most once a minute.
    fn complain(&mut self, now: Timestamp) {
        match (&self.trouble, self.healthy, self.complained) {
            (Some((_, why)), false, false) if now >= self.silent_until => {
                tracing::warn!("mail log: not healthy: {why}");
                self.complained = true;
                self.silent_until = now.plus(GRACE);
            }
            (_, true, true) => {
                tracing::info!("mail log: healthy again");
                self.complained = false;
            }
            _ => {}
        }
    }

    fn tell(&mut self, feedback: Feedback) {
        if std::mem::replace(&mut self.feedback, feedback) != feedback {
            match feedback {
                Feedback::Off => tracing::info!("mail log: delivery results are not known"),
                Feedback::Coming => tracing::info!("mail log: it tells of our messages"),
                Feedback::Watching if self.proof.state() == State::Doubtful => {
                    tracing::warn!("mail log: {}", super::DOUBT);
                }
                Feedback::Watching => tracing::info!("mail log: is read"),
            }
        }
        self.engine.set_feedback(feedback);
    }
}

/// Messages that were waited for since the start.
fn awaited(engine: &Engine) -> u64 {
    engine.counters().awaited.load(Relaxed)
}

#[cfg(test)]
mod tests;
