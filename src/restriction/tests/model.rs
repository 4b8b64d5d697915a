//! The table beside a plain model of its rules, which has no locks, no queue, no index
//! and no late expiry: whatever is done in whatever order, at every moment both say
//! the same of everybody, and so does a table that is made of the records.
//!
//! The rules:
//! - Of a restriction there is one at a time. It ends an exemption and a grace.
//! - What it names is lifted, nothing else; a grace follows only if one is asked for, and
//!   never a mark.
//! - A lift that says it was wrong raises the bar, and more where it was raised. One of
//!   a judgement that was right takes that back.
//! - What has an end is over at it, whoever looks.
//! - A move gives the target what it lacks, and leaves nothing behind.

use super::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Narrow and wide ones: keys, a name, senders behind both, an organization.
const WHO: [&str; 8] = [
    "client:192.0.2.1",
    "client:192.0.2.2",
    "login:alice",
    "connector:erp",
    "sender:a@x.test,via=client:192.0.2.1",
    "sender:a@x.test,via=connector:erp",
    "sender:b@x.test,via=connector:erp",
    "organization:default",
];

fn who(n: usize) -> Entity {
    WHO[n % WHO.len()].parse().unwrap()
}

#[derive(Clone, Debug)]
enum Doing {
    /// By whom, as a mark, for how long.
    Restrict(usize, bool, bool, Option<u64>),
    /// Only if it still stands.
    RestrictIf(usize, bool),
    Lift(usize, u64, bool),
    LiftMark(usize),
    /// As operators do it: not where it is restricted.
    Exempt(usize, u64),
    EndTrust(usize),
    DeclareUsual(usize),
    NoteKeys(usize),
    Transfer(usize, Vec<usize>),
    Sweep,
    Pass(u64),
    /// A crash and a start from this snapshot, the last being the newest.
    Restart(usize),
    Snapshot,
}

fn doing() -> impl Strategy<Value = Doing> {
    use Doing::*;
    let who = || 0..WHO.len();
    let some = any::<bool>;
    prop_oneof![
        4 => (who(), some(), prop::bool::weighted(0.2), prop::option::of(1..50_u64))
            .prop_map(|(a, b, c, d)| Restrict(a, b, c, d)),
        1 => (who(), some()).prop_map(|(a, b)| RestrictIf(a, b)),
        3 => (who(), prop_oneof![Just(0), 1..50_u64], prop::bool::weighted(0.3))
            .prop_map(|(a, b, c)| Lift(a, b, c)),
        1 => who().prop_map(LiftMark),
        2 => (who(), 1..50_u64).prop_map(|(a, b)| Exempt(a, b)),
        1 => who().prop_map(EndTrust),
        1 => who().prop_map(DeclareUsual),
        1 => who().prop_map(NoteKeys),
        3 => (who(), prop::collection::vec(who(), 0..3)).prop_map(|(a, b)| Transfer(a, b)),
        1 => Just(Sweep),
        3 => prop_oneof![1..30_u64, Just(Raised::LASTS.as_secs())].prop_map(Pass),
        1 => any::<usize>().prop_map(Restart),
        1 => Just(Snapshot),
    ]
}

/// What is in force, and nothing else.
#[derive(Debug, Default)]
struct Model {
    standings: BTreeMap<Entity, Standing>,
}

impl Model {
    /// What is over is not there.
    fn expire(&mut self, now: Timestamp) {
        for standing in self.standings.values_mut() {
            standing.restriction.take_if(|it| it.until.is_some_and(|until| until <= now));
            standing.trust.take_if(|it| it.until <= now);
            standing.grace.take_if(|it| it.until <= now);
            standing.raised.take_if(|it| it.until <= now);
        }
        self.standings.retain(|_, standing| !standing.is_empty());
    }

    fn of(&mut self, who: &Entity) -> &mut Standing {
        self.standings.entry(who.clone()).or_default()
    }

    fn restriction(&self, who: &Entity) -> Option<&Arc<Restriction>> {
        self.standings.get(who)?.restriction.as_ref()
    }

    fn restrict(&mut self, restriction: &Arc<Restriction>) {
        let standing = self.of(&restriction.entity);
        standing.restriction = Some(Arc::clone(restriction));
        (standing.trust, standing.grace) = (None, None);
    }

    fn lift(&mut self, who: &Entity, after: Aftermath, now: Timestamp) {
        let standing = self.of(who);
        let Some(lifted) = standing.restriction.take() else { return };
        let signals = lifted.findings.iter().map(|finding| finding.signal).collect();
        let grace = Grace { until: now.plus(after.grace), case: lifted.case, signals };
        standing.grace = (after.grace > Duration::ZERO && !lifted.mark).then_some(grace);
        let judged = lifted.by == Actor::Judgement;
        standing.raised = match (after.raise, &standing.raised) {
            (true, None) => Some(Raised {
                times: Raised::FIRST,
                since: now,
                until: now.plus(Raised::LASTS),
                case: lifted.case,
            }),
            (true, Some(_)) => Some(Raised {
                times: Raised::AGAIN,
                since: now,
                until: now.plus(Raised::LASTS),
                case: lifted.case,
            }),
            (false, raised) => raised.clone().filter(|_| !judged),
        };
    }

