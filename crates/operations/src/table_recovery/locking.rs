//! The locks of a comparison and of an apply.
//!
//! Invariant: a table is locked before the snapshot is taken that it is read under, so that no `TRUNCATE` in between makes it look empty
//! (`LOCK` takes no snapshot: PostgreSQL documentation, `LOCK`); and nobody waits for a lock for ever.

use std::time::Duration;

use postgres::{Client, Spelling, TableShape};

use super::TablesError;
use crate::Error;

/// SQLSTATEs of a lock that was not to be had in time, and of a deadlock.
const LOCKED: [&str; 2] = ["55P03", "40P01"];

/// Begins a transaction that reads, with `ACCESS SHARE` locks: the next statement takes the snapshot.
pub(super) fn begin_reading(
    client: &mut Client,
    tables: &[&TableShape],
    timeout: Duration,
    spelling: Spelling,
) -> Result<(), Error> {
    begin(
        client,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "ACCESS SHARE",
        tables,
        timeout,
        spelling,
    )
}

/// Begins a transaction that writes. With `keep_others_out`, nobody else can write until it ends.
pub(super) fn begin_writing(
    client: &mut Client,
    tables: &[&TableShape],
    keep_others_out: bool,
    timeout: Duration,
    spelling: Spelling,
) -> Result<(), Error> {
    let mode = if keep_others_out { "SHARE ROW EXCLUSIVE" } else { "ROW EXCLUSIVE" };
    begin(client, "BEGIN ISOLATION LEVEL READ COMMITTED", mode, tables, timeout, spelling)
}

fn begin(
    client: &mut Client,
    begin: &str,
    mode: &str,
    tables: &[&TableShape],
    timeout: Duration,
    spelling: Spelling,
) -> Result<(), Error> {
    client.execute(&format!("{begin}; SET LOCAL lock_timeout = {}", timeout.as_millis().max(1)))?;
    for shape in tables {
        client
            .execute(&format!("LOCK TABLE {} IN {mode} MODE", shape.from(spelling)))
            .map_err(|source| refused(shape, source))?;
    }
    Ok(())
}

/// An error of a statement that takes locks.
pub(super) fn refused(shape: &TableShape, source: postgres::Error) -> Error {
    if source.code().is_some_and(|code| LOCKED.contains(&code)) {
        TablesError::Locked { table: shape.name.clone(), source }.into()
    } else {
        source.into()
    }
}
