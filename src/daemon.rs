//! The composition root: builds the parts from the configuration, connects
//! them, and takes them down in order. No decisions.
//!
//! Start: configuration, journal (lock, recovery), engine with what was
//! recovered, sockets, then READY: the first command of the first session
//! already meets every restriction. Stop: no new connections, messages in
//! hand finish within a deadline, the journal is flushed, our sockets go.

use crate::{
    alert, cases,
    clock::Clock,
    config::{self, Config, Faults, LogFormat, LogParams},
    connector::Entity,
    control::{self, Control},
    engine::{self, Engine, Moves, Notice},
    feedback, history,
    journal::{self, Journal},
    judge::Judgement,
    manager::{Manager, News},
    milter::{self, Milter},
    operator::{self, Operator, ReloadView, Reloader},
    record::{Actor, Event, Record},
    tally,
    timestamp::Timestamp,
    view,
};
use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::sync::oneshot;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Period of the housekeeping.
const TICK: Duration = Duration::from_secs(1);
/// How often the history of connectors is saved.
const SAVE_EVERY: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// To be raised whenever [`tally::Image`], [`engine::Filters`] or
/// [`engine::Waiting`] change.
pub const HISTORY_SCHEMA: u32 = 4;
/// How long messages in hand may take when the daemon stops.
const DRAIN: Duration = Duration::from_secs(10);
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
    /// A milter socket can't be opened.
    #[error("can't start: {0}")]
    Milter(#[from] milter::BindError),
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
    let system = |what| move |source| Error::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    let signals = {
        let _guard = runtime.enter();
        Signals::new([SIGHUP, SIGTERM, SIGINT]).map_err(system("watch for signals"))?
    };
    let wishes = signals.map(|signal| match signal {
        SIGHUP => Wish::Reload,
        _ => Wish::Stop,
    });
    runtime.block_on(run(path, config, clock, wishes))
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
/// asked to stop or nobody is left to ask.
pub async fn run(
    path: &Path,
    config: Config,
    clock: Clock,
    mut wishes: impl Stream<Item = Wish> + Unpin,
) -> Result<(), Error> {
    let now = clock.now();
    let system = |what| move |source| Error::System { what, source };
    let manager = Manager::start().map_err(system("start a thread"))?;
    let (journal, recovered) = Journal::open(&config.state.directory)?;
    for warning in &recovered.warnings {
        tracing::warn!("journal: {warning}");
    }
    let mut engine = Engine::new(config.settings.clone(), config.state.max_connectors, now);
    let history = recall(&mut engine, &config.state.directory, now);
    let engine = Arc::new(engine);
    // What the journal says of restrictions is true: it comes after.
    let cases = recall_cases(&engine, &config.state.directory);
    let kept = recovered.snapshot.live.len();
    let moves = engine.restore(recovered.snapshot, now);
    tell_moves(moves);
    for sentence in operator::unreachable_logins(&engine, &config, now) {
        tracing::warn!("{sentence}");
    }
    let journal = start_journal(journal, &engine, &clock)?;
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
        Milter::bind(config.milter.clone(), Arc::clone(&engine), move || clock.now())?
    };
    let control = Control::bind(&config.control.socket)?;
    tell_start(&config, kept);
    let operator = Arc::new(Operator {
        engine: Arc::clone(&engine),
        journal: Arc::clone(&journal),
        history: Arc::clone(&history),
        cases: Arc::clone(&cases),
        milter: milter.handle(),
        feedback: Arc::clone(&feedback),
        alert: Arc::clone(&alert),
        state: config.state.directory.clone(),
        config: Arc::new(ArcSwap::from_pointee(config)),
        reloader: Reloader {
            path: path.to_owned(),
            own_names: own_names(),
            turn: tokio::sync::Mutex::new(()),
        },
        started: now,
        manager: manager.clone(),
        clock: clock.clone(),
    });
    let (stop_milter, stopped) = oneshot::channel::<()>();
    let mut milter = tokio::spawn(milter.run(stopped, DRAIN));
    let mut serving = {
        let operator = Arc::clone(&operator);
        tokio::spawn(async move { control.serve(operator).await })
    };
    manager.tell(News::Ready);
    // A daemon that answers nobody must not look alive: it ends, and the
    // service manager starts it again.
    let ended = tokio::select! {
        () = serve(&operator, &mut wishes) => None,
        _ = &mut milter => Some("milter front-end"),
        _ = &mut serving => Some("control socket"),
    };
    manager.tell(News::Stopping);
    tracing::info!("stopping");
    // As long as our milter lets them through.
    let _ = tokio::task::spawn_blocking(move || alert.stop()).await;
    let _ = stop_milter.send(());
    if !milter.is_finished()
        && let Err(error) = milter.await
    {
        tracing::error!("the milter front-end failed: {error}");
    }
    if !serving.is_finished() {
        serving.abort();
        // The socket goes when the task has let go of it.
        let _ = serving.await;
    }
    // What the log tells is in the history that is saved last. The lock of the
    // journal guards the whole directory: it goes last.
    let stop = move || {
        feedback.stop();
        operator.engine.table().count_attempts();
        (history.stop(), cases.stop(), journal.stop())
    };
    let kept = tokio::task::spawn_blocking(stop).await;
    if let Ok((saved, written, flushed)) = kept {
        if let Err(error) = written {
            tracing::error!("what cases learned since then is lost by this stop: {error}");
        }
        if let Err(error) = saved {
            tracing::error!("what was learned since the last time is lost by this stop: {error}");
        }
        if let Err(error) = flushed {
            tracing::error!("changes are lost by this stop: {error}");
        }
    }
    tracing::info!("stopped");
    match ended {
        Some(part) => Err(Error::Ended(part)),
        None => Ok(()),
    }
}

