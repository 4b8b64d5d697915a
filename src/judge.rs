//! From scores to a judgement: pure functions of plain values.
//!
//! Z, the fused score, is the sum over groups of signals that do not say the
//! same thing twice.
//! An entity is compromised from Z >= 14 on and suspicious from Z >= 7 until
//! Z falls below 3.5. A signal that is only weak evidence stays under 9.1.

use crate::{
    model::Model,
    record::{Finding, Grace, Raised, SignalName},
    signal::WEAK_CAP,
};

/// What an entity is taken for.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Judgement {
    /// Nothing to see.
    #[default]
    Normal,
    /// Warn.
    Suspicious,
    /// Restrict.
    Compromised,
}

/// The scores of an entity at one moment, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores([f32; SignalName::ALL.len()]);

impl Scores {
    /// The score of one signal.
    pub fn of(&self, signal: SignalName) -> f32 {
        self.0.get(signal as usize).copied().unwrap_or(0.0)
    }

    /// Only these signals.
    fn only(&self, signals: &[SignalName]) -> Self {
        let keep = |all: Self, signal: &SignalName| all.with(*signal, self.of(*signal));
        signals.iter().fold(Self::default(), keep)
    }

    /// The scores that findings tell of.
    pub fn of_findings(findings: &[Finding]) -> Self {
        findings
            .iter()
            .fold(Self::default(), |all, finding| all.with(finding.signal, finding.score))
    }

    /// These with another score of one signal.
    #[must_use]
    pub fn with(mut self, signal: SignalName, score: f32) -> Self {
        if let Some(slot) = self.0.get_mut(signal as usize) {
            *slot = score;
        }
        self
    }
}

/// Z: signals that may say the same thing twice share a group, of which the
/// larger counts.
///
///   Z = max(U, F) + max(A, min(A, weak cap) / 2 + A2) + max(R1, R2, J) + Q
///       + max(X, V) + min(X, V) / 2, and min(U, F) / 4 if both are strong
///
/// Envelope and header each with many foreign domains is what no honest client
/// does by mistake: a wrong setting shows one or two.
pub fn fuse(scores: &Scores) -> f32 {
    use SignalName::{
        ForeignFrom, ManyRefused, MostRefused, NewNetworks, ShiftedNetworks, SpamVerdict,
        UnknownCrowds, UnknownRecipients, UnregisteredSender, Volume,
    };
    let (mut refusals, mut alone) = (0.0_f32, 0.0_f32);
    for signal in SignalName::ALL {
        let score = scores.of(signal);
        match signal {
            MostRefused | ManyRefused | UnknownRecipients => refusals = refusals.max(score),
            SpamVerdict => alone += score,
            // Each of a pair in a way of its own, below.
            UnregisteredSender | ForeignFrom | NewNetworks | ShiftedNetworks | UnknownCrowds
            | Volume => {}
        }
    }
    let (sender, from) = (scores.of(UnregisteredSender), scores.of(ForeignFrom));
    let both = sender.min(from);
    let domains = sender.max(from) + if both > WEAK_CAP { both / 4.0 } else { 0.0 };
    let networks = scores.of(NewNetworks);
    let networks = networks.max(networks.min(WEAK_CAP) / 2.0 + scores.of(ShiftedNetworks));
    let (crowds, volume) = (scores.of(UnknownCrowds), scores.of(Volume));
    let amount = crowds.max(volume) + crowds.min(volume) / 2.0;
    domains + networks + refusals + alone + amount
}

/// What of an entity's past matters to its judgement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past<'a> {
    /// What it was taken for.
    pub was: Judgement,
    /// A declared forwarder in its first week is never more than suspicious.
    pub learning: bool,
    /// In grace twice the level is needed, or the level by the signals that made
    /// the case before; after a block by hand, which no signal made, one and a
    /// half times the level.
    pub grace: Option<&'a Grace>,
    /// A restriction of it was wrong: its levels are so many times those of others.
    /// In grace the higher of both bars counts, and the signals that made the case
    /// need the raised level.
    pub raised: Option<&'a Raised>,
}

impl Past<'_> {
    /// How many times the levels of others are its own.
    pub fn times(&self) -> f32 {
        self.raised.map_or(1.0, |raised| raised.times)
    }

    /// Z from which on it is compromised; in grace the signals that made the case
    /// need less.
    pub fn compromised_at(&self, model: &Model) -> f32 {
        let raised = self.times() * model.compromised;
        match self.grace {
            None => raised,
            // After a block by hand no finding was forgiven: one signal that is as
            // sure as it gets is enough.
            Some(grace) if grace.signals.is_empty() => raised.max(model.grace_by_hand),
            Some(_) => raised.max(model.grace_times * model.compromised),
        }
    }

    /// Z from which on it is suspicious.
    pub fn suspicious_at(&self, model: &Model) -> f32 {
        self.times() * model.suspicious
    }
}

