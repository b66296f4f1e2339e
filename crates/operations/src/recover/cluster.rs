//! The recovery of a cluster from a physical backup and archived WAL: restored beside the damaged data directory, replayed to the target,
//! looked over, and put in its place.
//!
//! Invariant: the damaged directory is not touched until the restored one is complete and was read by a server; it is kept after that. Replay
//! runs in a sandbox: the restored cluster reaches nobody and archives nothing before its own server starts on it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{BackupId, RecoveryPlan, RecoveryStep, RecoveryTarget, TargetTimeline};
use postgres::{Client, RestoredCluster};
use repository::Repository;

use super::database::count;
use super::judgement::{DatabaseChecks, hold_to, refuse};
use super::place::Directories;
use super::run::Run;
use super::{PlanRequest, RecoverError, RecoveryDirectory, RecoveryRecord, Site, new_record, planned_steps};
use crate::physical::{self, Moment, RestoredFiles, StartFrom};
use crate::preflight::free_bytes;
use crate::wal::{WalStatus, wal_status};
use crate::{Context, Error, Problem};

/// How long the end of recovery may take.
pub(super) const PROMOTION_LIMIT: Duration = Duration::from_hours(1);

/// Which cluster is recovered, and how.
#[derive(Clone)]
pub struct ClusterRecovery<'a> {
    /// The source whose backups are used.
    pub source: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The moment to which it is recovered; the end of the archived WAL where nothing is said.
    pub at: Option<Timestamp>,
    /// This backup and no other.
    pub backup: Option<BackupId>,
    /// Threads and connections at the same time.
    pub jobs: usize,
    /// Whether the restored directory takes the place of the other.
    pub switch: bool,
    /// The database in which the checks of the site run; nowhere where nothing is said.
    pub database: Option<String>,
    /// What is checked there.
    pub checks: DatabaseChecks,
    /// What else there is to do around it.
    pub site: &'a dyn Site,
}

impl ClusterRecovery<'_> {
    fn steps(&self) -> Vec<RecoveryStep> {
        use RecoveryStep::{
            Check, Choose, Health, Preflight, Replay, Restore, StartServices, StopServices, Switch,
        };
        let all = [Preflight, StopServices, Choose, Restore, Replay, Check, Switch, StartServices, Health];
        planned_steps(&all, self.switch, self.site)
    }

    fn from(&self) -> StartFrom {
        match &self.backup {
            Some(id) => StartFrom::Backup(id.clone()),
            None => StartFrom::Newest { source: Some(self.source.clone()) },
        }
    }

    fn target(&self) -> RecoveryTarget {
        self.at.map_or(RecoveryTarget::Latest, RecoveryTarget::Time)
    }

    fn plan(&self, repository: &Repository, context: &Context<'_>) -> Result<RecoveryPlan, Error> {
        let (from, target) = (self.from(), self.target());
        let plan = physical::plan(repository, &from, &target, TargetTimeline::Latest, self.jobs, context)?;
        let physical = repository.manifest(&plan.backup)?.physical;
        if physical.is_some_and(|physical| !physical.tablespaces.is_empty()) {
            return Err(RecoverError::Tablespaces.into());
        }
        Ok(plan)
    }
}

/// Plans the recovery of a cluster. Reads, and changes nothing.
///
/// # Errors
/// When the target cannot be reached, or the repository or the records cannot be read.
pub fn plan_cluster(
    repository: &Repository,
    request: &ClusterRecovery<'_>,
    plan: &PlanRequest<'_>,
    context: &Context<'_>,
) -> Result<RecoveryRecord, Error> {
    let mut record = new_record(plan, &request.source, &request.steps(), context);
    let directories = Directories::new(&request.data_dir, &record.id.stamp())?;
    record.target = directories.data_dir.display().to_string();
    record.found.directories = Some(directories);
    record.at = request.at;
    let chosen = request.plan(repository, context)?;
    note_plan(repository, &chosen, &mut record, context)?;
    super::estimate::fill_from(&mut record, &plan.directory.all()?);
    Ok(record)
}