/// Wishes and housekeeping, until the wish to stop.
async fn serve(operator: &Arc<Operator>, wishes: &mut (impl Stream<Item = Wish> + Unpin)) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looking: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        tokio::select! {
            wish = wishes.next() => match wish {
                Some(Wish::Reload) => {
                    // Its outcome is in the log.
                    let _ = operator.reload().await;
                }
                Some(Wish::Stop) | None => return,
            },
            _ = ticks.tick() => {
                housekeeping(operator);
                // A disk that hangs must not stop the housekeeping.
                if looking.as_ref().is_none_or(|looking| looking.is_finished()) {
                    let operator = Arc::clone(operator);
                    let look = move || operator.alert.troubles(operator.troubles());
                    looking = Some(tokio::task::spawn_blocking(look));
                }
            }
        }
    }
}

fn housekeeping(operator: &Operator) {
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
    operator.manager.tell(News::Alive(status));
}

fn start_journal(
    journal: Journal,
    engine: &Arc<Engine>,
    clock: &Clock,
) -> Result<Arc<journal::Handle>, Error> {
    let clock = clock.clone();
    let now = Arc::new(move || -> Timestamp { clock.now() });
    let announce = |announced: &journal::Announcement<'_>| {
        for record in announced.records {
            let line = view::log_line(record);
            if announced.on_disk && is_alarm(record) {
                tracing::warn!("{line}");
            } else if announced.on_disk {
                tracing::info!("{line}");
            } else {
                tracing::error!("{line} durable=no");
            }
        }
        if announced.incomplete {
            tracing::warn!("more changed than could be told one by one: see connguard list");
        }
    };
    journal
        .start(Arc::clone(engine.table()), journal::Params::default(), now, announce)
        .map(Arc::new)
        .map_err(|source| Error::System { what: "start the journal", source })
}

/// What the last run kept, beside what the engine was given of it.
struct Kept {
    store: history::Store,
    saved_at: Option<Timestamp>,
    /// How far the mail log was read.
    place: Option<Vec<u8>>,
}

