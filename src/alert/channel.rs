//! One channel: a thread that tells one alert after the other, and tries again
//! what fails: after 5 seconds, twice as long each time, 10 minutes at the most,
//! for a day.

use super::{
    command, mail,
    outbox::KEPT_UP,
    params::{Channel, Command, Mail, Webhook},
    webhook,
};
use crate::{case::AlertKind, engine::Engine, fault, timestamp::Timestamp, view::Alert};
use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How often the clock is asked whether a pause is over.
const PEEK: Duration = Duration::from_millis(250);
/// How long a stop waits for what is being sent.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(3);
/// What is younger when it stops is sent before; the rest after the next start.
const FRESH: Duration = Duration::from_secs(10);
const FAULT: &str = "a fault of connguard, please report it";
/// Octets of an error that are kept.
const MOST_ERROR: usize = 300;

/// A channel is done with an alert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The alert.
    pub id: String,
    /// The channel.
    pub channel: Channel,
    /// Why it was given up, if it was.
    pub result: Result<(), String>,
    /// When.
    pub at: Timestamp,
}

/// Why an alert was not sent.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// It may work later.
    Later(String),
    /// It never will.
    Never(String),
}

/// Where a channel leads.
pub(super) enum Target {
    Mail { mail: Mail, host: String, engine: Arc<Engine> },
    Webhook(Webhook),
    Command(Command),
}

/// How a channel is doing.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) queued: usize,
    pub(super) last_sent: Option<Timestamp>,
    /// Since when nothing was sent, and why.
    pub(super) failing: Option<(Timestamp, String)>,
}

struct Job {
    alert: Arc<Alert>,
    /// Mailboxes that do not have it yet, once that is known.
    left: Option<Vec<String>>,
}

impl Job {
    fn is_test(&self) -> bool {
        self.alert.kind == AlertKind::Test
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    target: Option<Arc<Target>>,
    health: Health,
    pause: Duration,
    /// Not before this.
    next: Option<Timestamp>,
    closed: bool,
    ended: bool,
}

/// See the head of this module.
pub(super) struct Worker {
    shared: Arc<Shared>,
}

struct Shared {
    channel: Channel,
    state: Mutex<State>,
    bell: Condvar,
}

impl Worker {
    /// Starts the thread. `report` is told of every alert that is done with.
    pub(super) fn start(
        channel: Channel,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        report: impl Fn(Outcome) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { channel, state: Mutex::default(), bell: Condvar::new() });
        let run = {
            let shared = Arc::clone(&shared);
            move || {
                while shared.turn(&*now, &report) {}
                shared.lock().ended = true;
                shared.bell.notify_all();
            }
        };
        std::thread::Builder::new().name(format!("alert-{channel}")).spawn(run)?;
        Ok(Self { shared })
    }

    /// Leads elsewhere from now on, or nowhere. What waits is tried at once.
    pub(super) fn lead(&self, target: Option<Target>) {
        let mut state = self.shared.lock();
        state.target = target.map(Arc::new);
        state.next = None;
        state.pause = Duration::ZERO;
        state.health.failing = None;
        if state.target.is_none() {
            state.queue.clear();
        }
        for job in &mut state.queue {
            job.left = None;
        }
        self.shared.bell.notify_all();
    }

    /// Takes an alert. A test goes first, and is tried once.
    pub(super) fn take(&self, alert: Arc<Alert>) {
        let mut state = self.shared.lock();
        let job = Job { alert, left: None };
        if job.is_test() {
            state.queue.push_front(job);
        } else {
            state.queue.push_back(job);
        }
        self.shared.bell.notify_all();
    }

    /// No longer tells this alert; whether it was still to be told.
    pub(super) fn drop(&self, id: &str) -> bool {
        let mut state = self.shared.lock();
        let before = state.queue.len();
        state.queue.retain(|job| job.alert.id != id);
        let waited = state.queue.len() < before;
        state.health.failed += u64::from(waited);
        waited
    }

    /// How it is doing.
    pub(super) fn health(&self) -> Health {
        let state = self.shared.lock();
        Health { queued: state.queue.len(), ..state.health.clone() }
    }

