//! How the tests ask for tables, and what they look at in the answer.

use std::time::Duration;

use ::model::BackupId;
use chronavault_operations as operations;
use operations::{ApplyMode, Error, RecoveredTable, TableOrigin, TableRecoveryReport, TableRecoveryRequest};

use crate::scene::{Scene, chain};

pub(crate) fn request(
    scene: &Scene,
    origin: TableOrigin,
    live: &str,
    tables: &[&str],
    mode: Option<ApplyMode>,
) -> TableRecoveryRequest {
    TableRecoveryRequest {
        live: scene.cluster.options(live),
        tables: tables.iter().map(|name| (*name).to_owned()).collect(),
        origin,
        mode,
        samples: 3,
        jobs: 2,
        lock_timeout: Duration::from_secs(10),
    }
}

pub(crate) fn try_recover(
    scene: &Scene,
    request: &TableRecoveryRequest,
) -> Result<TableRecoveryReport, Error> {
    Scene::context(|context| operations::recover_tables(&scene.repository, request, context))
}

/// Recovers tables of a logical backup.
pub(crate) fn recover(
    scene: &Scene,
    id: &BackupId,
    live: &str,
    tables: &[&str],
    mode: Option<ApplyMode>,
) -> TableRecoveryReport {
    let request = request(scene, TableOrigin::Logical(id.clone()), live, tables, mode);
    try_recover(scene, &request).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// The same when it must fail: the error with its causes.
pub(crate) fn refused(scene: &Scene, id: &BackupId, live: &str, tables: &[&str], mode: ApplyMode) -> String {
    let request = request(scene, TableOrigin::Logical(id.clone()), live, tables, Some(mode));
    chain(&try_recover(scene, &request).unwrap_err())
}

/// Missing, extra, changed, same.
pub(crate) fn counts(table: &RecoveredTable) -> (u64, u64, u64, u64) {
    let diff = &table.before;
    (diff.missing, diff.extra, diff.changed, diff.same)
}

/// Inserted, changed, removed, conflicts.
pub(crate) fn written(table: &RecoveredTable) -> (u64, u64, u64, u64) {
    let written = table.written.as_ref().unwrap();
    (written.inserted, written.updated, written.deleted, written.conflicts)
}

/// The rows of a table as text, sorted by their bytes.
pub(crate) fn contents(scene: &Scene, database: &str, table: &str) -> Vec<String> {
    let text = scene.cluster.psql(database, &format!("COPY (SELECT * FROM {table}) TO STDOUT"));
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}
