//! V: more than in the busiest hours so far. No sequential test but a level:
//!
//!   V = 4 log2(v) for v > 1, else 0, weak evidence
//!   v = max over messages, recipients, new recipients of (last hour / reference)
//!   reference = max(prior * class, 1.5 * busiest hour)
//!
//! - *Messages* count 1, or 0.1 if all their recipients got one within the last
//!   hour already (alert storms); *recipients* are those that did not, and *new
//!   recipients* those that the connector never wrote to, each 20 a message at
//!   the most.
//! - *The last hour* is a count that decays with a time constant of an hour.
//! - *The busiest hour* is the largest clock hour of the weeks 4 to 19 ago; of
//!   younger weeks too in a connector's first 6 weeks; and what an operator
//!   declared. The delay is the defence against ramping up. A week raises it to
//!   at the most 4 times what it was, and a day with a restriction not at all.
//! - *class* is 1 for a login and 8 for all others.
//!
//! State: for each of the three a decayed count, the count of the present clock
//! hour (f32) with the number of that hour in one word, the largest hour of the
//! day, and a byte for each of 20 weeks: 8 log2(1 + x), so that an hour is
//! remembered to within 5 %.

use super::{Context, Life, Observation};
use crate::{
    connector::Profile,
    day::Roll,
    directory::Usual,
    halves::{join, split},
    model::Model,
    record::{Finding, Unit},
    score::Score,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Half-life of a count that decays with a time constant of an hour.
pub(super) const HALFLIFE_S: f32 = 3600.0 * std::f32::consts::LN_2;
const HOUR_S: u32 = 3600;
const WEEKS: u32 = 20;
/// Steps of a week's byte in a doubling.
const STEPS: f32 = 8.0;

/// The constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VolumeModel {
    /// Nats for each doubling.
    pub slope: f32,
    /// Cap in nats.
    pub cap: f32,
    /// What is no volume whatever the history, in an hour: messages,
    /// recipients, new recipients of a login.
    pub prior: [f32; 3],
    /// Others than logins have so many times the prior.
    pub class: f32,
    /// The reference is so many times the busiest hour.
    pub over_busiest: f32,
    /// Recipients that a message counts at the most.
    pub a_message: u32,
    /// A message to recipients of the last hour counts this.
    pub repeated: f32,
    /// Weeks until an hour counts as history.
    pub delay_weeks: u32,
    /// A week raises the busiest hour to so many times at the most.
    pub growth: f32,
    /// Whether the signal counts at all. Off only to measure what it is worth.
    pub on: bool,
}

/// The constants.
pub const VOLUME: VolumeModel = VolumeModel {
    slope: 4.0,
    cap: super::WEAK_CAP,
    prior: [15.0, 40.0, 20.0],
    class: 8.0,
    over_busiest: 1.5,
    a_message: 20,
    repeated: 0.1,
    delay_weeks: 4,
    growth: 4.0,
    on: true,
};

/// The volume of one connector.
#[derive(Debug, Default)]
pub struct Volume {
    units: [Counts; 3],
}

/// One of the three.
#[derive(Debug, Default)]
struct Counts {
    /// The last hour.
    now: Score,
    /// Number of the clock hour (upper half), what passed in it (f32).
    hour: AtomicU64,
    /// Largest hour of the day, an f32. (Bits of positive floats are in the
    /// order of their values.)
    day: AtomicU32,
    /// Largest hour of the weeks that count, an f32.
    busiest: AtomicU32,
    weeks: [AtomicU8; WEEKS as usize],
}

/// What is kept of it across a restart.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Image([(u64, u64, u32, u32, [u8; WEEKS as usize]); 3]);

/// What a message counts in messages.
pub(super) fn weight(seen: &Observation, model: &Model) -> f32 {
    if seen.fresh > 0 { 1.0 } else { model.volume.repeated }
}

fn counts(seen: &Observation, context: &Context<'_>) -> [f32; 3] {
    let model = context.model;
    let capped = |count: u32| count.min(model.volume.a_message) as f32;
    let unseen = if context.muted { 0 } else { seen.unseen };
    [weight(seen, model), capped(seen.fresh), capped(unseen)]
}

impl Volume {
    /// A message comes, whether it will pass or not.
    pub(super) fn arrive(&self, seen: &Observation, context: &Context<'_>) {
        for (unit, count) in self.units.iter().zip(counts(seen, context)) {
            if count > 0.0 {
                unit.now.add(count, HALFLIFE_S, f32::MAX, context.now);
            }
        }
    }

