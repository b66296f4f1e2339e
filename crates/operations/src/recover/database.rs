//! The recovery of a database from a logical backup: restored beside the damaged one, checked, and put in its place.
//!
//! Invariant: the damaged database is not touched until the restored one is complete and checked, and is kept after that; at no moment
//! does the name belong to both or to neither.

use jiff::Timestamp;
use model::{BackupId, Kind, Level, RecoveryStep};
use postgres::load::{
    accepts_connections, allow_connections, database_name, database_oid, drop_temporary, end_statements,
    maintenance_client, switch_databases,
};
use postgres::{Client, ConnectOptions, Severity};
use repository::{BackupSummary, Repository};

use super::choice::{self, Wanted};
use super::judgement::{DatabaseChecks, Held, hold_to, refuse};
use super::record::Databases;
use super::run::Run;
use super::{RecoverError, RecoveryDirectory, RecoveryRecord, Site, planned_steps};
use crate::restore::{RestoreRequest, restore};
use crate::verify::compare;
use crate::{Context, Error, PreflightFinding, preflight_restore};

/// Bytes of the name of a database (`NAMEDATALEN - 1`).
const NAME_BYTES: usize = 63;

/// Which database is recovered, and how.
#[derive(Clone)]
pub struct DatabaseRecovery<'a> {
    /// The source whose backups are used.
    pub source: String,
    /// The database, by the name that it has.
    pub database: ConnectOptions,
    /// The moment to which it is recovered, as far as backups go: the data of none newer is used.
    pub at: Option<Timestamp>,
    /// This backup and no other.
    pub backup: Option<BackupId>,
    /// How far a backup is verified before it is chosen.
    pub level: Level,
    /// Make roles that are missing.
    pub create_roles: bool,
    /// Connections that load at the same time.
    pub jobs: usize,
    /// Whether the restored database takes the place of the other.
    pub switch: bool,
    /// What is checked in the restored database, besides its rows.
    pub checks: DatabaseChecks,
    /// What else there is to do around it.
    pub site: &'a dyn Site,
}

impl DatabaseRecovery<'_> {
    /// The steps, in their order.
    pub(super) fn steps(&self) -> Vec<RecoveryStep> {
        use RecoveryStep::{Check, Choose, Health, Preflight, Restore, StartServices, StopServices, Switch};
        let all = [Preflight, StopServices, Choose, Restore, Check, Switch, StartServices, Health];
        planned_steps(&all, self.switch, self.site)
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            source: self.source.clone(),
            kind: Kind::Logical,
            not_after: self.at,
            backup: self.backup.clone(),
            level: self.level,
        }
    }

    /// How the backup is restored beside what is there.
    fn restore(&self, names: &Databases) -> RestoreRequest {
        RestoreRequest {
            target: self.database.with_database(&names.restored),
            create: true,
            clean: false,
            create_roles: self.create_roles,
            tables: Vec::new(),
            jobs: self.jobs,
            checks: None,
            suffix: Some(names.suffix),
        }
    }

    pub(super) fn databases(&self, record: &RecoveryRecord, suffix: [u8; 4]) -> Databases {
        let name = self.database.database();
        let aside = if self.at.is_some() { "replaced" } else { "damaged" };
        Databases {
            name: name.to_owned(),
            restored: beside(name, "recovered", &record.id.stamp()),
            aside: beside(name, aside, &record.id.stamp()),
            suffix,
            restored_oid: None,
            damaged_oid: None,
            accepted: None,
        }
    }
}

/// Gives the databases their names, before anything could be made under one of them.
fn ensure_databases(request: &DatabaseRecovery<'_>, run: &mut Run<'_>) -> Result<(), Error> {
    if run.record.found.databases.is_none() {
        let suffix = run.context.random_bytes();
        run.record.found.databases = Some(request.databases(&run.record, suffix));
        run.keep()?;
    }
    Ok(())
}

/// What would make the restore fail, all of it.
pub(super) fn refuse_findings(findings: &[PreflightFinding]) -> Result<(), Error> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let words = |finding: &PreflightFinding| {
        let PreflightFinding { object, message, remedy, .. } = finding;
        if remedy.is_empty() {
            format!("{object}: {message}")
        } else {
            format!("{object}: {message} ({remedy})")
        }
    };
    let errors: Vec<_> = errors.map(words).collect();
    if errors.is_empty() { Ok(()) } else { Err(RecoverError::Preflight { errors }.into()) }
}

/// The name of a database that belongs to another.
fn beside(name: &str, what: &str, stamp: &str) -> String {
    let end = format!("_{what}_{stamp}");
    let kept = name.floor_char_boundary(NAME_BYTES - end.len());
    format!("{}{end}", &name[..kept])
}

/// Recovers a database, from the first step or from the one at which it stopped. When a step fails, what was there before is as it was, but
/// for services that were stopped and a switch that was done; the record says which.
pub fn recover_database(
    repository: &Repository,
    request: &DatabaseRecovery<'_>,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    context: &Context<'_>,
) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
    let mut run = Run::begin(record, directory, context)?;
    let result = steps(repository, request, &mut run);
    Ok(run.end(result))
}

