//! Names of databases that change: one takes the place of another, and, if that was a mistake, gives it back.
//!
//! Invariant: both renames are one transaction, so that at no moment, and whatever fails, the name belongs to neither or to both. What is
//! known of a database is its oid, which stays the same when its name does not.

use model::quote_identifier;

use super::LoadError;
use super::database::database_error;
use crate::client::{Client, Error};

/// Milliseconds to wait for a session to end that was told to.
const TERMINATION_MS: u32 = 10_000;
/// Milliseconds to wait for others that rename or drop databases.
const LOCK_MS: u32 = 30_000;

/// The oid of a database; nothing when there is none of that name.
pub fn database_oid(client: &mut Client, name: &str) -> Result<Option<u32>, Error> {
    let rows = client.query("SELECT oid FROM pg_catalog.pg_database WHERE datname = $1", &[Some(name)])?;
    rows.first().map(|row| row.number(0)).transpose()
}

/// Whether a database accepts connections; nothing when there is none of that name.
pub fn accepts_connections(client: &mut Client, name: &str) -> Result<Option<bool>, Error> {
    let sql = "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = $1";
    Ok(client.query(sql, &[Some(name)])?.first().map(|row| row.is_true(0)))
}

/// Lets a database accept connections, or no longer.
pub fn allow_connections(client: &mut Client, name: &str, allowed: bool) -> Result<(), Error> {
    client.execute(&allow(name, allowed))
}

/// The name of the database that has an oid; nothing when there is none.
pub fn database_name(client: &mut Client, oid: u32) -> Result<Option<String>, Error> {
    let sql = "SELECT datname FROM pg_catalog.pg_database WHERE oid = $1::oid";
    let rows = client.query(sql, &[Some(&oid.to_string())])?;
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Gives the name `name` to the database `new`; one that has it already is called `aside` from then on, and accepts no connections until
/// somebody allows them.
///
/// Sessions of both are ended. When this fails, both have the names that they had, and accept connections as before. A process that is
/// killed in the middle leaves the names as they were, and may leave `name` without connections.
///
/// # Errors
/// When the server refuses, in particular when sessions do not end.
pub fn switch_databases(client: &mut Client, name: &str, new: &str, aside: &str) -> Result<(), LoadError> {
    let failed = |source| database_error(name, "replaced", source);
    client.execute(&format!("SET lock_timeout = {LOCK_MS}")).map_err(failed)?;
    end_sessions(client, new).map_err(failed)?;
    if database_oid(client, name).map_err(failed)?.is_none() {
        return client.execute(&rename(new, name)).map_err(failed);
    }
    swap(client, name, new, aside)
}

pub(super) fn rename(from: &str, to: &str) -> String {
    format!("ALTER DATABASE {} RENAME TO {}", quote_identifier(from), quote_identifier(to))
}

fn allow(name: &str, allowed: bool) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", quote_identifier(name))
}

/// Puts `new` in the place of `old`, which is called `aside` from then on and accepts no connections. If that fails, `old` accepts
/// connections again as before.
pub(super) fn swap(client: &mut Client, old: &str, new: &str, aside: &str) -> Result<(), LoadError> {
    let failed = |source| database_error(old, "replaced", source);
    let allowed = client
        .query_one("SELECT datallowconn FROM pg_database WHERE datname = $1", &[Some(old)])
        .map_err(failed)?
        .is_true(0);
    client.execute(&allow(old, false)).map_err(failed)?;
    let swapped = end_sessions(client, old).and_then(|()| {
        client.execute(&format!("BEGIN; {}; {}; COMMIT", rename(old, aside), rename(new, old)))
    });
    swapped.map_err(|source| {
        // The first error is the one to report.
        let _ = client.execute("ROLLBACK");
        let _ = client.execute(&allow(old, allowed));
        failed(source)
    })
}

/// Ends every session of database `name`, which accepts no new ones, and waits for them to be gone.
fn end_sessions(client: &mut Client, name: &str) -> Result<(), Error> {
    // Renaming waits up to five seconds for sessions to end (CountOtherDBBackends), which covers version 13, where terminating does not wait.
    let terminate = if client.server_major() >= 14 {
        format!("pg_terminate_backend(pid, {TERMINATION_MS})")
    } else {
        "pg_terminate_backend(pid)".to_owned()
    };
    client.query(&format!("SELECT {terminate} FROM pg_stat_activity WHERE datname = $1"), &[Some(name)])?;
    Ok(())
}
