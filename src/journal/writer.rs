//! The thread that follows the table: group commit, fresh segments, pruning.

use super::{
    Clock, Found, Params,
    format::{Head, Line, VERSION, write_line, write_next_line},
    handle::{End, State},
    numbers::Numbers,
    recovery::{self, segment_path, unfinished_path},
};
use crate::{
    fault,
    histogram::Histogram,
    record::{Record, Snapshot},
    restriction::{Batch, Table},
    storage::{Replacement, Storage, StorageFile},
    timestamp::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Bytes that are encoded before they are handed to the disk.
const CHUNK: usize = 1 << 20;
/// Wait after the first failure, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often to look whether the segment is still there while nothing changes.
const IDLE: Duration = Duration::from_secs(5);
/// Changes that are kept for the audit trail while the disk refuses.
const UNWRITTEN: usize = 8192;

/// Changes that were written together, or could not be.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// The changes; those of one entity in their order.
    pub records: &'a [Record],
    /// Whether they survive a restart.
    pub on_disk: bool,
    /// There were more, too many for the queue: look at the table itself.
    pub incomplete: bool,
}

/// The segment that is appended to.
struct Current {
    file: Box<dyn StorageFile>,
    records: u64,
    bytes: u64,
    /// From this length on the next one is begun.
    full: u64,
}

pub(super) struct Writer {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    /// Numbers of all segments, and when each was begun where that is known.
    segments: BTreeMap<u64, Option<Timestamp>>,
    table: Arc<Table>,
    params: Params,
    clock: Clock,
    /// None while the disk refuses.
    current: Option<Current>,
    /// The numbers of cases that may be given.
    numbers: Numbers,
    /// What the next segment has to hold beside the snapshot.
    unwritten: Vec<Record>,
    /// Written numbers after the first one that is not.
    ahead: BTreeSet<u64>,
    pause: Duration,
    /// How long each write and sync took.
    syncs: Arc<Histogram>,
    state: watch::Sender<State>,
}

impl Writer {
    /// A writer that has not yet touched the disk, and its state.
    pub(super) fn new(
        (storage, folder): (Arc<dyn Storage>, PathBuf),
        (seq, found): (u64, Found),
        table: Arc<Table>,
        params: Params,
        (clock, syncs): (Clock, Arc<Histogram>),
    ) -> (Self, watch::Receiver<State>) {
        let Found { segments, newest: (records, bytes) } = found;
        let last = segments.keys().next_back().copied().unwrap_or(1);
        let (state, reader) = watch::channel(State {
            durable: seq,
            path: segment_path(&folder, last),
            records,
            bytes,
            segments: segments.len(),
            set_aside: recovery::set_aside(&*storage, &folder),
            ..State::default()
        });
        let writer = Self {
            storage,
            folder,
            segments,
            table,
            params,
            syncs,
            clock,
            current: None,
            numbers: Numbers::default(),
            unwritten: Vec::new(),
            ahead: BTreeSet::new(),
            pause: FIRST_PAUSE,
            state,
        };
        (writer, reader)
    }

