//! Cases of which most is on disk only.
//!
//! What a case is made of ([`Material`]) is nearly all of its size: 10 to 100 KB. A
//! hundred thousand restricted entities, each with a case, would take gigabytes. So at
//! most [`MOST_FULL`] cases have it in memory: those that collected something, or were
//! asked for, last. Of the others, which are *shelved*, memory has all but that: who,
//! the steps, what was told, the counts and the timeline, 1 to 5 KB.
//!
//! - Only what is written is shelved. Where the disk fails, three times as many stay;
//!   beyond, the oldest of them keep a part of their samples and names ([`Material::thin`]).
//! - Who asks for a shelved case, or has to write it because it changed, reads its file
//!   first, as with one that a start left for later (`unread.rs`).
//! - Counts alone make nobody read it more than once an hour: after a crash those of
//!   the last hour may be missing in it.
//! - What is collected later goes on top. Where evidence goes on that was in the case
//!   when it was shelved, and there was more before that, the new part of it is left
//!   out: the two can't be told apart any more, and nothing shall be counted twice.

use super::{
    Book, SLICE,
    state::{Kept, State},
};
use crate::{
    case::{CaseFile, Material, Timeline},
    record::CaseId,
    timestamp::Timestamp,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Cases with all that they are made of in memory.
pub const MOST_FULL: usize = 3000;
/// How often the counts of shelved cases are given to the disk.
const COUNTS_EVERY: Duration = Duration::from_secs(3600);
/// Cases that are looked at for one that makes room.
const LOOKS: usize = 16;

/// How many cases have all in memory.
#[derive(Debug)]
pub(super) struct MostFull(pub(super) usize);

impl Default for MostFull {
    fn default() -> Self {
        Self(MOST_FULL)
    }
}

/// What is remembered of a shelved case beside its file.
#[derive(Debug)]
pub(super) struct Shelved {
    /// When the evidence began that is in what is on disk.
    collected: Option<Timestamp>,
}

impl Book {
    /// Shelves all that may be, a slice at a time, if what was given to the disk is
    /// there.
    pub(super) fn shelve_what_is_written(&self) {
        let mut after = Some(0);
        while let Some(stamp) = after {
            let mut state = self.lock();
            if !state.turn_is_over {
                return;
            }
            state.written_now.clear();
            after = state.shelve_some(stamp, SLICE, None);
        }
    }
}

impl State {
    /// A case has all in memory, and is the last that shall go.
    pub(super) fn touch(&mut self, case: CaseId) {
        let Some(kept) = self.files.get_mut(&case) else { return };
        if kept.shelved.is_some() || kept.unread.is_some() {
            return;
        }
        self.used.remove(&kept.stamp);
        self.stamp += 1;
        kept.stamp = self.stamp;
        self.used.insert(self.stamp, case);
        self.shelve_some(0, LOOKS, Some(case));
    }

    /// Shelves cases where too many are full, those first that were not used for
    /// longest, but not the one that is `asked_for`. Looks at so many `after` this place
    /// in the order; gives the last one, if there may be more.
    pub(super) fn shelve_some(
        &mut self,
        after: u64,
        looks: usize,
        asked_for: Option<CaseId>,
    ) -> Option<u64> {
        let most = self.most_full.0;
        if self.used.len() <= most {
            return None;
        }
        let looked = self.used.range(after + 1..).take(looks);
        let looked: Vec<(u64, CaseId)> = looked.map(|(stamp, case)| (*stamp, *case)).collect();
        for (stamp, case) in &looked {
            if self.used.len() <= most {
                return None;
            }
            let Some(kept) = self.files.get_mut(case) else { continue };
            if kept.is_fresh {
                self.dirty.insert(*case);
            }
            if self.dirty.contains(case) || self.written_now.contains(case) {
                if self.used.len() <= 3 * most {
                    continue;
                }
                kept.thin();
            } else if asked_for == Some(*case) {
                continue;
            } else {
                kept.shelve();
            }
            self.used.remove(stamp);
        }
        looked.get(looks - 1).map(|(stamp, _)| *stamp)
    }

    /// A case is gone.
    pub(super) fn forget_use(&mut self, case: CaseId, kept: &Kept) {
        self.used.remove(&kept.stamp);
        self.wanted.remove(&case);
    }

    /// Takes in what the file of a shelved case says, or that there is none.
    pub(super) fn unshelve(&mut self, case: CaseId, file: Option<CaseFile>) {
        let Some(kept) = self.files.get_mut(&case) else { return };
        let Some(shelved) = kept.shelved.take() else { return };
        let is_lost = file.is_none();
        kept.take_back(&shelved, file.map(|file| file.material).unwrap_or_default());
        if self.wanted.remove(&case) || is_lost {
            self.dirty.insert(case);
        }
        self.touch(case);
    }

    /// What is collected now is all of the evidence that is in the case: its file has
    /// nothing more to say, if that had this evidence too when it was shelved.
    pub(super) fn is_superseded(&mut self, case: CaseId) {
        let Some(kept) = self.files.get_mut(&case) else { return };
        let had_it = |shelved: &mut Shelved| shelved.collected == kept.collected;
        if kept.shelved.take_if(had_it).is_some() && self.wanted.remove(&case) {
            self.dirty.insert(case);
        }
    }

    /// Counts are given to the disk: those of shelved cases only from time to time.
    pub(super) fn give_counts(&mut self, now: Timestamp, all: bool) {
        // A clock that went back must not stop it.
        let is_recent =
            |last: Timestamp| now.since(last) < COUNTS_EVERY && last.since(now) < COUNTS_EVERY;
        let all = all || !is_recent(self.gave_counts);
        if all {
            self.gave_counts = now;
        }
        let files = &self.files;
        let waits =
            |case: &CaseId| !all && files.get(case).is_some_and(|kept| kept.shelved.is_some());
        let counted = std::mem::take(&mut self.counted);
        let (wait, new): (BTreeSet<CaseId>, BTreeSet<CaseId>) =
            counted.into_iter().partition(waits);
        self.counted = wait;
        new.into_iter().for_each(|case| self.mark(case));
    }
}

impl Kept {
    fn shelve(&mut self) {
        self.stamp = 0;
        self.give_up_earlier();
        self.shelved = Some(Shelved { collected: self.collected });
        let material = &mut Arc::make_mut(&mut self.file).material;
        let Material { since, timeline, .. } = std::mem::take(material);
        *material = Material { since, timeline, ..Material::default() };
    }

    fn thin(&mut self) {
        self.stamp = 0;
        self.give_up_earlier();
        Arc::make_mut(&mut self.file).material.thin();
    }

    /// Forgets what was collected before the present evidence, unless that is counts
    /// alone; what is collected of this evidence later is left out then.
    fn give_up_earlier(&mut self) {
        let is_light =
            |earlier: &Material| earlier.samples.is_empty() && earlier.senders.total == 0;
        if self.earlier.as_ref().is_some_and(|earlier| !is_light(earlier)) {
            self.spent = self.collected.take();
            self.earlier = None;
        }
    }

    /// What the file has comes before what was collected since; the timeline is here.
    fn take_back(&mut self, shelved: &Shelved, mut before: Material) {
        before.timeline = Timeline::default();
        if self.collected != shelved.collected {
            let mut earlier = before.clone();
            earlier.merge(&self.earlier.take().map_or_else(Material::default, |earlier| *earlier));
            self.earlier = Some(Box::new(earlier));
        }
        let material = &mut Arc::make_mut(&mut self.file).material;
        before.merge(material);
        *material = before;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use crate::{connector::Entity, record::Sample};
    use proptest::prelude::*;
    use std::collections::HashMap;

    const START: u64 = 1_795_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(START + seconds)
    }

    fn root(case: u64) -> Entity {
        format!("connector:c{case}").parse().unwrap()
    }

    /// All that was collected since this time, of so many messages.
    fn material(since: u64, messages: u64) -> Material {
        let mut material = Material { since: at(since), external: messages, ..Material::default() };
        for number in 0..messages {
            material.senders.note(&format!("s{since}@a.test"), true);
            material.timeline.note(1, 0, at(since + 60 * number));
            material.keep(Sample {
                at: at(since),
                queue_id: None,
                message_id: None,
                sender: number.to_string().into(),
                from: None,
                recipients: 1,
                passed: true,
            });
        }
        material
    }

    /// A book of which at most four cases are full, and its files.
    struct Site {
        book: Book,
        files: HashMap<CaseId, CaseFile>,
    }

    impl Site {
        fn new() -> Self {
            let book = Book::default();
            book.lock().most_full = MostFull(4);
            Self { book, files: HashMap::new() }
        }

        fn full(&self) -> usize {
            self.book.lock().files.values().filter(|kept| kept.shelved.is_none()).count()
        }

        /// As the thread does that writes the cases.
        fn write(&mut self) {
            loop {
                for case in self.book.unread(3) {
                    self.book.supply(case, self.files.get(&case).cloned());
                }
                let (changed, _) = self.book.take_changed(Duration::ZERO);
                if changed.is_empty() && self.book.unread(1).is_empty() {
                    self.book.shelve_what_is_written();
                    return;
                }
                for file in changed {
                    self.files.insert(file.case, CaseFile::clone(&file));
                }
            }
        }

        fn find(&self, case: CaseId) -> CaseFile {
            if self.book.is_unread(case) {
                self.book.supply(case, self.files.get(&case).cloned());
            }
            self.book.get(case).unwrap()
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        /// A message more; the evidence began again before.
        Collect(u64, bool),
        Count(u64),
        Update(u64),
        Write,
        /// So many hours later, with a look at what is over.
        Later(u64),
        Find(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let case = || 1_u64..12;
        prop_oneof![
            4 => (case(), any::<bool>()).prop_map(|(case, again)| Op::Collect(case, again)),
            2 => case().prop_map(Op::Count),
            1 => case().prop_map(Op::Update),
            3 => Just(Op::Write),
            1 => (0_u64..2).prop_map(Op::Later),
            1 => case().prop_map(Op::Find),
        ]
    }

    proptest! {
        #[test]
        fn a_shelved_case_is_as_if_it_had_stayed(ops in proptest::collection::vec(op(), 1..120)) {
            let (mut site, plain) = (Site::new(), Book::default());
            // Since when, how much, and how often it began again.
            let mut evidence: HashMap<u64, (u64, u64, u32)> = HashMap::new();
            let mut now = 1000;
            for case in 1..12 {
                for book in [&site.book, &plain] {
                    book.begin(CaseId(case), &root(case), at(now));
                }
            }
            for op in ops {
                now += 1;
                let both = [&site.book, &plain];
                match op {
                    Op::Collect(case, again) => {
                        let (since, messages, begun) = evidence.entry(case).or_default();
                        // What goes on after that may be left out: see the next test.
                        if again || *begun > 1 || *messages == 0 {
                            (*since, *messages, *begun) = (now, 0, *begun + 1);
                        }
                        *messages += 1;
                        for book in both {
                            book.collect(CaseId(case), material(*since, *messages));
                        }
                    }
                    Op::Count(case) => both.into_iter().for_each(|book| book.count(CaseId(case), 2, 1, at(now))),
                    Op::Update(case) => {
                        both.into_iter().for_each(|book| book.suspect(CaseId(case), &root(case), Vec::new(), at(now)))
                    }
                    Op::Write => {
                        site.write();
                        prop_assert!(site.full() <= 4, "{} are full", site.full());
                    }
                    Op::Later(hours) => {
                        now += 3600 * hours + 60;
                        both.into_iter().for_each(|book| book.close_what_is_over(at(now), |_| true));
                    }
                    Op::Find(case) => {
                        let found = site.find(CaseId(case));
                        prop_assert_eq!(found, plain.get(CaseId(case)).unwrap());
                    }
                }
            }
            site.book.close();
            site.write();
            for case in (1..12).map(CaseId) {
                prop_assert_eq!(&site.files[&case], &plain.get(case).unwrap());
                prop_assert_eq!(site.find(case), plain.get(case).unwrap());
            }
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_counted_twice() {
        let mut site = Site::new();
        let external = |site: &Site| site.find(CaseId(1)).material.external;
        for case in 1..10 {
            site.book.begin(CaseId(case), &root(case), at(0));
        }
        site.book.collect(CaseId(1), material(0, 5));
        site.book.collect(CaseId(1), material(100, 2));
        (2..10).for_each(|case| site.book.collect(CaseId(case), material(0, 1)));
        site.write();
        assert!(site.book.is_unread(CaseId(1)), "it is shelved");
        site.book.collect(CaseId(1), material(100, 4));
        assert_eq!(external(&site), 7);
        site.book.collect(CaseId(1), material(200, 3));
        assert_eq!(external(&site), 10);
    }

    #[test]
    fn evidence_that_began_while_a_case_was_shelved_adds_to_its_file() {
        let mut site = Site::new();
        for case in 1..10 {
            site.book.begin(CaseId(case), &root(case), at(0));
        }
        site.book.collect(CaseId(1), material(0, 5));
        (2..10).for_each(|case| site.book.collect(CaseId(case), material(0, 1)));
        site.write();
        assert!(site.book.is_unread(CaseId(1)), "it is shelved");
        site.book.collect(CaseId(1), material(100, 1));
        site.book.collect(CaseId(1), material(100, 2));
        site.book.close();
        site.write();
        assert_eq!(site.files[&CaseId(1)].material.external, 7);
        assert_eq!(site.files[&CaseId(1)].material.senders.total, 7);
        assert_eq!(site.find(CaseId(1)).material.external, 7);
    }

    #[test]
    fn a_disk_that_fails_does_not_fill_memory() {
        let site = Site::new();
        for case in 1..100 {
            site.book.begin(CaseId(case), &root(case), at(case));
            site.book.collect(CaseId(case), material(0, 30));
        }
        let samples = |case| site.book.get(CaseId(case)).unwrap().material.samples.len();
        let full = (1..100).filter(|case| samples(*case) > 4).count();
        assert!(full <= 12, "{full} are full");
        assert_eq!((samples(1), samples(99)), (4, 20));
        assert_eq!(site.book.get(CaseId(1)).unwrap().material.external, 30);
    }
}