    fn transfer(&mut self, from: &Entity, to: &[Entity]) {
        let Some(old) = self.standings.get(from).cloned() else { return };
        for target in to.iter().filter(|target| *target != from) {
            let standing = self.of(target);
            if standing.restriction.is_none() {
                standing.restriction = old.restriction.as_ref().map(|held| {
                    Arc::new(Restriction {
                        entity: target.clone(),
                        keys: keys(target),
                        ..Restriction::clone(held)
                    })
                });
            }
            standing.trust = standing.trust.take().or_else(|| old.trust.clone());
            standing.grace = standing.grace.take().or_else(|| old.grace.clone());
            standing.raised = standing.raised.take().or_else(|| old.raised.clone());
            if standing.restriction.is_some() {
                (standing.trust, standing.grace) = (None, None);
            }
        }
        if !to.contains(from) {
            self.standings.remove(from);
        }
    }
}

/// The keys that a target would have.
fn keys(target: &Entity) -> Vec<Entity> {
    vec![target.root()]
}

/// A table, the model, and all that the journal got.
struct World {
    table: Table,
    model: Model,
    now: Timestamp,
    records: Vec<Record>,
    snapshots: Vec<Snapshot>,
    /// At which root each case began.
    cases: HashMap<CaseId, Entity>,
    /// Between which roots something was moved: their cases went with it.
    moved: Vec<(Entity, Entity)>,
}

impl World {
    fn new() -> Self {
        Self {
            table: Table::default(),
            model: Model::default(),
            now: at(0),
            records: Vec::new(),
            snapshots: vec![Snapshot::default()],
            cases: HashMap::new(),
            moved: Vec::new(),
        }
    }

    fn make(&self, who: &Entity, case: CaseId, mark: bool) -> Restriction {
        Restriction { mark, ..restriction(who, case, self.now) }
    }

    fn perform(&mut self, doing: &Doing) {
        let now = self.now;
        let seconds = Duration::from_secs;
        match doing {
            Doing::Restrict(n, by_hand, mark, length) => {
                let (entity, until) = (who(*n), length.map(|length| now.plus(seconds(length))));
                let by = if *by_hand { Actor::Operator("anna".into()) } else { Actor::Judgement };
                let make = |case| Restriction { until, by, ..self.make(&entity, case, *mark) };
                let (held, new) = self.table.restrict(&entity, now, make);
                match self.model.restriction(&entity) {
                    Some(before) => assert_eq!((&held.restriction, new), (before, None)),
                    None => {
                        assert!(new.is_some(), "{entity} was not restricted");
                        self.began(&held);
                    }
                }
            }
            Doing::RestrictIf(n, stands) => {
                let entity = who(*n);
                let make = |case| self.make(&entity, case, false);
                let held = self.table.restrict_if(&entity, now, || *stands, make);
                let before = self.model.restriction(&entity).cloned();
                let restriction = held.as_ref().map(|held| &held.restriction);
                match (before, held.as_ref()) {
                    (Some(before), _) => assert_eq!(restriction, Some(&before)),
                    (None, Some(held)) => {
                        assert!(*stands);
                        self.began(held);
                    }
                    (None, None) => assert!(!stands),
                }
            }
            Doing::Lift(n, grace, raise) => {
                let (entity, by) = (who(*n), Actor::Operator("anna".into()));
                let after = Aftermath { grace: seconds(*grace), raise: *raise };
                let lifted = self.table.lift(&entity, now, by, "cleaned", after);
                let lifted = lifted.map(|(held, _)| held.restriction);
                assert_eq!(lifted.as_ref(), self.model.restriction(&entity), "lifted");
                self.model.lift(&entity, after, now);
                assert!(self.table.in_force(&entity, now).is_none(), "{entity} is not lifted");
            }
            Doing::LiftMark(n) => {
                let entity = who(*n);
                self.table.lift_mark(&entity, now, "enforced now");
                let standing = self.model.of(&entity);
                if standing.restriction.take_if(|held| held.mark).is_some() {
                    standing.grace = None;
                }
            }
            Doing::Exempt(n, length) => {
                let (entity, trust) = (who(*n), trust(now, seconds(*length)));
                if self.table.in_force(&entity, now).is_none() {
                    self.table.exempt(&entity, trust.clone());
                    self.model.of(&entity).trust = Some(trust);
                }
            }
            Doing::EndTrust(n) => {
                let entity = who(*n);
                let ended = self.table.end_trust(&entity, now, Actor::Daemon, "over");
                let before = self.model.of(&entity).trust.take();
                assert_eq!(ended.is_some(), before.is_some(), "{entity}");
            }
            Doing::DeclareUsual(n) => {
                self.table.declare_usual(&who(*n), now, Actor::Daemon, "newsletter");
            }
            Doing::NoteKeys(n) => {
                let entity = who(*n);
                let keys = keys(&entity);
                self.table.note_keys(&entity, &keys, now);
                if let Some(held) = &mut self.model.of(&entity).restriction {
                    Arc::make_mut(held).keys = keys;
                }
            }
            Doing::Transfer(from, to) => {
                let (from, to) = (who(*from), to.iter().map(|n| who(*n)).collect::<Vec<_>>());
                let moved = self.table.transfer(&from, &to, &keys, now);
                assert!(moved || !self.model.standings.contains_key(&from), "nothing moved");
                self.moved.extend(to.iter().map(|to| (from.root(), to.root())));
                self.model.transfer(&from, &to);
            }
            Doing::Sweep => {
                self.table.sweep(now);
                // Now nothing is left of what is over.
                self.model.expire(now);
                assert_eq!(self.table.len(), self.model.standings.len());
            }
            Doing::Pass(length) => self.now = now.plus(seconds(*length)),
            Doing::Restart(n) => {
                let snapshot = self.snapshots[n % self.snapshots.len()].clone();
                self.table = restored(snapshot, &self.records);
            }
            Doing::Snapshot => self.snapshots.push(self.table.snapshot()),
        }
        self.model.expire(self.now);
    }

