//! What it would take of one signal to change a judgement.
//!
//! The judgement itself is asked: it is the smallest rise of one score, all
//! others staying as they are, after which the answer is another one. A rise is
//! told in bad trials of that signal, as it is one bad trial more that an
//! operator can imagine, and not nats:
//!
//!   trials = ceil(rise / weight of a bad trial)
//!
//! at least as many different ones as make the evidence strong, where it must
//! be. Of volume it is a level: 2^(score / slope) times what is allowed.

use crate::{
    connector::Profile,
    judge::{self, Judgement, Past, Scores},
    model::Model,
    record::{Finding, SignalName},
    signal::{Life, Shape, networks::JOURNEY_WEIGHT},
};

/// Rises are known to this many nats.
const PRECISION: f32 = 0.001;

/// What is judged.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) scores: Scores,
    pub(super) past: Past<'a>,
    pub(super) life: Life,
    pub(super) profile: Profile,
    pub(super) model: &'a Model,
}

impl Judged<'_> {
    /// The judgement as it is.
    pub(super) fn judgement(&self) -> Judgement {
        self.of(&self.scores)
    }

    /// What it takes of the signal of `found` until the judgement is `level`.
    pub(super) fn needed(&self, found: &Finding, level: Judgement) -> String {
        let signal = found.signal;
        match self.rise(signal, level) {
            Rise::None => "reached".to_owned(),
            Rise::NotAlone if level == Judgement::Compromised && self.past.learning => {
                "not in its first week".to_owned()
            }
            Rise::NotAlone => "not alone".to_owned(),
            Rise::By(nats) => self.in_words(found, nats),
        }
    }

    /// The largest score that a signal can have, in nats.
    pub(super) fn cap(&self, signal: SignalName) -> f32 {
        match Kind::of(signal, self.model, self.profile) {
            Kind::Test(shape, ..) if signal == SignalName::NewNetworks && !self.life.is_old => {
                shape.weak_cap
            }
            Kind::Test(shape, ..) => shape.strong_cap,
            Kind::Bonus => self.model.shift,
            Kind::Level => self.model.volume.cap,
        }
    }

    fn of(&self, scores: &Scores) -> Judgement {
        judge::judge(scores, &self.past, self.model)
    }

    fn rise(&self, signal: SignalName, level: Judgement) -> Rise {
        let (own, cap) = (self.scores.of(signal), self.cap(signal));
        let reached = |score| self.of(&self.scores.with(signal, score)) >= level;
        if reached(own) {
            return Rise::None;
        }
        if cap <= own || !reached(cap) {
            return Rise::NotAlone;
        }
        let (mut low, mut high) = (own, cap);
        while high - low > PRECISION {
            let middle = f32::midpoint(low, high);
            if reached(middle) { high = middle } else { low = middle }
        }
        Rise::By(high - own)
    }

    fn in_words(&self, found: &Finding, nats: f32) -> String {
        let model = self.model;
        let target = found.score + nats;
        let (shape, what, strong_from) = match Kind::of(found.signal, model, self.profile) {
            Kind::Test(shape, what, strong_from) => (shape, what, strong_from),
            Kind::Bonus => return format!("+{nats:.1}"),
            Kind::Level => {
                return format!("{:.1} x allowed", (target / model.volume.slope).exp2());
            }
        };
        let weight = shape.weight(true, found.usual);
        if weight <= 0.0 {
            return format!("+{nats:.1}");
        }
        let different = if target > shape.weak_cap { strong_from } else { 0 };
        let journey = match found.signal {
            SignalName::NewNetworks => model.journey.saturating_sub(found.distinct),
            _ => 0,
        };
        let discount = journey as f32 * (1.0 - JOURNEY_WEIGHT);
        let trials = whole(nats / weight + discount).max(different.saturating_sub(found.distinct));
        format!("{trials} more {what}{}", if trials == 1 { "" } else { "s" })
    }
}

/// A rise of a score that changes the judgement.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rise {
    /// It is judged so already.
    None,
    /// By so many nats.
    By(f32),
    /// Other signals must rise too.
    NotAlone,
}

