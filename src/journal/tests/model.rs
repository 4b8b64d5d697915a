//! Random histories beside a plain model: what it has in force is what the table has,
//! and what the journal has after a crash.

use super::{crash::Site, *};
use crate::{
    record::{Grace, Raised},
    restriction::Aftermath,
    storage::memory::{Bytes, Memory},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst};

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// For so long, or without end.
    Restrict(usize, Option<u64>),
    /// With a grace of so long; or it was wrong.
    Lift(usize, u64, bool),
    /// For so long.
    Trust(usize, u64),
    EndTrust(usize),
    Usual(usize),
    Suspect(usize),
    Pass(u64),
    Sweep,
    /// The journal takes what changed.
    Write,
    Stop,
    /// What is torn, of all that can be.
    Crash(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let who = 0..4_usize;
    prop_oneof![
        4 => (who.clone(), prop::option::of(1..200_u64)).prop_map(|(a, b)| Restrict(a, b)),
        3 => (who.clone(), 0..100_u64, any::<bool>()).prop_map(|(a, b, c)| Lift(a, b, c)),
        2 => (who.clone(), 1..100_u64).prop_map(|(a, b)| Trust(a, b)),
        1 => who.clone().prop_map(EndTrust),
        1 => who.clone().prop_map(Usual),
        2 => who.prop_map(Suspect),
        2 => (1..60_u64).prop_map(Pass),
        1 => Just(Sweep),
        5 => Just(Write),
        1 => Just(Stop),
        2 => any::<prop::sample::Index>().prop_map(Crash),
    ]
}

type Force = BTreeMap<Entity, Standing>;

/// What is in force, as the words of the design have it.
#[derive(Clone, Debug, Default)]
struct Model {
    force: Force,
    now: u64,
}

impl Model {
    fn now(&self) -> Timestamp {
        at(self.now)
    }

    /// Without what is over by the clock.
    fn at_present(&self) -> Force {
        let now = self.now();
        let mut force = self.force.clone();
        for standing in force.values_mut() {
            standing.restriction.take_if(|it| it.until.is_some_and(|until| until <= now));
            standing.trust.take_if(|it| it.until <= now);
            standing.grace.take_if(|it| it.until <= now);
            standing.raised.take_if(|it| it.until <= now);
        }
        force.retain(|_, standing| !standing.is_empty());
        force
    }

    fn of(&mut self, n: usize) -> &mut Standing {
        self.force = self.at_present();
        self.force.entry(client(n)).or_default()
    }

    /// `made` is there where it was made now.
    fn restrict(&mut self, n: usize, made: Option<Arc<Restriction>>) {
        let standing = self.of(n);
        assert_eq!(made.is_none(), standing.restriction.is_some());
        if let Some(made) = made {
            let raised = standing.raised.take();
            *standing = Standing { restriction: Some(made), raised, ..Standing::default() };
        }
    }

    fn lift(&mut self, n: usize, grace: u64, is_wrong: bool) {
        let now = self.now();
        let standing = self.of(n);
        let Some(lifted) = standing.restriction.take() else { return };
        let until = now.plus(Duration::from_secs(grace));
        let grace = Grace { until, case: lifted.case, signals: Vec::new() };
        standing.grace = (now < until).then_some(grace);
        standing.raised =
            is_wrong.then(|| Raised::after(standing.raised.as_ref(), lifted.case, now));
    }
}

fn trust(now: Timestamp, length: u64) -> Trust {
    let until = now.plus(Duration::from_secs(length));
    Trust { since: now, until, by: Actor::Daemon, reason: "newsletter".into() }
}

/// The daemon, its disk and the model of it.
struct Pair {
    disk: Memory,
    site: Site,
    /// What was in force from what was told last on, the newest last.
    since_told: Vec<Model>,
    model: Model,
    /// Whose each case was.
    cases: BTreeMap<CaseId, usize>,
}