    /// A message passed.
    pub(super) fn pass(&self, seen: &Observation, context: &Context<'_>) {
        let hour = context.now.as_seconds() / HOUR_S;
        for (unit, count) in self.units.iter().zip(counts(seen, context)) {
            if count > 0.0 {
                unit.count(hour, count);
            }
        }
    }

    /// The level of the last hour.
    pub fn level(&self, unit: Unit, now: Timestamp) -> f32 {
        self.of(unit).map_or(0.0, |counts| counts.now.get(HALFLIFE_S, now))
    }

    /// The busiest hour of the weeks that count.
    pub fn busiest(&self, unit: Unit) -> f32 {
        self.of(unit).map_or(0.0, |counts| f32::from_bits(counts.busiest.load(Relaxed)))
    }

    /// The busiest hour of the weeks that count, or what was declared if that is
    /// more.
    pub fn usual(&self, unit: Unit, context: &Context<'_>) -> f32 {
        self.busiest(unit).max(declared(unit, &context.usual))
    }

    /// In how many weeks without a gap something passed, counted back from the
    /// week before that of `day`; at most 19.
    pub fn weeks_before(&self, day: u32) -> u32 {
        let Some(counts) = self.of(Unit::Messages) else { return 0 };
        let present = week(day);
        let passed = |age: &u32| {
            let slot = counts.week(present.wrapping_sub(*age));
            slot.is_some_and(|slot| slot.load(Relaxed) > 0)
        };
        (1..WEEKS).take_while(passed).map(|_| 1).sum()
    }

    /// What is still no volume, in the last hour.
    pub fn reference(&self, unit: Unit, context: &Context<'_>) -> f32 {
        prior(unit, context).max(context.model.volume.over_busiest * self.usual(unit, context))
    }

    /// V, and what it is about.
    pub(super) fn score(&self, context: &Context<'_>) -> (f32, Unit) {
        let model = &context.model.volume;
        let times = |unit| self.level(unit, context.now) / self.reference(unit, context);
        let (times, unit) = Unit::ALL
            .map(|unit| (times(unit), unit))
            .into_iter()
            .fold((0.0, Unit::Messages), |most, next| if next.0 > most.0 { next } else { most });
        let score = if times > 1.0 && model.on { model.slope * times.log2() } else { 0.0 };
        (score.min(model.cap), unit)
    }

    /// Fills in what V says: of the unit that is furthest beyond its reference,
    /// the level of the last hour and the busiest hour.
    pub(super) fn describe(&self, context: &Context<'_>, found: Finding) -> Finding {
        let unit = self.score(context).1;
        Finding {
            unit: Some(unit),
            bad: super::whole(self.level(unit, context.now)),
            of: super::whole(self.usual(unit, context)),
            distinct: super::whole(self.reference(unit, context)),
            since: context.now,
            ..found
        }
    }

    /// The level of the last hour starts again from zero.
    pub(super) fn reset(&self) {
        for unit in &self.units {
            unit.now.reset();
        }
    }

    /// Ends a day. Only the thread that won the roll of the day may call this.
    pub(super) fn commit(&self, roll: &Roll, life: Life, context: &Context<'_>) {
        let VolumeModel { delay_weeks, growth, .. } = context.model.volume;
        let (last, present) = (week(roll.last), week(roll.last.saturating_add(roll.days)));
        for (unit, name) in self.units.iter().zip(Unit::ALL) {
            unit.count(u32::MAX, 0.0);
            let day = f32::from_bits(unit.day.swap(0, Relaxed));
            if life.settling {
                unit.learn(last.wrapping_sub(delay_weeks), day);
            } else if !roll.restricted {
                let youngest = if life.is_young { 1 } else { delay_weeks };
                let most = growth * prior(name, context).max(unit.busiest_from(last, youngest));
                unit.learn(last, day.min(most));
            }
            unit.forget(last, present);
            let youngest = if life.is_young { 0 } else { delay_weeks };
            let busiest = unit.busiest_from(present, youngest);
            unit.busiest.store(busiest.to_bits(), Relaxed);
        }
    }

    /// The present level is usual: it goes into the week that has just become
    /// history, so that it counts at once and until the weeks to come replace
    /// it.
    pub(super) fn declare(&self, context: &Context<'_>) {
        let Context { model, now, .. } = *context;
        for unit in &self.units {
            let (_, hour) = split(unit.hour.load(Relaxed));
            let day = f32::from_bits(unit.day.load(Relaxed));
            let level = unit.now.get(HALFLIFE_S, now).max(f32::from_bits(hour)).max(day);
            unit.learn(week(now.day()).wrapping_sub(model.volume.delay_weeks), level);
            unit.busiest.fetch_max(level.to_bits(), Relaxed);
        }
    }