fn steps(repository: &Repository, request: &DatabaseRecovery<'_>, run: &mut Run<'_>) -> Result<(), Error> {
    run.step(RecoveryStep::Preflight, |run| preflight(repository, request, run))?;
    run.act(request.site, RecoveryStep::StopServices)?;
    run.step(RecoveryStep::Choose, |run| choose(repository, &request.wanted(), run))?;
    run.step(RecoveryStep::Restore, |run| restore_beside(repository, request, run))?;
    run.step(RecoveryStep::Check, |run| {
        let restored = request.database.with_database(&databases(run)?.restored);
        check(repository, &restored, request.jobs, &request.checks, run)
    })?;
    run.step(RecoveryStep::Switch, |run| switch(&request.database, run))?;
    run.act(request.site, RecoveryStep::StartServices)?;
    run.act(request.site, RecoveryStep::Health)
}

fn preflight(
    repository: &Repository,
    request: &DatabaseRecovery<'_>,
    run: &mut Run<'_>,
) -> Result<String, Error> {
    ensure_databases(request, run)?;
    let mut client = maintenance_client(&request.database)?;
    let sql = "SELECT rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user";
    if !client.query_one(sql, &[])?.is_true(0) {
        return Err(RecoverError::MayNotCreate.into());
    }
    let (usable, skipped) = choice::candidates(repository, &request.wanted())?;
    if usable.is_empty() {
        let reasons =
            skipped.iter().map(|skipped| format!("{}: {}", skipped.backup, skipped.reason)).collect();
        let not_after = request.at;
        return Err(RecoverError::NoBackup { source_name: request.source.clone(), not_after, reasons }.into());
    }
    let restore = request.restore(&databases(run)?);
    let findings = readable_findings(repository, &usable, &restore, run.context)?;
    refuse_findings(&findings)?;
    run.found().findings =
        findings.iter().map(|finding| format!("{}: {}", finding.object, finding.message)).collect();
    let sessions = sessions(&mut client, request.database.database())?;
    Ok(format!("the server answers, {} to choose from, {sessions}", count(usable.len() as u64, "backup")))
}

/// What a restore of the newest backup would meet whose definitions can be read. Those before it are passed over when one is chosen.
fn readable_findings(
    repository: &Repository,
    usable: &[BackupSummary],
    restore: &RestoreRequest,
    context: &Context<'_>,
) -> Result<Vec<PreflightFinding>, Error> {
    let mut findings = Ok(Vec::new());
    for backup in usable {
        findings = preflight_restore(repository, &backup.id, restore, context);
        if findings.is_ok() || context.observer.cancelled() {
            break;
        }
    }
    findings
}

/// Who uses the database now, for people.
fn sessions(client: &mut Client, name: &str) -> Result<String, Error> {
    let sql = "SELECT count(*), COALESCE(string_agg(DISTINCT NULLIF(application_name, ''), ', '), '') \
               FROM pg_catalog.pg_stat_activity WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid()";
    let row = client.query_one(sql, &[Some(name)])?;
    let (number, who): (u64, _) = (row.number(0)?, row.text(1)?);
    let who = if who.is_empty() { String::new() } else { format!(" ({who})") };
    Ok(format!("{} on {name:?}{who}", count(number, "session")))
}

pub(super) fn choose(repository: &Repository, wanted: &Wanted, run: &mut Run<'_>) -> Result<String, Error> {
    let (backup, skipped) = choice::choose(repository, wanted, run.context)?;
    let manifest_sha256 = repository.read(&backup.id)?.manifest_sha256();
    let found = run.found();
    found.manifest_sha256 = Some(manifest_sha256.to_string());
    found.skipped = skipped;
    note_backup(found, &backup);
    let standing = if backup.proof.is_some_and(|proof| proof.outcome == model::Outcome::Proven) {
        "proven"
    } else {
        "never proven"
    };
    Ok(format!("{}, {standing}, with the data of {:.0}", backup.id, backup.snapshot_at))
}

/// What is known of a backup before it is restored.
pub(super) fn note_backup(found: &mut super::Found, backup: &BackupSummary) {
    found.data_at = Some(backup.snapshot_at);
    found.plain_bytes = Some(backup.plain_bytes);
    found.backup = Some(backup.id.clone());
}

fn restore_beside(
    repository: &Repository,
    request: &DatabaseRecovery<'_>,
    run: &mut Run<'_>,
) -> Result<String, Error> {
    let backup = backup(run)?;
    let names = databases(run)?;
    drop_temporary(&request.database, names.suffix)?;
    let target = request.database.with_database(&names.restored);
    let mut client = maintenance_client(&target)?;
    // It gets its name when it is complete: one that is there was finished just before this was killed.
    if database_oid(&mut client, &names.restored)?.is_none() {
        let request = request.restore(&names);
        let report = restore(repository, &backup, &request, run.context)?;
        let found = run.found();
        (found.tables, found.rows) = (Some(report.tables), Some(report.rows));
        found.left_out =
            report.left_out.iter().map(|left| format!("{}: {}", left.object, left.reason)).collect();
    }
    let oid = database_oid(&mut client, &names.restored)?;
    if let Some(databases) = &mut run.found().databases {
        databases.restored_oid = oid;
    }
    let rows = run.record.found.rows.map(|rows| format!(", {}", count(rows, "row"))).unwrap_or_default();
    Ok(format!("database {:?} is complete{rows}", names.restored))
}

