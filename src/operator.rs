//! The commands of operators: an engine call, the wait until it is on disk,
//! an answer in words. The control socket brings them; a web page would be one
//! more way in beside it.

mod alerts;
pub mod figures;
#[doc(hidden)]
pub mod fuzz;
mod queue;
mod reload;
mod status;
mod target;
mod unblock;
mod usual;

pub use reload::{ReloadView, Reloader, unreachable_logins};

use crate::{
    alert,
    case::CaseFile,
    cases,
    clock::Clock,
    command::{Command, Failure},
    config::Config,
    connector::Entity,
    control::{Answers, Handler, Items, Peer},
    engine::{Blocked, Engine, Unblocked},
    fault, feedback, history, journal,
    manager::{Manager, News},
    milter, policy,
    record::{Actor, CaseId, Event, Record, Trust},
    timestamp::Timestamp,
    verdict::Action,
    view::{self, HistoryView, ListView},
};
use arc_swap::ArcSwap;
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Value, json};
use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// How long a disk may take before whoever waits for it is told.
const DISK_TAKES: Duration = Duration::from_secs(10);

/// Commands that may read files at a time.
pub const READERS: usize = 8;

fn disk_takes() -> Duration {
    let other = fault::number("disk takes").and_then(|seconds| u64::try_from(seconds).ok());
    other.map_or(DISK_TAKES, Duration::from_secs)
}

/// What operators' commands work on.
pub struct Operator {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The journal.
    pub journal: Arc<journal::Handle>,
    /// The history of connectors.
    pub history: Arc<history::Handle>,
    /// The cases on disk.
    pub cases: Arc<cases::Handle>,
    /// The milter front-end.
    pub milter: milter::Handle,
    /// The policy front-end, where there is one.
    pub policy: Option<policy::Handle>,
    /// Who reads the mail log.
    pub feedback: Arc<feedback::Handle>,
    /// Who tells administrators.
    pub alert: Arc<alert::Handle>,
    /// The configuration in force.
    pub config: Arc<ArcSwap<Config>>,
    /// How it is read again.
    pub reloader: Reloader,
    /// The state directory, whose audit trail is read.
    pub state: PathBuf,
    /// Places for those who read files, [`READERS`] of them.
    pub readers: Arc<Semaphore>,
    /// The service manager, which is told of a reload.
    pub manager: Manager,
    /// The clock.
    pub clock: Clock,
    /// How often restrictions began and ended.
    pub changes: Arc<figures::Changes>,
    /// When the daemon started.
    pub started: Timestamp,
}

impl Handler for Operator {
    async fn handle(
        &self,
        command: Command,
        peer: Peer,
        answers: &mut Answers,
    ) -> Result<Value, Failure> {
        let by = Actor::Operator(peer.name);
        let now = self.clock.now();
        match command {
            Command::Status => Ok(self.status(now)),
            Command::List { all } => self.list(all, answers, now).await,
            Command::Show { what } => self.show(&what, now).await,
            Command::Block { entity, reason, span_s, action } => {
                let span = span_s.map(Duration::from_secs);
                self.block(&entity, reason, span, action, by, now).await
            }
            Command::Unblock { what, reason, grace_s, false_positive, force } => {
                let grace = grace_s.map(Duration::from_secs);
                let how = Unblocked { grace, false_positive };
                self.unblock(&what, &reason, how, force, by, now).await
            }
            Command::Trust { entity, span_s, reason } => {
                self.trust(&entity, Duration::from_secs(span_s), reason, by, now).await
            }
            Command::Untrust { entity, reason } => self.untrust(&entity, &reason, by, now).await,
            Command::Explain { entity } => self.explain(&entity, now),
            Command::Normal { entity, reason } => self.normal(&entity, &reason, by, now).await,
            Command::History { entity } => self.history(entity.as_deref(), answers).await,
            Command::Top => self.top(answers, now).await,
            Command::Queue { what } => self.queue(&what, answers, now).await,
            Command::Queued { what, held, released } => {
                self.queued(&what, held, released, by, now).await
            }
            Command::Alerts => self.alerts(answers).await,
            Command::TestAlerts => self.test_alerts().await,
            Command::Reload => {
                let report = self.reload().await.map_err(Failure::refused)?;
                to_value(&report)
            }
        }
    }
}