    pub(super) fn image(&self) -> Image {
        Image(self.units.each_ref().map(|unit| {
            (
                unit.now.word(),
                unit.hour.load(Relaxed),
                unit.day.load(Relaxed),
                unit.busiest.load(Relaxed),
                unit.weeks.each_ref().map(|week| week.load(Relaxed)),
            )
        }))
    }

    pub(super) fn of_image(image: &Image) -> Self {
        Self {
            units: image.0.map(|(now, hour, day, busiest, weeks)| Counts {
                now: Score::of_word(now),
                hour: hour.into(),
                day: day.into(),
                busiest: busiest.into(),
                weeks: weeks.map(AtomicU8::new),
            }),
        }
    }

    fn of(&self, unit: Unit) -> Option<&Counts> {
        self.units.get(unit as usize)
    }
}

impl Counts {
    /// Counts `by` in a clock hour; the one before goes into the largest of
    /// the day. With no hour of its own (`u32::MAX`) only that.
    fn count(&self, hour: u32, by: f32) {
        let add = |word| {
            let (held, count) = split(word);
            let count = f32::from_bits(count);
            // A thread that comes late counts into the newer hour.
            Some(match hour {
                u32::MAX => 0,
                _ if held < hour => join(hour, by.to_bits()),
                _ => join(held, (count + by).to_bits()),
            })
        };
        if let Ok(before) = self.hour.fetch_update(Relaxed, Relaxed, add) {
            let (held, count) = split(before);
            if held < hour {
                self.day.fetch_max(count, Relaxed);
            }
        }
    }

    fn learn(&self, week: u32, hour: f32) {
        if let Some(slot) = self.week(week) {
            slot.fetch_max(code(hour), Relaxed);
        }
    }

    /// Empties the weeks behind `last` up to `present`.
    fn forget(&self, last: u32, present: u32) {
        for week in last.saturating_add(1)..=present.min(last.saturating_add(WEEKS)) {
            if let Some(slot) = self.week(week) {
                slot.store(0, Relaxed);
            }
        }
    }

    /// The busiest hour of the weeks that are at least `youngest` weeks old.
    fn busiest_from(&self, present: u32, youngest: u32) -> f32 {
        let weeks = (youngest..WEEKS).filter_map(|age| self.week(present.wrapping_sub(age)));
        decode(weeks.map(|slot| slot.load(Relaxed)).max().unwrap_or(0))
    }

    fn week(&self, number: u32) -> Option<&AtomicU8> {
        self.weeks.get((number % WEEKS) as usize)
    }
}

fn week(day: u32) -> u32 {
    day / 7
}

/// The byte for an hour.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest byte"
)]
fn code(hour: f32) -> u8 {
    (STEPS * hour.ln_1p() / std::f32::consts::LN_2).round() as u8
}

fn decode(code: u8) -> f32 {
    (f32::from(code) / STEPS).exp2() - 1.0
}

fn prior(unit: Unit, context: &Context<'_>) -> f32 {
    let model = &context.model.volume;
    let class = if context.profile == Profile::Login { 1.0 } else { model.class };
    class * model.prior.get(unit as usize).copied().unwrap_or(f32::MAX)
}

