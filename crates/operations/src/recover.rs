//! Recovery as a procedure: planned with the time that it will take, run step by step, stopped at the first failure with everything in
//! a known state, resumed or undone, and reported with the time of each step against the objectives.
//!
//! Invariant: what a recovery has done is in its record before the next step begins. What is damaged is not touched before what replaces
//! it is complete and checked.

mod choice;
mod cluster;
mod cluster_drill;
mod database;
mod directory;
mod drill;
mod estimate;
mod judgement;
mod place;
mod record;
mod report;
mod run;
mod table_drill;
mod table_record;

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use model::{ByteSize, RecoveryId, RecoveryStep, Scenario};
use repository::Repository;

use crate::{Context, Error};

pub use cluster::{ClusterRecovery, plan_cluster, recover_cluster, roll_back_cluster};
pub use cluster_drill::{ClusterDrill, drill_cluster, plan_cluster_drill};
pub use database::{DatabaseRecovery, recover_database, roll_back_database};
pub use directory::RecoveryDirectory;
pub use drill::{DatabaseDrill, drill_database, plan_database_drill};
pub use judgement::DatabaseChecks;
pub use place::Directories;
pub use record::{
    Databases, Found, Objectives, RecoveryRecord, RecoveryState, Skipped, StepRecord, StepState,
};
pub use report::markdown;
pub use table_record::record_tables;

/// What else there is to do at a site, besides databases.
pub trait Site: Sync {
    /// Whether there is anything to do in a step: stopping or starting services, or asking after their health.
    fn has(&self, step: RecoveryStep) -> bool;

    /// Does it, and says what was done, or why that failed.
    ///
    /// # Errors
    /// With the reason, which holds no secret.
    fn act(&self, step: RecoveryStep) -> Result<String, String>;
}

/// A site with nothing besides databases.
#[derive(Debug, Clone, Copy, Default)]
pub struct BareSite;

impl Site for BareSite {
    fn has(&self, _: RecoveryStep) -> bool {
        false
    }

    fn act(&self, _: RecoveryStep) -> Result<String, String> {
        Ok(String::new())
    }
}

/// Why a recovery stopped.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// No backup can be used.
    #[error("no backup of {source_name:?}{} can be used{}", from_before(.not_after.as_ref()), listed(.reasons))]
    NoBackup {
        /// The source.
        source_name: String,
        /// The moment that its data must not be after.
        not_after: Option<Timestamp>,
        /// What is wrong with those that were looked at.
        reasons: Vec<String>,
    },
    /// Something would make it fail later.
    #[error("{}", errors.join("; "))]
    Preflight {
        /// What, and what to do about each.
        errors: Vec<String>,
    },
    /// The role may not make databases.
    #[error("the role may not create databases")]
    MayNotCreate,
    /// Something at the site failed.
    #[error("{} failed: {message}", what_is_done(*step))]
    Site {
        /// The step.
        step: RecoveryStep,
        /// Why.
        message: String,
    },
    /// The restored database is not as it should be.
    #[error("the restored database {database:?} is not as it should be ({number} problems): {first}")]
    Checks {
        /// The database.
        database: String,
        /// How many problems there are.
        number: usize,
        /// The first.
        first: String,
    },
    /// A database is not the one that it was.
    #[error("database {database:?} is not the one that this recovery left: somebody dropped or renamed it")]
    Changed {
        /// Its name.
        database: String,
    },
    /// There was no database that the name could be given back to.
    #[error("there was no database {database:?} before, so there is nothing to go back to")]
    NothingBehind {
        /// Its name.
        database: String,
    },
    /// There is no room beside the data directory.
    #[error("{} has {} free, and {} are needed beside the data directory", path.display(), ByteSize(*free), ByteSize(*needed))]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A data directory cannot change its name.
    #[error("{} is a file system of its own, and cannot exchange its name with a directory beside it", path.display())]
    MountPoint {
        /// The data directory.
        path: PathBuf,
    },
    /// A server runs on the data directory.
    #[error("a server (process {pid}) runs on {}", path.display())]
    ServerRuns {
        /// The data directory.
        path: PathBuf,
        /// Its process.
        pid: i32,
    },
    /// The cluster has tablespaces.
    #[error("the cluster has tablespaces outside of its data directory")]
    Tablespaces,
    /// The record lacks what an earlier step found out.
    #[error("the record of {id} lacks what an earlier step found out")]
    Incomplete {
        /// The recovery.
        id: RecoveryId,
    },
    /// This machine cannot rehearse it.
    #[error("it cannot be rehearsed here: {reason}")]
    NotHere {
        /// Why.
        reason: String,
    },
    /// A record cannot be read or written.
    #[error("{} cannot be {action}", path.display())]
    Record {
        /// What was to be done with it.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn from_before(moment: Option<&Timestamp>) -> String {
    moment.map(|moment| format!(" from {moment} or before")).unwrap_or_default()
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() { ": there is none".to_owned() } else { format!(": {}", reasons.join("; ")) }
}

fn what_is_done(step: RecoveryStep) -> &'static str {
    match step {
        RecoveryStep::StopServices => "stopping the services",
        RecoveryStep::StartServices => "starting the services",
        RecoveryStep::Health => "asking after the health of the application",
        _ => "a step",
    }
}

/// What a plan is made for.
pub struct PlanRequest<'a> {
    /// What had happened.
    pub scenario: Scenario,
    /// Who asks.
    pub asked_by: String,
    /// Where the journal ends, where there is one.
    pub journal_head: Option<String>,
    /// How long it may take, and how much may be lost.
    pub objectives: Objectives,
    /// Earlier recoveries, from which the time of each step is known.
    pub directory: &'a RecoveryDirectory,
}

/// Plans the recovery of a database. Reads, and changes nothing.
///
/// # Errors
/// When the repository or the records cannot be read.
pub fn plan_database(
    repository: &Repository,
    request: &DatabaseRecovery<'_>,
    plan: &PlanRequest<'_>,
    context: &Context<'_>,
) -> Result<RecoveryRecord, Error> {
    let mut record = new_record(plan, &request.source, &request.steps(), context);
    record.target = request.database.describe();
    record.at = request.at;
    estimate::fill(repository, &request.wanted(), &mut record, &plan.directory.all()?)?;
    Ok(record)
}

/// Those of `steps` that are to be done: the switch where one is wanted, and with it what the site has to do around it.
fn planned_steps(steps: &[RecoveryStep], switches: bool, site: &dyn Site) -> Vec<RecoveryStep> {
    use RecoveryStep::{Health, StartServices, StopServices, Switch};
    let is_wanted = |step: &RecoveryStep| match step {
        Switch => switches,
        StopServices | StartServices | Health => switches && site.has(*step),
        _ => true,
    };
    steps.iter().copied().filter(is_wanted).collect()
}

fn new_record(
    plan: &PlanRequest<'_>,
    source: &str,
    steps: &[RecoveryStep],
    context: &Context<'_>,
) -> RecoveryRecord {
    let began_at = context.now();
    RecoveryRecord {
        version: record::VERSION,
        id: RecoveryId::new(began_at, context.random_bytes()),
        scenario: plan.scenario,
        rehearsal: false,
        source: source.to_owned(),
        target: String::new(),
        asked_by: plan.asked_by.clone(),
        journal_head: plan.journal_head.clone(),
        at: None,
        began_at,
        ended_at: None,
        state: RecoveryState::Running,
        objectives: plan.objectives,
        steps: steps.iter().copied().map(StepRecord::pending).collect(),
        rollback: Vec::new(),
        found: Found::default(),
    }
}
