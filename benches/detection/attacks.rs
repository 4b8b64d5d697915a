//! Mail of a connector that was taken over. Times are seconds from the first
//! message of the attack; networks and domains that the connector never used
//! have numbers of their own, from the constants below on.

use crate::{
    draw::lag,
    random::Random,
    stream::{Draft, Kind, To},
};

/// The first of the networks that no connector has of its own.
const NETWORK: u32 = 50_000;
/// The first of the sender domains that no connector has of its own.
const SENDER_DOMAIN: u32 = 300_000;
/// The first of the domains that are forged in From.
const FROM_DOMAIN: u32 = 400_000;
const DAY: f64 = 86_400.0;

/// What is to come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At least this share is blocked, the median and the 95th percentile of
    /// what is accepted before are at most these messages.
    Blocked { share: f64, median: u64, p95: u64 },
    /// Blocked in every run, the 95th percentile after at most this many
    /// recipients.
    Recipients(u64),
    /// The median of what is accepted in a day is at most these messages.
    Contained(u64),
    /// Suspicious in every run.
    Suspicious,
    /// The median of what is accepted before it is suspicious is at most these
    /// messages.
    Noticed(u64),
    /// Told as it is.
    Shown,
}

/// An attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// For a connector with history, as a login.
    pub(crate) goal: Goal,
    /// The same holds for brand-new connectors and relays.
    pub(crate) everywhere: bool,
    pub(crate) make: fn(&mut Random) -> Vec<Draft>,
    /// How many recipients it needs that the connector wrote to.
    pub(crate) acquaintances: u32,
    /// When it is over, in days.
    pub(crate) days: f64,
    /// How long the connector has been at work, at least and at most, in days.
    pub(crate) age: (f64, f64),
}

impl Attack {
    const fn new(name: &'static str, goal: Goal, make: fn(&mut Random) -> Vec<Draft>) -> Self {
        Self {
            name,
            goal,
            everywhere: false,
            make,
            acquaintances: 0,
            days: 1.0,
            age: (14.0, f64::INFINITY),
        }
    }

    const fn everywhere(self) -> Self {
        Self { everywhere: true, ..self }
    }

    const fn with_acquaintances(self) -> Self {
        Self { acquaintances: 500, ..self }
    }

    /// In its first six weeks a connector has no busiest hour of long ago, and
    /// may grow faster.
    const fn grows(self) -> Self {
        Self { days: 40.0, age: (60.0, f64::INFINITY), ..self }
    }

    const fn young(self) -> Self {
        Self { age: (14.0, 28.0), ..self }
    }

    /// Its messages on a connector of this kind; `stranger` says that the
    /// connector is brand-new, so that it knows nobody.
    pub(crate) fn drafts(&self, kind: Kind, stranger: bool, random: &mut Random) -> Vec<Draft> {
        let mut drafts = (self.make)(random);
        drafts.retain(|draft| draft.at <= self.days * DAY);
        for draft in &mut drafts {
            draft.attack = true;
            if kind == Kind::Relay {
                draft.client = 1;
            }
            if let (true, To::Some { all, fresh }) = (stranger, &mut draft.to) {
                *fresh = *all;
            }
        }
        drafts
    }
}

const BLATANT: Goal = Goal::Blocked { share: 1.0, median: 2, p95: 4 };

