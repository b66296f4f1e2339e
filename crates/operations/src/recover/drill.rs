//! Rehearsals: the same steps as in a recovery, in a sandbox.

use jiff::Timestamp;
use model::{Kind, Level, RecoveryStep, Scenario};
use postgres::Client;
use postgres::load::{database_oid, maintenance_client};
use repository::Repository;

use super::choice::Wanted;
use super::database::{backup, check, choose, count, databases, switch};
use super::judgement::DatabaseChecks;
use super::record::Databases;
use super::run::Run;
use super::{
    PlanRequest, RecoverError, RecoveryDirectory, RecoveryRecord, estimate, new_record, table_drill,
};
use crate::opened::Opened;
use crate::verify::BackupSandbox;
use crate::{Context, Error};

/// A rehearsal of the recovery of a database.
#[derive(Debug, Clone)]
pub struct DatabaseDrill {
    /// The source whose backups are used.
    pub source: String,
    /// The moment to which it is recovered, as far as backups go.
    pub at: Option<Timestamp>,
    /// How far a backup is verified before it is chosen.
    pub level: Level,
    /// Connections that load at the same time.
    pub jobs: usize,
    /// What is checked in the restored database.
    pub checks: DatabaseChecks,
}

const STEPS: [RecoveryStep; 5] = [
    RecoveryStep::Choose,
    RecoveryStep::Sandbox,
    RecoveryStep::Restore,
    RecoveryStep::Check,
    RecoveryStep::Switch,
];

impl DatabaseDrill {
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            source: self.source.clone(),
            kind: Kind::Logical,
            not_after: self.at,
            backup: None,
            level: self.level,
        }
    }
}

/// Plans a rehearsal.
///
/// # Errors
/// When the repository or the records cannot be read.
pub fn plan_database_drill(
    repository: &Repository,
    request: &DatabaseDrill,
    plan: &PlanRequest<'_>,
    context: &Context<'_>,
) -> Result<RecoveryRecord, Error> {
    let steps: &[RecoveryStep] = if plan.scenario == Scenario::Tables { &table_drill::STEPS } else { &STEPS };
    let mut record = new_record(plan, &request.source, steps, context);
    "a throwaway server".clone_into(&mut record.target);
    record.rehearsal = true;
    record.at = request.at;
    estimate::fill(repository, &request.wanted(), &mut record, &plan.directory.all()?)?;
    Ok(record)
}

/// Rehearses the recovery of a database: a server is started that has only a damaged one, and everything is done that a recovery does.
pub fn drill_database(
    repository: &Repository,
    request: &DatabaseDrill,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    context: &Context<'_>,
) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
    let mut run = Run::begin(record, directory, context)?;
    let result = match run.record.scenario {
        Scenario::Tables => table_drill::steps(repository, request, &mut run),
        _ => steps(repository, request, &mut run),
    };
    Ok(run.end(result))
}

fn steps(repository: &Repository, request: &DatabaseDrill, run: &mut Run<'_>) -> Result<(), Error> {
    run.step(RecoveryStep::Choose, |run| choose(repository, &request.wanted(), run))?;
    let opened = Opened::open(repository, &backup(run)?)?;
    let mut sandbox = None;
    run.step(RecoveryStep::Sandbox, |run| {
        sandbox = Some(start(&opened, run)?);
        Ok("a server with a damaged database".to_owned())
    })?;
    let sandbox = sandbox.ok_or_else(|| run.incomplete())?;
    let names = databases(run)?;
    run.step(RecoveryStep::Restore, |run| {
        let restored = sandbox.restore(&opened, &names.restored, request.jobs, run.context)?;
        let oid = database_oid(&mut maintenance_client(&restored)?, &names.restored)?;
        let rows = opened.record.tables.iter().filter_map(|table| table.proof).map(|proof| proof.rows).sum();
        let found = run.found();
        (found.tables, found.rows) = (Some(opened.record.tables.len() as u64), Some(rows));
        if let Some(databases) = &mut found.databases {
            databases.restored_oid = oid;
        }
        Ok(format!("database {:?} is complete, {}", names.restored, count(rows, "row")))
    })?;
    run.step(RecoveryStep::Check, |run| {
        check(repository, &sandbox.options(&names.restored), request.jobs, &request.checks, run)
    })?;
    run.step(RecoveryStep::Switch, |run| switch(&sandbox.options(&names.name), run))
}

/// A server with an empty database in the place of the damaged one.
fn start(opened: &Opened, run: &mut Run<'_>) -> Result<BackupSandbox, Error> {
    let sandbox =
        BackupSandbox::start(opened, run.context)?.map_err(|reason| RecoverError::NotHere { reason })?;
    let names = Databases {
        name: "damaged".to_owned(),
        restored: "recovered".to_owned(),
        aside: "aside".to_owned(),
        suffix: run.context.random_bytes(),
        restored_oid: None,
        damaged_oid: None,
        accepted: None,
    };
    let mut client = Client::connect(&sandbox.options("postgres"))?;
    client.execute(&format!("CREATE DATABASE {}", model::quote_identifier(&names.name)))?;
    run.found().databases = Some(names);
    Ok(sandbox)
}
