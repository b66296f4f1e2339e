//! When a disk will be full, if what is stored goes on to grow as it did.
//!
//! Invariant: a line is drawn through what was measured, and nothing is said where there is too little of it. One estimate serves
//! everybody, so that a metric and an alert never disagree.

use jiff::{SignedDuration, Timestamp};

/// Days, counted back from the newest measurement, that count. A prune once a week or a month is then part of the line.
pub const FORECAST_DAYS: i64 = 35;
/// Fewer measurements are no trend.
pub const FORECAST_LEAST_POINTS: usize = 3;
/// A shorter time is no trend.
pub const FORECAST_LEAST_SPAN: SignedDuration = SignedDuration::from_hours(36);
/// What would be later is never.
pub const FORECAST_HORIZON: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);

const SECONDS_PER_DAY: f64 = 86_400.0;

/// How what is stored grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Bytes by which it grows a day; negative when it shrinks.
    pub bytes_per_day: f64,
    /// How long until all that is free now is used; nothing when that will not be within [`FORECAST_HORIZON`], or when it is not
    /// known what is free.
    pub until_full: Option<SignedDuration>,
}

/// Draws the line of least squares through measurements of used bytes, in any order, that are not older than [`FORECAST_DAYS`].
///
/// Returns nothing where they are fewer than [`FORECAST_LEAST_POINTS`] or lie closer together than [`FORECAST_LEAST_SPAN`].
pub fn forecast(used: &[(Timestamp, u64)], free_bytes: Option<u64>) -> Option<Forecast> {
    let newest = used.iter().map(|(at, _)| *at).max()?;
    let counts = |at: Timestamp| newest.duration_since(at) <= SignedDuration::from_hours(24 * FORECAST_DAYS);
    let counted: Vec<_> = used.iter().filter(|(at, _)| counts(*at)).copied().collect();
    trend(&counted, free_bytes)
}

/// The same through all measurements, however old, of anything that has a limit: `room` is what is left to it.
pub fn trend(counted: &[(Timestamp, u64)], room: Option<u64>) -> Option<Forecast> {
    let newest = counted.iter().map(|(at, _)| *at).max()?;
    let oldest = counted.iter().map(|(at, _)| *at).min()?;
    if counted.len() < FORECAST_LEAST_POINTS || newest.duration_since(oldest) < FORECAST_LEAST_SPAN {
        return None;
    }
    // Days and bytes are counted from the middle of both, so that no digit is lost to a large constant.
    let points: Vec<(f64, f64)> = counted
        .iter()
        .map(|(at, bytes)| (at.duration_since(oldest).as_secs_f64() / SECONDS_PER_DAY, float(*bytes)))
        .collect();
    let count = float(u64::try_from(points.len()).ok()?);
    let mean_day = points.iter().map(|(day, _)| day).sum::<f64>() / count;
    let mean_bytes = points.iter().map(|(_, bytes)| bytes).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(day, bytes)| (day - mean_day) * (bytes - mean_bytes)).sum();
    let variance: f64 = points.iter().map(|(day, _)| (day - mean_day).powi(2)).sum();
    let bytes_per_day = covariance / variance;
    Some(Forecast { bytes_per_day, until_full: room.and_then(|room| until_full(room, bytes_per_day)) })
}

