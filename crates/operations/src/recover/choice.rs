//! Which backup a recovery of a database starts from: the newest one that is not after the moment and that verifies.
//!
//! Invariant: every newer backup that is passed over is named with its reason.

use jiff::Timestamp;
use model::{BackupId, Filters, Kind, Level, Outcome};
use repository::{BackupSummary, Listed, Repository};

use super::RecoverError;
use super::record::Skipped;
use crate::verify::check_stored;
use crate::{Context, Error, Phase};

/// What to choose from.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) source: String,
    pub(super) kind: Kind,
    /// Data must not be newer than this.
    pub(super) not_after: Option<Timestamp>,
    /// This backup and no other.
    pub(super) backup: Option<BackupId>,
    /// How far a backup is verified before it is chosen.
    pub(super) level: Level,
}

/// The candidates, the newest first, and those that cannot be any.
pub(super) fn candidates(
    repository: &Repository,
    wanted: &Wanted,
) -> Result<(Vec<BackupSummary>, Vec<Skipped>), Error> {
    let (mut usable, mut skipped) = (Vec::new(), Vec::new());
    for listed in repository.backups()? {
        if wanted.backup.as_ref().is_some_and(|id| id != listed.id()) {
            continue;
        }
        match listed {
            Listed::Damaged { id, problem } => {
                skipped
                    .push(Skipped { backup: id, reason: format!("its manifest cannot be read: {problem}") });
            }
            Listed::Backup(summary) if !is_meant(&summary, wanted) => {}
            Listed::Backup(summary) => match objection(&summary, wanted) {
                None => usable.push(*summary),
                Some(reason) => skipped.push(Skipped { backup: summary.id, reason: reason.to_owned() }),
            },
        }
    }
    Ok((usable, skipped))
}

/// Whether a backup is one of those that somebody asked for. One that is named may be of whatever source.
fn is_meant(summary: &BackupSummary, wanted: &Wanted) -> bool {
    let is_in_time = wanted.not_after.is_none_or(|moment| summary.snapshot_at <= moment);
    summary.kind == wanted.kind && (wanted.backup.is_some() || summary.source == wanted.source && is_in_time)
}

/// Why a backup cannot be used. One that is named is used as it is.
fn objection(summary: &BackupSummary, wanted: &Wanted) -> Option<&'static str> {
    let has_failed = summary.proof.as_ref().is_some_and(|proof| proof.outcome == Outcome::Failed);
    match () {
        () if wanted.backup.is_some() => None,
        () if has_failed => Some("its last verification failed"),
        () if summary.filters != Filters::default() => Some("it is filtered, not complete"),
        () => None,
    }
}

/// The first candidate that verifies.
pub(super) fn choose(
    repository: &Repository,
    wanted: &Wanted,
    context: &Context<'_>,
) -> Result<(BackupSummary, Vec<Skipped>), Error> {
    let (usable, mut skipped) = candidates(repository, wanted)?;
    for summary in usable {
        match fault(repository, &summary.id, wanted.level, context)? {
            None => {
                skipped.retain(|skipped| skipped.backup > summary.id);
                return Ok((summary, skipped));
            }
            Some(reason) => skipped.push(Skipped { backup: summary.id, reason }),
        }
    }
    let reasons = skipped.iter().map(|skipped| format!("{}: {}", skipped.backup, skipped.reason)).collect();
    Err(RecoverError::NoBackup { source_name: wanted.source.clone(), not_after: wanted.not_after, reasons }
        .into())
}

/// What is wrong with a backup, as far as its objects or contents tell.
fn fault(
    repository: &Repository,
    id: &BackupId,
    level: Level,
    context: &Context<'_>,
) -> Result<Option<String>, Error> {
    let findings = match level {
        Level::Objects => check_stored(repository, id, Phase::Objects, Repository::check_objects, context)?,
        Level::Contents | Level::Restore => {
            check_stored(repository, id, Phase::Contents, Repository::check_contents, context)?
        }
    };
    Ok(findings.problems.first().map(|problem| format!("it does not verify: {problem}")))
}
