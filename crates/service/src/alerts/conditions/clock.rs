//! The clock jumped.

use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::Observation;

/// What is from the future.
pub(super) fn jumped(observation: &Observation, policy: &AlertPolicy) -> Vec<Finding> {
    let latest = observation.at.checked_add(policy.clock_tolerance).unwrap_or(observation.at);
    let backups = observation.backups.iter().flat_map(|state| &state.backups);
    let backups = backups.map(|backup| (backup.finished_at, backup.id.to_string(), Some(&backup.id)));
    let runs = observation.runs.iter().map(|run| {
        let at = run.end.as_ref().map_or(run.started_at, |end| end.at.max(run.started_at));
        (at, format!("a run of {} in the journal", run.operation), run.backup.as_ref())
    });
    // A backup says more than its run does.
    let Some((at, what, backup)) = backups.chain(runs).find(|(at, ..)| *at > latest) else {
        return Vec::new();
    };
    let message =
        format!("{what} is from {}, and now is {}", wording::time(at), wording::time(observation.at));
    let hint = "Run `timedatectl` and correct the clock of the machine that is wrong; a prune removes nothing until then.";
    let finding = Finding::new(AlertCode::Clock, Severity::Critical, observation.at, &message, hint);
    vec![finding.shown_by(backup)]
}