/// What kind of signal it is.
enum Kind {
    /// A sequential test: its constants, what a bad trial shows, and how many
    /// different ones of these make the evidence strong.
    Test(Shape, &'static str, u32),
    /// A flat bonus.
    Bonus,
    /// How far a level is beyond what is allowed.
    Level,
}

impl Kind {
    fn of(signal: SignalName, model: &Model, profile: Profile) -> Self {
        match signal {
            SignalName::UnregisteredSender => Self::Test(
                model.unregistered.for_senders_of(profile),
                "domain",
                model.strong_domains,
            ),
            SignalName::ForeignFrom => {
                Self::Test(model.foreign.for_senders_of(profile), "domain", model.strong_domains)
            }
            SignalName::NewNetworks => Self::Test(model.networks, "network", model.strong_networks),
            SignalName::ShiftedNetworks => Self::Bonus,
            SignalName::UnknownCrowds => Self::Test(model.crowds, "crowd", 0),
            SignalName::MostRefused => Self::Test(model.most_refused, "refusal", 0),
            SignalName::ManyRefused => Self::Test(model.many_refused, "refusal", 0),
            SignalName::UnknownRecipients => {
                Self::Test(model.unknown_recipients, "unknown recipient", 0)
            }
            SignalName::SpamVerdict => Self::Test(model.spam, "verdict", 0),
            SignalName::Volume => Self::Level,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rise is positive, and a cast stops at the largest number"
)]
fn whole(count: f32) -> u32 {
    count.ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{CaseId, Grace},
        timestamp::Timestamp,
    };
    use Judgement::{Compromised, Suspicious};
    use SignalName::{
        MostRefused, NewNetworks, ShiftedNetworks, UnknownCrowds, UnregisteredSender, Volume,
    };

    fn needed(
        scores: &[(SignalName, f32)],
        found: Finding,
        level: Judgement,
        past: Past<'_>,
    ) -> String {
        let model = Model::default();
        let scores = scores.iter().fold(Scores::default(), |all, one| all.with(one.0, one.1));
        let life = Life { is_old: true, ..Life::default() };
        let found = Finding { score: scores.of(found.signal), ..found };
        Judged { scores, past, life, profile: Profile::Login, model: &model }.needed(&found, level)
    }

    fn found(signal: SignalName, distinct: u32) -> Finding {
        Finding { signal, distinct, ..Finding::default() }
    }

    #[test]
    fn what_it_takes_is_what_the_judgement_takes() {
        for (scores, found, level, expected) in [
            // 3.2 nats each.
            (&[][..], found(UnregisteredSender, 0), Suspicious, "3 more domains"),
            (&[], found(UnregisteredSender, 0), Compromised, "5 more domains"),
            (
                &[(UnregisteredSender, 6.4)],
                found(UnregisteredSender, 2),
                Suspicious,
                "1 more domain",
            ),
            (&[(UnregisteredSender, 8.0)], found(UnregisteredSender, 3), Suspicious, "reached"),
            // It is nearly there, but the evidence is weak until there are 14.
            (&[(NewNetworks, 9.1)], found(NewNetworks, 4), Compromised, "10 more networks"),
            (&[(UnregisteredSender, 8.0)], found(MostRefused, 0), Compromised, "7 more refusals"),
            (&[], found(UnknownCrowds, 0), Suspicious, "3 more crowds"),
            (&[], found(UnknownCrowds, 0), Compromised, "not alone"),
            (&[], found(ShiftedNetworks, 0), Suspicious, "not alone"),
            (&[(UnregisteredSender, 6.0)], found(ShiftedNetworks, 0), Suspicious, "+1.0"),
            (&[], found(Volume, 0), Suspicious, "3.4 x allowed"),
            // Of two in a group the smaller counts half.
            (&[(Volume, 6.0)], found(UnknownCrowds, 0), Suspicious, "1 more crowd"),
        ] {
            let signal = found.signal;
            let text = needed(scores, found, level, Past::default());
            assert_eq!(text, expected, "{scores:?} {signal} {level:?}");
        }
    }

    #[test]
    fn the_past_matters() {
        let grace = |signals: &[SignalName]| Grace {
            until: Timestamp::default(),
            case: CaseId(1),
            signals: signals.to_vec(),
        };
        let (same, other) = (grace(&[UnregisteredSender]), grace(&[Volume]));
        let of = |past| needed(&[], found(UnregisteredSender, 0), Compromised, past);
        assert_eq!(of(Past { grace: Some(&same), ..Past::default() }), "5 more domains");
        assert_eq!(of(Past { grace: Some(&other), ..Past::default() }), "not alone");
        assert_eq!(of(Past { learning: true, ..Past::default() }), "not in its first week");
        // Suspicion goes on where it was.
        let was = Past { was: Suspicious, ..Past::default() };
        let scores = &[(UnregisteredSender, 4.0)];
        assert_eq!(needed(scores, found(UnregisteredSender, 1), Suspicious, was), "reached");
    }
}
