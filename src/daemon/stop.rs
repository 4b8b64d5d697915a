//! Takes the parts down, in order and in time.
//!
//! Alerts go first, as long as our milter lets them through; then the milter and the
//! control socket; then what is on disk: the journal, since it is worth most, and
//! history and cases beside one another. All of it takes [`STOP`] at the most. What is
//! not done by then is told and given up, as by a power cut: each file is whole or the
//! one before.

use crate::{fault, journal, manager::News, operator::Operator};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

/// How long messages in hand may take.
pub(super) const DRAIN: Duration = Duration::from_secs(10);
/// How long it may take in all: less than TimeoutStopSec= of the unit, when we are killed.
const STOP: Duration = Duration::from_secs(25);
/// How long of it alerts may take, and the reader of the mail log: what comes after them
/// is worth more.
const PART: Duration = Duration::from_secs(4);

/// What talks to others, running.
pub(super) struct Front {
    pub(super) milter: JoinHandle<io::Result<()>>,
    pub(super) stop_milter: oneshot::Sender<()>,
    /// The policy front-end, where there is one.
    pub(super) policy: Option<(JoinHandle<io::Result<()>>, oneshot::Sender<()>)>,
    pub(super) serving: JoinHandle<()>,
}

/// See the head of this file.
pub(super) async fn stop(operator: Arc<Operator>, front: Front) {
    let most = fault::number("stop").and_then(|seconds| u64::try_from(seconds).ok());
    let end = Instant::now() + most.map_or(STOP, Duration::from_secs);
    operator.manager.tell(News::Stopping);
    tracing::info!("stopping");
    let alert = Arc::clone(&operator.alert);
    if timeout_at(part(end), spawn_blocking(move || alert.stop())).await.is_err() {
        tracing::warn!("alerts did not end in time: what they told last may be told again");
    }
    close(front).await;
    keep(&operator, end).await;
    // The lock guards the whole directory: it goes last.
    let journal = Arc::clone(&operator.journal);
    if timeout_at(end, spawn_blocking(move || journal.stop())).await.is_err() {
        // It is let go by the end of the process. To drop the handle would be to wait
        // for its thread.
        std::mem::forget(Arc::clone(&operator.journal));
    }
}

fn part(end: Instant) -> Instant {
    end.min(Instant::now() + PART)
}

async fn close(front: Front) {
    let Front { milter, stop_milter, policy, serving } = front;
    let _ = stop_milter.send(());
    if let Some((policy, stop)) = policy {
        let _ = stop.send(());
        if !policy.is_finished()
            && let Err(error) = policy.await
        {
            tracing::error!("the policy front-end failed: {error}");
        }
    }
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
}

/// Brings to the disk what is not there yet.
async fn keep(operator: &Arc<Operator>, end: Instant) {
    // What the log tells is in the history that is saved last.
    let feedback = Arc::clone(&operator.feedback);
    if timeout_at(part(end), spawn_blocking(move || feedback.stop())).await.is_err() {
        tracing::warn!("the reader of the mail log did not end in time");
    }
    operator.engine.table().count_attempts();
    let flushed = timeout_at(end, operator.journal.flush()).await;
    let late = || Err(journal::NotDurable("the disk did not answer in time".into()));
    if let Err(error) = flushed.unwrap_or_else(|_| late()) {
        tracing::error!("changes are lost by this stop: {error}");
    }
    let (history, cases) = (Arc::clone(&operator.history), Arc::clone(&operator.cases));
    let history = spawn_blocking(move || history.stop());
    let cases = spawn_blocking(move || cases.stop());
    match timeout_at(end, cases).await {
        Ok(Ok(Err(error))) => {
            tracing::error!("what cases learned since then is lost by this stop: {error}");
        }
        Ok(_) => {}
        Err(_) => tracing::error!(
            "what {} cases learned last is lost by this stop: they are not written yet",
            operator.cases.unwritten()
        ),
    }
    match timeout_at(end, history).await {
        Ok(Ok(Err(error))) => {
            tracing::error!("what was learned since the last time is lost by this stop: {error}");
        }
        Ok(_) => {}
        Err(_) => tracing::error!(
            "what was learned since the last time is lost by this stop: it was not saved in time"
        ),
    }
}
