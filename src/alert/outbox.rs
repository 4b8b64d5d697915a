//! What was told, with what became of it in each channel: the newest thousand.
//!
//! One file, `alerts` in the state directory, mode 0600, a line each:
//!
//!   <CRC-32C of the JSON, 8 hex digits> <JSON>
//!
//! Lines are appended, and made durable before anything is sent:
//! `{"alert":…}` an alert that begins to be told, `{"done":…}` a channel is done
//! with it, `{"silent":…}` a connector whose silence was told. Now and then, and
//! after damage, the file is written anew aside and renamed. A line that can't be
//! read is left out. Where the disk fails, alerts are sent all the same.

#[cfg(test)]
mod tests;

use super::{Channel, Outcome};
use crate::{
    case::AlertKind,
    connector::Entity,
    record::CaseId,
    storage::{Disk, Replacement, Storage, StorageFile},
    timestamp::Timestamp,
    view::Alert,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Alerts that are kept.
const MOST: usize = 1000;
/// Lines of the file from which on it is written anew.
const MOST_LINES: usize = 8 * MOST;
/// Octets that are appended to the file until it is written anew, whatever lines.
const MOST_OCTETS: usize = if cfg!(test) { 256 << 10 } else { 32 << 20 };
/// What is kept of what all alerts cover, for a start after a crash, before which a case
/// may not have been written. A digest may cover a hundred thousand cases.
const MOST_COVERS: usize = if cfg!(test) { 2000 } else { 200_000 };
/// Connectors whose silence is remembered.
const MOST_SILENT: usize = 10_000;
/// How long a channel may take to tell an alert.
pub(super) const KEPT_UP: Duration = Duration::from_secs(24 * 3600);
/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The same where its folder is gone.
const RETRY_GONE: Duration = Duration::from_secs(5);

/// What of a case an alert tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Cover {
    pub(super) case: CaseId,
    pub(super) kind: AlertKind,
    pub(super) entity: Entity,
    /// When, as the case has it.
    pub(super) at: Timestamp,
}

/// What became of an alert in one channel.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sent {
    /// The channel.
    pub channel: Channel,
    /// `waiting`, `sent` or `failed`.
    pub state: String,
    /// When it was sent or given up.
    pub at: Option<Timestamp>,
    /// Why it failed, ...
    pub error: Option<String>,
}

/// An alert, as `alerts` lists it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Listed {
    /// When it was made.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: AlertKind,
    /// Whom it is about; nothing where it is about many, or about connguard.
    pub entity: Option<Entity>,
    /// Its case.
    pub case: Option<CaseId>,
    /// Its subject.
    pub subject: String,
    /// Its Message-ID, without brackets.
    pub id: String,
    /// What became of it; empty where alerts are only logged.
    pub channels: Vec<Sent>,
}

/// An alert and what became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) alert: Alert,
    #[serde(default)]
    pub(super) covers: Vec<Cover>,
    /// Troubles that it tells.
    #[serde(default)]
    pub(super) troubles: Vec<String>,
    pub(super) channels: Vec<Sent>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Alert(Box<Entry>),
    Done {
        id: String,
        #[serde(flatten)]
        sent: Sent,
    },
    Silent {
        entity: String,
        last_seen: Timestamp,
    },
}

/// See the head of this module.
pub(super) struct Outbox {
    storage: Box<dyn Storage>,
    path: PathBuf,
    entries: VecDeque<Entry>,
    /// When connectors sent last whose silence was told.
    silent: BTreeMap<String, Timestamp>,
    file: Option<Box<dyn StorageFile>>,
    lines: usize,
    octets: usize,
    error: Option<String>,
    retry_at: Timestamp,
}

impl Outbox {
    /// Reads what an earlier run left. What was to be sent and is too old, or a
    /// test, is given up.
    pub(super) fn open(folder: &Path, now: Timestamp) -> Self {
        Self::open_on(Box::new(Disk), folder, now)
    }

