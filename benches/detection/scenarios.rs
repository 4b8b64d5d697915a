//! Legitimate mail that no trace contains.
//!
//! Unless said otherwise a connector knows at least 30 recipients, results
//! come after a log-normal lag (median 6 s, sigma 1.2, 1 to 900 s), and 1 % of
//! the office mail bounces.

use crate::{
    draw::Draw,
    random::Random,
    stream::{Draft, Kind, Stream, To, assemble},
    traces::Trace,
};
use connguard::connector::Profile;

pub(crate) const DAY: f64 = 86_400.0;
/// A day that is a multiple of seven, on which synthetic mail begins.
pub(crate) const FIRST_DAY: f64 = 19_999.0;
const ACQUAINTED: usize = 30;

/// What a scenario may use.
pub(crate) struct World<'a> {
    pub(crate) traces: &'a [Trace],
    pub(crate) newsletter: Option<&'a [bool]>,
    pub(crate) seed: u64,
}

/// How its stream is made; nothing where a trace is needed that is not there.
type Make = fn(&World<'_>, &mut Random) -> Option<Stream>;

/// What is to come of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Goal {
    /// No run may be restricted.
    Free,
    /// Told as it is.
    Shown,
    /// It looks like abuse and is to be restricted.
    Restricted,
}

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) goal: Goal,
    pub(crate) make: Make,
    /// Deferred mail is tried again.
    pub(crate) retries: bool,
}

const fn scenario(name: &'static str, goal: Goal, make: Make) -> Scenario {
    Scenario { name, goal, make, retries: true }
}

/// All of them.
pub(crate) const ALL: [Scenario; 32] = [
    scenario("12 monthly invoice runs, 500-5,000, login", Goal::Free, |_, r| {
        Some(invoices(r, Kind::Login, true))
    }),
    scenario("the same, a new login", Goal::Free, |_, r| Some(invoices(r, Kind::Login, false))),
    scenario("the same, relay", Goal::Free, |_, r| Some(invoices(r, Kind::Relay, true))),
    scenario("first newsletter, 10-14 % bounces", Goal::Free, |_, r| Some(ordinary(r, true, 1))),
    scenario("the same, a new login", Goal::Free, |_, r| Some(ordinary(r, false, 1))),
    Scenario {
        retries: false,
        ..scenario("the same, old login, not retried", Goal::Free, |_, r| {
            Some(ordinary(r, true, 1))
        })
    },
    scenario("first newsletter, relay", Goal::Free, |_, r| {
        let news = Newsletter { kind: Kind::Relay, ..Newsletter::draw(r) };
        Some(news.stream(r))
    }),
    scenario("first newsletter in lots of 10 Bcc, 12 %", Goal::Shown, |_, r| {
        Some(Newsletter { bounces: 0.12, lots: 10, ..Newsletter::draw(r) }.stream(r))
    }),
    Scenario {
        retries: false,
        ..scenario("the same, not retried", Goal::Shown, |_, r| {
            Some(Newsletter { bounces: 0.12, lots: 10, ..Newsletter::draw(r) }.stream(r))
        })
    },
    scenario("first newsletter, 20 % bounces", Goal::Shown, |_, r| {
        Some(Newsletter { bounces: 0.2, ..Newsletter::draw(r) }.stream(r))
    }),
    Scenario {
        retries: false,
        ..scenario("the same, not retried", Goal::Shown, |_, r| {
            Some(Newsletter { bounces: 0.2, ..Newsletter::draw(r) }.stream(r))
        })
    },
    scenario("first newsletter from a never used network", Goal::Shown, |_, r| {
        Some(Newsletter { client: 9, ..Newsletter::draw(r) }.stream(r))
    }),
    Scenario {
        retries: false,
        ..scenario("the same, not retried", Goal::Shown, |_, r| {
            Some(Newsletter { client: 9, ..Newsletter::draw(r) }.stream(r))
        })
    },
    scenario("first newsletter with the bounces of a real one", Goal::Shown, |world, r| {
        Some(real_newsletter(world.newsletter?, r, None))
    }),
    scenario("the same, profile bulk", Goal::Free, |world, r| {
        Some(real_newsletter(world.newsletter?, r, Some(Profile::Bulk)))
    }),
    scenario("printer and scanner", Goal::Free, |_, r| Some(printer(r))),
    scenario("monitoring, 4 alert storms", Goal::Free, |_, r| Some(monitor(r, Kind::Relay))),
    scenario("the same, a login", Goal::Shown, |_, r| Some(monitor(r, Kind::Login))),
    scenario("ERP, 3 late registrations", Goal::Free, |_, r| Some(erp(r, true))),
    scenario("ERP, none late", Goal::Free, |_, r| Some(erp(r, false))),
    scenario("queue flush, person", Goal::Free, |world, r| {
        let (trace, sender, draw) = person(world, r)?;
        flush(draw.drafts(trace, sender), Kind::Login, r)
    }),
    scenario("queue flush, organization", Goal::Free, |world, r| {
        let (trace, draw) = organization(world, r)?;
        flush(draw.relay_drafts(trace), Kind::Relay, r)
    }),
    scenario("our address listed, 40 % refused for 6 h, person", Goal::Shown, |world, r| {
        let (trace, sender, draw) = person(world, r)?;
        listed(draw.drafts(trace, sender), Kind::Login, 0.4, r)
    }),
    scenario("listed, 90 %, person", Goal::Shown, |world, r| {
        let (trace, sender, draw) = person(world, r)?;
        listed(draw.drafts(trace, sender), Kind::Login, 0.9, r)
    }),
    scenario("listed, 40 %, organization", Goal::Shown, |world, r| {
        let (trace, draw) = organization(world, r)?;
        listed(draw.relay_drafts(trace), Kind::Relay, 0.4, r)
    }),
    // Restricted day after day; its retries would only take time.
    Scenario {
        retries: false,
        ..scenario("forwarder, undeclared", Goal::Restricted, |_, r| Some(forwarder(r, None)))
    },
    scenario("forwarder, declared", Goal::Free, |_, r| {
        Some(forwarder(r, Some(Profile::Forwarder)))
    }),
    scenario("a wrong sender domain for two days", Goal::Shown, |_, r| Some(mistake(r))),
    scenario("a login of 40 branches", Goal::Shown, |_, r| Some(branches(r))),
    scenario("starts to roam after 60 days", Goal::Shown, |_, r| Some(roams(r))),
    scenario("office mail, login", Goal::Free, |_, r| {
        Some(assemble(Kind::Login, office(r, 180, 15.0), ACQUAINTED, r))
    }),
    scenario("office mail, relay, 150 a day", Goal::Free, |_, r| {
        Some(assemble(Kind::Relay, office(r, 180, 150.0), ACQUAINTED, r))
    }),
];

