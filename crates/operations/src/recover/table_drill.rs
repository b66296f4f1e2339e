//! Rehearsals of the recovery of tables: rows of a random table are lost in a copy of the database, and brought back.

use std::time::Duration;

use model::{QualifiedName, RecoveryStep};
use postgres::Client;
use repository::Repository;

use super::RecoverError;
use super::database::{backup, check, choose, count};
use super::drill::DatabaseDrill;
use super::run::Run;
use crate::Error;
use crate::opened::Opened;
use crate::table_recovery::{ApplyMode, TableOrigin, TableRecoveryRequest, recover_tables};
use crate::verify::BackupSandbox;

/// The database that stands for the live one.
const LIVE: &str = "live";
/// Nobody else locks anything there.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Ordinary tables that are no partitions and belong to no extension.
const TABLES: &str = "
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2";

pub(super) const STEPS: [RecoveryStep; 4] =
    [RecoveryStep::Choose, RecoveryStep::Sandbox, RecoveryStep::Restore, RecoveryStep::Check];

/// Rehearses it.
pub(super) fn steps(
    repository: &Repository,
    request: &DatabaseDrill,
    run: &mut Run<'_>,
) -> Result<(), Error> {
    run.step(RecoveryStep::Choose, |run| choose(repository, &request.wanted(), run))?;
    let opened = Opened::open(repository, &backup(run)?)?;
    let mut place = None;
    run.step(RecoveryStep::Sandbox, |run| {
        let sandbox = BackupSandbox::start(&opened, run.context)?;
        let sandbox = sandbox.map_err(|reason| RecoverError::NotHere { reason })?;
        let live = sandbox.restore(&opened, LIVE, request.jobs, run.context)?;
        let table = damage(&mut Client::connect(&live)?, u64::from_le_bytes(run.context.random_bytes()))?;
        let words = format!("a copy of the database in which rows of {table} are lost");
        place = Some((sandbox, live, table));
        Ok(words)
    })?;
    let (_sandbox, live, table) = place.ok_or_else(|| run.incomplete())?;
    run.step(RecoveryStep::Restore, |run| {
        let request = TableRecoveryRequest {
            live: live.clone(),
            tables: vec![table.quoted()],
            origin: TableOrigin::Logical(backup(run)?),
            mode: Some(ApplyMode::Replace),
            samples: 0,
            jobs: request.jobs,
            lock_timeout: LOCK_TIMEOUT,
        };
        let report = recover_tables(repository, &request, run.context)?;
        let inserted = report.tables.iter().filter_map(|table| table.written.as_ref());
        let inserted = inserted.map(|written| written.inserted).sum();
        (run.found().tables, run.found().rows) = (Some(report.tables.len() as u64), Some(inserted));
        Ok(format!("{} of {table} are back", count(inserted, "row")))
    })?;
    run.step(RecoveryStep::Check, |run| check(repository, &live, request.jobs, &request.checks, run))
}

/// Loses half of the rows, and one at least, of the first table that has any, from the `random`th on.
fn damage(live: &mut Client, random: u64) -> Result<QualifiedName, Error> {
    let rows = live.query(TABLES, &[])?;
    let mut tables = Vec::new();
    for row in &rows {
        tables.push(QualifiedName { schema: row.text(0)?.to_owned(), name: row.text(1)?.to_owned() });
    }
    if let Ok(length) = u64::try_from(tables.len())
        && length > 0
    {
        tables.rotate_left(usize::try_from(random % length).unwrap_or(0));
    }
    // Neither triggers nor foreign keys are asked.
    live.execute("SET session_replication_role = replica")?;
    for table in tables {
        let name = table.quoted();
        let lost = format!(
            "WITH lost AS (DELETE FROM {name} WHERE ctid IN (SELECT ctid FROM {name} LIMIT (SELECT (count(*) + 1) / 2 FROM {name})) \
             RETURNING 1) SELECT count(*) FROM lost"
        );
        if live.query_one(&lost, &[])?.number::<u64>(0)? > 0 {
            return Ok(table);
        }
    }
    Err(RecoverError::NotHere { reason: "the backup has no table with rows".to_owned() }.into())
}
