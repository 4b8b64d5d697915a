//! Quantiles, and exact bounds of a rate.

/// The value that a share `q` of all values reach at most (nearest rank);
/// nothing where there are no values.
pub(crate) fn quantile(values: &[u64], q: f64) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Exact one-sided 95 % bounds of the mean of a Poisson count: the smallest
/// mean under which so many or more are seen in 5 % of the cases, and the
/// largest under which so many or fewer are.
pub(crate) fn poisson_bounds(count: u64) -> (f64, f64) {
    let lower = match count {
        0 => 0.0,
        _ => solve(|mean| 1.0 - at_most(count - 1, mean) < 0.05, count),
    };
    (lower, solve(|mean| at_most(count, mean) > 0.05, count))
}

/// The mean up to which `below` holds.
fn solve(below: impl Fn(f64) -> bool, count: u64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0 + 3.0 * count as f64);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Probability of `count` or fewer.
fn at_most(count: u64, mean: f64) -> f64 {
    let mut log_factorial = 0.0;
    let mut sum = 0.0;
    for k in 0..=count {
        if k > 0 {
            log_factorial += (k as f64).ln();
        }
        sum += (k as f64 * mean.ln() - mean - log_factorial).exp();
    }
    sum
}
