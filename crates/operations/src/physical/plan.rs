//! From which backup a recovery starts, and whether the archived WAL leads to where it is to end.

use model::{BackupId, RecoveryPlan, RecoveryTarget, SystemId, TargetTimeline, TimedWindow, plan_recovery};
use repository::Repository;

use crate::wal::{WalStatus, WalWindow, wal_status};
use crate::{Context, Error};

/// Windows that are named when a target cannot be reached.
const NAMED_WINDOWS: usize = 5;

/// Which backup to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartFrom {
    /// This one.
    Backup(BackupId),
    /// The newest physical backup that can reach the target, of this source if it is named.
    Newest {
        /// The source.
        source: Option<String>,
    },
}

/// A target that cannot be reached, and what can be.
#[derive(Debug, thiserror::Error)]
#[error("{what} be recovered to {target}{timeline}; {reachable}")]
pub struct Unreachable {
    /// `backup-… cannot`, or `no backup can`.
    what: String,
    /// The target.
    target: RecoveryTarget,
    /// ` on timeline 3`, or nothing.
    timeline: String,
    /// The windows, in words.
    reachable: String,
}

/// Chooses the backup for a recovery.
///
/// # Errors
/// [`Error::Unreachable`] when the WAL that is needed is not there, or not without a gap.
pub(crate) fn plan(
    repository: &Repository,
    from: &StartFrom,
    target: &RecoveryTarget,
    timeline: TargetTimeline,
    threads: usize,
    context: &Context<'_>,
) -> Result<RecoveryPlan, Error> {
    let candidates = candidates(repository, from)?;
    let may_use = |id: &BackupId| candidates.iter().any(|(candidate, _)| candidate == id);
    let mut windows = Vec::new();
    let mut backups = Vec::new();
    for status in wal_status(repository, false, threads, context)? {
        if candidates.iter().any(|(_, system)| *system == status.system) {
            windows.extend(timed(&status));
            backups.extend(status.backups);
        }
    }
    plan_recovery(target, timeline, &windows, &backups, &may_use)
        .ok_or_else(|| unreachable(from, target, timeline, &windows, &may_use).into())
}

/// The physical backups that may be used, with their clusters.
fn candidates(repository: &Repository, from: &StartFrom) -> Result<Vec<(BackupId, SystemId)>, Error> {
    let mut found = Vec::new();
    match from {
        StartFrom::Backup(id) => {
            let manifest = repository.manifest(id)?;
            let physical = manifest.physical.ok_or_else(|| Error::NotPhysical { id: id.clone() })?;
            found.push((id.clone(), physical.system_identifier));
        }
        StartFrom::Newest { source } => {
            for id in repository.ids()? {
                // A backup whose manifest is damaged is none that could be used.
                let Ok(manifest) = repository.manifest(&id) else { continue };
                let is_wanted = source.as_ref().is_none_or(|source| *source == manifest.source);
                if let Some(physical) = manifest.physical.filter(|_| is_wanted) {
                    found.push((id, physical.system_identifier));
                }
            }
        }
    }
    if found.is_empty() { Err(Error::NoPhysicalBackup) } else { Ok(found) }
}

fn timed(status: &WalStatus) -> impl Iterator<Item = TimedWindow> {
    let timed = |known: &WalWindow| TimedWindow { window: known.window.clone(), to_time: known.to_time };
    status.windows.iter().map(timed)
}

fn unreachable(
    from: &StartFrom,
    target: &RecoveryTarget,
    timeline: TargetTimeline,
    windows: &[TimedWindow],
    may_use: &dyn Fn(&BackupId) -> bool,
) -> Unreachable {
    let usable = windows.iter().filter(|timed| timed.window.backups.iter().any(may_use));
    let named: Vec<_> = usable.rev().take(NAMED_WINDOWS).map(words).collect();
    Unreachable {
        what: match from {
            StartFrom::Backup(id) => format!("{id} cannot"),
            StartFrom::Newest { .. } => "no backup can".to_owned(),
        },
        target: target.clone(),
        timeline: match timeline {
            TargetTimeline::Latest => String::new(),
            TargetTimeline::Current => " on its own timeline".to_owned(),
            TargetTimeline::Id(timeline) => format!(" on timeline {timeline}"),
        },
        reachable: if named.is_empty() {
            "the WAL that the backups need is not there".to_owned()
        } else {
            format!("what can be reached is {}", named.join(", and "))
        },
    }
}

/// `timeline 1 from 0/3000100 (2026-11-23T12:00:00Z) to 0/9000000 (2026-11-23T14:00:00Z)`
fn words(timed: &TimedWindow) -> String {
    let TimedWindow { window, to_time } = timed;
    format!(
        "timeline {} from {} ({:.0}) to {} ({to_time:.0})",
        window.timeline, window.from, window.from_time, window.to
    )
}
