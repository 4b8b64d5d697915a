//! Reading the configuration again: all or nothing.

use super::Operator;
use crate::{
    config::{self, Config},
    connector::{ConnectorKey, Entity},
    engine::{Engine, Moves},
    timestamp::Timestamp,
    view::names,
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// Where the configuration comes from.
#[derive(Debug)]
pub struct Reloader {
    /// The file.
    pub path: PathBuf,
    /// Names of this host, which count as registered.
    pub own_names: Vec<String>,
    /// One reload at a time.
    pub turn: tokio::sync::Mutex<()>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReloadView {
    /// The file that was read: the one that the daemon was started with.
    pub file: PathBuf,
    /// Keys that changed and take effect only at a restart.
    pub restart_needed: Vec<String>,
    /// What moved, and what that means for whom.
    #[serde(flatten)]
    pub moves: Moves,
    /// What else to know of the new configuration.
    pub warnings: Vec<String>,
}

impl ReloadView {
    /// What moved, one sentence each, for people and the log.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for key in &self.restart_needed {
            sentences.push(format!("{key} changed: takes effect at the next restart"));
        }
        for (from, to) in &self.moves.moved {
            sentences.push(format!(
                "{from} is now {}: history and restrictions went along",
                names(to, " and ")
            ));
        }
        for (from, to) in &self.moves.split {
            sentences.push(format!(
                "{} no longer belongs to {from}, which is restricted, and is restricted by itself now",
                names(to, " and ")
            ));
        }
        for entity in &self.moves.lost {
            sentences.push(format!(
                "{entity} is restricted, but no longer configured: nobody meets the restriction until it is"
            ));
        }
        for entity in &self.moves.idle {
            sentences.push(format!(
                "{entity} is restricted, but in observe mode now: nothing of it is refused"
            ));
        }
        for entity in &self.moves.unmarked {
            sentences
                .push(format!("{entity} was marked and is in enforce mode now: it starts afresh"));
        }
        for (entity, networks) in &self.moves.freed {
            sentences.push(format!(
                "{} belonged to {entity}, which is restricted, and can relay again: only addresses, /24 and /48 can be restricted by themselves",
                names(networks, " and ")
            ));
        }
        sentences.extend(self.warnings.iter().cloned());
        sentences
    }
}

impl Reloader {
    pub(super) async fn reload(
        &self,
        operator: &Operator,
        now: Timestamp,
    ) -> Result<ReloadView, String> {
        let Operator { engine, milter, feedback, alert, config: current, .. } = operator;
        let _turn = self.turn.lock().await;
        let new = config::load(&self.path, &self.own_names)
            .map_err(|faults| format!("the configuration stays as it was:\n{faults}"))?;
        let old = current.load_full();
        let restart_needed = restart_needed(&old, &new);
        // A million connectors take seconds, in which no session must wait for this thread.
        let (settings, changed) = (new.settings.clone(), Arc::clone(engine));
        let moves = tokio::task::spawn_blocking(move || changed.reload(settings, now))
            .await
            .map_err(|error| format!("the configuration stays as it was: {error}"))?;
        milter.reconfigure(new.milter.clone());
        feedback.reconfigure(new.mail_log.clone());
        alert.reconfigure(new.alert.clone());
        let mut warnings = new.warnings.clone();
        warnings.extend(unreachable_logins(engine, &new, now));
        current.store(Arc::new(new));
        let file = self.path.clone();
        Ok(ReloadView { file, restart_needed, moves, warnings })
    }
}

/// Restricted logins without a realm, while one is appended to every login:
/// nobody is known by them any more.
pub fn unreachable_logins(engine: &Engine, config: &Config, now: Timestamp) -> Vec<String> {
    let Some(realm) = config.milter.login_realm.as_deref() else {
        return Vec::new();
    };
    let sentence = |entity: Entity| match entity.as_connector() {
        Some(ConnectorKey::Login(login)) if !login.contains('@') => Some(format!(
            "{entity} is restricted, but logins end in @{realm} now and nobody meets that: block login:{login}@{realm}"
        )),
        _ => None,
    };
    let restricted = engine.table().list(now).into_iter();
    restricted
        .filter(|listed| listed.standing.restriction.is_some())
        .filter_map(|listed| sentence(listed.entity))
        .collect()
}

/// Keys that are read at the start only, and differ.
fn restart_needed(old: &Config, new: &Config) -> Vec<String> {
    let keys = [
        ("milter.listen", old.milter.listen != new.milter.listen),
        ("state.directory", old.state.directory != new.state.directory),
        ("state.max_connectors", old.state.max_connectors != new.state.max_connectors),
        ("control.socket", old.control.socket != new.control.socket),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}
