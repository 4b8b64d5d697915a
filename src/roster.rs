//! All connectors that are counted, under a cap on their number.
//!
//! The map is sharded, and a shard's lock is held for a look-up only: callers
//! get an `Arc` of the tally. (1,024 shards, because a shard that grows stalls
//! who hashes into it; small shards grow fast.)
//!
//! **The cap.** A connector with a learned day, or that is configured,
//! suspicious, restricted, trusted or in grace, is never evicted. All others
//! are newcomers: they hold at most a quarter of the cap, the oldest goes
//! first. Where none may go, a new client is counted under its parent network
//! (/24, /48; these hold another quarter at the most), and what finds no room
//! there either under one overflow tally that warns and restricts nobody.

mod newcomers;

use crate::{
    connector::{ConnectorKey, Entity, parent_network},
    fingerprint::Fingerprints,
    judge::Judgement,
    tally::Tally,
    timestamp::Timestamp,
};
use dashmap::{DashMap, mapref::entry::Entry};
use foldhash::fast::RandomState;
use newcomers::Newcomers;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

const SHARDS: usize = if cfg!(fuzzing) { 8 } else { 1024 };
/// How many newcomers are looked at, oldest first, for one that may go.
const LOOK: usize = 16;

/// The connectors.
#[derive(Debug)]
pub struct Roster {
    tallies: DashMap<ConnectorKey, Arc<Tally>, RandomState>,
    len: AtomicUsize,
    cap: usize,
    newcomers: Newcomers,
    parents: AtomicUsize,
    overflow: Arc<Tally>,
}

impl Roster {
    /// An empty roster for at most `cap` connectors.
    pub fn new(cap: usize, now: Timestamp) -> Self {
        let cap = cap.max(4);
        Self {
            tallies: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            len: AtomicUsize::new(0),
            cap,
            newcomers: Newcomers::new(cap / 4),
            parents: AtomicUsize::new(0),
            overflow: Arc::new(Tally::new(id_of(&ConnectorKey::Overflow), now)),
        }
    }

    /// The tally of `key`, if it is counted.
    pub fn get(&self, key: &ConnectorKey) -> Option<Arc<Tally>> {
        self.tallies.get(key).map(|entry| Arc::clone(entry.value()))
    }

    /// The tally under which `key` is counted, made where there is none, and
    /// its key: `key` itself, its parent network, or the overflow. `held` says
    /// of an entity whether anything is in force for it. The flag says that
    /// the tally is new.
    pub fn admit(
        &self,
        key: &ConnectorKey,
        now: Timestamp,
        held: &dyn Fn(&Entity) -> bool,
    ) -> (ConnectorKey, Arc<Tally>, bool) {
        if let Some(tally) = self.get(key) {
            return (key.clone(), tally, false);
        }
        if *key == ConnectorKey::Overflow {
            return (ConnectorKey::Overflow, Arc::clone(&self.overflow), false);
        }
        if self.make_room(key, held) {
            let (tally, new) = self.insert(key, now);
            return (key.clone(), tally, new);
        }
        if let ConnectorKey::Client(network) = key {
            let parent = ConnectorKey::Client(parent_network(*network));
            if let Some(tally) = self.get(&parent) {
                return (parent, tally, false);
            }
            let room = |parents: usize| (parents < self.cap / 4).then_some(parents + 1);
            if self.parents.fetch_update(SeqCst, SeqCst, room).is_ok() {
                let (tally, new) = self.insert(&parent, now);
                if !new {
                    // Another thread was faster.
                    self.parents.fetch_sub(1, SeqCst);
                }
                return (parent, tally, new);
            }
        }
        (ConnectorKey::Overflow, Arc::clone(&self.overflow), false)
    }

    /// Puts back a connector that was counted before a restart. Those that find
    /// no room are left out; says whether this one found some.
    pub fn restore(&self, key: &ConnectorKey, tally: Tally) -> bool {
        let parent = is_parent(key);
        if self.len() >= self.cap || parent && self.parents.load(SeqCst) >= self.cap / 4 {
            return false;
        }
        let is_newcomer = !is_configured(key) && !parent && tally.days_learned() == 0;
        if let Entry::Vacant(entry) = self.tallies.entry(key.clone()) {
            entry.insert(Arc::new(tally));
            self.len.fetch_add(1, SeqCst);
        } else {
            return false;
        }
        if parent {
            self.parents.fetch_add(1, SeqCst);
        } else if is_newcomer {
            self.newcomers.push(key.clone());
        }
        true
    }