/// Gives the engine the history that the last run kept.
fn recall(engine: &mut Engine, directory: &Path, now: Timestamp) -> Kept {
    let store = history::Store::open(directory, HISTORY_SCHEMA);
    let loaded = store.load::<tally::Image, engine::Filters, engine::Waiting>();
    for loss in &loaded.losses {
        tracing::warn!("history: {loss}");
    }
    if loaded.saved_at.is_some_and(|saved| saved.since(now) > DAY) {
        tracing::warn!(
            "history: it was saved at {}, which is yet to come: was the clock wrong? Until then suspicions don't fade and days don't end; to begin afresh, stop, remove the file and start",
            loaded.saved_at.unwrap_or(now).local()
        );
    }
    let saved_at = loaded.saved_at;
    let muted_until = loaded.mute(now);
    let memory = (!loaded.is_empty() || loaded.lost_filters).then(|| engine::Memory {
        key: loaded.key.unwrap_or_else(|| engine.key()),
        filters: loaded.filters,
        muted_until,
    });
    let recalled = engine.recall(memory, loaded.connectors, now);
    let messages = engine.recall_waiting(loaded.messages, now);
    if messages > 0 {
        tracing::info!("history: {messages} messages wait for their delivery results");
    }
    for fault in &recalled.faults {
        tracing::warn!("history: {fault}");
    }
    if recalled.left_out > 0 {
        tracing::warn!(
            "history: {} connectors found no room and begin afresh; raise state.max_connectors",
            recalled.left_out
        );
    }
    if let Some(until) = engine.muted_until(now) {
        tracing::warn!(
            "history: whom connectors wrote to is not known; until {} nothing is concluded from new recipients, new networks and volume",
            until.local()
        );
    }
    Kept { store, saved_at, place: loaded.place }
}

/// Gives the engine the cases that the last run kept.
fn recall_cases(engine: &Engine, directory: &Path) -> cases::Store {
    let mut store = cases::Store::open(directory);
    let loaded = store.load();
    for warning in &loaded.warnings {
        tracing::warn!("cases: {warning}");
    }
    engine.cases().skip(loaded.newest);
    engine.cases().restore(loaded.files);
    store
}

/// Writes what changes in the cases.
fn start_cases(
    store: cases::Store,
    engine: &Arc<Engine>,
    clock: &Clock,
) -> Result<cases::Handle, Error> {
    let clock = clock.clone();
    cases::spawn(store, Arc::clone(engine.cases()), move || clock.now())
        .map_err(|source| Error::System { what: "start a thread for the cases", source })
}

/// Follows the mail log from where the last run stopped.
fn start_feedback(
    config: &Config,
    engine: &Arc<Engine>,
    place: Option<&[u8]>,
    clock: &Clock,
) -> Result<feedback::Handle, Error> {
    let params =
        feedback::Params { mail_log: config.mail_log.clone(), tools: feedback::Tools::default() };
    let (now, wall) = (clock.clone(), clock.clone());
    feedback::spawn(params, Arc::clone(engine), place, move || now.now(), move || wall.wall())
        .map_err(|source| Error::System { what: "start a thread for the mail log", source })
}

/// Saves the history from time to time. To be started once all is recalled.
/// `place` says how far the mail log was read: all results up to there were told
/// to the engine.
fn start_history(
    kept: Kept,
    engine: &Arc<Engine>,
    clock: &Clock,
    place: impl Fn() -> Option<Vec<u8>> + Send + 'static,
) -> Result<history::Handle, Error> {
    let (engine, clock) = (Arc::clone(engine), clock.clone());
    let collect = move || {
        let now = clock.now();
        // Before all others: what is told meanwhile may be lost, not doubled.
        let place = place();
        history::Saved {
            key: engine.key(),
            connectors: engine.histories(),
            filters: engine.filters(),
            messages: engine.waiting(),
            place,
            saved_at: now,
            muted_until: engine.muted_until(now),
        }
    };
    history::spawn(kept.store, SAVE_EVERY, kept.saved_at, collect)
        .map_err(|source| Error::System { what: "start a thread for the history", source })
}

