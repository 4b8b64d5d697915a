//! The table beside a model of it, in random sequences.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What the table is to do, without shards and locks.
#[derive(Debug, Default)]
struct Model {
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    id: u8,
    owner: u32,
    accepted: u64,
    of: u32,
    open: u32,
    listed: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    decided: BTreeSet<u64>,
    so_far: Results,
    in_flight: bool,
}

impl Model {
    fn accept(&mut self, id: u8, owner: u32, listed: &[u64], extra: u32, now: u64) -> Vec<u32> {
        let listed: BTreeSet<u64> = listed.iter().copied().collect();
        let of = u32::try_from(listed.len()).unwrap() + extra;
        if of == 0 {
            return vec![owner];
        }
        let mut gone = self.remove(|message| message.id == id);
        self.messages.push(Message {
            id,
            owner,
            accepted: now,
            of,
            open: of,
            listed,
            heard: BTreeSet::new(),
            decided: BTreeSet::new(),
            so_far: Results::default(),
            in_flight: true,
        });
        while let Some(oldest) = self.one_too_many(owner) {
            gone.extend(self.remove(|message| message.owner == oldest));
        }
        gone
    }

    /// Who must go: of this owner, who has more than its share, or of all.
    fn one_too_many(&self, owner: u32) -> Option<u32> {
        let is_over = |all: &[&Message], (slots, recipients): (usize, u64)| {
            let has = all.iter().map(|it| u64::from(it.of)).sum::<u64>();
            all.len() > slots || has > recipients
        };
        let all: Vec<&Message> = self.messages.iter().collect();
        let own = |message: &&Message| message.owner.share() == owner.share();
        let own: Vec<&Message> = self.messages.iter().filter(own).collect();
        if own.len() > 1 && is_over(&own, LIMITS.share) {
            return Some(own[0].owner);
        }
        is_over(&all, LIMITS.all).then(|| all[0].owner)
    }

    fn result(&mut self, id: u8, recipient: u64, outcome: Outcome, now: u64) -> Option<News<u32>> {
        let message = self.messages.iter_mut().find(|message| message.id == id)?;
        let listed = message.listed.contains(&recipient);
        let decides = outcome != Outcome::Deferred && listed;
        let old = now - message.accepted >= 4 * HOUR;
        if old || !listed && message.open == 0 {
            return None;
        }
        let first = message.heard.insert(recipient);
        if !first && (!decides || message.decided.contains(&recipient)) {
            return None;
        }
        if decides {
            message.decided.insert(recipient);
            match outcome {
                Outcome::Refused => message.so_far.refused += 1.0,
                _ => message.so_far.delivered += 1,
            }
        }
        let last = first && message.open == 1;
        let on_time = message.in_flight;
        message.open = message.open.saturating_sub(u32::from(first));
        message.in_flight &= !last;
        let news = News {
            owner: message.owner,
            of: message.of,
            listed,
            last,
            on_time,
            so_far: message.so_far,
        };
        self.remove(|it| it.open == 0 && it.listed.is_subset(&it.decided));
        Some(news)
    }

    fn expire(&mut self, now: u64) -> Vec<u32> {
        let mut landed = Vec::new();
        for message in &mut self.messages {
            if message.in_flight && now - message.accepted >= 10 * MINUTE {
                message.in_flight = false;
                landed.push(message.owner);
            }
        }
        self.remove(|message| now - message.accepted >= 4 * HOUR);
        landed
    }

    /// The owners of what was removed in flight.
    fn remove(&mut self, which: impl Fn(&Message) -> bool) -> Vec<u32> {
        let gone = self.messages.extract_if(.., |message| which(message));
        gone.filter(|message| message.in_flight).map(|message| message.owner).collect()
    }
}

const LIMITS: Limits = Limits { all: (5, 12), share: (4, 9) };

#[derive(Clone, Debug)]
enum Step {
    Accept { id: u8, listed: Vec<u64>, extra: u32 },
    Result { id: u8, recipient: u64, outcome: Outcome },
    Forget { id: u8 },
    Expire,
    Clear,
    Wait(u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(Outcome::Deferred), Just(Outcome::Refused), Just(Outcome::Delivered)]
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0_u8..7;
    prop_oneof![
        4 => (id.clone(), prop::collection::vec(0_u64..5, 0..4), 0_u32..2)
            .prop_map(|(id, listed, extra)| Step::Accept { id, listed, extra }),
        12 => (id.clone(), 0_u64..7, outcome())
            .prop_map(|(id, recipient, outcome)| Step::Result { id, recipient, outcome }),
        1 => id.prop_map(|id| Step::Forget { id }),
        2 => Just(Step::Expire),
        1 => Just(Step::Clear),
        3 => (0..8 * MINUTE).prop_map(Step::Wait),
        1 => (0..3 * HOUR).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let (pending, mut model) = (Pending::with_limits(LIMITS), Model::default());
        let (mut now, mut owner) = (0, 0_u32);
        let mut landed: Vec<u32> = Vec::new();
        for step in steps {
            match step {
                Step::Accept { id, listed, extra } => {
                    owner += 1;
                    // Duplicates of the list are in the count too.
                    let count = u32::try_from(listed.len()).unwrap() + extra;
                    let queue_id = format!("Q{id}");
                    let gone = take(&pending, &queue_id, owner, list(&listed), count, at(now));
                    prop_assert_eq!(&gone, &model.accept(id, owner, &listed, extra, now));
                    landed.extend(gone);
                }
                Step::Result { id, recipient, outcome } => {
                    let news = hear(&pending, &format!("Q{id}"), recipient, outcome, at(now));
                    prop_assert_eq!(news, model.result(id, recipient, outcome, now));
                    landed.extend(news.filter(News::landed).map(|news| news.owner));
                }
                Step::Forget { id } => {
                    let gone = owners(pending.forget(&format!("Q{id}"), None).into_iter().collect());
                    prop_assert_eq!(&gone, &model.remove(|message| message.id == id));
                    landed.extend(gone);
                }
                Step::Expire => {
                    let gone = owners(pending.expire(at(now)));
                    prop_assert_eq!(&gone, &model.expire(now));
                    landed.extend(gone);
                }
                Step::Clear => {
                    let gone = pending.clear();
                    prop_assert_eq!(&gone, &model.remove(|_| true));
                    landed.extend(gone);
                }
                Step::Wait(seconds) => now += seconds,
            }
            prop_assert_eq!(pending.len(), model.messages.len());
            prop_assert_eq!(pending.slots.len(), model.messages.len());
        }
        landed.extend(pending.clear());
        landed.sort_unstable();
        prop_assert_eq!(landed, (1..=owner).collect::<Vec<_>>(), "each message lands once");
        prop_assert_eq!(pending.lock().recipients, 0);
    }
}