const PARAMS: Params = Params { keep: Duration::from_secs(100), segment_bytes: 3000, nanos: || 0 };

impl Pair {
    fn new() -> Self {
        let disk = Memory::default();
        let site = Site::start(&disk, PARAMS, 0).unwrap();
        let model = Model::default();
        Self { disk, site, since_told: vec![model.clone()], model, cases: BTreeMap::new() }
    }

    /// No number is ever that of the cases of two.
    fn number(&mut self, case: CaseId, n: usize) {
        assert_eq!(*self.cases.entry(case).or_insert(n), n, "{case} is of two");
    }

    fn perform(&mut self, step: &Step) {
        let (table, now) = (&self.site.table, self.model.now());
        match step {
            Step::Restrict(n, length) => {
                let until = length.map(|length| now.plus(Duration::from_secs(length)));
                let who = client(*n);
                let make = |case| Restriction { until, since: now, ..restriction(&who, case) };
                let (held, new) = table.restrict(&who, now, make);
                let case = held.restriction.case;
                self.model.restrict(*n, new.map(|_| held.restriction));
                self.number(case, *n);
            }
            Step::Lift(n, grace, raise) => {
                let after = Aftermath { grace: Duration::from_secs(*grace), raise: *raise };
                table.lift(&client(*n), now, Actor::Daemon, "", after);
                self.model.lift(*n, *grace, *raise);
            }
            Step::Trust(n, length) => {
                table.exempt(&client(*n), trust(now, *length));
                self.model.of(*n).trust = Some(trust(now, *length));
            }
            Step::EndTrust(n) => {
                table.end_trust(&client(*n), now, Actor::Daemon, "");
                self.model.of(*n).trust = None;
            }
            Step::Usual(n) => {
                table.declare_usual(&client(*n), now, Actor::Daemon, "");
            }
            Step::Suspect(n) => {
                let case = table.case_for(&client(*n), now);
                self.number(case, *n);
            }
            Step::Pass(length) => {
                self.model.now += length;
                self.site.clock.store(self.model.now, SeqCst);
            }
            Step::Sweep => table.sweep(now),
            Step::Write => self.write(),
            Step::Stop => {
                table.changes().close();
                self.write();
                self.start(self.disk.clone());
            }
            Step::Crash(which) => self.crash(which),
        }
        self.since_told.push(self.model.clone());
        let listed = self.site.table.list(self.model.now()).into_iter();
        let listed: Force = listed.map(|it| (it.entity, *it.standing)).collect();
        assert_eq!(listed, self.model.at_present());
    }

    fn write(&mut self) {
        let last = self.site.table.snapshot().seq;
        assert_eq!(self.site.write(), last);
        self.since_told = vec![self.model.clone()];
    }

    /// The power fails, with what the journal has in hand half written.
    fn crash(&mut self, which: &prop::sample::Index) {
        // In the first call, that is the append, or in its sync.
        self.disk.fail_at(self.disk.calls().len() + which.index(2));
        self.site.write();
        let mut tears = self.disk.tears();
        // A turned bit can't be told from later damage: see the crash tests.
        tears.retain(|torn| !matches!(torn.bytes, Bytes::Flipped(_)));
        self.start(self.disk.crash(tears[which.index(tears.len())]));
    }

    fn start(&mut self, disk: Memory) {
        self.disk = disk;
        self.site = Site::start(&self.disk, PARAMS, self.model.now).unwrap();
        let found = self.site.recovered.clone();
        let is_found = |model: &&Model| {
            let model = Model { force: model.force.clone(), now: self.model.now };
            model.at_present() == Model { force: found.clone(), ..model }.at_present()
        };
        let had = self.since_told.iter().rev().find(is_found);
        assert!(had.is_some(), "this never was in force: {found:#?}, but {:#?}", self.since_told);
        self.model.force = found;
        self.since_told.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_random_history_is_that_of_a_plain_model(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.perform(step);
        }
    }
}