fn lag(random: &mut Random) -> f64 {
    random.log_normal(1.8, 1.2).clamp(1.0, 900.0)
}

/// `count` times of day on day `day`, between two hours.
fn times(random: &mut Random, day: usize, count: usize, from: f64, until: f64) -> Vec<f64> {
    let midnight = (FIRST_DAY + day as f64) * DAY;
    (0..count).map(|_| midnight + random.between(from, until) * 3600.0).collect()
}

/// `count` moments within `span` seconds from `start`.
fn spread(random: &mut Random, start: f64, count: usize, span: f64) -> Vec<f64> {
    (0..count).map(|_| start + random.between(0.0, span)).collect()
}

/// A person's mail at work.
pub(crate) fn office(random: &mut Random, days: usize, per_day: f64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for day in (0..days).filter(|day| day % 7 < 5) {
        let count = random.poisson(per_day);
        for at in times(random, day, count, 8.0, 17.0) {
            let all = if random.chance(0.93) { 1 } else { 2 + random.below(4) as u32 };
            let to = To::Some { all, fresh: u32::from(random.chance(0.1)) };
            let refused = u32::from(random.chance(0.01));
            drafts.push(Draft { at, to, refused, lag_s: lag(random), ..Draft::default() });
        }
    }
    drafts
}

fn invoices(random: &mut Random, kind: Kind, history: bool) -> Stream {
    let size = random.between(500f64.ln(), 5000f64.ln()).exp();
    let mut drafts = if history { office(random, 365, 15.0) } else { Vec::new() };
    for month in 0..12 {
        let count = (size * random.between(0.9, 1.1)) as usize;
        let day = 30.0 * f64::from(month) + if history { 25.0 } else { 0.0 };
        let span = random.between(300.0, 7200.0);
        let bounces = random.between(0.01, 0.02);
        for at in spread(random, (FIRST_DAY + day) * DAY + 36_000.0, count, span) {
            let fresh = u32::from(month == 0 || random.chance(0.05));
            let refused = u32::from(random.chance(bounces));
            let to = To::Some { all: 1, fresh };
            drafts.push(Draft { at, to, refused, lag_s: lag(random), ..Draft::default() });
        }
    }
    assemble(kind, drafts, ACQUAINTED, random)
}

