//! Backups that are not like those before them.

use model::ByteSize;

use super::super::series::{Series, series};
use super::super::statistics::{Bounds, HISTORY_LEAST, Standing, out_of_line};
use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{Observation, RunEnding, RunRecord};

/// A difference of less is not worth a message: seconds.
const LEAST_SECONDS: f64 = 60.0;
/// The same of bytes.
const LEAST_BYTES: f64 = 16e6;

/// Backups that took too long.
pub(super) fn durations(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let of = |series: &Series<'_>| {
        let measured = |end: &RunEnding| Some(end.duration.as_secs_f64());
        let (value, standing, last) = newest(series, measured, bounds(policy, LEAST_SECONDS))?;
        // One that was quick is seen by its size, if something was missing.
        if standing.ratio < 1.0 {
            return None;
        }
        let span = |seconds: f64| {
            jiff::SignedDuration::try_from_secs_f64(seconds).map_or_else(|_| "ages".into(), wording::span)
        };
        let message = format!(
            "the last backup of {} took {}, {standing} of {} ({} backups)",
            wording::series(series.source, series.kind),
            span(value),
            span(standing.median),
            standing.count
        );
        let hint = format!(
            "Look at the load of the server, the network and the disk; `chronavault journal show --operation backup{}` has the times of earlier ones.",
            wording::options(series.source, None)
        );
        Some(finding(AlertCode::DurationUnusual, series, last, &message, hint))
    };
    series(observation).iter().filter_map(of).collect()
}

/// Backups that read much less than usual, or stored much more or less.
pub(super) fn sizes(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let bounds = bounds(policy, LEAST_BYTES);
    let of = |series: &Series<'_>| {
        // What was read tells more than what was stored.
        let read = newest(series, |end| end.plain_bytes.map(float), bounds)
            .filter(|(_, found, _)| found.ratio < 1.0);
        let stored = || newest(series, |end| end.stored_bytes.map(float), bounds);
        let (what, (value, standing, last)) =
            read.map(|read| ("read", read)).or_else(|| stored().map(|stored| ("stored", stored)))?;
        let message = format!(
            "the last backup of {} {what} {}, {standing} of {} ({} backups)",
            wording::series(series.source, series.kind),
            size(value),
            size(standing.median),
            standing.count
        );
        let hint = match &last.0.backup {
            Some(id) => format!("Run `chronavault show {id}` and look which tables changed; earlier backups are still there."),
            None => "Run `chronavault show latest` and look which tables changed; earlier backups are still there.".to_owned(),
        };
        Some(finding(AlertCode::SizeUnusual, series, last, &message, hint))
    };
    series(observation).iter().filter_map(of).collect()
}

fn bounds(policy: &AlertPolicy, least: f64) -> Bounds {
    Bounds { factor: policy.outlier_factor, deviations: policy.outlier_deviations, least }
}

type Made<'a> = (&'a RunRecord, &'a RunEnding);

/// The newest backup, when it is out of line with those before it.
fn newest<'a>(
    series: &Series<'a>,
    measured: impl Fn(&RunEnding) -> Option<f64>,
    bounds: Bounds,
) -> Option<(f64, Standing, Made<'a>)> {
    let made = series.made();
    let (last, earlier) = made.split_last()?;
    if earlier.len() < HISTORY_LEAST {
        return None;
    }
    let value = measured(last.1)?;
    let earlier: Vec<f64> = earlier.iter().filter_map(|(_, end)| measured(end)).collect();
    Some((value, out_of_line(value, &earlier, bounds)?, *last))
}

fn finding(code: AlertCode, series: &Series<'_>, last: Made<'_>, message: &str, hint: String) -> Finding {
    Finding::new(code, Severity::Warning, last.1.at, message, hint)
        .of(series.source, series.kind)
        .shown_by(last.0.backup.as_ref())
}

#[expect(clippy::cast_precision_loss, reason = "a comparison needs no more than 53 bits")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a number of bytes")]
fn size(bytes: f64) -> ByteSize {
    ByteSize(bytes.max(0.0) as u64)
}
