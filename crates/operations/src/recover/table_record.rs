//! The record of a recovery of tables. It is one transaction, so there is nothing to resume or to undo: what was done is written down
//! when it is done.

use jiff::{SignedDuration, Timestamp};
use model::RecoveryStep;
use repository::Repository;

use super::database::count;
use super::record::{RecoveryRecord, RecoveryState, StepRecord, StepState};
use super::{PlanRequest, new_record, report};
use crate::table_recovery::TableRecoveryReport;
use crate::{Context, Error};

/// Keeps the record and the report of tables of `source` that were brought back to `at`, or to the moment of the backup.
///
/// # Errors
/// When the backup cannot be read, or the record cannot be kept.
pub fn record_tables(
    repository: &Repository,
    source: &str,
    at: Option<Timestamp>,
    done: &TableRecoveryReport,
    plan: &PlanRequest<'_>,
    context: &Context<'_>,
) -> Result<RecoveryRecord, Error> {
    let manifest = repository.manifest(&done.backup)?;
    let mut record = new_record(plan, source, &[], context);
    let duration = SignedDuration::try_from(done.duration).unwrap_or_default();
    record.ended_at = Some(record.began_at);
    record.began_at = record.began_at.checked_sub(duration).unwrap_or(record.began_at);
    record.target.clone_from(&done.target);
    record.at = at;
    record.state = RecoveryState::Done;
    let written = done.tables.iter().filter_map(|table| table.written.as_ref());
    let written = written.map(|written| written.inserted + written.updated + written.deleted).sum();
    let found = &mut record.found;
    found.backup = Some(manifest.id.clone());
    found.manifest_sha256 = Some(repository.read(&done.backup)?.manifest_sha256().to_string());
    found.data_at = Some(at.unwrap_or(manifest.snapshot_at));
    (found.tables, found.rows) = (Some(done.tables.len() as u64), Some(written));
    found.left_out = done.left_out.iter().map(|left| format!("{}: {}", left.object, left.reason)).collect();
    let restore = u64::try_from(done.restore.as_millis()).unwrap_or(u64::MAX);
    let whole = u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX);
    let tables: Vec<_> = done.tables.iter().map(|table| table.before.table.to_string()).collect();
    record.steps = vec![
        step(RecoveryStep::Restore, restore, format!("{} in a sandbox", tables.join(", "))),
        step(
            RecoveryStep::Switch,
            whole.saturating_sub(restore),
            format!("{} written", count(written, "row")),
        ),
    ];
    plan.directory.keep(&record)?;
    plan.directory.write_report(&record.id, &report::markdown(&record))?;
    Ok(record)
}

fn step(step: RecoveryStep, duration_ms: u64, says: String) -> StepRecord {
    StepRecord {
        state: StepState::Done,
        duration_ms: Some(duration_ms),
        says: Some(says),
        ..StepRecord::pending(step)
    }
}
