//! Starts the parts that keep something on disk or follow something, each with
//! what the last run left.

use super::{Changes, DAY, Error, HISTORY_SCHEMA, SAVE_EVERY, tell::is_alarm};
use crate::{
    alert, cases,
    clock::{self, Clock},
    config::Config,
    engine::{self, Engine},
    feedback, history,
    journal::{self, Journal},
    tally,
    timestamp::Timestamp,
    view,
};
use std::{path::Path, sync::Arc, time::Duration};

pub(super) fn start_journal(
    journal: Journal,
    engine: &Arc<Engine>,
    clock: &Clock,
    changes: Arc<Changes>,
) -> Result<Arc<journal::Handle>, Error> {
    let clock = clock.clone();
    let now = Arc::new(move || -> Timestamp { clock.now() });
    let announce = move |announced: &journal::Announcement<'_>| {
        for record in announced.records {
            changes.count(record);
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
    let params = journal::Params { nanos: clock::nanos, ..journal::Params::default() };
    journal
        .start(Arc::clone(engine.table()), params, now, announce)
        .map(Arc::new)
        .map_err(|source| Error::System { what: "start the journal", source })
}

/// What the last run left.
pub(super) struct Found {
    pub(super) history: Kept,
    pub(super) journal: Journal,
    pub(super) recovered: journal::Recovered,
    pub(super) cases: Cases,
}

/// Reads it all, the history beside the rest: each of the two may take most of a
/// second, and neither needs the other.
pub(super) fn find(
    locked: journal::Locked,
    engine: &mut Engine,
    directory: &Path,
    now: Timestamp,
) -> Result<Found, Error> {
    std::thread::scope(|scope| {
        let history = scope.spawn(|| recall(engine, directory, now));
        let (journal, recovered) = locked.read()?;
        for warning in &recovered.warnings {
            tracing::warn!("journal: {warning}");
        }
        let cases = find_cases(&recovered, directory);
        let history = history.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Found { history, journal, recovered, cases })
    })
}

/// What the last run kept, beside what the engine was given of it.
pub(super) struct Kept {
    store: history::Store,
    pub(super) saved_at: Option<Timestamp>,
    /// How far the mail log was read.
    pub(super) place: Option<Vec<u8>>,
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

/// The cases of the last run.
pub(super) struct Cases {
    store: cases::Store,
    loaded: cases::Loaded,
}

/// Reads the cases of the last run, but for those of what is restricted, of which the
/// journal tells what is needed first.
fn find_cases(recovered: &journal::Recovered, directory: &Path) -> Cases {
    let mut store = cases::Store::open(directory);
    let live = recovered.snapshot.live.iter();
    let in_force = live.filter_map(|live| live.standing.restriction.as_ref());
    let loaded = store.load_but(&in_force.map(|restriction| restriction.case).collect());
    for warning in &loaded.warnings {
        tracing::warn!("cases: {warning}");
    }
    Cases { store, loaded }
}

/// Gives the engine the cases that the last run kept.
pub(super) fn recall_cases(engine: &Engine, cases: Cases) -> cases::Store {
    let Cases { store, loaded } = cases;
    engine.cases().skip(loaded.newest);
    engine.cases().restore(loaded.files);
    engine.cases().read_later(loaded.unread);
    store
}

/// Writes what changes in the cases.
pub(super) fn start_cases(
    store: cases::Store,
    engine: &Arc<Engine>,
    clock: &Clock,
) -> Result<cases::Handle, Error> {
    let clock = clock.clone();
    cases::spawn(store, Arc::clone(engine.cases()), move || clock.now())
        .map_err(|source| Error::System { what: "start a thread for the cases", source })
}

/// Follows the mail log from where the last run stopped.
pub(super) fn start_feedback(
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
pub(super) fn start_history(
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
pub(super) fn start_alert(
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
