//! What a replay learned, as the history that the daemon starts with.

use super::super::Error;
use crate::{
    daemon::HISTORY_SCHEMA,
    engine, history,
    journal::{Journal, Locked},
    replay::Replay,
    storage::Whose,
    timestamp::Timestamp,
};
use std::path::{Path, PathBuf};

/// A directory that is ours while the replay runs.
pub(super) struct Learn {
    directory: PathBuf,
    /// Its lock.
    _locked: Locked,
}

impl Learn {
    /// Takes the directory, making it where it is missing.
    pub(super) fn begin(directory: &Path) -> Result<Self, Error> {
        let refused = |why: String| Error::No(format!("--learn {}: {why}", directory.display()));
        // Root prepares what another user will use.
        let locked = Journal::lock(directory, Whose::Anybodys);
        let locked = locked.map_err(|error| refused(error.to_string()))?;
        let history = directory.join("history");
        if history.exists() {
            return Err(refused(format!(
                "there is a history already; what was learned live is worth more. To begin anew \
                 from logs, stop connguard and move {} away first",
                history.display()
            )));
        }
        Ok(Self { directory: directory.to_owned(), _locked: locked })
    }

    /// Writes what the first lane learned; says so in a sentence. `to` is the end
    /// of the log.
    pub(super) fn save(
        self,
        replay: &Replay,
        to: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<String, Error> {
        let (Some(lane), Some(to)) = (replay.lanes().first(), to) else {
            return Ok("nothing was learned: the log shows no mail".into());
        };
        let failed = |error| {
            Error::No(format!("--learn {}: can't write it: {error}", self.directory.display()))
        };
        let engine = lane.engine();
        // No clock was ever ahead of now: what is yet to come would mute nothing.
        let saved_at = to.min(now);
        let mut store = history::Store::open(&self.directory, HISTORY_SCHEMA);
        let written = store
            .save(history::Saved {
                key: engine.key(),
                connectors: engine.histories(),
                filters: engine.filters(),
                // What was waited for then is long over.
                messages: std::iter::empty::<engine::Waiting>(),
                place: None,
                saved_at,
                muted_until: engine.muted_until(saved_at),
            })
            .map_err(failed)?;
        Ok(format!(
            "what {} connectors sent until {} is written to {}: a daemon with this state \
             directory starts with it (as its own user: chown it). Restrictions are not",
            written.connectors,
            to.local(),
            store.path().display()
        ))
    }
}