/// The first run of a newsletter, 1,000 to 2,000 recipients, on day 40.
struct Newsletter {
    kind: Kind,
    history: bool,
    bounces: f64,
    lots: u32,
    client: u32,
}

impl Newsletter {
    fn draw(random: &mut Random) -> Self {
        let bounces = random.between(0.10, 0.14);
        Self { kind: Kind::Login, history: true, bounces, lots: 1, client: 1 }
    }

    fn stream(&self, random: &mut Random) -> Stream {
        let mut drafts = if self.history { office(random, 60, 15.0) } else { Vec::new() };
        let count = random.between(1000.0, 2000.0) as u32 / self.lots;
        let refused = (0..count).map(|_| random.binomial(self.lots, self.bounces)).collect();
        drafts.extend(self.run(refused, random));
        assemble(self.kind, drafts, ACQUAINTED, random)
    }

    fn run(&self, refused: Vec<u32>, random: &mut Random) -> Vec<Draft> {
        let span = random.choose(&[120.0, 1800.0, 10_800.0]);
        let start = (FIRST_DAY + 40.0) * DAY + 36_000.0;
        let mut at = spread(random, start, refused.len(), span);
        at.sort_by(f64::total_cmp);
        let each = at.into_iter().zip(refused);
        each.map(|(at, refused)| Draft {
            at,
            to: To::Some { all: self.lots, fresh: self.lots },
            refused,
            lag_s: random.log_normal(2.2, 1.0).clamp(1.0, 900.0),
            client: self.client,
            ..Draft::default()
        })
        .collect()
    }
}

fn ordinary(random: &mut Random, history: bool, lots: u32) -> Stream {
    Newsletter { history, lots, ..Newsletter::draw(random) }.stream(random)
}

fn real_newsletter(bounces: &[bool], random: &mut Random, profile: Option<Profile>) -> Stream {
    let mut drafts = office(random, 60, 15.0);
    let refused = bounces.iter().map(|refused| u32::from(*refused)).collect();
    let news = Newsletter::draw(random);
    drafts.extend(news.run(refused, random));
    Stream { profile, ..assemble(Kind::Login, drafts, ACQUAINTED, random) }
}

fn printer(random: &mut Random) -> Stream {
    let mut drafts = Vec::new();
    for day in (0..180).filter(|day| day % 7 < 5) {
        let count = random.poisson(30.0);
        for at in times(random, day, count, 8.0, 17.0) {
            let to = To::Some { all: 1, fresh: u32::from(random.chance(0.01)) };
            let sender_domain = u32::from(random.chance(0.02));
            drafts.push(Draft { at, to, sender_domain, ..Draft::default() });
        }
    }
    // A morning of scanning, page by page.
    let start = (FIRST_DAY + 100.0) * DAY + 40_000.0;
    let pages = spread(random, start, 150, 900.0);
    drafts.extend(pages.into_iter().map(|at| Draft { at, ..Draft::default() }));
    assemble(Kind::Relay, drafts, ACQUAINTED, random)
}

/// Three people on call: each alert goes to one of them, a storm to all.
fn monitor(random: &mut Random, kind: Kind) -> Stream {
    let start = FIRST_DAY * DAY;
    let mut drafts: Vec<Draft> = spread(random, start, 180 * 12, 180.0 * DAY)
        .into_iter()
        .map(|at| {
            let to = To::Just(vec![random.below(3) as u32]);
            Draft { at, to, ..Draft::default() }
        })
        .collect();
    for _ in 0..4 {
        let begin = start + (random.below(180) as f64) * DAY + random.between(0.0, 80_000.0);
        let count = 300 + random.below(1200);
        for at in spread(random, begin, count, 1800.0) {
            drafts.push(Draft { at, to: To::Just(vec![0, 1, 2]), ..Draft::default() });
        }
    }
    assemble(kind, drafts, 3, random)
}

/// 400 messages a working day; with `late`, a new domain goes live on days 60,
/// 120 and 180, three days before it is registered.
fn erp(random: &mut Random, late: bool) -> Stream {
    let mut drafts = Vec::new();
    for day in 0..240 {
        let count = random.poisson(if day % 7 < 5 { 400.0 } else { 30.0 });
        let unregistered = match day {
            60..63 => 50,
            120..123 => 51,
            180..183 => 52,
            _ => 0,
        };
        for at in times(random, day, count, 6.0, 20.0) {
            let odd = late && random.chance(0.06);
            drafts.push(Draft {
                at,
                to: To::Some { all: 1, fresh: u32::from(random.chance(0.08)) },
                refused: u32::from(random.chance(0.02)),
                lag_s: lag(random),
                sender_domain: if odd { unregistered } else { 0 },
                ..Draft::default()
            });
        }
    }
    assemble(Kind::Relay, drafts, 2000, random)
}