/// Compares a restored database with its backup, and runs the checks: those that hold for every database, and those of the site.
pub(super) fn check(
    repository: &Repository,
    restored: &ConnectOptions,
    jobs: usize,
    checks: &DatabaseChecks,
    run: &mut Run<'_>,
) -> Result<String, Error> {
    let problems = compare(repository, &backup(run)?, restored, jobs, run.context)?;
    refuse(restored, &problems, run)?;
    let Held { holding, others } = hold_to(restored, checks, run)?;
    let others = if others == 0 { String::new() } else { format!(", {others} do not") };
    Ok(format!("every row is as it was backed up; {} hold{others}", count(holding, "check")))
}

/// Puts the restored database in the place of the damaged one.
pub(super) fn switch(database: &ConnectOptions, run: &mut Run<'_>) -> Result<String, Error> {
    let names = databases(run)?;
    let mut client = maintenance_client(&database.with_database(&names.restored))?;
    end_statements(&mut client, &names.restored)?;
    let Some(restored) = names.restored_oid else { return Err(changed(&names.restored)) };
    let now = database_name(&mut client, restored)?;
    if now.as_deref() != Some(&names.name) {
        if now.as_deref() != Some(&names.restored) {
            return Err(changed(&names.restored));
        }
        let damaged = database_oid(&mut client, &names.name)?;
        let accepted = accepts_connections(&mut client, &names.name)?;
        if let Some(databases) = &mut run.found().databases {
            databases.damaged_oid = damaged;
            // A switch that was killed may have left it without connections.
            databases.accepted = databases.accepted.or(accepted);
        }
        run.keep()?;
        switch_databases(&mut client, &names.name, &names.restored, &names.aside)?;
    }
    settle_aside(&mut client, &databases(run)?)
}

/// Lets the database that was set aside accept connections as it did.
fn settle_aside(client: &mut Client, names: &Databases) -> Result<String, Error> {
    let Some(damaged) = names.damaged_oid else {
        return Ok(format!("{:?} is the restored database; there was no other", names.name));
    };
    if let (Some(aside), Some(accepted)) = (database_name(client, damaged)?, names.accepted) {
        allow_connections(client, &aside, accepted)?;
    }
    Ok(format!("{:?} is the restored database; the other one is kept as {:?}", names.name, names.aside))
}

/// Gives the name back to the database that had it, and keeps the restored one under another.
///
/// # Errors
/// When nothing was restored yet, or when the databases are no longer those of the recovery.
pub fn roll_back_database(
    request: &DatabaseRecovery<'_>,
    record: RecoveryRecord,
    directory: &RecoveryDirectory,
    context: &Context<'_>,
) -> Result<(RecoveryRecord, Result<(), Error>), Error> {
    Run::undo(record, request.site, directory, context, |run| switch_back(&request.database, run))
}

fn switch_back(database: &ConnectOptions, run: &Run<'_>) -> Result<String, Error> {
    let Some(names) = run.record.found.databases.clone() else {
        return Ok("nothing was restored yet".to_owned());
    };
    drop_temporary(database, names.suffix)?;
    let mut client = maintenance_client(database)?;
    end_statements(&mut client, &names.restored)?;
    let restored = match names.restored_oid {
        Some(oid) => database_name(&mut client, oid)?,
        None => None,
    };
    if restored.as_deref() == Some(&names.name) {
        let damaged = match names.damaged_oid {
            Some(oid) => Some(database_name(&mut client, oid)?.ok_or_else(|| changed(&names.aside))?),
            None => None,
        };
        match damaged {
            Some(damaged) => switch_databases(&mut client, &names.name, &damaged, &names.restored)?,
            None => return Err(RecoverError::NothingBehind { database: names.name }.into()),
        }
        allow_connections(&mut client, &names.restored, true)?;
    }
    if let Some(accepted) = names.accepted {
        allow_connections(&mut client, &names.name, accepted)?;
    }
    match restored {
        Some(_) => Ok(format!(
            "{:?} is the database that it was before; the restored one is kept as {:?}",
            names.name, names.restored
        )),
        None => Ok(format!("{:?} is the database that it was before", names.name)),
    }
}

fn changed(database: &str) -> Error {
    RecoverError::Changed { database: database.to_owned() }.into()
}

pub(super) fn databases(run: &Run<'_>) -> Result<Databases, Error> {
    run.record.found.databases.clone().ok_or_else(|| run.incomplete())
}

pub(super) fn backup(run: &Run<'_>) -> Result<BackupId, Error> {
    run.record.found.backup.clone().ok_or_else(|| run.incomplete())
}

pub(super) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
