//! How long a recovery will take, from what was measured: the steps of earlier recoveries and rehearsals, and the restore with which the
//! backup was proven.
//!
//! Invariant: what was never measured is not guessed.

use model::RecoveryStep;
use repository::{BackupSummary, Repository};

use super::choice::{self, Wanted};
use super::database::note_backup;
use super::record::{RecoveryRecord, StepRecord, StepState};
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

/// Fills in the time of each step from earlier recoveries of the same source.
pub(super) fn fill_from(record: &mut RecoveryRecord, earlier: &[RecoveryRecord]) {
    let (source, bytes) = (&record.source, record.found.plain_bytes);
    for step in &mut record.steps {
        step.estimate_ms = measured(step.step, bytes, earlier, |known| known.source == *source);
    }
}

/// The time of a step: that of the last one that was measured, of the same source where the amount of data matters, else that of the proof.
fn estimate(step: RecoveryStep, backup: Option<&BackupSummary>, earlier: &[RecoveryRecord]) -> Option<u64> {
    let bytes = backup.map(|backup| backup.plain_bytes);
    let is_usable =
        |known: &RecoveryRecord| !grows(step) || backup.is_none_or(|backup| backup.source == known.source);
    measured(step, bytes, earlier, is_usable).or_else(|| proven(step, backup?))
}

/// The time of a step in the newest of the earlier recoveries in which it was done, for as many bytes.
fn measured(
    step: RecoveryStep,
    bytes: Option<u64>,
    earlier: &[RecoveryRecord],
    is_usable: impl Fn(&RecoveryRecord) -> bool,
) -> Option<u64> {
    let (ms, of) = earlier.iter().filter(|known| is_usable(known)).find_map(|known| {
        let is_it = |it: &&StepRecord| it.step == step && it.state == StepState::Done;
        Some((known.steps.iter().find(is_it)?.duration_ms?, known.found.plain_bytes))
    })?;
    Some(if grows(step) { scaled(ms, of, bytes) } else { ms })
}

/// Whether a step takes longer for a larger backup.
fn grows(step: RecoveryStep) -> bool {
    matches!(step, RecoveryStep::Choose | RecoveryStep::Restore | RecoveryStep::Check)
}

/// What took `ms` for `of` bytes, for `bytes`.
fn scaled(ms: u64, of: Option<u64>, bytes: Option<u64>) -> u64 {
    match (of, bytes) {
        (Some(of), Some(bytes)) if of > 0 => {
            let scaled = u128::from(ms) * u128::from(bytes) / u128::from(of);
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
