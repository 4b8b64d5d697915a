//! Paired runs: A B, B A, A B ..., so that what the machine does meanwhile meets
//! both; what counts is the ratio of the two in each pair.
//!
//! *Quartiles* of n values are those at ranks (n - 1) q, q = 1/4, 1/2, 3/4, with
//! linear interpolation. A *bar* is met if all three are on its good side, missed
//! if none of the outer two is; where they straddle it, the median ratio of
//! processor seconds decides: noise of the machine hardly moves that.

use super::Figures;
use std::fmt;

/// Figures of ours and of the other one, measured one after the other.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) ours: Figures,
    pub(crate) other: Figures,
}

/// Runs both in turn, so many times.
///
/// # Errors
/// The first one of a run.
pub(crate) fn alternate<E>(
    count: usize,
    mut ours: impl FnMut() -> Result<Figures, E>,
    mut other: impl FnMut() -> Result<Figures, E>,
) -> Result<Vec<Pair>, E> {
    (0..count)
        .map(|at| {
            if at % 2 == 0 {
                let ours = ours()?;
                Ok(Pair { ours, other: other()? })
            } else {
                let other = other()?;
                Ok(Pair { ours: ours()?, other })
            }
        })
        .collect()
}

/// The middle of some values, and how far they spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Quartiles {
    /// Of values in any order; zero where there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|share| interpolate(&values, share));
        Self { low, median, high }
    }

    /// Of the ratios, ours to the other one's.
    pub(crate) fn of_ratios(pairs: &[Pair], figure: impl Fn(&Figures) -> f64) -> Self {
        Self::of(pairs.iter().map(|pair| figure(&pair.ours) / figure(&pair.other)))
    }
}

impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.low, self.high)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is small")]
fn interpolate(sorted: &[f64], share: f64) -> f64 {
    let rank = sorted.len().saturating_sub(1) as f64 * share;
    let at = |rank: f64| sorted.get(rank as usize).copied().unwrap_or(0.0);
    at(rank.floor()) + (at(rank.ceil()) - at(rank.floor())) * rank.fract()
}

/// What a ratio is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// Whether it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judged {
    Met,
    Missed,
    /// The quartiles straddle the bar; processor seconds meet it.
    MetByCpu,
    /// The quartiles straddle the bar; processor seconds miss it.
    MissedByCpu,
}

impl Bar {
    /// The rule above. `cpu` is the median ratio of processor seconds for the
    /// same work, which more than the inverse of a bar for a rate misses.
    pub(crate) fn judge(self, found: Quartiles, cpu: f64) -> Judged {
        let (low, high, cpu_meets) = match self {
            Self::AtLeast(bar) => (found.low >= bar, found.high >= bar, cpu <= 1.0 / bar),
            Self::AtMost(bar) => (found.low <= bar, found.high <= bar, cpu <= bar),
        };
        match (low, high) {
            (true, true) => Judged::Met,
            (false, false) => Judged::Missed,
            _ if cpu_meets => Judged::MetByCpu,
            _ => Judged::MissedByCpu,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, "≥ {bar:.2}"),
            Self::AtMost(bar) => write!(f, "≤ {bar:.2}"),
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::MetByCpu => "met (by CPU)",
            Self::MissedByCpu => "missed (by CPU)",
        })
    }
}

/// The best of all runs: for absolute figures, which noise only makes worse.
pub(crate) fn best<'a>(
    runs: impl IntoIterator<Item = &'a Figures>,
    figure: impl Fn(&Figures) -> f64,
    better: fn(f64, f64) -> f64,
) -> f64 {
    runs.into_iter().map(figure).reduce(better).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        let found = Quartiles::of([4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!(found, Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        let found = Quartiles::of([1.0, 2.0]);
        assert_eq!(found, Quartiles { low: 1.25, median: 1.5, high: 1.75 });
        assert_eq!(Quartiles::of([]), Quartiles::default());
    }

    #[test]
    fn noise_decides_nothing() {
        let quartiles = |low, median, high| Quartiles { low, median, high };
        let rate = Bar::AtLeast(0.9);
        assert_eq!(rate.judge(quartiles(0.9, 0.95, 1.0), 2.0), Judged::Met);
        assert_eq!(rate.judge(quartiles(0.7, 0.8, 0.89), 1.0), Judged::Missed);
        assert_eq!(rate.judge(quartiles(0.7, 0.95, 1.0), 1.11), Judged::MetByCpu);
        assert_eq!(rate.judge(quartiles(0.7, 0.95, 1.0), 1.12), Judged::MissedByCpu);
        let p99 = Bar::AtMost(1.25);
        assert_eq!(p99.judge(quartiles(0.9, 1.0, 1.25), 2.0), Judged::Met);
        assert_eq!(p99.judge(quartiles(1.3, 1.4, 2.0), 1.0), Judged::Missed);
        assert_eq!(p99.judge(quartiles(1.0, 1.1, 1.4), 1.3), Judged::MissedByCpu);
    }

    #[test]
    fn each_goes_first_by_turns() {
        let order = std::cell::RefCell::new(String::new());
        let run = |name| {
            order.borrow_mut().push(name);
            Ok::<_, ()>(Figures::default())
        };
        assert_eq!(alternate(3, || run('A'), || run('B')).map(|pairs| pairs.len()), Ok(3));
        assert_eq!(order.into_inner(), "ABBAAB");
    }
}