/// All of them.
pub(crate) const ALL: [Attack; 27] = [
    Attack::new("blatant, 1,200/h: random odd domains, 70 % refused", BLATANT, |r| {
        blatant(r, 1200.0)
    })
    .everywhere(),
    Attack::new("blatant, 50/h", BLATANT, |r| blatant(r, 50.0)).everywhere(),
    Attack::new("33 addresses, 10-11 recipients, 93 % refused, 54/h", Goal::Recipients(25), |r| {
        incident(r)
    }),
    Attack::new("verified list, 100 x 10 new, from a new address", Goal::Contained(8), |r| {
        verified(r, NETWORK)
    }),
    Attack::new("verified list, from the usual address", Goal::Contained(8), |r| verified(r, 1)),
    Attack::new("173 recipients a message, 110/h, 35 % refused", Goal::Shown, stirling),
    Attack::new(
        "flood, 6,460/h, 35 % refused",
        Goal::Blocked { share: 0.98, median: 200, p95: 200 },
        |r| flood(r, 0.35, 1),
    ),
    Attack::new("flood, 6,460/h, 0 % refused", Goal::Contained(500), |r| flood(r, 0.0, 1)),
    Attack::new("flood, 6,460/h, to known recipients", Goal::Suspicious, |r| flood(r, 0.0, 0))
        .with_acquaintances(),
    Attack::new(
        "slow botnet, 342 addresses, 15/h, 10 % refused",
        Goal::Blocked { share: 0.98, median: 30, p95: 30 },
        botnet,
    ),
    Attack::new("lateral phish, 50-500 x 1 known, from a new address", Goal::Shown, |r| {
        lateral(r, NETWORK)
    })
    .with_acquaintances(),
    Attack::new("lateral phish, from the usual address", Goal::Shown, |r| lateral(r, 1))
        .with_acquaintances(),
    Attack::new("lateral phish, 25 known a message, 120/h", Goal::Shown, lateral_crowds)
        .with_acquaintances(),
    Attack::new(
        "forged From, 50 domains, 200/h, 20 % refused",
        Goal::Blocked { share: 1.0, median: 6, p95: 6 },
        |r| forged(r, 50),
    ),
    Attack::new(
        "forged From, one domain",
        Goal::Blocked { share: 1.0, median: 45, p95: 45 },
        |r| forged(r, 1),
    ),
    Attack::new("slow, 20/h, 30 % refused, from a new address", Goal::Shown, |r| {
        slow(r, 0.3, NETWORK)
    }),
    Attack::new("slow, 0 % refused", Goal::Shown, |r| slow(r, 0.0, NETWORK)),
    Attack::new("slow, from the usual address, 50 % refused", Goal::Shown, |r| slow(r, 0.5, 1)),
    Attack::new("slow, from the usual address, 70 % refused", Goal::Shown, |r| slow(r, 0.7, 1)),
    Attack::new("slow, from the usual address, 93 % refused", Goal::Shown, |r| slow(r, 0.93, 1)),
    Attack::new("slow, from the usual address, 100 % refused", Goal::Shown, |r| slow(r, 1.0, 1)),
    Attack::new("slow, from the usual address, 0 % refused", Goal::Shown, |r| slow(r, 0.0, 1)),
    Attack::new("1 in 5 messages spam by a filter's verdict, 20/h", Goal::Shown, judged_spam),
    Attack::new("growth x1.1 a day, 40 days", Goal::Noticed(3900), |r| ramp(r, 1.1)).grows(),
    Attack::new("growth x1.3 a day, 40 days", Goal::Noticed(1570), |r| ramp(r, 1.3)).grows(),
    Attack::new("growth x2 a day, 40 days", Goal::Noticed(710), |r| ramp(r, 2.0)).grows(),
    Attack::new("growth x2 a day, 40 days, known for 2 to 4 weeks", Goal::Shown, |r| ramp(r, 2.0))
        .grows()
        .young(),
];

/// `count` messages at random moments, so many an hour, each made by `make`.
fn arrivals(
    random: &mut Random,
    count: usize,
    per_hour: f64,
    mut make: impl FnMut(&mut Random) -> Draft,
) -> Vec<Draft> {
    let mut at = 0.0;
    (0..count)
        .map(|number| {
            if number > 0 {
                at += random.exponential(3600.0 / per_hour);
            }
            Draft { at, ..make(random) }
        })
        .collect()
}

/// A message to new recipients of whom a share is refused.
fn to_new(random: &mut Random, all: u32, refused: f64) -> Draft {
    Draft {
        to: To::Some { all, fresh: all },
        refused: random.binomial(all, refused),
        lag_s: lag(random),
        client: NETWORK,
        ..Draft::default()
    }
}

