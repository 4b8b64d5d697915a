//! The composition root: builds the parts from the configuration, connects
//! them, and takes them down in order. No decisions.
//!
//! Start: configuration, journal (lock, recovery), engine with what was
//! recovered, sockets, then READY: the first command of the first session
//! already meets every restriction. Behind it come the first segment of the
//! journal and the cases of what is restricted, which judging does not need. Stop:
//! no new connections, messages in hand finish within a deadline, our sockets go, the
//! journal is flushed, then history and cases are written, as far as the time reaches.
//!
//! A part that ends by itself ends the daemon, in order and with an error, so that the
//! service manager starts it again: nothing here runs on without one of its parts.

mod start;
mod stop;
mod tell;

use crate::{
    clock::{self, Clock},
    config::{self, Config, Faults},
    control::{self, Control},
    engine::Engine,
    fault,
    journal::{self, Journal},
    manager::{Manager, News},
    metrics::Metrics,
    milter::Milter,
    operator::{self, Operator, Reloader, figures::Changes},
    panics,
    policy::Policy,
    socket::{BindError, Inherited},
    storage::Whose,
};
use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_tokio::Signals;
use start::{
    Found, find, recall_cases, start_alert, start_cases, start_feedback, start_history,
    start_journal,
};
use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Duration,
};
use stop::{Front, stop};
use tell::{start_log, tell_moves, tell_notices, tell_start};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