/// The judgement of an entity.
pub fn judge(scores: &Scores, past: &Past<'_>, model: &Model) -> Judgement {
    let z = fuse(scores);
    let by_same = |grace: &Grace| {
        let raised = past.times() * model.compromised;
        !grace.signals.is_empty() && fuse(&scores.only(&grace.signals)) >= raised
    };
    let compromised = z >= past.compromised_at(model) || past.grace.is_some_and(by_same);
    if compromised && !past.learning {
        Judgement::Compromised
    } else if z >= past.suspicious_at(model)
        || past.was != Judgement::Normal && z >= past.times() * model.normal_again
    {
        Judgement::Suspicious
    } else {
        Judgement::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::CaseId, timestamp::Timestamp};

    fn scores(z: f32) -> Scores {
        Scores::default().with(SignalName::UnregisteredSender, z)
    }

    fn judged(z: f32, was: Judgement, grace: Option<&Grace>) -> Judgement {
        judge(&scores(z), &Past { was, grace, ..Past::default() }, &Model::default())
    }

    #[test]
    fn levels_and_hysteresis() {
        use Judgement::{Compromised, Normal, Suspicious};
        for (z, was, expected) in [
            (6.9, Normal, Normal),
            (7.0, Normal, Suspicious),
            (3.6, Suspicious, Suspicious),
            (3.4, Suspicious, Normal),
            (13.9, Suspicious, Suspicious),
            (14.0, Normal, Compromised),
        ] {
            assert_eq!(judged(z, was, None), expected, "{z} after {was:?}");
        }
    }

    #[test]
    fn signals_that_say_the_same_thing_count_once() {
        use SignalName::{
            ForeignFrom, ManyRefused, MostRefused, NewNetworks, ShiftedNetworks, SpamVerdict,
            UnknownCrowds, UnknownRecipients, UnregisteredSender, Volume,
        };
        let z = |scores: &[(SignalName, f32)]| {
            fuse(&scores.iter().fold(Scores::default(), |all, one| all.with(one.0, one.1)))
        };
        assert_eq!(z(&[(UnregisteredSender, 5.0), (ForeignFrom, 6.0)]), 6.0);
        assert_eq!(z(&[(UnregisteredSender, 9.1), (ForeignFrom, 12.0)]), 12.0, "one is weak");
        assert_eq!(z(&[(UnregisteredSender, 10.0), (ForeignFrom, 12.0)]), 14.5);
        assert_eq!(z(&[(MostRefused, 5.0), (ManyRefused, 6.0)]), 6.0);
        assert_eq!(z(&[(MostRefused, 5.0), (UnknownRecipients, 7.0)]), 7.0);
        assert_eq!(z(&[(UnknownCrowds, 4.0), (Volume, 6.0)]), 8.0);
        assert_eq!(z(&[(NewNetworks, 6.0), (ShiftedNetworks, 2.0)]), 6.0);
        assert_eq!(z(&[(NewNetworks, 2.0), (ShiftedNetworks, 2.0)]), 3.0);
        assert_eq!(z(&[(SpamVerdict, 3.0), (UnregisteredSender, 4.0)]), 7.0);
    }

    #[test]
    fn a_forwarder_that_is_being_learned_is_suspicious_at_the_most() {
        let scores = Scores::default().with(SignalName::SpamVerdict, 21.0);
        let past = Past { learning: true, ..Past::default() };
        assert_eq!(judge(&scores, &past, &Model::default()), Judgement::Suspicious);
    }

    #[test]
    fn grace_forgives_all_but_what_made_the_case() {
        let grace = |signals: &[SignalName]| Grace {
            until: Timestamp::default(),
            case: CaseId(1),
            signals: signals.to_vec(),
        };
        let same = grace(&[SignalName::UnregisteredSender]);
        let by_hand = grace(&[]);
        let level = |raised| Past { grace: Some(&same), raised, ..Past::default() };
        let bar = Raised::after(None, CaseId(1), Timestamp::default());
        let raised = level(Some(&bar));
        assert_eq!(raised.compromised_at(&Model::default()), 28.0);
        assert_eq!(judge(&scores(15.0), &raised, &Model::default()), Judgement::Suspicious);
        assert_eq!(judge(&scores(21.0), &raised, &Model::default()), Judgement::Compromised);
        assert_eq!(judged(15.0, Judgement::Normal, Some(&same)), Judgement::Compromised);
        assert_eq!(judged(15.0, Judgement::Normal, Some(&by_hand)), Judgement::Suspicious);
        assert_eq!(judged(21.0, Judgement::Normal, Some(&by_hand)), Judgement::Compromised);
    }

    #[test]
    fn a_raised_bar_is_one_and_a_half_then_twice_as_high() {
        use Judgement::{Compromised, Normal, Suspicious};
        let first = Raised::after(None, CaseId(1), Timestamp::default());
        let again = Raised::after(Some(&first), CaseId(2), Timestamp::default());
        for (bar, z, was, expected) in [
            (&first, 10.4, Normal, Normal),
            (&first, 10.5, Normal, Suspicious),
            (&first, 5.2, Suspicious, Normal),
            (&first, 20.9, Normal, Suspicious),
            (&first, 21.0, Normal, Compromised),
            (&again, 13.9, Normal, Normal),
            (&again, 27.9, Normal, Suspicious),
            (&again, 28.0, Normal, Compromised),
        ] {
            let past = Past { was, raised: Some(bar), ..Past::default() };
            assert_eq!(judge(&scores(z), &past, &Model::default()), expected, "{z} {}", bar.times);
        }
    }
}
