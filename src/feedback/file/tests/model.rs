//! Random histories of a log against a plain model of it.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    Lines(u8),
    Half,
    Rename,
    Late,
    Delete,
    Truncate,
    Poll,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u8..5).prop_map(Step::Lines),
        1 => Just(Step::Half),
        2 => Just(Step::Rename),
        2 => Just(Step::Late),
        1 => Just(Step::Delete),
        1 => Just(Step::Truncate),
        4 => Just(Step::Poll),
        1 => Just(Step::Restart),
    ]
}

/// A file as it ought to be read: its lines that were not, whether the follower
/// has it open, and whether it was truncated since.
#[derive(Default)]
struct Model {
    unread: Vec<u32>,
    half: Option<u32>,
    seen: bool,
    truncated: bool,
}

/// Every line with whether it must be read; all at most once.
struct Writer {
    world: World,
    next: u32,
    renamed: u32,
    current: Model,
    old: Option<(String, Model)>,
    /// Those that are still open since the last start.
    deleted: Vec<Model>,
    /// Renamed before that one.
    ended: Vec<Model>,
    must: BTreeMap<u32, bool>,
}

impl Writer {
    fn line(&mut self) -> u32 {
        self.next += 1;
        self.must.insert(self.next, true);
        self.next
    }

    fn lose(&mut self, model: &mut Model) {
        for number in model.unread.drain(..).chain(model.half.take()) {
            self.must.insert(number, false);
        }
    }

    fn write(&mut self, name: &str, model: &mut Model, count: u8) {
        if let Some(half) = model.half.take() {
            self.world.append(name, "ond half\n");
            model.unread.push(half);
        }
        for _ in 0..count {
            let number = self.line();
            self.world.append(name, &format!("{number} line\n"));
            model.unread.push(number);
        }
    }

    fn step(&mut self, step: &Step, found: &mut Vec<u32>) {
        let mut current = std::mem::take(&mut self.current);
        match step {
            Step::Lines(count) => self.write("mail.log", &mut current, *count),
            Step::Half if current.half.is_none() => {
                let number = self.line();
                self.world.append("mail.log", &format!("{number} sec"));
                current.half = Some(number);
            }
            Step::Half => {}
            Step::Rename => {
                self.renamed += 1;
                let name = format!("mail.log.{}", self.renamed);
                self.world.rename("mail.log", &name);
                self.world.append("mail.log", "");
                if let Some((_, mut old)) = self.old.take() {
                    self.end(&mut old);
                }
                self.old = Some((name, std::mem::take(&mut current)));
            }
            Step::Late => {
                if let Some((name, mut old)) = self.old.take() {
                    self.write(&name, &mut old, 1);
                    self.old = Some((name, old));
                }
            }
            Step::Delete => {
                fs::remove_file(self.world.path("mail.log")).unwrap();
                self.world.append("mail.log", "");
                let mut gone = std::mem::take(&mut current);
                gone.half.take().map(|half| self.must.insert(half, false));
                if gone.seen {
                    self.deleted.push(gone);
                } else {
                    self.lose(&mut gone);
                }
                // Only so many are kept open.
                if self.deleted.len() > 2
                    && let Some((_, mut old)) = self.old.take()
                {
                    self.lose(&mut old);
                }
            }
            Step::Truncate => {
                self.lose(&mut current);
                current.truncated = true;
                File::create(self.world.path("mail.log")).unwrap();
            }
            Step::Poll => {
                let read = self.world.poll();
                found.extend(read.iter().map(|line| {
                    assert!(line.ends_with(" line") || line.ends_with(" second half"), "{line}");
                    line.split(' ').next().unwrap().parse::<u32>().unwrap()
                }));
                let old = self.old.as_mut().map(|(_, old)| old);
                let others = self.deleted.iter_mut().chain(&mut self.ended);
                for model in others.chain(old).chain([&mut current]) {
                    model.unread.clear();
                    model.truncated = false;
                }
                current.seen = true;
            }
            Step::Restart => {
                self.world.restart();
                for mut gone in std::mem::take(&mut self.deleted) {
                    self.lose(&mut gone);
                }
                for mut ended in std::mem::take(&mut self.ended) {
                    if ended.truncated {
                        self.lose(&mut ended);
                    } else {
                        self.ended.push(ended);
                    }
                }
                // Nothing tells it from another file any more.
                if let Some((_, mut old)) = self.old.take_if(|(_, old)| old.truncated) {
                    self.lose(&mut old);
                }
                current.seen = true;
                current.truncated = false;
            }
        }
        self.current = current;
        // A file that nobody looked at while it had the name is never found.
        if let Some((name, mut old)) = self.old.take() {
            if old.seen {
                self.old = Some((name, old));
            } else {
                self.end(&mut old);
            }
        }
    }

    /// A file that nothing is written to any more.
    fn end(&mut self, model: &mut Model) {
        if model.seen {
            model.half.take().map(|half| self.must.insert(half, false));
            self.ended.push(std::mem::take(model));
        } else {
            self.lose(model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_line_is_read_once(steps in prop::collection::vec(step(), 0..40)) {
        let mut writer = Writer {
            world: World::new("before\n"),
            next: 0,
            renamed: 0,
            current: Model { seen: true, ..Model::default() },
            old: None,
            deleted: Vec::new(),
            ended: Vec::new(),
            must: BTreeMap::new(),
        };
        let mut found = Vec::new();
        for step in steps.iter().chain([&Step::Poll, &Step::Poll]) {
            writer.step(step, &mut found);
        }
        if let Some(half) = writer.current.half {
            writer.must.insert(half, false);
        }
        if let Some((_, Model { half: Some(half), .. })) = writer.old {
            writer.must.insert(half, false);
        }
        for (number, must) in &writer.must {
            let times = found.iter().filter(|it| *it == number).count();
            prop_assert!(times <= 1, "{number} was read {times} times in {found:?}");
            prop_assert!(times == 1 || !must, "{number} was not read: {found:?}");
        }
    }
}