    /// What the thread has to do. The first segment is begun there as well: the one
    /// before it, from which the table was restored, stands until then, and a start
    /// need not wait for 100,000 lines to reach the disk (1 s to 2 s).
    pub(super) fn begin(
        mut self,
        mut announce: impl FnMut(&Announcement<'_>) + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        self.reserve();
        move || {
            let end = End(self.state.clone());
            self.at_disk(true);
            self.first();
            self.at_disk(false);
            loop {
                fault::point("journal thread");
                let longest = match self.current {
                    Some(_) => IDLE,
                    None => self.pause,
                };
                let batch = self.table.changes().take(longest);
                self.at_disk(true);
                let turn = AssertUnwindSafe(|| self.turn(&batch, &mut announce));
                if catch_unwind(turn).is_err() {
                    self.panicked(0);
                }
                // Not in a turn that somebody waits for.
                if batch.records.is_empty() {
                    self.look_aside();
                }
                self.at_disk(false);
                if batch.closed {
                    break;
                }
            }
            drop(end);
        }
    }

    /// Begins the first segment of this run.
    fn first(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.fresh())).is_err() {
            self.panicked(0);
        }
    }

    /// [`write`](Self::write), in which a panic is a failed write: what is in force is
    /// written afresh, now or later.
    fn attempt(&mut self, batch: &Batch) -> bool {
        let kept = self.unwritten.len();
        if let Ok(on_disk) = catch_unwind(AssertUnwindSafe(|| self.write(batch))) {
            return on_disk;
        }
        self.current = None;
        if self.unwritten.len() == kept {
            self.unwritten.extend_from_slice(&batch.records);
        }
        catch_unwind(AssertUnwindSafe(|| self.fresh())).unwrap_or_else(|_| {
            self.panicked(batch.records.iter().map(|record| record.seq).max().unwrap_or(0));
            false
        })
    }

    /// A disk that hangs shows by this.
    fn at_disk(&self, is: bool) {
        let since = is.then(|| (self.clock)());
        self.state.send_if_modified(|state| {
            state.at_disk = since;
            false
        });
    }

    /// Sees which damaged files are still there.
    fn look_aside(&self) {
        let set_aside = recovery::set_aside(&*self.storage, &self.folder);
        self.state.send_if_modified(|state| {
            state.set_aside = set_aside;
            false
        });
    }

    /// Changes up to number `seq` could not be written, by our own fault.
    fn panicked(&mut self, seq: u64) {
        self.current = None;
        self.failed(&io::Error::other("a fault of connguard, please report it"), seq);
    }

    /// Brings a batch to the disk and announces it.
    pub(super) fn turn(&mut self, batch: &Batch, announce: &mut dyn FnMut(&Announcement<'_>)) {
        let on_disk = self.attempt(batch);
        if !batch.records.is_empty() || batch.overflowed {
            let announcement =
                Announcement { records: &batch.records, on_disk, incomplete: batch.overflowed };
            let called = catch_unwind(AssertUnwindSafe(|| announce(&announcement)));
            if called.is_err() {
                tracing::error!("announcing changes panicked; the journal goes on");
            }
        }
        if batch.closed {
            self.numbers.finish(&*self.storage, &self.folder, self.table.next_case());
        } else {
            self.reserve();
        }
    }

    /// Makes sure that there are numbers for the next cases.
    pub(super) fn reserve(&mut self) {
        self.numbers.look(&*self.storage, &self.folder, self.table.next_case());
    }

    /// Brings a batch to the disk one way or the other; says whether it is
    /// there.
    fn write(&mut self, batch: &Batch) -> bool {
        // A number whose change never came leaves a gap: a snapshot closes it.
        let is_stuck = batch.records.is_empty() && !self.ahead.is_empty();
        if !batch.overflowed && !is_stuck && self.current.is_some() {
            match self.append(&batch.records) {
                Ok(()) => {
                    self.published(&batch.records);
                    if self.current.as_ref().is_some_and(|it| it.full <= it.bytes) {
                        self.fresh();
                    }
                    return true;
                }
                Err(error) => tracing::warn!(
                    %error,
                    "writing to the journal failed; trying with a fresh segment"
                ),
            }
        }
        if batch.overflowed || UNWRITTEN < self.unwritten.len() + batch.records.len() {
            self.unwritten.clear();
            tracing::warn!("too many changes for the journal: its audit trail has a gap");
        }
        self.unwritten.extend_from_slice(&batch.records);
        self.fresh()
    }

    /// One write and one sync for all of `records`.
    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        // Out of its place until all went well: see the head of the journal.
        let Some(mut current) = self.current.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if !current.file.is_at(&self.state.borrow().path) {
            return Err(io::Error::other("somebody removed its file"));
        }
        if !records.is_empty() {
            fault::point("journal");
            let mut lines = Vec::new();
            for record in records {
                match lines.is_empty() {
                    true => write_line(&mut lines, &Line::Change(record))?,
                    false => write_next_line(&mut lines, &Line::Change(record))?,
                }
            }
            let begun = (self.params.nanos)();
            fault::call("journal write")?;
            current.file.append(&lines)?;
            fault::call("journal sync")?;
            current.file.sync()?;
            let took = (self.params.nanos)().saturating_sub(begun);
            self.syncs.record(Duration::from_nanos(took));
            current.bytes += lines.len() as u64;
            current.records += records.len() as u64;
        }
        self.current = Some(current);
        Ok(())
    }

    /// Tells that `records` are durable. Numbers are drawn before records are
    /// queued, so that of two threads the later number can arrive first: what
    /// is told ends before the first gap.
    fn published(&mut self, records: &[Record]) {
        let mut durable = self.state.borrow().durable;
        let new = records.iter().map(|record| record.seq);
        self.ahead.extend(new.filter(|seq| durable < *seq));
        while self.ahead.remove(&(durable + 1)) {
            durable += 1;
        }
        self.state.send_modify(|state| {
            state.durable = durable;
            if let Some(current) = &self.current {
                state.records = current.records;
                state.bytes = current.bytes;
            }
        });
    }

    /// Begins a segment with all that is in force; says whether that worked.
    pub(super) fn fresh(&mut self) -> bool {
        self.current = None;
        let number = self.segments.keys().next_back().map_or(1, |last| last + 1);
        let created = (self.clock)();
        let snapshot = self.table.snapshot();
        match self.write_segment(number, created, &snapshot) {
            Ok(current) => {
                self.unwritten.clear();
                self.segments.insert(number, Some(created));
                self.prune(created);
                self.recovered(number, current, snapshot.seq);
                true
            }
            Err(error) => {
                // The number is used again: at worst in place of this one.
                self.failed(&error, snapshot.seq);
                false
            }
        }
    }

    fn write_segment(
        &self,
        number: u64,
        created: Timestamp,
        snapshot: &Snapshot,
    ) -> io::Result<Current> {
        let head = Head {
            connguard_journal: VERSION,
            segment: number,
            created,
            seq: snapshot.seq,
            next_case: snapshot.next_case,
            live: snapshot.live.len(),
        };
        // Somebody may have removed the whole folder.
        self.storage.make_folder(&self.folder)?;
        let unfinished = unfinished_path(&self.folder, number);
        let mut segment = Replacement::begin(&*self.storage, unfinished)?;
        let mut bytes = 0;
        let mut lines = Vec::new();
        write_line(&mut lines, &head)?;
        let live = snapshot.live.iter().map(Line::Live);
        for line in live.chain(self.unwritten.iter().map(Line::Change)) {
            write_line(&mut lines, &line)?;
            if CHUNK <= lines.len() {
                segment.file().append(&lines)?;
                bytes += lines.len() as u64;
                lines.clear();
            }
        }
        segment.file().append(&lines)?;
        bytes += lines.len() as u64;
        fault::call("journal segment")?;
        let file = segment.finish(&segment_path(&self.folder, number))?;
        self.storage.sync_folder(&self.folder)?;
        Ok(Current {
            file,
            records: self.unwritten.len() as u64,
            bytes,
            full: bytes.saturating_add(self.params.segment_bytes),
        })
    }

    fn recovered(&mut self, number: u64, current: Current, seq: u64) {
        self.pause = FIRST_PAUSE;
        self.ahead = self.ahead.split_off(&seq.saturating_add(1));
        let path = segment_path(&self.folder, number);
        self.state.send_modify(|state| {
            if state.error.take().is_some() {
                tracing::info!(path = %path.display(), "the journal is being written again");
            }
            state.begun = true;
            state.durable = state.durable.max(seq);
            state.path = path;
            state.segments = self.segments.len();
        });
        self.current = Some(current);
        self.published(&[]);
    }

    fn failed(&mut self, error: &io::Error, seq: u64) {
        self.pause = match self.state.borrow().error {
            Some(_) => (self.pause * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        let text: Arc<str> = format!("{}: {error}", self.folder.display()).into();
        self.state.send_modify(|state| {
            if state.error.as_ref() != Some(&text) {
                tracing::error!(
                    error = %text,
                    "the journal can't be written: changes are in force, and would be lost by a restart"
                );
            }
            state.begun = true;
            state.error = Some(text);
            state.failed_to = state.failed_to.max(seq);
        });
    }

    /// Removes segments that ended, which is when the next one was begun,
    /// longer ago than the audit trail goes back.
    fn prune(&mut self, now: Timestamp) {
        let mut ended = None;
        let mut old = Vec::new();
        for (number, begun) in self.segments.iter().rev() {
            if ended.is_some_and(|ended| self.params.keep < now.since(ended)) {
                old.push(*number);
            }
            ended = begun.or(ended);
        }
        for number in old {
            let path = segment_path(&self.folder, number);
            match self.storage.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn_unpruned(&path, &error);
                }
                _ => drop(self.segments.remove(&number)),
            }
        }
    }
}

fn warn_unpruned(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "an old journal segment can't be removed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{Actor, Event},
        storage::Disk,
    };

    fn record(seq: u64) -> Record {
        Record {
            seq,
            at: Timestamp::default(),
            by: Actor::Daemon,
            event: Event::Moved {
                from: crate::connector::ConnectorKey::Local.into(),
                to: Vec::new(),
            },
        }
    }

    #[test]
    fn nothing_is_durable_before_what_came_earlier() {
        let (mut writer, state) = Writer::new(
            (Arc::new(Disk), PathBuf::new()),
            (4, Found::default()),
            Arc::default(),
            Params::default(),
            (Arc::new(Timestamp::default), Arc::default()),
        );
        writer.published(&[record(6), record(8)]);
        assert_eq!(state.borrow().durable, 4);
        writer.published(&[record(5)]);
        assert_eq!(state.borrow().durable, 6);
        writer.published(&[record(9), record(7)]);
        assert_eq!(state.borrow().durable, 9);
        assert!(writer.ahead.is_empty());
    }
}
