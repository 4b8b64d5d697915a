//! The herald: finds what is due, paces it, and has it written and sent.

use super::{
    Message, Status, bare,
    channel::Outcome,
    due::{self, Item},
    outbox::{Cover, Entry, KEPT_UP, Listed, Outbox, Sent},
    params::{Channel, Params},
    post::{self, Post},
    silent::{Quiet, Silent},
    tested::{Tested, Tests},
    trouble::{Trouble, Troubles},
};
use crate::{
    case::AlertKind,
    connector::Entity,
    engine::{Engine, Notice},
    timestamp::Timestamp,
    view::{self, About, Alert, Due},
};
use serde_json::json;
use std::{
    collections::{BTreeSet, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

/// Between two alerts.
const PACE: Duration = Duration::from_secs(60);
/// Between two alerts of new connectors: a site that begins has hundreds.
const NEW_PACE: Duration = Duration::from_secs(3600);
/// Things that wait and leave no trace elsewhere.
const MOST_WAITING: usize = 1024;

/// See the head of this module.
pub(super) struct Herald {
    engine: Arc<Engine>,
    post: Post,
    outbox: Outbox,
    troubles: Troubles,
    silent: Silent,
    looks: due::Looks,
    /// What waits and leaves no trace elsewhere, oldest first.
    waiting: VecDeque<Item>,
    left_out: u64,
    /// When something was last told, ...
    told_at: Option<Timestamp>,
    /// ... and a new connector.
    new_told_at: Option<Timestamp>,
    tests: Tests,
}

impl Herald {
    /// Takes up what an earlier run left, and starts the channels.
    pub(super) fn start(
        params: Params,
        engine: Arc<Engine>,
        folder: &Path,
        down: Duration,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        messages: &Sender<Message>,
    ) -> io::Result<Self> {
        let now = clock();
        let mut herald = Self {
            post: Post::start(params, Arc::clone(&engine), &clock, messages)?,
            outbox: Outbox::open(folder, now),
            troubles: Troubles::default(),
            silent: Silent::new(down, now),
            looks: due::Looks::default(),
            waiting: VecDeque::new(),
            left_out: 0,
            told_at: None,
            new_told_at: None,
            tests: Tests::default(),
            engine,
        };
        herald.take_up(now);
        Ok(herald)
    }

    /// What happened outside.
    pub(super) fn take(&mut self, message: Message, now: Timestamp) {
        match message {
            Message::Notices(notices) => {
                for notice in notices {
                    self.hear(notice);
                }
            }
            Message::Troubles(troubles) => {
                let ours = |key: &str| !key.starts_with(post::KEY);
                self.troubles.see(troubles, ours, now);
            }
            Message::Reconfigure(params) => {
                for gone in self.post.reconfigure(*params) {
                    self.give_up(gone, now);
                }
            }
            Message::Outcome(outcome) => self.done(&outcome, now),
            Message::Test(sender) => self.test(sender, now),
            Message::Stop => {}
        }
    }

    /// Tells what is due.
    pub(super) fn look(&mut self, now: Timestamp) {
        let theirs = |key: &str| key.starts_with(post::KEY);
        self.troubles.see(self.post.troubles(), theirs, now);
        self.outbox.tend(now);
        self.listen(now);
        self.tests.answer(now);
        if self.told_at.is_none_or(|told| now.since(told) >= PACE) {
            let items = self.due(now);
            if !items.is_empty() {
                self.tell(items, now);
                self.told_at = Some(now);
            }
        }
    }

    /// How alerts are doing.
    pub(super) fn status(&self) -> Status {
        let channels = self.post.status();
        Status {
            sent: channels.iter().map(|channel| channel.sent).sum(),
            failed: channels.iter().map(|channel| channel.failed).sum(),
            queued: channels.iter().map(|channel| channel.queued as u64).sum(),
            channels,
            error: self.outbox.error().map(str::to_owned),
            path: self.outbox.path().to_owned(),
            faulty: false,
        }
    }

    /// What was told, newest first.
    pub(super) fn list(&self) -> Vec<Listed> {
        self.outbox.entries().rev().map(Entry::listed).collect()
    }

    /// Ends the channels. What waits and leaves no trace elsewhere is written down
    /// first, before its turn: it is sent at the latest after the next start.
    pub(super) fn stop(&mut self, now: Timestamp) {
        let cases = self.engine.cases();
        let has_case = |entity: &Entity| cases.open_case(entity).is_some();
        let mut items = Vec::from(std::mem::take(&mut self.waiting));
        items.retain(|item| !(is_new(item) && item.due.entity.as_ref().is_some_and(has_case)));
        if !items.is_empty() {
            self.tell(items, now);
        }
        self.post.stop();
    }

    /// What an earlier run told, and began to.
    fn take_up(&mut self, now: Timestamp) {
        let channels = self.post.params().channels();
        let mut gone = Vec::new();
        for entry in self.outbox.entries() {
            let Alert { id, at, .. } = &entry.alert;
            for key in &entry.troubles {
                self.troubles.recall(key, *at);
            }
            // Of reminders only this list knows: the next one may be due in a week.
            let is_kept = |cover: &&Cover| {
                now.since(*at) < KEPT_UP || cover.kind == AlertKind::StillRestricted
            };
            due::note(&self.engine, entry.covers.iter().filter(is_kept), id);
            let alert = Arc::new(entry.alert.clone());
            for sent in entry.channels.iter().filter(|sent| sent.is_waiting()) {
                if channels.contains(&sent.channel) {
                    self.post.deliver(sent.channel, &alert);
                } else if !gone.contains(&sent.channel) {
                    gone.push(sent.channel);
                }
            }
        }
        for channel in gone {
            self.give_up(channel, now);
        }
    }

    /// A channel is no more: what waits for it is given up.
    fn give_up(&mut self, channel: Channel, now: Timestamp) {
        let waits = |entry: &&Entry| {
            entry.channels.iter().any(|sent| sent.channel == channel && sent.is_waiting())
        };
        let ids: Vec<String> =
            self.outbox.entries().filter(waits).map(|entry| entry.alert.id.clone()).collect();
        for id in ids {
            let result = Err("is not configured any more".to_owned());
            self.done(&Outcome { id, channel, result, at: now }, now);
        }
    }

    fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::NewConnector(key) if self.post.params().new_connectors => {
                self.wait(plain(AlertKind::NewConnector, Some(key.into()), About::Case));
            }
            Notice::Changed(key, changes) => {
                let about = About::Changes(changes);
                self.wait(plain(AlertKind::ConnectorChanged, Some(key.into()), about));
            }
            // The rest is for the log, or shows in a case.
            _ => {}
        }
    }

    /// Keeps what leaves no trace elsewhere until it is told.
    fn wait(&mut self, item: Item) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(item);
        } else {
            self.left_out += 1;
        }
    }

    /// Whom is nothing heard of?
    fn listen(&mut self, now: Timestamp) {
        let told = |entity: &Entity| self.outbox.silent(&entity.to_string());
        for Quiet { key, last_seen, weeks } in self.silent.look(&self.engine, told, now) {
            let about = About::Silent { last_seen, weeks };
            let item = plain(AlertKind::ConnectorSilent, Some(key.into()), about);
            let known = |waiting: &Item| {
                waiting.due.kind == item.due.kind && waiting.due.entity == item.due.entity
            };
            if !self.waiting.iter().any(known) {
                self.wait(item);
            }
        }
    }

    /// All that is due.
    fn due(&mut self, now: Timestamp) -> Vec<Item> {
        let mut items = self.looks.of_cases(&self.engine, self.post.params().repeat, now);
        for Trouble { key, text } in self.troubles.due(now) {
            let item = plain(AlertKind::Trouble, None, About::Trouble(text));
            items.push(Item { trouble: Some(key), ..item });
        }
        // Who is warned of or restricted is told of in full, and not in a digest
        // because it is new, too.
        let roots: BTreeSet<Entity> = items
            .iter()
            .filter_map(|item| item.due.case.as_ref().map(|file| file.root.clone()))
            .collect();
        let is_told = |item: &Item| {
            is_new(item) && item.due.entity.as_ref().is_some_and(|entity| roots.contains(entity))
        };
        self.waiting.retain(|item| !is_told(item));
        let new_may = self.new_told_at.is_none_or(|told| now.since(told) >= NEW_PACE);
        let waiting = std::mem::take(&mut self.waiting);
        let (stays, goes) = waiting.into_iter().partition(|item| is_new(item) && !new_may);
        self.waiting = stays;
        let goes: VecDeque<Item> = goes;
        if goes.iter().any(is_new) {
            self.new_told_at = Some(now);
        }
        items.extend(goes);
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            tracing::warn!("alerts: {left_out} more were left out: see connguard list --all");
        }
        items
    }

    /// Tells these: on disk, in their cases, then to the channels.
    fn tell(&mut self, items: Vec<Item>, now: Timestamp) {
        let id = self.fresh_id(now);
        // It would fail again at the next look, and nobody would be told anything.
        let words = AssertUnwindSafe(|| self.words(&items, &id, now));
        let mut alert = catch_unwind(words).unwrap_or_else(|_| bare::alert(&items, id, now));
        if let [item] = &items[..]
            && let Some(first) = item.due.case.as_ref().and_then(|case| case.told.first())
        {
            alert.in_reply_to.get_or_insert_with(|| first.id.clone());
        }
        log(&alert);
        let troubles: Vec<String> = items.iter().filter_map(|item| item.trouble.clone()).collect();
        // A channel that fails can't tell of itself.
        let tells_of = |channel: &Channel| match &items[..] {
            [Item { trouble: Some(key), .. }] => {
                key.strip_prefix(post::KEY) == Some(channel.as_str())
            }
            _ => false,
        };
        let mut channels = self.post.params().channels();
        channels.retain(|channel| !tells_of(channel));
        let silences = items.iter().filter_map(|item| match (&item.due.about, &item.due.entity) {
            (About::Silent { last_seen, .. }, Some(entity)) => {
                Some((entity.to_string(), *last_seen))
            }
            _ => None,
        });
        let silences: Vec<_> = silences.collect();
        let covers = items.into_iter().flat_map(|item| item.covers).collect();
        self.send(
            Entry {
                alert,
                covers,
                troubles: troubles.clone(),
                channels: channels.into_iter().map(Sent::waiting).collect(),
            },
            now,
        );
        for (entity, last_seen) in silences {
            self.outbox.note_silent(entity, last_seen, now);
        }
        for key in troubles {
            self.troubles.told(&key, now);
        }
    }

    fn words(&self, items: &[Item], id: &str, now: Timestamp) -> Alert {
        match items {
            [item] => view::alert(&self.engine, &item.due, id.to_owned(), now),
            items => {
                let dues: Vec<Due> = items.iter().map(|item| item.due.clone()).collect();
                view::digest(&self.engine, &dues, id.to_owned(), now)
            }
        }
    }

    fn send(&mut self, entry: Entry, now: Timestamp) {
        for dropped in self.outbox.append(entry.clone(), now) {
            for channel in self.post.drop(&dropped.alert.id) {
                let id = &dropped.alert.id;
                tracing::warn!("alert given_up id={id} channel={channel} why=\"too many wait\"");
            }
        }
        due::note(&self.engine, &entry.covers, &entry.alert.id);
        let alert = Arc::new(entry.alert);
        for Sent { channel, .. } in entry.channels {
            self.post.deliver(channel, &alert);
        }
    }

    fn done(&mut self, outcome: &Outcome, now: Timestamp) {
        self.outbox.done(outcome, now);
        self.tests.note(outcome);
        if let Err(error) = &outcome.result {
            tracing::warn!(
                "alert given_up id={} channel={} why={error:?}",
                outcome.id,
                outcome.channel
            );
        }
    }

    /// Sends an alert through every channel at once.
    fn test(&mut self, sender: Sender<Vec<Tested>>, now: Timestamp) {
        let params = self.post.params();
        let channels = params.channels();
        let targets = channels.iter().map(|channel| params.target(*channel).unwrap_or_default());
        let asked = channels.iter().copied().zip(targets).collect();
        let id = self.fresh_id(now);
        let due = plain(AlertKind::Test, None, About::Case).due;
        let alert = view::alert(&self.engine, &due, id.clone(), now);
        if !channels.is_empty() {
            log(&alert);
            let channels = channels.into_iter().map(Sent::waiting).collect();
            let (covers, troubles) = (Vec::new(), Vec::new());
            self.send(Entry { alert, covers, troubles, channels }, now);
        }
        self.tests.begin(id, asked, sender, now);
    }

    /// A Message-ID that no other alert has.
    fn fresh_id(&self, now: Timestamp) -> String {
        let mut bits = [0; 8];
        if getrandom::fill(&mut bits).is_err() {
            // Still another one than before, within a run.
            bits = (self.outbox.entries().count() as u64).to_be_bytes();
        }
        let random = u64::from_be_bytes(bits);
        format!("{}.{random:016x}@{}", now.as_millis(), self.post.params().host)
    }
}

fn is_new(item: &Item) -> bool {
    item.due.kind == AlertKind::NewConnector
}

fn plain(kind: AlertKind, entity: Option<Entity>, about: About) -> Item {
    let due = Due { kind, entity, case: None, about };
    Item { due, covers: Vec::new(), trouble: None }
}

/// Every alert is in the log, whatever its channels do.
fn log(alert: &Alert) {
    let kind = json!(alert.kind);
    let mut line = format!("alert kind={}", kind.as_str().unwrap_or_default());
    if let Some(entity) = &alert.entity {
        line.push_str(&format!(" entity={entity}"));
    }
    if let Some(case) = alert.case {
        line.push_str(&format!(" case={case}"));
    }
    line.push_str(&format!(" id={} subject={:?}", alert.id, alert.subject));
    tracing::info!("{line}");
}
