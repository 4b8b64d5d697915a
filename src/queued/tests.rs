#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
use super::*;
use proptest::prelude::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

fn key(name: &str) -> ConnectorKey {
    ConnectorKey::Named(name.into())
}

fn ids(queued: &Queued, name: &str, sender: Option<u64>) -> Vec<String> {
    queued.of(&key(name), sender).iter().map(|one| one.queue_id.to_string()).collect()
}

#[test]
fn a_message_is_there_until_its_last_file_is_removed() {
    let queued = Queued::default();
    queued.enter("A1", &key("erp"), 1, false, at(0));
    queued.enter("B1", &key("erp"), 2, true, at(1));
    queued.enter("C1", &key("crm"), 1, false, at(2));
    assert_eq!(ids(&queued, "erp", None), ["A1", "B1"]);
    assert_eq!(ids(&queued, "erp", Some(2)), ["B1"]);
    assert!(queued.of(&key("erp"), Some(2)).iter().all(|one| one.held && one.since == at(1)));
    // Through a content filter.
    queued.follow("A1", "A2", at(5));
    queued.remove("A1", None);
    assert_eq!(ids(&queued, "erp", None), ["A2", "B1"]);
    queued.follow("A2", "A3", at(5));
    queued.remove("A2", None);
    queued.remove("A3", None);
    queued.remove("nothing", None);
    assert_eq!(ids(&queued, "erp", None), ["B1"]);
    // Nobody takes over the message of another one.
    queued.follow("B1", "C1", at(5));
    assert_eq!(ids(&queued, "crm", None), ["C1"]);
    // A queue id that comes again is another message, and what was logged of
    // the one before does not end it.
    queued.enter("B1", &key("crm"), 3, false, at(13));
    queued.remove("B1", Some(at(2)));
    assert!(ids(&queued, "erp", None).is_empty());
    assert_eq!((ids(&queued, "crm", None).len(), queued.len()), (2, 2));
}

#[test]
fn one_connector_has_a_quarter_and_what_is_old_goes() {
    let queued = Queued::with_room_for(40);
    for n in 0..100 {
        queued.enter(&format!("A{n}"), &key("erp"), 0, false, at(n));
    }
    queued.enter("B", &key("crm"), 0, false, at(100));
    assert_eq!(ids(&queued, "erp", None).len(), 10);
    assert_eq!(ids(&queued, "erp", None).first().unwrap(), "A90");
    for n in 0..100 {
        queued.enter(&format!("C{n}"), &key(&format!("c{n}")), 0, false, at(101 + n));
    }
    assert_eq!(queued.len(), 40);
    queued.enter("D", &key("crm"), 0, false, at(300).plus(LONGEST));
    assert_eq!(queued.len(), 1);
    let state = queued.lock();
    assert_eq!((state.ids.len(), state.messages.groups().count()), (1, 1));
}

/// What the list promises, as plainly as it can be done.
#[derive(Default)]
struct Plain(Vec<PlainMessage>);

struct PlainMessage {
    key: u8,
    sender: u64,
    held: bool,
    since: Timestamp,
    ids: Vec<(u8, Timestamp)>,
}

impl Plain {
    const MOST: usize = 12;

    fn enter(&mut self, id: u8, (key, sender, held): (u8, u64, bool), now: Timestamp) {
        self.remove(id, None);
        let of = |plain: &Self| plain.0.iter().filter(|one| one.key == key).count();
        while of(self) >= Self::MOST / 4 {
            let oldest = self.0.iter().position(|one| one.key == key).unwrap();
            self.0.remove(oldest);
        }
        self.0.drain(..(self.0.len() + 1).saturating_sub(Self::MOST));
        let young = self.0.iter().position(|one| now.since(one.since) < LONGEST);
        self.0.drain(..young.unwrap_or(self.0.len()));
        self.0.push(PlainMessage { key, sender, held, since: now, ids: vec![(id, now)] });
    }

    fn with(&mut self, id: u8) -> Option<&mut PlainMessage> {
        self.0.iter_mut().find(|one| one.ids.iter().any(|its| its.0 == id))
    }

    fn follow(&mut self, root: u8, next: u8, now: Timestamp) {
        if self.with(next).is_none()
            && let Some(one) = self.with(root).filter(|one| one.ids.len() < MOST_IDS)
        {
            one.ids.push((next, now));
        }
    }

    fn remove(&mut self, id: u8, logged: Option<Timestamp>) {
        let Some(one) = self.with(id) else { return };
        let is_older = |since| logged.is_some_and(|logged| logged.plus(ROUNDED) < since);
        one.ids.retain(|(its, since)| *its != id || is_older(*since));
        self.0.retain(|one| !one.ids.is_empty());
    }

    fn of(&self, key: u8, sender: Option<u64>) -> Vec<InQueue> {
        let of = self.0.iter().filter(|one| one.key == key);
        let of = of.filter(|one| sender.is_none_or(|sender| sender == one.sender));
        let each = |one: &PlainMessage| {
            let held = one.held;
            let ids = one.ids.clone().into_iter();
            ids.map(move |(id, since)| InQueue { queue_id: name(id).into(), since, held })
        };
        of.flat_map(each).collect()
    }
}

fn name(number: u8) -> String {
    // Some are longer than there is room for in place.
    format!("Q{number}{}", "z".repeat(usize::from(number % 3) * 14))
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u8, (u8, u64, bool)),
    Follow(u8, u8),
    Remove(u8, Option<u64>),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..30_u8;
    prop_oneof![
        6 => (id(), (0..6_u8, 0..2_u64, any::<bool>())).prop_map(|(id, of)| Step::Enter(id, of)),
        2 => (id(), id()).prop_map(|(root, next)| Step::Follow(root, next)),
        2 => (id(), prop::option::of(0..10_u64)).prop_map(|(id, ago)| Step::Remove(id, ago)),
        1 => prop_oneof![0..5_u64, Just(86_400)].prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn it_is_as_a_plain_list(steps in prop::collection::vec(step(), 0..200)) {
        let (queued, mut plain) = (Queued::with_room_for(Plain::MOST), Plain::default());
        let mut now = at(0);
        for step in steps {
            match step {
                Step::Enter(id, of) => {
                    queued.enter(&name(id), &key(&name(of.0)), of.1, of.2, now);
                    plain.enter(id, of, now);
                }
                Step::Follow(root, next) => {
                    queued.follow(&name(root), &name(next), now);
                    plain.follow(root, next, now);
                }
                Step::Remove(id, ago) => {
                    let logged = ago.map(|ago| Timestamp::from_millis(now.as_millis() - 1000 * ago));
                    queued.remove(&name(id), logged);
                    plain.remove(id, logged);
                }
                Step::Wait(seconds) => now = now.plus(Duration::from_secs(seconds)),
            }
            prop_assert_eq!(queued.len(), plain.0.len());
            for of in 0..6 {
                for sender in [None, Some(0), Some(1)] {
                    prop_assert_eq!(queued.of(&key(&name(of)), sender), plain.of(of, sender));
                }
            }
            let keys = queued.keys(|_| true);
            let is_known = |of: &u8| keys.contains(&key(&name(*of)));
            let has_any = |of: &u8| plain.0.iter().any(|one| one.key == *of);
            prop_assert!((0..6).all(|of| is_known(&of) == has_any(&of)));
        }
    }
}