/// Period of the housekeeping.
const TICK: Duration = Duration::from_secs(1);
/// How often the history of connectors is saved.
const SAVE_EVERY: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// To be raised whenever [`crate::tally::Image`],
/// [`crate::engine::Filters`] or [`crate::engine::Waiting`] change.
pub const HISTORY_SCHEMA: u32 = 4;
/// Log lines in one period of the housekeeping that clients can cause.
const LINES_A_TICK: usize = 20;

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has faults.
    #[error("can't start, the configuration has faults:\n{0}")]
    Config(#[from] Faults),
    /// The state directory can't be used.
    #[error("can't start: {0}")]
    Journal(#[from] journal::OpenError),
    /// A socket for Postfix can't be opened.
    #[error("can't start: {0}")]
    Bind(#[from] BindError),
    /// The port of the metrics can't be opened.
    #[error("can't start: {0}")]
    Metrics(#[source] BindError),
    /// The control socket can't be opened.
    #[error("can't start: {0}")]
    Control(#[from] control::BindError),
    /// A part ended that must run as long as the daemon does.
    #[error("the {0} ended by itself; the reason is in the log. Start connguard again")]
    Ended(&'static str),
    /// The system refused something else.
    #[error("can't {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs the daemon with a log and a runtime of its own until it is told to
/// stop.
pub fn main(path: &Path, clock: Clock) -> Result<(), Error> {
    let config = config::load(path, &own_names())?;
    start_log(&config.log);
    panics::watch();
    let system = |what| move |source| Error::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    let signals = {
        let _guard = runtime.enter();
        // A file that grows beyond RLIMIT_FSIZE is an error as any other, not our end.
        Signals::new([SIGHUP, SIGTERM, SIGINT, SIGXFSZ]).map_err(system("watch for signals"))?
    };
    let wishes = signals.filter_map(|signal| {
        std::future::ready(match signal {
            SIGHUP => Some(Wish::Reload),
            SIGXFSZ => None,
            _ => Some(Wish::Stop),
        })
    });
    let result = runtime.block_on(run(path, config, clock, wishes, Inherited::from_environment()));
    // What did not end in time must not keep us: see `stop`.
    runtime.shutdown_background();
    result
}

/// What the daemon is asked for from outside, beside mail and commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// Read the configuration again.
    Reload,
    /// Finish what is in hand and stop.
    Stop,
}

/// Names of this host, whose addresses are registered by nature: its host
/// name and the origin that Debian keeps for programs that send mail.
pub fn own_names() -> Vec<String> {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let origin = std::fs::read_to_string("/etc/mailname").ok().map(|name| name.trim().to_owned());
    host.into_iter().chain(origin).filter(|name| !name.is_empty()).collect()
}

/// Runs the daemon with a configuration that was read from `path`, until it is
/// asked to stop or nobody is left to ask. What listens already is `inherited`.
pub async fn run(
    path: &Path,
    config: Config,
    clock: Clock,
    mut wishes: impl Stream<Item = Wish> + Unpin,
    mut inherited: Inherited,
) -> Result<(), Error> {
    let now = clock.now();
    let system = |what| move |source| Error::System { what, source };
    let manager = Manager::start().map_err(system("start a thread"))?;
    let locked = Journal::lock(&config.state.directory, Whose::Ours)?;
    let mut engine = Engine::new(config.settings.clone(), config.state.max_connectors, now);
    let Found { history, journal, recovered, cases } =
        find(locked, &mut engine, &config.state.directory, now)?;
    let engine = Arc::new(engine);
    // What the journal says of restrictions is true: it comes after.
    let cases = recall_cases(&engine, cases);
    let kept = recovered.snapshot.live.len();
    let moves = engine.restore(recovered.snapshot, now);
    tell_moves(moves);
    for sentence in operator::unreachable_logins(&engine, &config, now) {
        tracing::warn!("{sentence}");
    }
    let changes = Arc::new(Changes::default());
    let journal = start_journal(journal, &engine, &clock, Arc::clone(&changes))?;
    let cases = Arc::new(start_cases(cases, &engine, &clock)?);
    // Before the first message: what is logged of it must not be missed.
    let feedback = Arc::new(start_feedback(&config, &engine, history.place.as_deref(), &clock)?);
    // Nobody could be heard while nobody ran.
    let down = history.saved_at.map_or(Duration::ZERO, |saved| now.since(saved));
    let place = {
        let feedback = Arc::clone(&feedback);
        move || feedback.place()
    };
    let history = Arc::new(start_history(history, &engine, &clock, place)?);
    let alert = Arc::new(start_alert(&config, &engine, down, &clock)?);
    let milter = {
        let clock = clock.clone();
        Milter::bind(
            config.milter.clone(),
            Arc::clone(&engine),
            move || clock.now(),
            &mut inherited,
        )?
    };
    let policy = config.policy.clone().map(|params| {
        let clock = clock.clone();
        Policy::bind(params, Arc::clone(&engine), move || clock.now(), &mut inherited)
    });
    let policy = policy.transpose()?;
    let metrics = config
        .metrics
        .map(|params| Metrics::bind(params, &mut inherited))
        .transpose()
        .map_err(Error::Metrics)?;
    milter.handle().time_by(clock::nanos);
    for sentence in inherited.close() {
        tracing::warn!("{sentence}");
    }
    let control = Control::bind(&config.control.socket)?;
    tell_start(&config, kept);
    let operator = Arc::new(Operator {
        engine: Arc::clone(&engine),
        journal: Arc::clone(&journal),
        history: Arc::clone(&history),
        cases: Arc::clone(&cases),
        milter: milter.handle(),
        policy: policy.as_ref().map(Policy::handle),
        feedback: Arc::clone(&feedback),
        alert: Arc::clone(&alert),
        changes,
        state: config.state.directory.clone(),
        readers: Arc::new(Semaphore::new(operator::READERS)),
        config: Arc::new(ArcSwap::from_pointee(config)),
        reloader: Reloader::new(path.to_owned(), own_names()),
        started: now,
        manager: manager.clone(),
        clock: clock.clone(),
    });
    let (stop_milter, stopped) = oneshot::channel::<()>();
    let mut milter = tokio::spawn(milter.run(stopped, stop::DRAIN));
    let (stop_policy, policy_stopped) = oneshot::channel::<()>();
    let mut policy = policy.map(|policy| tokio::spawn(policy.run(policy_stopped)));
    let mut serving = {
        let operator = Arc::clone(&operator);
        tokio::spawn(async move { control.serve(operator).await })
    };
    let mut metrics = metrics.map(|metrics| {
        let operator = Arc::clone(&operator);
        tokio::spawn(metrics.serve(move || operator.figures()))
    });
    manager.tell(News::Ready);
    // A daemon that answers nobody must not look alive: it ends, and the
    // service manager starts it again.
    let ended = tokio::select! {
        ended = serve(&operator, &mut wishes) => ended,
        why = &mut milter => {
            // That it ended is told by whoever started us, but not why.
            if let Ok(Err(error)) = why {
                tracing::error!("the milter front-end ended: {error}");
            }
            Some("milter front-end")
        }
        () = ended_early(policy.as_mut()) => Some("policy front-end"),
        () = unserved(metrics.as_mut()) => Some("port of the metrics"),
        _ = &mut serving => Some("control socket"),
    };
    if let Some(part) = ended {
        tracing::error!("the {part} ended by itself: connguard ends, to be started again");
    }
    if let Some(metrics) = metrics.filter(|metrics| !metrics.is_finished()) {
        metrics.abort();
    }
    let policy = policy.map(|policy| (policy, stop_policy));
    stop(operator, Front { milter, stop_milter, policy, serving }).await;
    tracing::info!("stopped");
    match ended {
        Some(part) => Err(Error::Ended(part)),
        None => Ok(()),
    }
}

/// Completes when the policy front-end ends, if there is one.
async fn ended_early(policy: Option<&mut JoinHandle<io::Result<()>>>) {
    match policy {
        Some(policy) => {
            if let Ok(Err(error)) = policy.await {
                tracing::error!("the policy front-end ended: {error}");
            }
        }
        None => std::future::pending().await,
    }
}

/// Completes when metrics are served no more, if they were.
async fn unserved(metrics: Option<&mut JoinHandle<io::Result<Infallible>>>) {
    match metrics {
        Some(metrics) => {
            if let Ok(Err(error)) = metrics.await {
                tracing::error!("metrics are served no more: {error}");
            }
        }
        None => std::future::pending().await,
    }
}

/// Wishes and housekeeping, until the wish to stop or until a part ends, which one.
async fn serve(
    operator: &Arc<Operator>,
    wishes: &mut (impl Stream<Item = Wish> + Unpin),
) -> Option<&'static str> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looking: Option<JoinHandle<()>> = None;
    let mut reloads = Reloads::default();
    loop {
        tokio::select! {
            wish = wishes.next() => match wish {
                Some(Wish::Reload) => reloads.wish(operator),
                Some(Wish::Stop) | None => return None,
            },
            _ = ticks.tick() => {
                // A panic may have left anything half done.
                match catch_unwind(AssertUnwindSafe(|| housekeeping(operator))) {
                    Ok(true) => {}
                    Ok(false) => return Some("way to the service manager"),
                    Err(_) => return Some("housekeeping"),
                }
                if let Some(part) = operator.ended() {
                    return Some(part);
                }
                reloads.go_on(operator);
                // A disk that hangs must not stop the housekeeping. One that panicked is
                // known by that (`panics`), and tried again.
                if looking.as_ref().is_none_or(|looking| looking.is_finished()) {
                    let operator = Arc::clone(operator);
                    looking = Some(tokio::task::spawn_blocking(move || look(&operator)));
                }
            }
        }
    }
}

/// Tells what fails at present.
fn look(operator: &Operator) {
    fault::point("look");
    operator.alert.troubles(operator.troubles());
}

/// Reloads that SIGHUP asked for. The housekeeping goes on meanwhile: a service manager
/// that hears nothing kills us.
#[derive(Default)]
struct Reloads {
    running: Option<JoinHandle<()>>,
    /// Another one was asked for since it began.
    again: bool,
}

impl Reloads {
    fn wish(&mut self, operator: &Arc<Operator>) {
        self.again = true;
        self.go_on(operator);
    }

    /// Begins the next one, if there is one and none is running.
    fn go_on(&mut self, operator: &Arc<Operator>) {
        let is_running = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if self.again && !is_running {
            self.again = false;
            let operator = Arc::clone(operator);
            // Its outcome is in the log.
            self.running = Some(tokio::spawn(async move { drop(operator.reload().await) }));
        }
    }
}

/// Gives whether the service manager can be told.
fn housekeeping(operator: &Operator) -> bool {
    fault::point("housekeeping");
    operator.clock.slew();
    let now = operator.clock.now();
    operator.engine.sweep(now);
    let (notices, left_out) = operator.engine.notices().take();
    tell_notices(&operator.engine, &notices, left_out);
    operator.alert.hear(notices);
    let status = format!(
        "{} connectors, {} entities restricted, marked, trusted or in grace",
        operator.engine.roster().len(),
        operator.engine.table().len(),
    );
    operator.manager.tell(News::Alive(status))
}
