//! Whether a number is out of line with those before it.
//!
//! Invariant: one strange number among those before it changes nothing: median and median deviation, not mean and variance.

/// Earlier numbers that count.
pub(super) const HISTORY: usize = 30;
/// Fewer say nothing.
pub(super) const HISTORY_LEAST: usize = 5;
/// The median deviation of normally distributed numbers, times this, is their standard deviation.
const NORMAL: f64 = 1.4826;

/// How a number lies among those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    /// The median of those before it.
    pub(super) median: f64,
    /// How many those are.
    pub(super) count: usize,
    /// The number, in medians.
    pub(super) ratio: f64,
}

/// What counts as out of line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At least so many times the median, or at most that part of it …
    pub(super) factor: f64,
    /// … and so many times the usual spread away …
    pub(super) deviations: f64,
    /// … and at least so much.
    pub(super) least: f64,
}

/// Where `value` stands, if it is out of line with the newest [`HISTORY`] numbers of `earlier`, whose newest is the last.
pub(super) fn out_of_line(value: f64, earlier: &[f64], bounds: Bounds) -> Option<Standing> {
    let earlier = &earlier[earlier.len().saturating_sub(HISTORY)..];
    if earlier.len() < HISTORY_LEAST {
        return None;
    }
    let median = median(earlier)?;
    let away = (value - median).abs();
    let deviations: Vec<f64> = earlier.iter().map(|other| (other - median).abs()).collect();
    let spread = NORMAL * self::median(&deviations)?;
    let is_far = away >= bounds.least && away > bounds.deviations * spread;
    let is_other = value >= median * bounds.factor || value * bounds.factor <= median;
    (is_far && is_other).then(|| Standing { median, count: earlier.len(), ratio: value / median.max(1.0) })
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(middle.wrapping_sub(1)).map(|lower| f64::midpoint(*lower, upper))
}

impl std::fmt::Display for Standing {
    /// `3.4 times the median`, `12 % of the median`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ratio >= 1.0 {
            write!(f, "{:.1} times the median", self.ratio)
        } else {
            write!(f, "{:.0} % of the median", self.ratio * 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { factor: 2.0, deviations: 5.0, least: 60.0 };

    #[test]
    fn a_number_is_compared_with_the_median() {
        let history = [700.0, 710.0, 720.0, 730.0, 740.0, 90_000.0];
        let found = out_of_line(2465.0, &history, BOUNDS).unwrap();
        assert_eq!(found.to_string(), "3.4 times the median");
        assert_eq!(out_of_line(730.0, &history, BOUNDS), None);
        assert_eq!(out_of_line(0.0, &history, BOUNDS).unwrap().to_string(), "0 % of the median");
        assert_eq!(out_of_line(2465.0, &history[..4], BOUNDS), None, "four say nothing");
        assert_eq!(out_of_line(50.0, &[1.0; 9], BOUNDS), None, "49 s are not worth a message");
    }

    #[test]
    fn what_varies_much_may_vary() {
        let history = [100.0, 900.0, 200.0, 800.0, 150.0, 1000.0, 500.0];
        assert_eq!(out_of_line(2000.0, &history, BOUNDS), None);
    }

    #[test]
    fn only_the_newest_count() {
        let mut history = vec![1e6; 100];
        history.extend([100.0; 30]);
        assert!(out_of_line(1e6, &history, BOUNDS).is_some());
    }

    proptest! {
        #[test]
        fn what_is_within_the_range_of_the_others_and_near_the_median_is_in_line(
            history in prop::collection::vec(0.0..1e12_f64, 0..60),
            at in 0.51..1.99_f64,
        ) {
            let counted = &history[history.len().saturating_sub(HISTORY)..];
            if let Some(middle) = median(counted) {
                prop_assert_eq!(out_of_line(middle * at, &history, BOUNDS), None);
            }
        }
    }
}
