//! The level of verification that proves a physical backup: a restore into a sandbox, recovery to the end of the backup, and a look
//! at everything that came out.
//!
//! Invariant: nothing of the cluster's own configuration counts, no network is there, and WAL comes from the backup alone. What is
//! found is a problem of the backup; what this machine cannot do is not.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{BackupId, RecoveryTarget};
use postgres::{RecoveryRequest, RestoredCluster, RestoredDirectory, RestoredError, Tools, ToolsError};
use repository::Repository;

use super::directory::Before;
use super::examination::{self, Examination};
use super::recreated;
use super::restore::OpenedCluster;
use crate::context::elapsed;
use crate::verify::{Compared, Rehearsal};
use crate::{Context, Error, Phase, Problem};

/// How long recovery may take. It replays what was written while the backup was taken.
const RECOVERY_LIMIT: Duration = Duration::from_hours(6);
/// Bad pages that are named one by one.
const NAMED_PAGES: usize = 100;

/// Restores a backup into a throwaway place, starts a server on it and looks at everything.
pub(crate) fn rehearse_cluster(
    repository: &Repository,
    id: &BackupId,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Rehearsal, Error> {
    let backup = OpenedCluster::open(repository, id)?;
    let major = backup.record.server_version / 10_000;
    let tools = match Tools::find_same_server(major, context.tool_path.as_deref()) {
        Ok(tools) => tools,
        Err(error @ ToolsError::NotFound { .. }) => return Ok(Rehearsal::Impossible(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let mut problems = bad_pages(&backup);
    context.phase(Phase::Sandbox);
    let place = RestoredDirectory::create(&context.sandbox_parent)?;
    let started_at = context.now();
    restore(&backup, &place, jobs, context)?;
    context.phase(Phase::Replay);
    let cluster = match recover(&backup, place, &tools) {
        Ok(cluster) => cluster,
        Err(error @ RestoredError::NewTablespace { .. }) => {
            return Ok(Rehearsal::Impossible(crate::error::with_sources(&error)));
        }
        Err(error) => {
            let problem = recovery_problem(id, error)?;
            problems.push(problem);
            let compared = Compared { tables: 0, rows: 0, problems };
            let restore = elapsed(started_at, context);
            return Ok(Rehearsal::Done { compared, restore, server_version: backup.record.server_version });
        }
    };
    let restore = elapsed(started_at, context);
    match examination::examine(&cluster, jobs, context)? {
        Examination::Impossible(reason) => Ok(Rehearsal::Impossible(reason)),
        Examination::Done { tables, rows, problems: found } => {
            problems.extend(found);
            problems.extend(recreated::find(&cluster, &backup.files, &backup.record)?);
            let compared = Compared { tables, rows, problems };
            Ok(Rehearsal::Done { compared, restore, server_version: backup.record.server_version })
        }
    }
}

/// Writes the files. They need not be durable: they are gone in a moment.
pub(super) fn restore(
    backup: &OpenedCluster,
    place: &RestoredDirectory,
    jobs: usize,
    context: &Context<'_>,
) -> Result<(), Error> {
    let spaces = backup.record.tablespaces.iter();
    let tablespaces: BTreeMap<_, _> = spaces.map(|space| (space.oid, place.tablespace(space.oid))).collect();
    let (directory, control) = backup.write(&place.data(), Before::Empty, &tablespaces, jobs, context)?;
    directory.complete(&control)
}

fn recover(
    backup: &OpenedCluster,
    place: RestoredDirectory,
    tools: &Tools,
) -> Result<RestoredCluster, RestoredError> {
    let record = &backup.record;
    let mut cluster = place.start(
        tools,
        &RecoveryRequest {
            from: record.start_lsn,
            target: RecoveryTarget::Immediate,
            exclusive: false,
            timeline: Some(record.timeline),
            reach: record.stop_lsn,
            restore_command: None,
            limit: RECOVERY_LIMIT,
            settings: Vec::new(),
            writable: Vec::new(),
        },
    )?;
    cluster.promote(RECOVERY_LIMIT)?;
    Ok(cluster)
}

/// Pages that were bad when they were backed up.
fn bad_pages(backup: &OpenedCluster) -> Vec<Problem> {
    let listed = backup.record.bad_pages.iter().take(NAMED_PAGES);
    let problem = |page: &repository::BadPage| Problem {
        code: "page.bad",
        object: page.path.to_string(),
        message: format!("block {} was damaged in the cluster when it was backed up", page.block),
    };
    listed.map(problem).collect()
}

/// What the server would not recover is a problem of the backup; what is wrong with this machine is an error.
fn recovery_problem(id: &BackupId, error: RestoredError) -> Result<Problem, Error> {
    let code = match &error {
        RestoredError::NoLabel | RestoredError::Label { .. } => "recovery.label",
        RestoredError::Ended { .. } | RestoredError::NotReached { .. } => "recovery.failed",
        RestoredError::Control(_) | RestoredError::Roles { .. } => "recovery.damaged",
        _ => return Err(Error::Restored(error)),
    };
    Ok(Problem { code, object: id.to_string(), message: crate::error::with_sources(&error) })
}
