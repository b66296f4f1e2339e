//! What the schedule does beside backups.

use std::collections::BTreeMap;

use model::{Operation, RunOutcome};

use super::super::series::NOT_VERIFIED;
use super::super::wording;
use super::super::{AlertCode, AlertPolicy, Finding, Severity};
use crate::observation::{Observation, RunRecord};

/// Prunes, verifications and drills whose last run failed.
pub(super) fn failed(observation: &Observation, _policy: &AlertPolicy) -> Vec<Finding> {
    let mut last: BTreeMap<(Operation, Option<&str>), &RunRecord> = BTreeMap::new();
    for run in observation.runs.iter() {
        let is_watched = matches!(run.operation, Operation::Prune | Operation::Verify | Operation::Drill);
        let is_over = run.end.as_ref().is_some_and(|end| end.outcome != RunOutcome::Cancelled);
        if is_watched && is_over {
            last.insert((run.operation, run.source.as_deref()), run);
        }
    }
    last.into_iter().filter_map(|((operation, source), run)| of(operation, source, run)).collect()
}

fn of(operation: Operation, source: Option<&str>, run: &RunRecord) -> Option<Finding> {
    let end = run.end.as_ref().filter(|end| end.outcome == RunOutcome::Failed)?;
    if operation == Operation::Verify && end.code.as_deref() == Some(NOT_VERIFIED) {
        // The backup itself says so.
        return None;
    }
    let why = super::backups::words(end.code.as_deref(), end.message.as_deref());
    let of = source.map(|name| format!(" of {name:?}")).unwrap_or_default();
    let message = format!("the last {operation}{of} failed: {why}");
    let hint = match operation {
        Operation::Verify => match &run.backup {
            Some(id) => format!("Run `chronavault verify {id}` and do what its error says."),
            None => format!(
                "Run `chronavault verify latest{}` and do what its error says.",
                wording::options(source, None)
            ),
        },
        Operation::Prune => "Run `chronavault prune --dry-run` and do what its error says.".to_owned(),
        _ => format!(
            "Run `chronavault {operation}{}` and do what its error says.",
            wording::options(source, None)
        ),
    };
    let finding = Finding::new(AlertCode::OperationFailed, Severity::Warning, end.at, &message, hint);
    Some(finding.of(source, None).about(operation.as_str()).shown_by(run.backup.as_ref()))
}
