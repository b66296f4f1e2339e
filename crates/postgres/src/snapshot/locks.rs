//! Locks on tables (PostgreSQL documentation, 13.3.1, `LOCK`, and `pg_locks`, 54.12).

use std::time::Duration;

use model::QualifiedName;

use super::{Blocker, SnapshotError};
use crate::table::LockableTable;
use crate::{Client, Error, Row};

/// How locking many tables ended. Unless it is done, the transaction is over.
pub(super) enum Locking {
    Done,
    /// Not in time.
    Blocked(Vec<Blocker>),
    /// One of the tables is not there any more; what the server says.
    Gone(String),
    /// The server has no room for more locks.
    NoRoom(Error),
}

/// SQL that limits the wait for each lock within the transaction. 0 would mean no limit, so the least is a millisecond.
pub(super) fn set_lock_timeout(timeout: Duration) -> String {
    format!("SET LOCAL lock_timeout = {}", timeout.as_millis().clamp(1, i32::MAX as u128))
}

/// Locks tables, given by OID and by name as it stands in SQL, with `ACCESS SHARE`, `batch` at a time.
pub(super) fn lock(
    client: &mut Client,
    tables: &[(u32, String)],
    batch: usize,
) -> Result<Locking, SnapshotError> {
    for tables_of_batch in tables.chunks(batch.max(1)) {
        let names: Vec<String> = tables_of_batch.iter().map(|(_, name)| format!("ONLY {name}")).collect();
        let Err(error) = client.execute(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))
        else {
            continue;
        };
        return match error.code() {
            // lock_not_available, deadlock_detected
            Some("55P03" | "40P01") => {
                client.execute("ROLLBACK")?;
                let oids: Vec<u32> = tables_of_batch.iter().map(|(oid, _)| *oid).collect();
                Ok(Locking::Blocked(blockers(client, &oids)?))
            }
            // undefined_table, invalid_schema_name, wrong_object_type
            Some("42P01" | "3F000" | "42809") => Ok(Locking::Gone(error.to_string())),
            // out_of_memory: "out of shared memory"
            Some("53200") => {
                client.execute("ROLLBACK")?;
                Ok(Locking::NoRoom(error))
            }
            _ => Err(error.into()),
        };
    }
    Ok(Locking::Done)
}

/// Who holds an exclusive lock on one of `tables`, given by OID, or waits for it. They may have let go meanwhile.
pub(super) fn blockers(client: &mut Client, tables: &[u32]) -> Result<Vec<Blocker>, Error> {
    let oids: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let sql = "SELECT n.nspname, c.relname, coalesce(l.pid, 0), l.granted, coalesce(a.usename, ''), \
          coalesce(a.application_name, '') \
        FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation \
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
          LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
        WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' \
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
          AND l.relation = ANY ($1::pg_catalog.oid[]) \
        ORDER BY l.granted DESC, n.nspname, c.relname, l.pid";
    let read = |row: &Row| {
        Ok(Blocker {
            table: QualifiedName::new(row.text(0)?, row.text(1)?),
            pid: row.number(2)?,
            granted: row.is_true(3),
            user: row.text(4)?.to_owned(),
            application: row.text(5)?.to_owned(),
        })
    };
    client.query(sql, &[Some(&format!("{{{}}}", oids.join(",")))])?.iter().map(read).collect()
}

/// The first of `tables` that this session has not locked; its name.
pub(super) fn first_without_lock(
    client: &mut Client,
    tables: &[LockableTable],
) -> Result<Option<String>, Error> {
    let oids: Vec<String> = tables.iter().map(|table| table.oid.to_string()).collect();
    // A join would be planned for ten rows and take the square of their number.
    let sql = "SELECT t.oid FROM unnest($1::pg_catalog.oid[]) t(oid) EXCEPT SELECT l.relation FROM pg_catalog.pg_locks l \
        WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'AccessShareLock' \
          AND l.pid = pg_catalog.pg_backend_pid() LIMIT 1";
    let rows = client.query(sql, &[Some(&format!("{{{}}}", oids.join(",")))])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let oid: u32 = row.number(0)?;
    Ok(tables.iter().find(|table| table.oid == oid).map(|table| table.name.to_string()))
}