    /// Sends what waits, unless it fails, and ends.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_all();
    }

    /// Waits until it has ended, for so long at the most; whether it has.
    pub(super) fn wait(&self, most: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.bell.wait_timeout_while(state, most, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job and does it. Gives whether there may be another one. A panic must
    /// not end the channel.
    fn turn(&self, now: &dyn Fn() -> Timestamp, report: &impl Fn(Outcome)) -> bool {
        let turn = AssertUnwindSafe(|| {
            let Some((job, target)) = self.next(now) else { return false };
            fault::point("alert channel");
            self.attempt(job, &target, now, report);
            true
        });
        catch_unwind(turn).unwrap_or_else(|_| {
            let mut state = self.lock();
            let since = now();
            state.health.failing.get_or_insert_with(|| (since, FAULT.into()));
            state.next = Some(since.plus(FIRST_PAUSE));
            !state.closed
        })
    }

    /// Waits for the next job that is due. It stays in the queue until it is done
    /// with. Nothing at the end.
    fn next(&self, now: &dyn Fn() -> Timestamp) -> Option<(Job, Arc<Target>)> {
        let mut state = self.lock();
        loop {
            let State { target, queue, next, closed, .. } = &*state;
            let waits = next.is_some_and(|next| now() < next);
            let fresh = |job: &Job| now().since(job.alert.at) < FRESH;
            if let (Some(target), Some(job)) = (target, queue.front())
                && (!waits || job.is_test())
                && (!*closed || fresh(job))
            {
                let job = Job { alert: Arc::clone(&job.alert), left: job.left.clone() };
                return Some((job, Arc::clone(target)));
            }
            if *closed {
                return None;
            }
            state = if waits && !queue.is_empty() {
                let waited = self.bell.wait_timeout(state, PEEK);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.bell.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn attempt(
        &self,
        mut job: Job,
        target: &Target,
        now: &dyn Fn() -> Timestamp,
        report: &impl Fn(Outcome),
    ) {
        // One alert that can't be told must not end the channel.
        let sending = AssertUnwindSafe(|| target.send(&job.alert, &mut job.left, now()));
        let result = catch_unwind(sending).unwrap_or_else(|_| Err(Failure::Never(FAULT.into())));
        let at = now();
        let outcome = self.note(&job, result, at);
        if let Some(result) = outcome {
            report(Outcome { id: job.alert.id.clone(), channel: self.channel, result, at });
        }
    }

    /// Notes what came of an attempt; says how the alert ends, if it does.
    fn note(
        &self,
        job: &Job,
        result: Result<(), Failure>,
        now: Timestamp,
    ) -> Option<Result<(), String>> {
        let mut state = self.lock();
        let outcome = match result {
            Ok(()) => {
                state.health.sent += 1;
                state.health.last_sent = Some(now);
                if state.health.failing.take().is_some() {
                    tracing::info!("alerts: {} works again", self.channel);
                }
                (state.next, state.pause) = (None, Duration::ZERO);
                Ok(())
            }
            Err(failure) => {
                let (error, again) = match failure {
                    Failure::Later(error) => {
                        let young = now.since(job.alert.at) < KEPT_UP;
                        (error, young && !job.is_test())
                    }
                    Failure::Never(error) => (error, false),
                };
                let error = cut(error);
                if state.health.failing.is_none() {
                    tracing::warn!("alerts: {} fails: {error:?}", self.channel);
                }
                let since = state.health.failing.as_ref().map_or(now, |(since, _)| *since);
                state.health.failing = Some((since, error.clone()));
                if again {
                    let pause = state.pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    state.pause = pause;
                    state.next = Some(now.plus(pause));
                    let id = &job.alert.id;
                    if let Some(kept) = state.queue.iter_mut().find(|kept| kept.alert.id == *id) {
                        kept.left.clone_from(&job.left);
                    }
                    return None;
                }
                if !job.is_test() {
                    state.health.failed += 1;
                }
                Err(error)
            }
        };
        state.queue.retain(|kept| kept.alert.id != job.alert.id);
        Some(outcome)
    }
}

impl Target {
    fn send(
        &self,
        alert: &Alert,
        left: &mut Option<Vec<String>>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        match self {
            Self::Mail { mail, host, engine } => {
                let left = left.get_or_insert_with(|| mail.to.clone());
                mail::send(mail, || engine.passes().issue(host, now), alert, left)
            }
            Self::Webhook(webhook) => webhook::send(webhook, alert),
            Self::Command(command) => command::run(command, alert),
        }
    }
}

/// An error in one line that is not too long.
fn cut(error: String) -> String {
    let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
    line.get(..line.floor_char_boundary(MOST_ERROR)).unwrap_or_default().to_owned()
}
