//! How long a recovery will take, from what was measured: the steps of earlier recoveries and rehearsals, and the restore with which the
//! backup was proven.
//!
//! Invariant: what was never measured is not guessed.

use model::RecoveryStep;
use repository::{BackupSummary, Repository};

use super::choice::{self, Wanted};
use super::database::note_backup;
use super::record::{RecoveryRecord, StepState};
use crate::Error;

/// Fills in the backup that is likely to be used, and the time of each step.
pub(super) fn fill(
    repository: &Repository,
    wanted: &Wanted,
    record: &mut RecoveryRecord,
    earlier: &[RecoveryRecord],
) -> Result<(), Error> {
    let (usable, _) = choice::candidates(repository, wanted)?;
    let likely = usable.first();
    if let Some(backup) = likely {
        note_backup(&mut record.found, backup);
    }
    for step in &mut record.steps {
        step.estimate_ms = estimate(step.step, likely, earlier);
    }
    Ok(())
}

/// The time of a step: that of the last one of the same source that was measured, for as many bytes.
fn estimate(step: RecoveryStep, backup: Option<&BackupSummary>, earlier: &[RecoveryRecord]) -> Option<u64> {
    let measured = earlier.iter().find_map(|record| {
        let is_same = |backup: &BackupSummary| backup.source == record.source;
        let step = record.steps.iter().find(|known| known.step == step && known.state == StepState::Done)?;
        let usable = backup.is_none_or(is_same) || !grows(step.step);
        usable.then_some((step.duration_ms?, record.found.plain_bytes))
    });
    match measured {
        Some((ms, bytes)) if grows(step) => Some(scaled(ms, bytes, backup)),
        Some((ms, _)) => Some(ms),
        None => proven(step, backup?),
    }
}

/// Whether a step takes longer for a larger backup.
fn grows(step: RecoveryStep) -> bool {
    matches!(step, RecoveryStep::Choose | RecoveryStep::Restore | RecoveryStep::Check)
}

fn scaled(ms: u64, bytes: Option<u64>, backup: Option<&BackupSummary>) -> u64 {
    match (bytes, backup) {
        (Some(bytes), Some(backup)) if bytes > 0 => {
            let scaled = u128::from(ms) * u128::from(backup.plain_bytes) / u128::from(bytes);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        }
        _ => ms,
    }
}

/// What the verification of the backup measured.
fn proven(step: RecoveryStep, backup: &BackupSummary) -> Option<u64> {
    let proof = backup.proof.as_ref().filter(|proof| proof.restore_ms > 0)?;
    match step {
        RecoveryStep::Restore => Some(proof.restore_ms),
        RecoveryStep::Check => Some(proof.duration_ms.saturating_sub(proof.restore_ms)),
        _ => None,
    }
}