    /// Counts what `from` is counted under as `to` as well, until
    /// [`Roster::rename`] ends that: under one tally, whoever comes by which
    /// key. Where both have one, the longer history goes on.
    pub fn share(&self, from: &ConnectorKey, to: &ConnectorKey) {
        let Some(tally) = self.get(from) else {
            return;
        };
        match self.tallies.entry(to.clone()) {
            Entry::Occupied(mut entry) => {
                if tally.first_seen() < entry.get().first_seen() {
                    entry.insert(tally);
                }
                return;
            }
            Entry::Vacant(entry) => drop(entry.insert(tally)),
        }
        self.len.fetch_add(1, SeqCst);
        // Without its name it can be evicted again.
        if !is_configured(to) {
            self.newcomers.push(to.clone());
        }
    }

    /// Counts as `to` what was counted under `from`. Where both have a tally,
    /// the longer history goes on.
    pub fn rename(&self, from: &ConnectorKey, to: &ConnectorKey) {
        self.share(from, to);
        if self.tallies.remove(from).is_some() {
            self.len.fetch_sub(1, SeqCst);
        }
    }

    /// How many connectors are counted.
    pub fn len(&self) -> usize {
        self.len.load(SeqCst)
    }

    /// Whether none is counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tally of all that found no room.
    pub fn overflow(&self) -> &Arc<Tally> {
        &self.overflow
    }

    /// The keys of all connectors, in no order.
    pub fn keys(&self) -> Vec<ConnectorKey> {
        self.tallies.iter().map(|entry| entry.key().clone()).collect()
    }

    /// Looks at every connector, one shard at a time.
    pub fn for_each(&self, mut look: impl FnMut(&ConnectorKey, &Arc<Tally>)) {
        for entry in &self.tallies {
            look(entry.key(), entry.value());
        }
    }

    fn insert(&self, key: &ConnectorKey, now: Timestamp) -> (Arc<Tally>, bool) {
        match self.tallies.entry(key.clone()) {
            Entry::Occupied(entry) => (Arc::clone(entry.get()), false),
            Entry::Vacant(entry) => {
                let tally = Arc::new(Tally::new(id_of(key), now));
                entry.insert(Arc::clone(&tally));
                self.len.fetch_add(1, SeqCst);
                (tally, true)
            }
        }
    }

    /// Whether there is room for `key`, after sending newcomers away for it.
    fn make_room(&self, key: &ConnectorKey, held: &dyn Fn(&Entity) -> bool) -> bool {
        if is_configured(key) {
            return true;
        }
        let mut looks = 0;
        while self.len() >= self.cap || !self.newcomers.join(key) {
            looks += 1;
            let looked = looks <= LOOK && self.newcomers.look_at_oldest(|key| self.send(key, held));
            if !looked {
                return false;
            }
        }
        true
    }

    /// Sends a newcomer away if it may go; says whether it is one no more.
    fn send(&self, key: &ConnectorKey, held: &dyn Fn(&Entity) -> bool) -> bool {
        let Some(tally) = self.get(key) else {
            return true;
        };
        if tally.days_learned() > 0 {
            return true;
        }
        let may_go = tally.judgement() == Judgement::Normal && !held(&Entity::from(key.clone()));
        if may_go && self.tallies.remove(key).is_some() {
            self.len.fetch_sub(1, SeqCst);
        }
        may_go
    }
}

/// Whether it stands for clients that found no room of their own.
fn is_parent(key: &ConnectorKey) -> bool {
    let ConnectorKey::Client(network) = key else {
        return false;
    };
    parent_network(*network) == *network
}

/// A number for a connector, by the key under which it was first counted.
pub(crate) fn id_of(key: &ConnectorKey) -> u64 {
    Fingerprints::from_key([0; 16]).of_text(&key.to_string())
}