/// Tells what is due. To be started once the cases are restored.
fn start_alert(
    config: &Config,
    engine: &Arc<Engine>,
    down: Duration,
    clock: &Clock,
) -> Result<alert::Handle, Error> {
    let clock = clock.clone();
    let (params, engine) = (config.alert.clone(), Arc::clone(engine));
    alert::spawn(params, engine, &config.state.directory, down, move || clock.now())
        .map_err(|source| Error::System { what: "start a thread for alerts", source })
}

/// Whether somebody should look: the judgement restricted or marked an entity.
fn is_alarm(record: &Record) -> bool {
    matches!(&record.event, Event::Restricted(held) if held.by == Actor::Judgement)
}

fn tell_notices(engine: &Engine, notices: &[Notice], mut left_out: u64) {
    let told = notices.len().min(LINES_A_TICK);
    for notice in notices.iter().take(told) {
        match notice {
            Notice::NewConnector(key) => tracing::info!("new connector={key}"),
            Notice::Suspicious(entity, findings) => {
                // Restricted or lifted meanwhile: that was told already.
                let tally = entity.as_connector().and_then(|key| engine.roster().get(key));
                if tally.is_none_or(|tally| tally.judgement() == Judgement::Suspicious) {
                    tracing::warn!("{}", view::suspicion_line("suspicious", entity, findings));
                }
            }
            Notice::Changed(key, changes) => {
                let values: Vec<&str> = changes.iter().map(|change| &*change.value).collect();
                tracing::warn!("changed entity={key} new={values:?}");
            }
            Notice::LimitReached(key, messages, recipients) => tracing::warn!(
                "limit entity={key} messages_last_hour={messages} recipients_last_hour={recipients}"
            ),
            Notice::Held(key, messages) => tracing::warn!(
                "held entity={key} messages={messages} what=\"they wait in the hold queue of Postfix: connguard show {key}\""
            ),
            Notice::HoldFull(key, messages) => tracing::warn!(
                "hold_full entity={key} messages={messages} what=\"restriction.hold_limit is reached, more is refused with 451: connguard show {key}\""
            ),
            Notice::OverflowCompromised(findings) => {
                let overflow = Entity::from(crate::connector::ConnectorKey::Overflow);
                tracing::warn!("{}", view::suspicion_line("overflow", &overflow, findings));
            }
        }
    }
    left_out += u64::try_from(notices.len() - told).unwrap_or(u64::MAX);
    if left_out > 0 {
        tracing::warn!(
            "{left_out} more notices (new, suspicious or limit) were left out: see connguard list --all"
        );
    }
}

/// What moved because the configuration changed while nobody ran.
fn tell_moves(moves: Moves) {
    for sentence in (ReloadView { moves, ..ReloadView::default() }).sentences() {
        tracing::warn!("since the last run: {sentence}");
    }
}

fn tell_start(config: &Config, kept: usize) {
    for warning in &config.warnings {
        tracing::warn!("configuration: {warning}");
    }
    let places: Vec<String> = config.milter.listen.iter().map(ToString::to_string).collect();
    tracing::info!(
        "connguard {} mode={} kept={kept} listen={}",
        env!("CARGO_PKG_VERSION"),
        config.settings.mode(),
        places.join(" ")
    );
}

/// Starts the log: journald's own protocol under systemd, else text or JSON
/// on standard error. `RUST_LOG` overrides the configured level.
fn start_log(params: &LogParams) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&params.level));
    let registry = tracing_subscriber::registry().with(filter);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let result = match params.format {
        LogFormat::Auto if under_systemd => match tracing_journald::layer() {
            Ok(journald) => registry.with(journald).try_init(),
            Err(_) => registry.with(text_log()).try_init(),
        },
        LogFormat::Json => {
            let json = tracing_subscriber::fmt::layer().json().with_writer(io::stderr);
            registry.with(json).try_init()
        }
        LogFormat::Auto | LogFormat::Text => registry.with(text_log()).try_init(),
    };
    // Somebody who embeds the daemon has a log of their own already.
    drop(result);
}

fn text_log<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(io::stderr)
}