fn forwarder(random: &mut Random, profile: Option<Profile>) -> Stream {
    let drafts = spread(random, FIRST_DAY * DAY, 120 * 60, 120.0 * DAY).into_iter().map(|at| {
        let foreign = if random.chance(0.6) { 1000 + random.below(5000) as u32 } else { 0 };
        Draft {
            at,
            to: To::Some { all: 1, fresh: u32::from(random.chance(0.02)) },
            refused: u32::from(random.chance(0.05)),
            sender_domain: foreign,
            // The From of a forwarded message stays what it was.
            from_domain: foreign,
            spam: random.chance(0.05),
            ..Draft::default()
        }
    });
    let drafts = drafts.collect();
    Stream { profile, ..assemble(Kind::Relay, drafts, ACQUAINTED, random) }
}

fn mistake(random: &mut Random) -> Stream {
    let mut drafts = office(random, 90, 15.0);
    let wrong = (FIRST_DAY + 50.0) * DAY..(FIRST_DAY + 52.0) * DAY;
    drafts.iter_mut().filter(|d| wrong.contains(&d.at)).for_each(|d| d.sender_domain = 7);
    assemble(Kind::Login, drafts, ACQUAINTED, random)
}

fn branches(random: &mut Random) -> Stream {
    let mut drafts = office(random, 120, 40.0);
    drafts.iter_mut().for_each(|draft| draft.client = 1 + random.below(40) as u32);
    assemble(Kind::Login, drafts, ACQUAINTED, random)
}

fn roams(random: &mut Random) -> Stream {
    let mut drafts = office(random, 120, 15.0);
    let from = (FIRST_DAY + 60.0) * DAY;
    for draft in drafts.iter_mut().filter(|draft| draft.at >= from) {
        draft.client = 1000 + ((draft.at / 5400.0) as u32) % 977;
    }
    assemble(Kind::Login, drafts, ACQUAINTED, random)
}

fn person<'a>(world: &World<'a>, random: &mut Random) -> Option<(&'a Trace, usize, Draw)> {
    let (trace, draw) = organization(world, random)?;
    // Who wrote for a month at least; the others have no busiest day yet.
    let senders: Vec<usize> = (0..trace.senders.len())
        .filter(|sender| crate::traces::years(&trace.senders[*sender]) > 31.0 / 365.0)
        .collect();
    (!senders.is_empty()).then(|| (trace, random.choose(&senders), draw))
}

fn organization<'a>(world: &World<'a>, random: &mut Random) -> Option<(&'a Trace, Draw)> {
    if world.traces.is_empty() {
        return None;
    }
    let trace = &world.traces[random.below(world.traces.len())];
    let number = random.below(1000) as u64;
    Some((trace, Draw { seed: world.seed, number, climate: Default::default() }))
}

/// What came in 6 hours of one of the busy days arrives in 5 minutes.
fn flush(mut drafts: Vec<Draft>, kind: Kind, random: &mut Random) -> Option<Stream> {
    let first = drafts.first()?.at;
    let settled: Vec<f64> =
        drafts.iter().map(|draft| draft.at).filter(|at| *at >= first + 30.0 * DAY).collect();
    if settled.is_empty() {
        return None;
    }
    // A day by the number of its messages.
    let start = (random.choose(&settled) / DAY).floor() * DAY + 9.0 * 3600.0;
    let end = start + 6.0 * 3600.0;
    for draft in drafts.iter_mut().filter(|draft| (start..end).contains(&draft.at)) {
        draft.at = end + random.between(0.0, 300.0);
    }
    Some(assemble(kind, drafts, 1, random))
}

/// A provider with `share` of the recipients refuses our address for 6 hours.
fn listed(mut drafts: Vec<Draft>, kind: Kind, share: f64, random: &mut Random) -> Option<Stream> {
    let (first, last) = (drafts.first()?.at, drafts.last()?.at);
    if last - first < 30.0 * DAY {
        return None;
    }
    let start = drafts[random.below(drafts.len())].at - 3600.0;
    let hours = start..start + 6.0 * 3600.0;
    for draft in drafts.iter_mut().filter(|draft| hours.contains(&draft.at)) {
        draft.refused = draft.refused.max(random.binomial(draft.recipients(), share));
    }
    Some(assemble(kind, drafts, 1, random))
}