impl Operator {
    /// A part that ended although it has to run as long as the daemon does.
    pub fn ended(&self) -> Option<&'static str> {
        let parts = [
            ("journal", self.journal.is_alive()),
            ("history", self.history.is_alive()),
            ("thread of the cases", self.cases.is_alive()),
            ("reader of the mail log", self.feedback.is_alive()),
            ("alerts", self.alert.is_alive()),
            ("reload of the configuration", !self.reloader.is_half()),
        ];
        parts.into_iter().find(|(_, is_alive)| !is_alive).map(|(part, _)| part)
    }

    /// Reads the configuration again and puts it into force as a whole, or
    /// not at all; then the error says every fault. After a panic in between,
    /// [`Reloader::is_half`] says so.
    pub async fn reload(&self) -> Result<ReloadView, String> {
        self.manager.tell(News::Reloading);
        let reload = AssertUnwindSafe(self.reloader.reload(self, self.clock.now()));
        let result = reload.catch_unwind().await.unwrap_or_else(|_| Err(reload::FAULT.to_owned()));
        match &result {
            Ok(report) => {
                tracing::info!("reloaded");
                for sentence in report.sentences() {
                    tracing::info!("reload: {sentence}");
                }
            }
            Err(error) => tracing::error!("reload: {error}"),
        }
        self.manager.tell(News::Ready);
        result
    }

    async fn list(
        &self,
        all: bool,
        answers: &mut Answers,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let engine = Arc::clone(&self.engine);
        let list = move |items: &mut Items| {
            view::list(&engine, all, now).try_for_each(|view| items.push(&view))
        };
        answers.items(list).await?;
        Ok(Value::Null)
    }

    async fn top(&self, answers: &mut Answers, now: Timestamp) -> Result<Value, Failure> {
        // It looks at each connector: no session must wait for this thread.
        let engine = Arc::clone(&self.engine);
        let top = tokio::task::spawn_blocking(move || view::top(&engine, now))
            .await
            .map_err(|error| Failure::refused(error.to_string()))?;
        for view in top {
            answers.item(&view).await?;
        }
        Ok(Value::Null)
    }

    async fn show(&self, what: &str, now: Timestamp) -> Result<Value, Failure> {
        let (entity, case) = match what.parse::<CaseId>() {
            Ok(case) => match self.case(case).await? {
                Some(file) => (file.restricted.first().unwrap_or(&file.root).clone(), Some(file)),
                None => (self.entity_of_case(case, now).await?, None),
            },
            Err(_) => (self.find(what, now)?, None),
        };
        let records = self.audit_trail(Some(entity.clone())).await?;
        let case = match (case, self.engine.cases().newest_of(&entity.root())) {
            (Some(asked), _) => Some(asked),
            // Shortly after a start its file may not be read yet.
            (None, Some(newest)) => self.case(newest.case).await?,
            (None, None) => match view::last_case(&records) {
                Some(last) => self.case(last).await?,
                None => None,
            },
        };
        let view = view::show(&self.engine, &entity, case, &records, now)
            .ok_or_else(|| Failure::no(format!("nothing is known of {entity}")))?;
        to_value(&view)
    }

    /// A case, also one that was over long ago.
    async fn case(&self, case: CaseId) -> Result<Option<CaseFile>, Failure> {
        let cases = Arc::clone(&self.cases);
        self.at_disk(move || cases.find(case))
            .await?
            .map_err(|error| Failure::refused(error.to_string()))
    }

    /// What `read` reads: not on a thread that serves mail, and not for ever where the
    /// disk hangs, nor on all threads there are.
    async fn at_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let hangs = |_| {
            Failure::refused(
                "the disk does not answer: what is in force holds, and connguard status says how it is; try again later",
            )
        };
        let reading = async {
            // Never closed.
            let permit = Arc::clone(&self.readers).acquire_owned().await.ok();
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                fault::point("disk read");
                read()
            })
            .await
        };
        // An audit trail may be long.
        timeout(5 * disk_takes(), reading)
            .await
            .map_err(hangs)?
            .map_err(|error| Failure::refused(error.to_string()))
    }

    async fn block(
        &self,
        entity: &str,
        reason: String,
        span: Option<Duration>,
        action: Option<Action>,
        by: Actor,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let reason = checked_reason(&reason)?.to_owned();
        if span.is_some_and(|span| span.is_zero()) {
            return Err(Failure::usage(
                "--for 0s is no time: give a duration as 2h, or leave it out",
            ));
        }
        let entity = self.find(entity, now)?;
        let trusted = self.engine.table().trust(&entity, now).is_some();
        let directory = &self.engine.settings().directory;
        let owner = entity.connector().map(|key| directory.current(key));
        let known = owner.is_none_or(|owner| self.engine.roster().get(&owner).is_some());
        let (held, seq) = self
            .engine
            .block(Blocked { entity, action, span, reason }, by, now)
            .map_err(|error| Failure::refused(error.to_string()))?;
        let restriction = &held.restriction;
        let mut message =
            format!("{} is restricted, case {}", restriction.entity, restriction.case);
        if let Some(until) = restriction.until {
            message.push_str(&format!(", until {}", until.local()));
        }
        if trusted {
            message.push_str("; it was trusted, that is over");
        }
        if !known {
            message.push_str("; nothing of that name has sent mail yet");
        }
        let view = ListView::of_restriction(&self.engine, &held, now);
        self.acknowledge(seq, message, "restricted", "is lifted by a restart", json!(view)).await
    }

    async fn trust(
        &self,
        entity: &str,
        span: Duration,
        reason: String,
        by: Actor,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let reason = checked_reason(&reason)?.to_owned();
        if span.is_zero() {
            return Err(Failure::usage("--for 0s is no time: give a duration as 24h"));
        }
        let entity = self.find(entity, now)?;
        let trust = Trust { since: now, until: now.plus(span), by, reason };
        let view = json!({ "entity": entity, "until": trust.until });
        let message = format!("{entity} is trusted until {}", trust.until.local());
        let seq = self
            .engine
            .trust(&entity, trust)
            .map_err(|error| Failure::refused(error.to_string()))?;
        self.acknowledge(seq, message, "trusted", "is forgotten by a restart", view).await
    }

    async fn untrust(
        &self,
        entity: &str,
        reason: &str,
        by: Actor,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let reason = checked_reason(reason)?;
        let entity = self.find(entity, now)?;
        let seq = self
            .engine
            .end_trust(&entity, reason, by, now)
            .ok_or_else(|| Failure::no(format!("{entity} is not trusted")))?;
        let message = format!("{entity} is no longer trusted");
        self.acknowledge(seq, message, "ended", "returns at restart", json!({ "entity": entity }))
            .await
    }

    async fn history(&self, entity: Option<&str>, answers: &mut Answers) -> Result<Value, Failure> {
        let entity = match entity {
            Some(text) => Some(self.find(text, self.clock.now())?),
            None => None,
        };
        let records = self.audit_trail(entity).await?;
        let send = move |items: &mut Items| {
            records.iter().try_for_each(|record| items.push(&HistoryView::from(record)))
        };
        answers.items(send).await?;
        Ok(Value::Null)
    }

    /// Waits until a change is on disk. It is in force whatever the disk does;
    /// if the disk fails, the answer says so.
    async fn acknowledge(
        &self,
        seq: u64,
        message: String,
        done: &str,
        otherwise: &str,
        what: Value,
    ) -> Result<Value, Failure> {
        let warning = match timeout(disk_takes(), self.journal.durable(seq)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{done} now, {error}: {otherwise}")),
            Err(_) => Some(format!(
                "{done} now, not on disk: the disk does not answer; until it does it {otherwise}"
            )),
        };
        Ok(
            json!({ "message": message, "durable": warning.is_none(), "warning": warning, "result": what }),
        )
    }

    async fn audit_trail(&self, entity: Option<Entity>) -> Result<Vec<Record>, Failure> {
        let folder = self.state.clone();
        let history = self
            .at_disk(move || journal::history(&folder, entity.as_ref()))
            .await?
            .map_err(|error| Failure::refused(format!("can't read the audit trail: {error}")))?;
        for warning in &history.warnings {
            tracing::warn!("audit trail: {warning}");
        }
        Ok(history.records)
    }

    /// The entity of a case that is in force, or else of one that is over.
    async fn entity_of_case(&self, case: CaseId, now: Timestamp) -> Result<Entity, Failure> {
        if let Some(entity) = self.engine.entities_of(case, now).into_iter().next() {
            return Ok(entity);
        }
        let of_case = |record: &Record| match &record.event {
            Event::Restricted(restriction) if restriction.case == case => {
                Some(restriction.entity.clone())
            }
            _ => None,
        };
        self.audit_trail(None)
            .await?
            .iter()
            .rev()
            .find_map(of_case)
            .ok_or_else(|| Failure::no(format!("there is no case {case}")))
    }
}

fn checked_reason(reason: &str) -> Result<&str, Failure> {
    let reason = reason.trim();
    match reason.chars().count() {
        0 => Err(Failure::usage("--reason is empty: say why, for whoever reads the history")),
        1..=500 => Ok(reason),
        _ => Err(Failure::usage("--reason is longer than 500 characters")),
    }
}

fn to_value(view: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(view).map_err(|error| Failure::refused(error.to_string()))
}