fn blatant(random: &mut Random, per_hour: f64) -> Vec<Draft> {
    arrivals(random, 2000, per_hour, |random| Draft {
        unknown: u32::from(random.chance(0.05)),
        sender_domain: SENDER_DOMAIN + random.below(400) as u32,
        from_domain: FROM_DOMAIN + random.below(400) as u32,
        spam: random.chance(0.5),
        ..to_new(random, 1, 0.7)
    })
}

fn incident(random: &mut Random) -> Vec<Draft> {
    arrivals(random, 269, 54.0, |random| {
        let recipients = 10 + random.below(2) as u32;
        let client = NETWORK + random.below(33) as u32;
        Draft { client, ..to_new(random, recipients, 0.93) }
    })
}

fn verified(random: &mut Random, client: u32) -> Vec<Draft> {
    let mut at = 0.0;
    (0..100)
        .map(|_| {
            at += random.choose(&[1.0, 1.0, 2.0, 30.0]);
            let lag_s = 0.3 * lag(random);
            Draft { at, client, lag_s, ..to_new(random, 10, 0.0) }
        })
        .collect()
}

fn stirling(random: &mut Random) -> Vec<Draft> {
    arrivals(random, 1500, 110.0, |random| Draft {
        to: To::Some { all: 173, fresh: 171 },
        ..to_new(random, 173, 0.35)
    })
}

fn flood(random: &mut Random, refused: f64, fresh: u32) -> Vec<Draft> {
    arrivals(random, 40_000, 6460.0, |random| Draft {
        to: To::Some { all: 1, fresh },
        ..to_new(random, 1, refused)
    })
}

fn botnet(random: &mut Random) -> Vec<Draft> {
    arrivals(random, 1000, 15.0, |random| {
        let client = NETWORK + random.below(342) as u32;
        Draft { client, ..to_new(random, 1, 0.1) }
    })
}

fn lateral(random: &mut Random, client: u32) -> Vec<Draft> {
    let count = 50 + random.below(451);
    arrivals(random, count, 1200.0, |random| {
        let lag_s = 0.2 * lag(random);
        Draft { to: To::Some { all: 1, fresh: 0 }, client, lag_s, ..to_new(random, 1, 0.0) }
    })
}

fn lateral_crowds(random: &mut Random) -> Vec<Draft> {
    let count = (50 + random.below(451)) / 25 + 1;
    arrivals(random, count, 120.0, |random| {
        let lag_s = 0.2 * lag(random);
        Draft { to: To::Some { all: 25, fresh: 0 }, lag_s, ..to_new(random, 25, 0.0) }
    })
}

fn forged(random: &mut Random, domains: usize) -> Vec<Draft> {
    arrivals(random, 600, 200.0, |random| Draft {
        from_domain: FROM_DOMAIN + random.below(domains) as u32,
        ..to_new(random, 1, 0.2)
    })
}

fn slow(random: &mut Random, refused: f64, client: u32) -> Vec<Draft> {
    arrivals(random, 1000, 20.0, |random| Draft { client, ..to_new(random, 1, refused) })
}

fn judged_spam(random: &mut Random) -> Vec<Draft> {
    arrivals(random, 1000, 20.0, |random| Draft {
        spam: random.chance(0.2),
        client: 1,
        ..to_new(random, 1, 0.1)
    })
}

/// Ten messages on the first day, within eight hours of it; at most 5,000 on
/// any.
fn ramp(random: &mut Random, factor: f64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for day in 0..40 {
        let count = (10.0 * factor.powi(day)).min(5000.0) as usize;
        for _ in 0..count {
            let at = f64::from(day) * DAY + random.between(0.0, 8.0 * 3600.0);
            drafts.push(Draft { at, client: 1, ..to_new(random, 1, 0.0) });
        }
    }
    drafts
}
