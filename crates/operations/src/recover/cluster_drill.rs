//! Rehearsals of the recovery of a cluster, in a sandbox, with the WAL that is archived.

use model::{Lsn, RecoveryPlan, RecoveryStep, RecoveryTarget, Scenario, TargetTimeline};
use repository::Repository;

use super::cluster::{PROMOTION_LIMIT, judge, note_plan, replay};
use super::database::count;
use super::run::Run;
use super::{
    DatabaseChecks, PlanRequest, RecoverError, RecoveryDirectory, RecoveryRecord, estimate, new_record,
};
use crate::physical::{self, Examination, StartFrom};
use crate::wal::WalStatus;
use crate::{Context, Error};

/// A rehearsal of the recovery of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterDrill {
    /// The source whose backups are used.
    pub source: String,
    /// Threads and connections at the same time.
    pub jobs: usize,
    /// The database in which the checks of the site run; nowhere where nothing is said.
    pub database: Option<String>,
    /// What is checked there.
    pub checks: DatabaseChecks,
}

const STEPS: [RecoveryStep; 4] =
    [RecoveryStep::Choose, RecoveryStep::Restore, RecoveryStep::Replay, RecoveryStep::Check];

impl ClusterDrill {
    fn plan(
        &self,
        repository: &Repository,
        target: &RecoveryTarget,
        context: &Context<'_>,
    ) -> Result<RecoveryPlan, Error> {
        let from = StartFrom::Newest { source: Some(self.source.clone()) };
        physical::plan(repository, &from, target, TargetTimeline::Latest, self.jobs, context)
    }
}

/// Plans a rehearsal.
///
/// # Errors
/// When there is no backup of the cluster, or the repository or the records cannot be read.
pub fn plan_cluster_drill(
    repository: &Repository,
    request: &ClusterDrill,
    plan: &PlanRequest<'_>,
    context: &Context<'_>,
) -> Result<RecoveryRecord, Error> {
    let mut record = new_record(plan, &request.source, &STEPS, context);
    "a throwaway server".clone_into(&mut record.target);
    record.rehearsal = true;
    let chosen = request.plan(repository, &RecoveryTarget::Latest, context)?;
    note_plan(repository, &chosen, &mut record, context)?;
    estimate::fill_from(&mut record, &plan.directory.all()?);
    Ok(record)
}

/// Rehearses the recovery of a cluster: to the end of the archived WAL, or, for a recovery to a point in time, to a random one since the newest
/// backup.
pub fn drill_cluster(
    repository: &Repository,
    request: &ClusterDrill,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    context: &Context<'_>,
) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
    let mut run = Run::begin(record, directory, context)?;
    let result = steps(repository, request, &mut run);
    Ok(run.end(result))
}

fn steps(repository: &Repository, request: &ClusterDrill, run: &mut Run<'_>) -> Result<(), Error> {
    let mut chosen = None;
    run.step(RecoveryStep::Choose, |run| {
        let plan = request.plan(repository, &RecoveryTarget::Latest, run.context)?;
        let statuses = note_plan(repository, &plan, &mut run.record, run.context)?;
        let target = match run.record.scenario {
            Scenario::PointInTime => random_target(&statuses, &plan, run.context),
            _ => RecoveryTarget::Latest,
        };
        let words = format!("{}, on timeline {}, to {target}", plan.backup, plan.timeline);
        chosen = Some((plan, target));
        Ok(words)
    })?;
    let (plan, target) = chosen.ok_or_else(|| run.incomplete())?;
    let mut files = None;
    run.step(RecoveryStep::Restore, |run| {
        let parent = &run.context.sandbox_parent;
        files = Some(physical::restore_files(repository, plan, parent, request.jobs, run.context)?);
        Ok("the files of the cluster".to_owned())
    })?;
    let mut moment = None;
    run.step(RecoveryStep::Replay, |run| {
        let files = files.take().ok_or_else(|| run.incomplete())?;
        let (at, words) = replay(repository, files, &target, &mut moment, run)?;
        run.found().data_at = at.or(run.record.found.data_at);
        Ok(words)
    })?;
    run.step(RecoveryStep::Check, |run| {
        let mut cluster = moment.take().ok_or_else(|| run.incomplete())?.cluster;
        cluster.promote(PROMOTION_LIMIT).map_err(Error::Restored)?;
        let (tables, rows, problems) = match physical::examine(&cluster, request.jobs, run.context)? {
            Examination::Impossible(reason) => return Err(RecoverError::NotHere { reason }.into()),
            Examination::Done { tables, rows, problems } => (tables, rows, problems),
        };
        (run.found().tables, run.found().rows) = (Some(tables), Some(rows));
        let number = judge(&cluster, &problems, request.database.as_deref(), &request.checks, run)?;
        Ok(format!(
            "{} of {} can be read, every index agrees with its table; {} hold",
            count(rows, "row"),
            count(tables, "table"),
            count(number, "check")
        ))
    })
}

/// A random position behind the end of the backup, before which WAL is archived for certain: the last segment may be filled up with nothing.
fn random_target(statuses: &[WalStatus], plan: &RecoveryPlan, context: &Context<'_>) -> RecoveryTarget {
    for status in statuses {
        let Some(backup) = status.backups.iter().find(|backup| backup.id == plan.backup) else { continue };
        let from = backup.stop.0;
        let last = plan.to.0.saturating_sub(status.segment_size.bytes().into());
        if last > from {
            let random = u64::from_le_bytes(context.random_bytes());
            return RecoveryTarget::Lsn(Lsn(from + random % (last - from)));
        }
    }
    // Hardly anything was archived since: the end of the backup is what there is.
    RecoveryTarget::Immediate
}
