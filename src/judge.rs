//! From scores to a judgement: pure functions of plain values.
//!
//! Z, the fused score, is the sum over groups of signals that do not say the
//! same thing twice.
//! An entity is compromised from Z >= 14 on and suspicious from Z >= 7 until
//! Z falls below 3.5. One signal that is only weak evidence stays under 9.1.

use crate::record::{Grace, SignalName};

/// B: the level of `compromised`, in nats.
pub const COMPROMISED: f32 = 14.0;
/// S: the level of `suspicious`, in nats.
pub const SUSPICIOUS: f32 = 7.0;
/// A suspicious entity is normal again below this, in nats.
pub const NORMAL_AGAIN: f32 = 3.5;
/// Cap of a score that is strong evidence: 1.5 B.
pub const STRONG_CAP: f32 = 21.0;
/// Cap of a score that is weak evidence: 0.65 B, above S.
pub const WEAK_CAP: f32 = 9.1;
/// In grace this many times B is needed.
const GRACE_TIMES: f32 = 2.0;

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
///   Z = max(U, F) + max(A, min(A, weak cap) / 2 + A2) + max(R1, R2) + Q
///       + max(X, V) + min(X, V) / 2
pub fn fuse(scores: &Scores) -> f32 {
    use SignalName::{
        ForeignFrom, ManyRefused, MostRefused, NewNetworks, ShiftedNetworks, SpamVerdict,
        UnknownCrowds, UnregisteredSender, Volume,
    };
    let of = |signal| scores.of(signal);
    let larger = |one, other| of(one).max(of(other));
    let networks = of(NewNetworks);
    larger(UnregisteredSender, ForeignFrom)
        + networks.max(networks.min(WEAK_CAP) / 2.0 + of(ShiftedNetworks))
        + larger(MostRefused, ManyRefused)
        + of(SpamVerdict)
        + larger(UnknownCrowds, Volume)
        + of(UnknownCrowds).min(of(Volume)) / 2.0
}

/// The judgement of an entity that was taken for `was`. In grace twice the
/// level is needed, or the level by a signal that made the case before; after
/// a block by hand, which no signal made, one and a half times the level.
pub fn judge(scores: &Scores, was: Judgement, grace: Option<&Grace>) -> Judgement {
    let z = fuse(scores);
    let compromised = match grace {
        None => z >= COMPROMISED,
        // After a block by hand no finding was forgiven: one signal that is as
        // sure as it gets is enough.
        Some(grace) if grace.signals.is_empty() => z >= STRONG_CAP,
        Some(grace) => {
            z >= GRACE_TIMES * COMPROMISED
                || grace.signals.iter().any(|signal| scores.of(*signal) >= COMPROMISED)
        }
    };
    if compromised {
        Judgement::Compromised
    } else if z >= SUSPICIOUS || was != Judgement::Normal && z >= NORMAL_AGAIN {
        Judgement::Suspicious
    } else {
        Judgement::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{record::CaseId, timestamp::Timestamp};

    fn judged(z: f32, was: Judgement, grace: Option<&Grace>) -> Judgement {
        judge(&Scores::default().with(SignalName::UnregisteredSender, z), was, grace)
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
    fn grace_forgives_all_but_what_made_the_case() {
        let grace = |signals: &[SignalName]| Grace {
            until: Timestamp::default(),
            case: CaseId(1),
            signals: signals.to_vec(),
        };
        let same = grace(&[SignalName::UnregisteredSender]);
        let by_hand = grace(&[]);
        assert_eq!(judged(15.0, Judgement::Normal, Some(&same)), Judgement::Compromised);
        assert_eq!(judged(15.0, Judgement::Normal, Some(&by_hand)), Judgement::Suspicious);
        assert_eq!(judged(21.0, Judgement::Normal, Some(&by_hand)), Judgement::Compromised);
    }
}