    fn open_on(storage: Box<dyn Storage>, folder: &Path, now: Timestamp) -> Self {
        let mut outbox = Self {
            storage,
            path: folder.join("alerts"),
            entries: VecDeque::new(),
            silent: BTreeMap::new(),
            file: None,
            lines: 0,
            octets: 0,
            error: None,
            retry_at: now,
        };
        match outbox.storage.read(&outbox.path, None) {
            Ok(content) => outbox.read(&content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => outbox.set_aside(&error),
        }
        for entry in &mut outbox.entries {
            let old = now.since(entry.alert.at) >= KEPT_UP || entry.alert.kind == AlertKind::Test;
            for sent in entry.channels.iter_mut().filter(|sent| old && sent.is_waiting()) {
                sent.give_up("not sent before connguard stopped", now);
            }
            entry.forget_text();
        }
        outbox.rewrite(now);
        outbox
    }

    /// Keeps a file that can't be read out of the way: the next write would replace it.
    fn set_aside(&self, error: &io::Error) {
        let old = self.path.with_extension("old");
        let (path, to) = (self.path.display(), old.display());
        match self.storage.rename(&self.path, &old) {
            Ok(()) => tracing::error!(
                "alerts: {path} can't be read ({error}): it was renamed to {to}; alerts that waited in it are not sent, and what was told before may be told again: see connguard list"
            ),
            Err(rename) => tracing::error!(
                "alerts: {path} can't be read ({error}), nor renamed to {to} ({rename}): it is replaced; alerts that waited in it are not sent: see connguard list"
            ),
        }
    }

    /// All alerts, oldest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Takes in an alert that begins to be told; gives those that found no room
    /// any more.
    pub(super) fn append(&mut self, mut entry: Entry, now: Timestamp) -> Vec<Entry> {
        entry.forget_text();
        self.write(&Line::Alert(Box::new(entry.clone())), now);
        self.entries.push_back(entry);
        self.forget_covers();
        let over = self.entries.len().saturating_sub(MOST);
        self.entries.drain(..over).collect()
    }

    /// Forgets what the oldest alerts cover, where that is too much.
    fn forget_covers(&mut self) {
        let mut covers: usize = self.entries.iter().map(|entry| entry.covers.len()).sum();
        let last = self.entries.len().saturating_sub(1);
        for entry in self.entries.iter_mut().take(last) {
            if covers <= MOST_COVERS {
                return;
            }
            covers -= std::mem::take(&mut entry.covers).len();
        }
    }

    /// A channel is done with an alert.
    pub(super) fn done(&mut self, outcome: &Outcome, now: Timestamp) {
        let mut entries = self.entries.iter_mut().rev();
        let Some(entry) = entries.find(|entry| entry.alert.id == outcome.id) else { return };
        let mut channels = entry.channels.iter_mut();
        let Some(sent) = channels.find(|sent| sent.channel == outcome.channel) else { return };
        if !sent.is_waiting() {
            return;
        }
        match &outcome.result {
            Ok(()) => {
                "sent".clone_into(&mut sent.state);
                sent.at = Some(outcome.at);
            }
            Err(error) => sent.give_up(error, outcome.at),
        }
        let line = Line::Done { id: outcome.id.clone(), sent: sent.clone() };
        entry.forget_text();
        self.write(&line, now);
    }

    /// When a connector sent last before its silence was told.
    pub(super) fn silent(&self, entity: &str) -> Option<Timestamp> {
        self.silent.get(entity).copied()
    }

    /// The silence of a connector is told.
    pub(super) fn note_silent(&mut self, entity: String, last_seen: Timestamp, now: Timestamp) {
        if self.silent.len() >= MOST_SILENT
            && let Some(oldest) = self.silent.iter().min_by_key(|(_, at)| **at)
        {
            let oldest = oldest.0.clone();
            self.silent.remove(&oldest);
        }
        self.write(&Line::Silent { entity: entity.clone(), last_seen }, now);
        self.silent.insert(entity, last_seen);
    }

    /// Tries the disk again where it failed, and keeps the file short.
    pub(super) fn tend(&mut self, now: Timestamp) {
        let is_long = self.lines > MOST_LINES || self.octets > MOST_OCTETS;
        let is_gone = self.file.as_ref().is_some_and(|file| !file.is_at(&self.path));
        if self.error.is_some() && now >= self.retry_at || is_long || is_gone {
            self.rewrite(now);
        }
    }

    /// Why the file can't be written.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn read(&mut self, content: &[u8]) {
        let mut bad = 0_usize;
        for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match parse(line) {
                Some(Line::Alert(entry)) => self.entries.push_back(*entry),
                Some(Line::Done { id, sent }) => {
                    let entry = self.entries.iter_mut().rev().find(|entry| entry.alert.id == id);
                    let channels = entry.map(|entry| entry.channels.iter_mut());
                    let mut channels = channels.into_iter().flatten();
                    if let Some(known) = channels.find(|known| known.channel == sent.channel) {
                        *known = sent;
                    }
                }
                Some(Line::Silent { entity, last_seen }) => {
                    self.silent.insert(entity, last_seen);
                }
                None => bad += 1,
            }
        }
        let over = self.entries.len().saturating_sub(MOST);
        self.entries.drain(..over);
        self.forget_covers();
        if bad > 0 {
            tracing::warn!("alerts: {bad} damaged lines of {} were left out", self.path.display());
        }
    }

    fn write(&mut self, line: &Line, now: Timestamp) {
        let Some(file) = &mut self.file else { return };
        let written = format(line).and_then(|text| {
            file.append(text.as_bytes())?;
            file.sync()?;
            Ok(text.len())
        });
        match written {
            Ok(octets) => {
                self.lines += 1;
                self.octets += octets;
            }
            Err(error) => self.fail(&error, now),
        }
    }

    fn fail(&mut self, error: &io::Error, now: Timestamp) {
        if self.error.is_none() {
            tracing::error!(
                "alerts: {} can't be written ({error}): alerts are sent, but a restart may send them again",
                self.path.display()
            );
        }
        self.file = None;
        self.error = Some(error.to_string());
        // A folder that somebody removed is made again by the journal.
        let is_gone = error.kind() == io::ErrorKind::NotFound;
        self.retry_at = now.plus(if is_gone { RETRY_GONE } else { RETRY });
    }

    fn rewrite(&mut self, now: Timestamp) {
        match self.written_anew() {
            Ok((file, lines)) => {
                if self.error.take().is_some() {
                    tracing::info!("alerts: {} is written again", self.path.display());
                }
                self.file = Some(file);
                self.lines = lines;
                self.octets = 0;
            }
            Err(error) => self.fail(&error, now),
        }
    }

    fn written_anew(&self) -> io::Result<(Box<dyn StorageFile>, usize)> {
        let silent = self.silent.iter().map(|(entity, last_seen)| {
            format(&Line::Silent { entity: entity.clone(), last_seen: *last_seen })
        });
        let alerts = self.entries.iter().map(|entry| format(&Line::Alert(Box::new(entry.clone()))));
        let lines = silent.chain(alerts).collect::<io::Result<Vec<String>>>()?;
        let mut aside = Replacement::begin(&*self.storage, self.path.with_extension("new"))?;
        aside.file().append(lines.concat().as_bytes())?;
        let file = aside.finish(&self.path)?;
        if let Some(folder) = self.path.parent() {
            self.storage.sync_folder(folder)?;
        }
        Ok((file, lines.len()))
    }
}