/// What is known before anything is restored. Returns what was seen of WAL.
pub(super) fn note_plan(
    repository: &Repository,
    plan: &RecoveryPlan,
    record: &mut RecoveryRecord,
    context: &Context<'_>,
) -> Result<Vec<WalStatus>, Error> {
    let reader = repository.read(&plan.backup)?;
    let manifest = reader.manifest();
    let system = manifest.physical.as_ref().map(|physical| physical.system_identifier);
    let statuses = wal_status(repository, false, 1, context)?;
    let of_system = statuses.iter().filter(|status| Some(status.system) == system);
    let windows = of_system.flat_map(|status| &status.windows);
    let reached = windows.filter(|window| window.window.backups.contains(&plan.backup));
    let until = reached.map(|window| window.to_time).max().unwrap_or(manifest.finished_at);
    let found = &mut record.found;
    found.backup = Some(manifest.id.clone());
    found.plain_bytes = Some(manifest.plain_bytes);
    found.reachable_until = Some(until);
    found.data_at = Some(record.at.unwrap_or(until));
    found.manifest_sha256 = Some(reader.manifest_sha256().to_string());
    Ok(statuses)
}

/// Recovers a cluster, from the first step or from the one at which it stopped. When a step fails, the directory that was there is as it
/// was, but for services that were stopped and a switch that was done; the record says which.
pub fn recover_cluster(
    repository: &Repository,
    request: &ClusterRecovery<'_>,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    context: &Context<'_>,
) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
    let mut run = Run::begin(record, directory, context)?;
    let result = steps(repository, request, &mut run);
    Ok(run.end(result))
}

fn steps(repository: &Repository, request: &ClusterRecovery<'_>, run: &mut Run<'_>) -> Result<(), Error> {
    run.step(RecoveryStep::Preflight, |run| preflight(request, run))?;
    run.act(request.site, RecoveryStep::StopServices)?;
    if !run.is_done(RecoveryStep::Check) {
        // The server that the steps share is gone when one of them failed.
        run.again(&[RecoveryStep::Choose, RecoveryStep::Restore, RecoveryStep::Replay]);
        bring_beside(repository, request, run)?;
    }
    run.step(RecoveryStep::Switch, |run| switch(run))?;
    run.act(request.site, RecoveryStep::StartServices)?;
    run.act(request.site, RecoveryStep::Health)
}

fn preflight(request: &ClusterRecovery<'_>, run: &Run<'_>) -> Result<String, Error> {
    let directories = directories(run)?;
    let parent = directories.parent();
    let free = free_bytes(parent).map_err(|error| physical::failed("read", parent, error))?;
    let needed = run.record.found.plain_bytes.unwrap_or(0);
    if free < needed {
        return Err(RecoverError::NoRoom { path: parent.to_owned(), free, needed }.into());
    }
    if request.switch {
        if directories.is_mount_point()? {
            return Err(RecoverError::MountPoint { path: directories.data_dir }.into());
        }
        if let Some(pid) = directories.server().filter(|_| !request.site.has(RecoveryStep::StopServices)) {
            return Err(RecoverError::ServerRuns { path: directories.data_dir, pid }.into());
        }
    }
    Ok(format!("{} free beside the data directory", model::ByteSize(free)))
}

/// Restores, replays and looks over; at the end, a complete data directory is beside the other one.
fn bring_beside(
    repository: &Repository,
    request: &ClusterRecovery<'_>,
    run: &mut Run<'_>,
) -> Result<(), Error> {
    let mut plan = None;
    run.step(RecoveryStep::Choose, |run| {
        let chosen = request.plan(repository, run.context)?;
        note_plan(repository, &chosen, &mut run.record, run.context)?;
        let words = format!("{}, on timeline {}, up to {}", chosen.backup, chosen.timeline, chosen.to);
        plan = Some(chosen);
        Ok(words)
    })?;
    let directories = directories(run)?;
    if directories.restored_inode.is_none() && directories.beside.exists() {
        // Ours, by its name: it was moved there by one that was killed before it was ready.
        std::fs::remove_dir_all(&directories.beside)
            .map_err(|error| physical::failed("removed", &directories.beside, error))?;
    }
    let mut files = None;
    run.step(RecoveryStep::Restore, |run| {
        let plan = plan.take().ok_or_else(|| run.incomplete())?;
        let restored =
            physical::restore_files(repository, plan, directories.parent(), request.jobs, run.context)?;
        files = Some(restored);
        Ok("the files of the cluster".to_owned())
    })?;
    let mut moment = None;
    let mut auto_conf = Vec::new();
    run.step(RecoveryStep::Replay, |run| {
        let files = files.take().ok_or_else(|| run.incomplete())?;
        auto_conf.clone_from(&files.auto_conf);
        let (at, words) = replay(repository, files, &request.target(), &mut moment, run)?;
        run.found().data_at = request.at.or(at).or(run.record.found.reachable_until);
        Ok(words)
    })?;
    run.step(RecoveryStep::Check, |run| {
        let moment = moment.take().ok_or_else(|| run.incomplete())?;
        check_and_keep(request, moment, &directories, &auto_conf, run)
    })
}