    /// A new restriction. Its case is a new one, or one of its own root, by whatever
    /// name that went: a number is never given twice, whatever ended and restarted.
    fn began(&mut self, held: &InForce) {
        let restriction = &held.restriction;
        let root = restriction.entity.root();
        let first = self.cases.entry(restriction.case).or_insert_with(|| root.clone()).clone();
        assert!(self.related(&root).contains(&first), "{} of {first}: {root}", restriction.case);
        self.model.restrict(restriction);
    }

    /// The names under which what is at this root may have been before.
    fn related(&self, root: &Entity) -> BTreeSet<Entity> {
        let mut related = BTreeSet::from([root.clone()]);
        loop {
            let before = related.len();
            for (one, other) in &self.moved {
                if related.contains(one) || related.contains(other) {
                    related.extend([one.clone(), other.clone()]);
                }
            }
            if related.len() == before {
                return related;
            }
        }
    }

    fn check(&mut self) {
        let (now, table) = (self.now, &self.table);
        for record in taken(table) {
            let last = self.records.last().map_or(0, |last| last.seq);
            assert!(last < record.seq, "{} after {last}", record.seq);
            self.records.push(record);
        }
        let listed: BTreeMap<_, _> = in_force(table, now).into_iter().collect();
        assert_eq!(listed, self.model.standings);
        for n in 0..WHO.len() {
            let entity = who(n);
            let standing = self.model.standings.get(&entity).cloned().unwrap_or_default();
            let held = table.in_force(&entity, now).map(|held| held.restriction);
            assert_eq!(held, standing.restriction, "{entity}");
            assert_eq!(table.trust(&entity, now), standing.trust, "{entity}");
            assert_eq!(table.grace(&entity, now), standing.grace, "{entity}");
            assert_eq!(table.raised(&entity, now), standing.raised, "{entity}");
            assert!(held.is_none() || standing.trust.is_none(), "{entity}: restricted, trusted");
        }
        self.check_lists();
        // As a start finds it, at whatever moment the daemon is gone.
        let kept = replay(Snapshot::default(), self.records.clone()).live.into_iter();
        let mut kept = Model { standings: kept.map(|live| (live.entity, live.standing)).collect() };
        kept.expire(now);
        assert_eq!(kept.standings, self.model.standings, "from the records");
    }

    /// What is kept beside the entries says the same as they do.
    fn check_lists(&self) {
        let (now, table) = (self.now, &self.table);
        let names = |all: Vec<Arc<Restriction>>| -> BTreeSet<Entity> {
            all.iter().map(|restriction| restriction.entity.clone()).collect()
        };
        let held: Vec<_> =
            self.model.standings.values().filter_map(|it| it.restriction.clone()).collect();
        assert_eq!(names(table.restrictions(now)), names(held.clone()));
        let judged = |held: &&Arc<Restriction>| held.by == Actor::Judgement && at(20) <= held.since;
        let expected = names(held.iter().filter(judged).cloned().collect());
        assert_eq!(names(table.judged_since(at(20), now)), expected, "judged since");
        for via in ["client:192.0.2.1", "connector:erp", "login:alice"] {
            let via: ConnectorKey = via.parse().unwrap();
            let of_it = |held: &&Arc<Restriction>| matches!(&held.entity, Entity::Sender { via: other, .. } if *other == via);
            let expected = names(held.iter().filter(of_it).cloned().collect());
            assert_eq!(names(table.restricted_senders(&via, now)), expected, "senders of {via}");
        }
        let none = held.iter().all(|held| !matches!(held.entity, Entity::Sender { .. }));
        assert!(none || table.has_senders());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_the_table_says_what_the_rules_say(
        doings in prop::collection::vec(doing(), 1..60)
    ) {
        let mut world = World::new();
        for doing in &doings {
            world.perform(doing);
            world.check();
        }
    }
}