fn is_configured(key: &ConnectorKey) -> bool {
    matches!(key, ConnectorKey::Named(_) | ConnectorKey::Local)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::{
        connector::Profile,
        model::Model,
        signal::{Context, Observation},
    };

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(DAY * 20_000 + seconds)
    }

    fn client(n: u32) -> ConnectorKey {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        ConnectorKey::Client(std::net::IpAddr::from(address).into())
    }

    fn nobody(_: &Entity) -> bool {
        false
    }

    #[test]
    fn newcomers_hold_a_quarter_and_the_oldest_goes_first() {
        let roster = Roster::new(40, at(0));
        for n in 0..1000 {
            roster.admit(&client(n), at(u64::from(n)), &nobody);
        }
        assert_eq!(roster.len(), 10);
        assert!(roster.get(&client(999)).is_some());
        assert!(roster.get(&client(0)).is_none());
    }

    #[test]
    fn a_learned_day_a_suspicion_or_a_restriction_keeps_a_connector() {
        let roster = Roster::new(40, at(0));
        let (_, learned, _) = roster.admit(&client(1), at(0), &nobody);
        let model = Model::default();
        learned.touch(&Context::new(&model, Profile::Relay, at(DAY)));
        let (_, suspicious, _) = roster.admit(&client(2), at(0), &nobody);
        let context = Context::new(&model, Profile::Relay, at(0));
        suspicious.set_judgement(Judgement::Suspicious, 7.0, &context);
        roster.admit(&client(3), at(0), &nobody);
        let restricted = Entity::from(client(3));
        for n in 100..1000 {
            roster.admit(&client(n), at(DAY), &|entity| *entity == restricted);
        }
        for n in 1..=3 {
            assert!(roster.get(&client(n)).is_some(), "client {n}");
        }
        assert!(roster.len() <= 40);
    }

    #[test]
    fn a_flood_of_clients_pushes_out_nobody_worth_keeping_and_takes_no_more_places() {
        let roster = Roster::new(400, at(0));
        let model = Model::default();
        for n in 0..80 {
            let (_, learned, _) = roster.admit(&client(n), at(0), &nobody);
            learned.touch(&Context::new(&model, Profile::Relay, at(DAY)));
        }
        for n in 80..90 {
            let (_, suspicious, _) = roster.admit(&client(n), at(DAY), &nobody);
            let context = Context::new(&model, Profile::Relay, at(DAY));
            suspicious.set_judgement(Judgement::Suspicious, 7.0, &context);
        }
        // Restricted, trusted, in grace.
        let held: Vec<Entity> = (90..100).map(|n| client(n).into()).collect();
        let is_held = |entity: &Entity| held.contains(entity);
        for n in 90..100 {
            roster.admit(&client(n), at(DAY), &is_held);
        }
        let mut most = 0;
        for wave in 0..10 {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (roster, is_held) = (&roster, &is_held);
                    let first = 1000 + (4 * wave + thread) * 500;
                    scope.spawn(move || {
                        for n in first..first + 500 {
                            roster.admit(&client(n), at(DAY), is_held);
                        }
                    });
                }
            });
            assert!(roster.newcomers.taken() <= 100);
            if wave == 0 {
                most = roster.len();
            }
            // Addresses of more networks than there were: those have places of their own.
            assert!(roster.len() <= most + 100, "{} after wave {wave}", roster.len());
        }
        for n in 0..100 {
            assert!(roster.get(&client(n)).is_some(), "client {n}");
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_under_its_network_then_under_the_overflow() {
        let roster = Roster::new(8, at(0));
        let all_held = |_: &Entity| true;
        roster.admit(&client(1), at(0), &all_held);
        roster.admit(&client(2), at(0), &all_held);
        let network = ConnectorKey::Client("10.0.0.0/24".parse().unwrap());
        for n in 3..6 {
            assert_eq!(roster.admit(&client(n), at(0), &all_held).0, network);
        }
        let login = ConnectorKey::Login("bob".into());
        assert_eq!(roster.admit(&login, at(0), &all_held).0, ConnectorKey::Overflow);
        let name = ConnectorKey::Named("erp".into());
        assert_eq!(roster.admit(&name, at(0), &all_held).0, name);
    }

    #[test]
    fn history_follows_a_name() {
        let roster = Roster::new(40, at(0));
        let (_, tally, _) = roster.admit(&client(1), at(0), &nobody);
        let seen = Observation { recipients: 3, ..Observation::default() };
        tally.pass(&seen, &Context::new(&Model::default(), Profile::Relay, at(0)));
        let name = ConnectorKey::Named("erp".into());
        roster.rename(&client(1), &name);
        assert_eq!(roster.get(&name).unwrap().counters.totals().recipients, 3);
        assert_eq!(roster.len(), 1);
        // Back, it is a newcomer as others are.
        roster.rename(&name, &client(1));
        for n in 2..100 {
            roster.admit(&client(n), at(1), &nobody);
        }
        assert!(roster.get(&client(1)).is_none());
        assert_eq!(roster.len(), 10);
    }
}