/// Replays, and says of when the last transaction is.
pub(super) fn replay(
    repository: &Repository,
    files: RestoredFiles,
    target: &RecoveryTarget,
    moment: &mut Option<Moment>,
    run: &Run<'_>,
) -> Result<(Option<Timestamp>, String), Error> {
    let replayed = files.replay(repository, target, run.context)?;
    let at = last_transaction(&replayed.cluster)?;
    let last = at.map_or_else(String::new, |at| format!(", the last transaction is of {at:.0}"));
    let words = format!("replayed up to {}{last}", replayed.cluster.replayed());
    *moment = Some(replayed);
    Ok((at, words))
}

fn last_transaction(cluster: &RestoredCluster) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT pg_catalog.to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', \
               'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let row = Client::connect(&cluster.options(cluster.database()))?.query_one(sql, &[])?;
    Ok(row.get(0).and_then(|text| text.parse().ok()))
}

fn check_and_keep(
    request: &ClusterRecovery<'_>,
    moment: Moment,
    directories: &Directories,
    auto_conf: &[u8],
    run: &mut Run<'_>,
) -> Result<String, Error> {
    let mut cluster = moment.cluster;
    cluster.promote(PROMOTION_LIMIT).map_err(Error::Restored)?;
    let (tables, rows, problems) = physical::look_over(&cluster, request.jobs, run.context)?;
    (run.found().tables, run.found().rows) = (Some(tables), Some(rows));
    let number = judge(&cluster, &problems, request.database.as_deref(), &request.checks, run)?;
    if directories.beside.exists() {
        return Err(RecoverError::Changed { database: directories.beside.display().to_string() }.into());
    }
    cluster.keep(&directories.beside).map_err(Error::Restored)?;
    let inode = directories.settle(auto_conf)?;
    if let Some(directories) = &mut run.found().directories {
        directories.restored_inode = Some(inode);
    }
    Ok(format!(
        "{} of {} can be read; {} hold; it is {}",
        count(rows, "row"),
        count(tables, "table"),
        count(number, "check"),
        directories.beside.display()
    ))
}

/// Judges what was found, and runs the checks of the site; how many hold.
pub(super) fn judge(
    cluster: &RestoredCluster,
    problems: &[Problem],
    database: Option<&str>,
    checks: &DatabaseChecks,
    run: &mut Run<'_>,
) -> Result<u64, Error> {
    let options = cluster.options(database.unwrap_or(cluster.database()));
    refuse(&options, problems, run)?;
    match database {
        None => Ok(0),
        Some(_) => Ok(hold_to(&options, checks, run)?.holding),
    }
}

fn switch(run: &mut Run<'_>) -> Result<String, Error> {
    let mut directories = directories(run)?;
    if !directories.is_switched()? {
        if !directories.is_beside()? {
            return Err(RecoverError::Changed { database: directories.beside.display().to_string() }.into());
        }
        if let Some(pid) = directories.server() {
            return Err(RecoverError::ServerRuns { path: directories.data_dir, pid }.into());
        }
        directories.replaced = directories.has_other();
        run.found().directories = Some(directories.clone());
        run.keep()?;
        directories.exchange(directories.replaced)?;
    }
    let (data_dir, beside) = (directories.data_dir.display(), directories.beside.display());
    Ok(if directories.replaced {
        format!("{data_dir} is the restored cluster; the other one is kept as {beside}")
    } else {
        format!("{data_dir} is the restored cluster; there was no other")
    })
}

/// Gives the name back to the directory that had it, and keeps the restored one beside it.
///
/// # Errors
/// When the record cannot be kept.
pub fn roll_back_cluster(
    request: &ClusterRecovery<'_>,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    context: &Context<'_>,
) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
    Run::undo(record, request.site, directory, context, |run| switch_back(run))
}

fn switch_back(run: &Run<'_>) -> Result<String, Error> {
    let directories = directories(run)?;
    let data_dir = directories.data_dir.display();
    if !directories.is_switched()? {
        return Ok(format!("{data_dir} is what it was before"));
    }
    if !directories.replaced {
        return Err(RecoverError::NothingBehind { database: data_dir.to_string() }.into());
    }
    if let Some(pid) = directories.server() {
        return Err(RecoverError::ServerRuns { path: directories.data_dir, pid }.into());
    }
    directories.exchange(true)?;
    Ok(format!(
        "{data_dir} is what it was before; the restored one is kept as {}",
        directories.beside.display()
    ))
}

fn directories(run: &Run<'_>) -> Result<Directories, Error> {
    run.record.found.directories.clone().ok_or_else(|| run.incomplete())
}
