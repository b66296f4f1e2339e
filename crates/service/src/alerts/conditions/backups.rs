//! Backups that failed.

use super::super::series::{Course, NOT_VERIFIED, Series, series};
use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::Observation;

/// A source and kind whose last backup failed, with how many failed in a row.
pub(super) fn failed(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    series(observation).iter().filter_map(|series| of(series, policy)).collect()
}

fn of(series: &Series<'_>, policy: &AlertPolicy) -> Option<Finding> {
    let mut failures = 0;
    let mut last = None;
    for (at, course) in series.courses().rev() {
        let (at, why) = match course {
            Course::Made(_) => break,
            Course::Open => continue,
            Course::Killed => (at, "it was killed, or the machine went down".to_owned()),
            Course::Failed(end) => (end.at, words(end.code.as_deref(), end.message.as_deref())),
        };
        failures += 1;
        // What is stored and did not verify is a finding of its own, until it is one of many.
        let is_stored = matches!(course, Course::Failed(end) if end.code.as_deref() == Some(NOT_VERIFIED));
        last.get_or_insert((at, why, is_stored));
    }
    let (at, why, is_stored) = last?;
    let is_critical = failures >= policy.failures;
    if is_stored && !is_critical {
        return None;
    }
    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
    let name = wording::series(series.source, series.kind);
    let message = match failures {
        1 => format!("the last backup of {name} failed: {why}"),
        count => format!("the last {count} backups of {name} failed; the last one: {why}"),
    };
    let hint = format!(
        "Run `chronavault backup{}` and do what its error says; docs/errors.md has all codes.",
        wording::options(series.source, series.kind)
    );
    Some(Finding::new(AlertCode::BackupFailed, severity, at, &message, hint).of(series.source, series.kind))
}

/// The error of a run in words.
pub(super) fn words(code: Option<&str>, message: Option<&str>) -> String {
    match (message, code) {
        (Some(message), Some(code)) => format!("{message} ({code})"),
        (Some(words), None) | (None, Some(words)) => words.to_owned(),
        (None, None) => "the journal does not say why".to_owned(),
    }
}
