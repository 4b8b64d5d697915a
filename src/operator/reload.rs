//! Reading the configuration again: all or nothing.

use super::Operator;
use crate::{
    config::{self, Config},
    connector::{ConnectorKey, Entity},
    engine::{Engine, Moves},
    fault,
    timestamp::Timestamp,
    view::names,
};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// Where the configuration comes from.
#[derive(Debug)]
pub struct Reloader {
    /// The file.
    pub path: PathBuf,
    /// Names of this host, which count as registered.
    pub own_names: Vec<String>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
    /// Not all of a new configuration is in force.
    half: AtomicBool,
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

/// Sentences of one kind; that more entities met the same says one more. (A hundred
/// thousand can be restricted when the mode changes.)
const ALIKE: usize = 20;

impl ReloadView {
    /// What moved, one sentence each, for people and the log; where very many moved
    /// alike, the first of them and how many more.
    pub fn sentences(&self) -> Vec<String> {
        let Moves { moved, split, lost, idle, unmarked, freed } = &self.moves;
        let mut sentences = Vec::new();
        for key in &self.restart_needed {
            sentences.push(format!("{key} changed: takes effect at the next restart"));
        }
        tell(&mut sentences, moved, |(from, to)| {
            format!("{from} is now {}: history and restrictions went along", names(to, " and "))
        });
        tell(&mut sentences, split, |(from, to)| {
            format!(
                "{} no longer belongs to {from}, which is restricted, and is restricted by itself now",
                names(to, " and ")
            )
        });
        tell(&mut sentences, lost, |entity| {
            format!(
                "{entity} is restricted, but no longer configured: nobody meets the restriction until it is"
            )
        });
        tell(&mut sentences, idle, |entity| {
            format!("{entity} is restricted, but in observe mode now: nothing of it is refused")
        });
        tell(&mut sentences, unmarked, |entity| {
            format!("{entity} was marked and is in enforce mode now: it starts afresh")
        });
        tell(&mut sentences, freed, |(entity, networks)| {
            format!(
                "{} belonged to {entity}, which is restricted, and can relay again: only addresses, /24 and /48 can be restricted by themselves",
                names(networks, " and ")
            )
        });
        sentences.extend(self.warnings.iter().cloned());
        sentences
    }
}

fn tell<T>(sentences: &mut Vec<String>, alike: &[T], sentence: impl Fn(&T) -> String) {
    sentences.extend(alike.iter().take(ALIKE).map(sentence));
    if alike.len() > ALIKE {
        sentences.push(format!(
            "the same of {} more: connguard list --all shows how they are",
            alike.len() - ALIKE
        ));
    }
}

/// What is said when a reload panics.
pub(super) const FAULT: &str = "the reload failed by a fault of connguard, please report it; where something had changed already the daemon ends, to start with the new configuration";

impl Reloader {
    /// Reads `path` from now on, as the configuration of a host with these names.
    pub fn new(path: PathBuf, own_names: Vec<String>) -> Self {
        Self { path, own_names, turn: tokio::sync::Mutex::default(), half: AtomicBool::new(false) }
    }

    /// Whether a reload broke off when a part of the new configuration was in force.
    pub fn is_half(&self) -> bool {
        // One that is under way has the turn.
        self.half.load(SeqCst) && self.turn.try_lock().is_ok()
    }

    pub(super) async fn reload(
        &self,
        operator: &Operator,
        now: Timestamp,
    ) -> Result<ReloadView, String> {
        let Operator { engine, milter, policy, feedback, alert, config: current, .. } = operator;
        let _turn = self.turn.lock().await;
        let new = config::load(&self.path, &self.own_names)
            .map_err(|faults| format!("the configuration stays as it was:\n{faults}"))?;
        fault::point("reload");
        let old = current.load_full();
        let restart_needed = restart_needed(&old, &new);
        // A million connectors take seconds, in which no session must wait for this thread.
        let (settings, changed) = (new.settings.clone(), Arc::clone(engine));
        self.half.store(true, SeqCst);
        let moves = tokio::task::spawn_blocking(move || changed.reload(settings, now))
            .await
            .map_err(|_| FAULT.to_owned())?;
        fault::point("reload half done");
        milter.reconfigure(new.milter.clone());
        if let Some((policy, params)) = policy.as_ref().zip(new.policy.clone()) {
            policy.reconfigure(params);
        }
        feedback.reconfigure(new.mail_log.clone());
        alert.reconfigure(new.alert.clone());
        let mut warnings = new.warnings.clone();
        warnings.extend(unreachable_logins(engine, &new, now));
        current.store(Arc::new(new));
        self.half.store(false, SeqCst);
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
    let listens = |config: &Config| config.policy.as_ref().map(|policy| policy.listen.clone());
    let role = |config: &Config| config.policy.as_ref().map(|policy| policy.role);
    let keys = [
        ("milter.listen", old.milter.listen != new.milter.listen),
        ("policy.listen", listens(old) != listens(new)),
        ("policy.role", role(old) != role(new)),
        ("state.directory", old.state.directory != new.state.directory),
        ("state.max_connectors", old.state.max_connectors != new.state.max_connectors),
        ("control.socket", old.control.socket != new.control.socket),
        ("metrics.listen", old.metrics != new.metrics),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{SECTIONS, Taken, config_of, file_with};

    #[test]
    fn what_the_table_of_keys_says_of_restarts_is_told() {
        for section in SECTIONS {
            for key in section.keys {
                let config = |value| config_of(&file_with(section, key, value)).map_err(|_| key);
                let (Ok(old), Ok(new)) = (config(None), config(Some(key.example))) else {
                    unreachable!("the example of {} is accepted", key.name)
                };
                let name = format!("{}.{}", section.name, key.name);
                let expected = match key.taken {
                    Taken::Reload => vec![],
                    Taken::Restart => vec![name],
                };
                let told = restart_needed(&old, &new);
                // Who judges by policy alone listens for no milter.
                let told: Vec<String> = match key.name {
                    "role" => told.into_iter().filter(|key| key != "milter.listen").collect(),
                    _ => told,
                };
                assert_eq!(told, expected, "{}", key.name);
            }
        }
    }

    #[test]
    fn very_many_that_moved_alike_are_counted() {
        let entities = |count: usize| -> Vec<Entity> {
            let names = (0..count).map(|n| format!("client:192.0.2.{n}"));
            names.filter_map(|name| name.parse().ok()).collect()
        };
        let sentences = |count| {
            let moves = Moves { idle: entities(count), ..Moves::default() };
            ReloadView { moves, ..ReloadView::default() }.sentences()
        };
        assert_eq!(sentences(ALIKE).len(), ALIKE);
        let many = sentences(ALIKE + 5);
        assert_eq!(many.len(), ALIKE + 1);
        let last = many.last().map(String::as_str);
        assert_eq!(last, Some("the same of 5 more: connguard list --all shows how they are"));
    }
}
