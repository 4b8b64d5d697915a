//! The thread that saves every ten minutes, when somebody asks for it, and at the
//! end.

use super::{Saved, Store, Written};
use crate::{
    connector::ConnectorKey,
    fault,
    timestamp::{Timestamp, format_span},
};
use serde::Serialize;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What was learned would be lost by a restart.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("history is not saved: {0}")]
pub struct NotSaved(pub String);

/// The health of history.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryStatus {
    /// The file.
    pub path: PathBuf,
    /// Whether the last save worked, or none was due yet.
    pub healthy: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// As of when there is something saved.
    pub saved_at: Option<Timestamp>,
    /// What the last save of this run wrote; zeros before it.
    pub written: Written,
}

/// The running thread. Dropping it is [`stop`](Self::stop).
pub struct Handle {
    state: Arc<Mutex<HistoryStatus>>,
    /// The thread ends when the sender is gone.
    running: Mutex<Option<(JoinHandle<()>, Sender<()>)>>,
}

/// Starts the thread: it calls `collect` and saves what that gives once a
/// `period`, after [`Handle::save_soon`] and when it is stopped. `saved_at` is [`super::Loaded::saved_at`].
///
/// `collect` is called in that thread, as are the iterators that it returns; so
/// this should take no lock for longer than one connector or message needs.
///
/// # Errors
///
/// Where the thread can't be started.
pub fn spawn<C, F, I, M>(
    mut store: Store,
    period: Duration,
    saved_at: Option<Timestamp>,
    mut collect: impl FnMut() -> Saved<I, F, M> + Send + 'static,
) -> io::Result<Handle>
where
    C: Serialize,
    F: Serialize,
    I: Iterator<Item = (ConnectorKey, C)>,
    M: Iterator<Item: Serialize>,
{
    let state = Arc::new(Mutex::new(HistoryStatus {
        path: store.path(),
        healthy: true,
        error: None,
        saved_at,
        written: Written::default(),
    }));
    let (stop, stopped) = channel::<()>();
    let shared = Arc::clone(&state);
    let run = move || {
        loop {
            fault::point("history thread");
            let woken = stopped.recv_timeout(period);
            // Whoever else asked meanwhile gets the same save.
            while stopped.try_recv().is_ok() {}
            let outcome = save(&mut store, &mut collect);
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            tell(note(&mut state, outcome, period));
            if woken == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("history".into()).spawn(run)?;
    Ok(Handle { state, running: Mutex::new(Some((thread, stop))) })
}

impl Handle {
    /// Whether the last save worked, or none was due yet.
    pub fn healthy(&self) -> bool {
        self.status().healthy
    }

    /// The health of history. Touches no file.
    pub fn status(&self) -> HistoryStatus {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the thread save now, besides once a period: for what must not be
    /// forgotten. Does not wait for it.
    pub fn save_soon(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, wake)) = &*running {
            // A thread that ended has saved, or has logged why not.
            let _ = wake.send(());
        }
    }

    /// Whether the thread runs, or was told to stop.
    pub fn is_alive(&self) -> bool {
        // Locked, or nothing: it is being stopped.
        let running = self.running.try_lock().ok();
        let running = running.as_ref().and_then(|running| running.as_ref());
        running.is_none_or(|(thread, _)| !thread.is_finished())
    }

    /// Saves once more and ends the thread. Blocks on the disk; to be called
    /// when nothing is counted any more.
    ///
    /// # Errors
    ///
    /// Where that save failed.
    pub fn stop(&self) -> Result<(), NotSaved> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((thread, stop)) = running.take() {
            drop(stop);
            // Panics are caught there.
            let _ = thread.join();
        }
        match self.status().error {
            Some(error) => Err(NotSaved(error)),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Who wants to know calls `stop`; the thread has logged it.
        let _ = self.stop();
    }
}

/// One save. A panic is a failed one: the next may work, and history must not
/// end silently.
fn save<C, F, I, M>(
    store: &mut Store,
    collect: &mut impl FnMut() -> Saved<I, F, M>,
) -> io::Result<(Written, Timestamp)>
where
    C: Serialize,
    F: Serialize,
    I: Iterator<Item = (ConnectorKey, C)>,
    M: Iterator<Item: Serialize>,
{
    let saving = AssertUnwindSafe(|| {
        fault::call("history")?;
        let saved = collect();
        let at = saved.saved_at;
        store.save(saved).map(|written| (written, at))
    });
    catch_unwind(saving)
        .unwrap_or_else(|_| Err(io::Error::other("a fault of connguard, please report it")))
}

/// What is to be logged.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    Failed(String),
    Again,
    Nothing,
}