/// What an operator declared to be the busiest hour. Without a number of its
/// own a message is taken to have one recipient, and all may be new.
fn declared(unit: Unit, usual: &Usual) -> f32 {
    let Usual { messages_per_hour, recipients_per_hour } = *usual;
    let declared = match unit {
        Unit::Messages => messages_per_hour.or(recipients_per_hour),
        Unit::Recipients | Unit::NewRecipients => recipients_per_hour.or(messages_per_hour),
    };
    declared.unwrap_or(0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    /// A Thursday, the first day of a week as they are counted here.
    const START: u64 = 7 * 2900 * DAY;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(START + seconds)
    }

    fn context(model: &Model, profile: Profile, now: Timestamp) -> Context<'_> {
        Context {
            model,
            profile,
            usual: Usual::default(),
            feedback: crate::pending::Feedback::Coming,
            muted: false,
            now,
        }
    }

    fn send(volume: &Volume, count: u32, context: &Context<'_>) {
        let seen = Observation { recipients: 1, fresh: 1, ..Observation::default() };
        for _ in 0..count {
            volume.arrive(&seen, context);
            volume.pass(&seen, context);
        }
    }

    fn end_of_day(volume: &Volume, day: u64, is_young: bool, restricted: bool) {
        let model = Model::default();
        let today = at(day * DAY);
        let roll = Roll { last: today.day() - 1, days: 1, share: 1.0, restricted };
        let life = Life { is_young, ..Life::default() };
        volume.commit(&roll, life, &context(&model, Profile::Login, today));
    }

    #[test]
    fn the_prior_is_no_volume_and_four_times_it_is_suspicious() {
        let model = Model::default();
        let context = context(&model, Profile::Login, at(0));
        let volume = Volume::default();
        send(&volume, 15, &context);
        assert_eq!(volume.score(&context).0, 0.0);
        send(&volume, 45, &context);
        assert_eq!(volume.score(&context), (8.0, Unit::Messages));
        send(&volume, 10_000, &context);
        assert_eq!(volume.score(&context).0, super::super::WEAK_CAP);
    }

    #[test]
    fn a_relay_may_send_more_than_a_login() {
        let model = Model::default();
        let context = context(&model, Profile::Relay, at(0));
        let volume = Volume::default();
        send(&volume, 120, &context);
        assert_eq!(volume.score(&context).0, 0.0);
    }

    #[test]
    fn an_alert_storm_to_the_same_recipients_counts_a_tenth() {
        let model = Model::default();
        let context = context(&model, Profile::Login, at(0));
        let volume = Volume::default();
        let seen = Observation { recipients: 3, ..Observation::default() };
        for _ in 0..140 {
            volume.arrive(&seen, &context);
        }
        assert_eq!(volume.score(&context).0, 0.0);
    }

    #[test]
    fn a_young_connector_learns_its_busiest_hour_in_a_day_and_an_old_one_in_four_weeks() {
        let model = Model::default();
        for (is_young, days) in [(true, 1), (false, 28)] {
            let volume = Volume::default();
            send(&volume, 50, &context(&model, Profile::Login, at(10 * 3600)));
            let learned = (1..40).find(|day| {
                end_of_day(&volume, *day, is_young, false);
                volume.busiest(Unit::Messages) > 0.0
            });
            assert_eq!(learned, Some(days));
            assert!((volume.busiest(Unit::Messages) - 50.0).abs() < 3.0);
        }
    }

    #[test]
    fn a_week_raises_the_reference_four_times_at_the_most() {
        let model = Model::default();
        let volume = Volume::default();
        for day in 0..8 {
            let time = at(day * DAY + 10 * 3600);
            send(&volume, 5000, &context(&model, Profile::Login, time));
            end_of_day(&volume, day + 1, true, false);
            let most = if day < 7 { 60.0 } else { 240.0 };
            assert!((volume.busiest(Unit::Messages) / most - 1.0).abs() < 0.06, "day {day}");
        }
    }

    #[test]
    fn a_day_with_a_block_raises_nothing() {
        let model = Model::default();
        let volume = Volume::default();
        send(&volume, 50, &context(&model, Profile::Login, at(10 * 3600)));
        end_of_day(&volume, 1, true, true);
        assert_eq!(volume.busiest(Unit::Messages), 0.0);
    }

    #[test]
    fn what_was_declared_counts_at_once_and_for_months() {
        let model = Model::default();
        let volume = Volume::default();
        send(&volume, 1000, &context(&model, Profile::Login, at(3600)));
        volume.declare(&context(&model, Profile::Login, at(3601)));
        assert!(volume.busiest(Unit::Messages) > 950.0);
        let last = (1..200).rfind(|day| {
            end_of_day(&volume, *day, false, false);
            volume.busiest(Unit::Messages) > 900.0
        });
        assert!(last.is_some_and(|last| last > 15 * 7), "{last:?}");
    }

    #[test]
    fn a_week_is_remembered_to_five_percent() {
        for hour in [0.0, 1.0, 15.0, 31.0, 880.0, 40_000.0, 1e6] {
            assert!((decode(code(hour)) - hour).abs() <= 0.05 * (hour + 1.0), "{hour}");
        }
    }

    #[test]
    fn it_survives_its_image() {
        let model = Model::default();
        let volume = Volume::default();
        send(&volume, 33, &context(&model, Profile::Login, at(0)));
        end_of_day(&volume, 1, true, false);
        assert_eq!(Volume::of_image(&volume.image()).image(), volume.image());
    }
}
