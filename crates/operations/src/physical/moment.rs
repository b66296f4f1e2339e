//! A cluster as it was at a moment, in a sandbox, to be read: a physical backup and the archived WAL behind it, replayed up to a target.
//!
//! Invariant: the original cluster and the repository are out of the server's reach; it gets the WAL that it asks for and nothing else. It
//! stays paused at the target, so that what is read is that moment and no other.

use std::error::Error as StdError;
use std::fs;
use std::path::Path;
use std::time::Duration;

use model::{BackupId, RecoveryPlan, RecoveryTarget, SystemId, TargetTimeline, WalName};
use postgres::{RecoveryRequest, RestoredCluster, RestoredDirectory, Tools, WalSupply};
use repository::{PhysicalRecord, Repository};

use super::directory::failed;
use super::plan::{self, StartFrom};
use super::recovery::AUTO_CONF;
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

/// Files that were restored into a sandbox, and wait for WAL.
pub(crate) struct RestoredFiles {
    plan: RecoveryPlan,
    record: PhysicalRecord,
    place: RestoredDirectory,
    tools: Tools,
    /// The settings of the cluster that a server reads whatever its configuration says.
    pub(crate) auto_conf: Vec<u8>,
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
    restore_files(repository, plan, &context.sandbox_parent, jobs, context)?
        .replay(repository, target, context)
}

/// Restores the files of a backup into a sandbox below `parent`.
pub(crate) fn restore_files(
    repository: &Repository,
    plan: RecoveryPlan,
    parent: &Path,
    jobs: usize,
    context: &Context<'_>,
) -> Result<RestoredFiles, Error> {
    let backup = OpenedCluster::open(repository, &plan.backup)?;
    let major = backup.record.server_version / 10_000;
    let tools = Tools::find_same_server(major, context.tool_path.as_deref())?;
    context.phase(Phase::Sandbox);
    let place = RestoredDirectory::create(parent)?;
    rehearsal::restore(&backup, &place, jobs, context)?;
    let auto_conf = place.data().join(AUTO_CONF);
    let auto_conf = fs::read(&auto_conf).map_err(|error| failed("read", &auto_conf, error))?;
    Ok(RestoredFiles { plan, record: backup.record, place, tools, auto_conf })
}

impl RestoredFiles {
    /// Replays archived WAL up to `target`, and stays there; to the end of the WAL, the server has ended recovery.
    pub(crate) fn replay(
        self,
        repository: &Repository,
        target: &RecoveryTarget,
        context: &Context<'_>,
    ) -> Result<Moment, Error> {
        context.phase(Phase::Replay);
        let request = RecoveryRequest {
            from: self.record.start_lsn,
            target: target.clone(),
            exclusive: false,
            timeline: Some(self.plan.timeline),
            reach: self.record.stop_lsn,
            restore_command: None,
            limit: RECOVERY_LIMIT,
            settings: Vec::new(),
            writable: Vec::new(),
        };
        let supply = ArchiveSupply { repository, system: self.record.system_identifier, context };
        let cluster = self.place.start_supplied(&self.tools, &request, &supply).map_err(|error| {
            if context.observer.cancelled() { Error::Cancelled } else { Error::Restored(error) }
        })?;
        Ok(Moment { backup: self.plan.backup, cluster })
    }
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