fn until_full(free_bytes: u64, bytes_per_day: f64) -> Option<SignedDuration> {
    if free_bytes == 0 {
        return Some(SignedDuration::ZERO);
    }
    if bytes_per_day <= 0.0 {
        return None;
    }
    let until =
        SignedDuration::try_from_secs_f64(float(free_bytes) / bytes_per_day * SECONDS_PER_DAY).ok()?;
    (until <= FORECAST_HORIZON).then_some(until)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 53 bits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GB: u64 = 1_000_000_000;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + day * 86_400).unwrap()
    }

    fn days(until: Option<SignedDuration>) -> f64 {
        until.unwrap().as_secs_f64() / SECONDS_PER_DAY
    }

    #[test]
    fn what_grows_by_a_gigabyte_a_day_fills_ten_in_ten_days() {
        let used: Vec<_> = (0..20).map(|n| (day(n), 500 * GB + n.unsigned_abs() * GB)).collect();
        let found = forecast(&used, Some(10 * GB)).unwrap();
        assert!((found.bytes_per_day - 1e9).abs() < 1.0, "{found:?}");
        assert!((days(found.until_full) - 10.0).abs() < 1e-6, "{found:?}");
        assert_eq!(forecast(&used, None).unwrap().until_full, None);
        assert_eq!(forecast(&used, Some(0)).unwrap().until_full, Some(SignedDuration::ZERO));
        let mut shuffled = used;
        shuffled.reverse();
        assert_eq!(
            days(forecast(&shuffled, Some(10 * GB)).unwrap().until_full).round().to_bits(),
            10f64.to_bits()
        );
    }

    #[test]
    fn a_prune_each_week_is_part_of_the_line() {
        // Grows by 7 a day, and 42 go on each seventh day: 1 a day, wherever in the week it is looked at.
        for phase in 0..7 {
            let stored = |day: u64| (100 + 7 * day - 42 * (day / 7)) * GB;
            let used: Vec<_> = (0..36).map(|n| (day(n), stored(n.unsigned_abs() + phase))).collect();
            let found = forecast(&used, Some(100 * GB)).unwrap();
            assert!((0.7e9..1.3e9).contains(&found.bytes_per_day), "{phase}: {found:?}");
        }
    }

    #[test]
    fn too_little_is_no_trend() {
        assert_eq!(forecast(&[], Some(GB)), None);
        assert_eq!(forecast(&[(day(0), GB), (day(9), 2 * GB)], Some(GB)), None);
        assert_eq!(forecast(&[(day(0), GB); 9], Some(GB)), None);
        let hours: Vec<_> = (0..30).map(|n| (day(0) + SignedDuration::from_hours(n), GB)).collect();
        assert_eq!(forecast(&hours, Some(GB)), None);
    }

    #[test]
    fn what_does_not_grow_is_never_full() {
        let shrinking: Vec<_> = (0..9).map(|n| (day(n), 100 * GB - n.unsigned_abs() * GB)).collect();
        let found = forecast(&shrinking, Some(1)).unwrap();
        assert!(found.bytes_per_day < 0.0);
        assert_eq!(found.until_full, None);
        let steady: Vec<_> = (0..9).map(|n| (day(n), GB)).collect();
        assert_eq!(forecast(&steady, Some(1)).unwrap().until_full, None);
        let slow: Vec<_> = (0..9).map(|n| (day(n), GB + n.unsigned_abs())).collect();
        assert_eq!(forecast(&slow, Some(GB)).unwrap().until_full, None, "in a million years");
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut used: Vec<_> = (0..100).map(|n| (day(n), n.unsigned_abs() * GB)).collect();
        used.extend((100..140).map(|n| (day(n), 100 * GB)));
        assert!(forecast(&used, Some(GB)).unwrap().bytes_per_day.abs() < 1.0);
    }

    proptest! {
        #[test]
        fn a_line_is_found_whatever_it_is(slope in 1_000_000..10 * GB, start in 0..1_000_000 * GB, count in 3..35_i64) {
            let used: Vec<_> = (0..count).map(|n| (day(n), start + n.unsigned_abs() * slope)).collect();
            let found = forecast(&used, None).unwrap().bytes_per_day;
            prop_assert!((found / float(slope) - 1.0).abs() < 1e-3, "{found} instead of {slope}");
        }

        #[test]
        fn no_measurement_makes_it_fail(points in prop::collection::vec((-100_000_i64..100_000, any::<u64>()), 0..50), free: Option<u64>) {
            let used: Vec<_> = points.into_iter().map(|(at, bytes)| (day(at), bytes)).collect();
            if let Some(found) = forecast(&used, free) {
                prop_assert!(found.bytes_per_day.is_finite());
                prop_assert!(found.until_full.is_none_or(|until| !until.is_negative()));
            }
        }
    }
}
