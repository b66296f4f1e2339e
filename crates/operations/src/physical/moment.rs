//! A cluster as it was at a moment, in a sandbox, to be read: a physical backup and the archived WAL behind it, replayed up to a target.
//!
//! Invariant: the original cluster and the repository are out of the server's reach; it gets the WAL that it asks for and nothing else. It
//! stays paused at the target, so that what is read is that moment and no other.

use std::error::Error as StdError;
use std::path::Path;
use std::time::Duration;

use model::{BackupId, RecoveryTarget, SystemId, TargetTimeline, WalName};
use postgres::{RecoveryRequest, RestoredCluster, RestoredDirectory, Tools, WalSupply};
use repository::Repository;

use super::plan::{self, StartFrom};
use super::rehearsal;
use super::restore::OpenedCluster;
use crate::wal::{FetchRequest, Fetched, fetch_wal};
use crate::{Context, Error, Phase};

/// How long recovery may take.
const RECOVERY_LIMIT: Duration = Duration::from_hours(24);

/// A cluster at a moment.
pub(crate) struct Moment {
    /// The backup from which it was recovered.
    pub(crate) backup: BackupId,
    /// The server. It can be read.
    pub(crate) cluster: RestoredCluster,
}

/// Restores the backup that suits `target` best into a sandbox and replays WAL up to it.
pub(crate) fn restore_moment(
    repository: &Repository,
    from: &StartFrom,
    target: &RecoveryTarget,
    timeline: TargetTimeline,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Moment, Error> {
    context.phase(Phase::Preflight);
    let plan = plan::plan(repository, from, target, timeline, jobs, context)?;
    let backup = OpenedCluster::open(repository, &plan.backup)?;
    let record = &backup.record;
    let tools = Tools::find_same_server(record.server_version / 10_000, context.tool_path.as_deref())?;
    context.phase(Phase::Sandbox);
    let place = RestoredDirectory::create(&context.sandbox_parent)?;
    rehearsal::restore(&backup, &place, jobs, context)?;
    context.phase(Phase::Replay);
    let request = RecoveryRequest {
        from: record.start_lsn,
        target: target.clone(),
        exclusive: false,
        timeline: Some(plan.timeline),
        reach: record.stop_lsn,
        restore_command: None,
        limit: RECOVERY_LIMIT,
        settings: Vec::new(),
        writable: Vec::new(),
    };
    let supply = ArchiveSupply { repository, system: record.system_identifier, context };
    let cluster = place.start_supplied(&tools, &request, &supply).map_err(|error| {
        if context.observer.cancelled() { Error::Cancelled } else { Error::Restored(error) }
    })?;
    Ok(Moment { backup: plan.backup, cluster })
}

/// Takes WAL from the repository.
struct ArchiveSupply<'a> {
    repository: &'a Repository,
    system: SystemId,
    context: &'a Context<'a>,
}

impl WalSupply for ArchiveSupply<'_> {
    fn supply(&self, name: &str, target: &Path) -> Result<bool, Box<dyn StdError + Send + Sync>> {
        if self.context.observer.cancelled() {
            return Err(Error::Cancelled.into());
        }
        let Ok(name) = name.parse::<WalName>() else { return Ok(false) };
        let request =
            FetchRequest { name, target: target.to_owned(), system: self.system, ahead: 0, threads: 1 };
        let report = fetch_wal(self.repository, &request, self.context)?;
        Ok(report.fetched != Fetched::Absent)
    }
}