fn tell(told: Told) {
    match told {
        Told::Failed(sentence) => tracing::warn!("{sentence}"),
        Told::Again => tracing::info!("history is saved again"),
        Told::Nothing => {}
    }
}

/// Takes the outcome of a save into the state. Only a change of it is told.
fn note(
    state: &mut HistoryStatus,
    outcome: io::Result<(Written, Timestamp)>,
    period: Duration,
) -> Told {
    let was_healthy = state.healthy;
    match outcome {
        Ok((written, at)) => {
            state.healthy = true;
            state.error = None;
            state.saved_at = Some(at);
            state.written = written;
            if was_healthy { Told::Nothing } else { Told::Again }
        }
        Err(error) => {
            state.healthy = false;
            state.error = Some(format!("{}: {error}", state.path.display()));
            if was_healthy { Told::Failed(failure(state, &error, period)) } else { Told::Nothing }
        }
    }
}

fn failure(state: &HistoryStatus, error: &io::Error, period: Duration) -> String {
    let todo = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the state directory writable for connguard"
        }
        io::ErrorKind::InvalidData => "this is a fault of connguard, please report it",
        _ => "look after the state directory and its disk",
    };
    let lost = match state.saved_at {
        Some(at) => format!("forgets what was learned since {}", at.local()),
        None => "makes every connector look new".to_owned(),
    };
    format!(
        "history can't be saved to {}: {error}; {todo}. It is tried again every {}; until then a restart {lost}",
        state.path.display(),
        format_span(period)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn only_a_change_of_health_is_told() {
        let at = Timestamp::from_seconds(1_795_000_000);
        let mut state = HistoryStatus {
            path: "/var/lib/connguard/history".into(),
            healthy: true,
            error: None,
            saved_at: None,
            written: Written::default(),
        };
        let mut note = |outcome| note(&mut state, outcome, Duration::from_secs(600));
        let full = || Err(io::ErrorKind::StorageFull.into());
        let worked = || Ok((Written { bytes: 9, connectors: 1, messages: 0 }, at));

        let Told::Failed(sentence) = note(full()) else {
            panic!("the first failure must be told");
        };
        assert!(
            sentence.starts_with("history can't be saved to /var/lib/connguard/history: "),
            "{sentence}"
        );
        assert!(
            sentence.ends_with(
                "make room there. It is tried again every 10m; until then a restart makes every connector look new"
            ),
            "{sentence}"
        );
        assert_eq!(note(full()), Told::Nothing);
        assert_eq!(note(Err(io::ErrorKind::PermissionDenied.into())), Told::Nothing);
        assert_eq!(note(worked()), Told::Again);
        assert_eq!(note(worked()), Told::Nothing);
        let Told::Failed(sentence) = note(Err(io::ErrorKind::ReadOnlyFilesystem.into())) else {
            panic!("the next failure must be told");
        };
        assert!(sentence.contains("make the state directory writable for connguard"), "{sentence}");
        let since = format!("a restart forgets what was learned since {}", at.local());
        assert!(sentence.ends_with(&since), "{sentence}");
        assert_eq!((state.healthy, state.saved_at), (false, Some(at)));
        assert!(state.error.is_some_and(|it| it.starts_with("/var/lib/connguard/history: ")));
    }
}
