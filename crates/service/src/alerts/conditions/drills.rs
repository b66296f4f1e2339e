//! Rehearsed and real recoveries that took too long or lost too much, or soon will.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use model::{Forecast, Operation, RecoveryFacts, Scenario};

use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{Observation, RunRecord};

/// Rehearsals of one scenario of one source, the oldest first.
type Series<'a> = BTreeMap<(&'a str, Scenario), Vec<(Timestamp, RecoveryFacts)>>;

fn series(observation: &Observation) -> Series<'_> {
    let mut series = Series::new();
    let recovered = |run: &RunRecord| {
        let end = run.end.as_ref()?;
        let facts = end.recovery.filter(|_| run.operation == Operation::Drill && end.is_success())?;
        Some((end.at, facts))
    };
    for run in observation.runs.iter() {
        if let (Some(source), Some((at, facts))) = (run.source.as_deref(), recovered(run)) {
            series.entry((source, facts.scenario)).or_default().push((at, facts));
        }
    }
    series
}

/// The last rehearsal was not within the objectives.
pub(super) fn missed(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let of = |((source, scenario), drills): ((&str, Scenario), Vec<(Timestamp, RecoveryFacts)>)| {
        let (at, facts) = *drills.last()?;
        if facts.is_within() {
            return None;
        }
        let lost = facts.rpo_ms.map_or_else(|| "nothing".to_owned(), span);
        let message = format!(
            "the last drill of {scenario} of {source:?} took {} (at most {}), and {lost} of changes were lost (at most {})",
            span(facts.rto_ms),
            span(facts.rto_limit_ms),
            span(facts.rpo_limit_ms)
        );
        let hint = format!(
            "Run `chronavault recover list{}` and read the report of the drill: which step is the longest, and how old was the backup?",
            wording::options(Some(source), None)
        );
        let finding = Finding::new(AlertCode::DrillMissed, Severity::Critical, at, &message, hint);
        Some(finding.of(Some(source), None).about(scenario.as_str()))
    };
    series(observation).into_iter().filter_map(of).collect()
}

/// Rehearsals take longer and longer.
pub(super) fn trend(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let within = SignedDuration::from_hours(24 * i64::from(policy.drill_trend_days));
    let of = |((source, scenario), drills): ((&str, Scenario), Vec<(Timestamp, RecoveryFacts)>)| {
        let (at, facts) = *drills.last()?;
        let times: Vec<_> = drills.iter().map(|(at, facts)| (*at, facts.rto_ms)).collect();
        // What is over the limit already is said elsewhere.
        let room = facts.rto_limit_ms.checked_sub(facts.rto_ms)?;
        let Forecast { until_full, .. } = model::trend(&times, Some(room))?;
        let until = until_full.filter(|until| *until <= within)?;
        let message = format!(
            "drills of {scenario} of {source:?} take longer and longer: {} now, and more than the {} that it may take in {}, if that goes on",
            span(facts.rto_ms),
            span(facts.rto_limit_ms),
            wording::span(until)
        );
        let hint = "Restore with more jobs or from faster storage, keep less in the database, or use physical backups.";
        let finding = Finding::new(AlertCode::DrillTrend, Severity::Warning, at, &message, hint);
        Some(finding.of(Some(source), None).about(scenario.as_str()))
    };
    series(observation).into_iter().filter_map(of).collect()
}

fn span(ms: u64) -> String {
    wording::span(SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)))
}
