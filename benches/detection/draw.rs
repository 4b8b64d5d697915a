//! What the traces do not carry, drawn at random for each sender.
//!
//! | attribute | drawn as |
//! |---|---|
//! | bounces | the share of a sender ~ Beta(0.5, 16.2), mean 3 %; each recipient by itself |
//! | lag of results | log-normal, median 16 s, sigma 0.55, 1 to 300 s |
//! | client networks | 80 %: two fixed (4 of 5 mails from one); 15 % mobile: 2 of 5 mails from 24 networks of a carrier, another one every 3 h; 5 % travelling: two fixed, and a trip of 2 to 7 days about once a month with 3 networks of its own |
//! | sender domain | 1 sender in 10 has an unregistered one of its own in 1 % of its mail; besides, 1 message in 5,000 has a mistyped one |
//! | header From | the same once more, drawn independently |
//! | spam verdict | 0.5 % of all messages, all of them wrong |
//! | unknown recipients | 1 message in 1,000 has one that Postfix itself refuses |

use crate::{
    random::{Random, label},
    stream::{Draft, Kind, Stream, To, assemble},
    traces::{Trace, TraceMail},
};

/// Ways in which a draw differs from the table above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Climate {
    /// Times the usual bounces.
    pub(crate) bounces: f64,
    /// Share of mobile senders.
    pub(crate) mobile: f64,
    /// Share of all messages that come from one of 30 unregistered domains.
    pub(crate) odd: f64,
}

impl Default for Climate {
    fn default() -> Self {
        Self { bounces: 1.0, mobile: 0.15, odd: 0.0 }
    }
}

/// When the result of a delivery is known, in seconds after acceptance.
pub(crate) fn lag(random: &mut Random) -> f64 {
    random.log_normal(16f64.ln(), 0.55).clamp(1.0, 300.0)
}

/// Where the draws of one run come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) climate: Climate,
}

impl Draw {
    /// The generator of one sender, for the same sender always the same.
    pub(crate) fn random(&self, trace: &Trace, sender: usize) -> Random {
        Random::new(self.seed, &[label(&trace.name), sender as u64, self.number])
    }

    /// One sender's messages.
    pub(crate) fn drafts(&self, trace: &Trace, sender: usize) -> Vec<Draft> {
        let mut random = self.random(trace, sender);
        let mut habits = Habits::draw(&self.climate, &mut random);
        let mails = trace.senders[sender].iter();
        let mut drafts: Vec<Draft> = mails.map(|mail| habits.draft(mail, &mut random)).collect();
        drafts.iter_mut().for_each(|draft| draft.user = sender as u32);
        drafts
    }

    /// One sender as a login.
    pub(crate) fn login(&self, trace: &Trace, sender: usize) -> Stream {
        let mut random = self.random(trace, sender);
        assemble(Kind::Login, self.drafts(trace, sender), 1, &mut random)
    }

    /// All senders of an organization behind one client.
    pub(crate) fn relay(&self, trace: &Trace) -> Stream {
        let mut random = self.random(trace, trace.senders.len());
        assemble(Kind::Relay, self.relay_drafts(trace), 1, &mut random)
    }

    /// The messages of all senders of an organization.
    pub(crate) fn relay_drafts(&self, trace: &Trace) -> Vec<Draft> {
        let mut drafts: Vec<Draft> =
            (0..trace.senders.len()).flat_map(|sender| self.drafts(trace, sender)).collect();
        drafts.iter_mut().for_each(|draft| draft.client = 1);
        drafts.sort_by(|a, b| a.at.total_cmp(&b.at));
        drafts
    }
}

/// What one sender is like.
struct Habits {
    bounces: f64,
    networks: Networks,
    odd_sender: bool,
    odd_from: bool,
    odd: f64,
}

enum Networks {
    Fixed,
    Mobile,
    Travelling { until: f64, next: f64, trip: u32 },
}

/// Numbers of networks and domains: ranges that never meet those of attacks.
const CARRIER: u32 = 100;
const TRIPS: u32 = 1000;
const OWN_ODD_DOMAIN: u32 = 1;
const MISTYPED: u32 = 100_000;
const THIRTY: u32 = 200;
const DAY: f64 = 86_400.0;

impl Habits {
    fn draw(climate: &Climate, random: &mut Random) -> Self {
        let kind = random.unit();
        Self {
            bounces: (random.beta(0.5, 16.17) * climate.bounces).min(0.9),
            networks: if kind < climate.mobile {
                Networks::Mobile
            } else if kind < climate.mobile + 0.05 {
                Networks::Travelling { until: 0.0, next: 0.0, trip: 0 }
            } else {
                Networks::Fixed
            },
            odd_sender: random.chance(0.1),
            odd_from: random.chance(0.1),
            odd: climate.odd,
        }
    }

    fn draft(&mut self, mail: &TraceMail, random: &mut Random) -> Draft {
        let at = mail.at as f64;
        let recipients = mail.to.len() as u32;
        let mut sender_domain = domain(self.odd_sender, random);
        if random.chance(self.odd) {
            sender_domain = THIRTY + random.below(30) as u32;
        }
        Draft {
            at,
            to: To::Just(mail.to.clone()),
            refused: random.binomial(recipients, self.bounces),
            lag_s: lag(random),
            unknown: u32::from(random.chance(0.001)),
            user: 0,
            sender_domain,
            from_domain: domain(self.odd_from, random),
            client: self.networks.of(at, random),
            spam: random.chance(0.005),
            attack: false,
        }
    }
}

fn domain(odd: bool, random: &mut Random) -> u32 {
    if random.chance(0.0002) {
        MISTYPED + random.below(100_000) as u32
    } else if odd && random.chance(0.01) {
        OWN_ODD_DOMAIN
    } else {
        0
    }
}

impl Networks {
    fn of(&mut self, at: f64, random: &mut Random) -> u32 {
        let fixed = if random.chance(0.8) { 1 } else { 2 };
        match self {
            Self::Fixed => fixed,
            Self::Mobile if random.chance(0.4) => {
                let part = (at / 10_800.0) as u64;
                CARRIER + Random::new(part, &[]).below(24) as u32
            }
            Self::Mobile => fixed,
            Self::Travelling { until, next, trip } => {
                if at >= *next {
                    *until = at + random.between(2.0, 7.0) * DAY;
                    *next = *until + random.exponential(30.0) * DAY;
                    *trip += 1;
                }
                if at < *until { TRIPS + *trip * 3 + random.below(3) as u32 } else { fixed }
            }
        }
    }
}