impl Entry {
    /// As it is listed.
    pub(super) fn listed(&self) -> Listed {
        let Alert { at, kind, entity, case, subject, id, .. } = &self.alert;
        Listed {
            at: *at,
            kind: *kind,
            entity: entity.clone(),
            case: *case,
            subject: subject.clone(),
            id: id.clone(),
            channels: self.channels.clone(),
        }
    }

    /// What nobody will send any more needs no text.
    fn forget_text(&mut self) {
        if !self.channels.iter().any(Sent::is_waiting) {
            self.alert.text = String::new();
            self.alert.data = Value::Null;
        }
    }
}

impl Sent {
    /// It is to be sent.
    pub(super) fn waiting(channel: Channel) -> Self {
        Self { channel, state: "waiting".into(), at: None, error: None }
    }

    /// Whether it is still to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        self.state == "waiting"
    }

    fn give_up(&mut self, error: &str, now: Timestamp) {
        *self = Self {
            channel: self.channel,
            state: "failed".into(),
            at: Some(now),
            error: Some(error.to_owned()),
        };
    }
}

fn format(line: &Line) -> io::Result<String> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())))
}

fn parse(line: &[u8]) -> Option<Line> {
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (crc32c::crc32c(json) == sum).then(|| serde_json::from_slice(json).ok())?
}
