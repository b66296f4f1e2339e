//! The number of rows of every table of every database: the simplest proof that each can be read to its end.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

use model::QualifiedName;

use super::{Unreadable, databases, session};
use crate::client::{Client, Error};
use crate::conninfo::ConnectOptions;

/// Tables and materialized views with rows of their own, biggest first. Left out: what has no rows on a standby or after a restore
/// (temporary and unlogged tables), and catalogs.
const TABLES: &str = "\
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
    ORDER BY c.relpages DESC, n.nspname, c.relname";

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableRows {
    /// Its database.
    pub database: String,
    /// The table or materialized view.
    pub table: QualifiedName,
    /// How many rows it has, those of tables that inherit from it left out.
    pub rows: u64,
}

/// The rows of all tables.
#[derive(Debug, Default)]
pub struct RowCounts {
    /// What was counted, sorted.
    pub tables: Vec<TableRows>,
    /// What could not be counted.
    pub unreadable: Vec<Unreadable>,
}

/// A table that waits to be counted.
struct Task {
    database: String,
    table: QualifiedName,
}

/// Counts the rows of every table with rows of its own, in all databases that allow connections, with so many sessions at once.
/// `options` are those of a superuser. When `cancelled`, the counts are not complete.
pub fn count_rows(
    options: &ConnectOptions,
    sessions: NonZeroUsize,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<RowCounts, Error> {
    let mut counts = RowCounts::default();
    let mut tasks = VecDeque::new();
    for database in databases(options)? {
        match tables(&options.with_database(&database)) {
            Ok(tables) => {
                tasks.extend(tables.into_iter().map(|table| Task { database: database.clone(), table }));
            }
            Err(error) => counts.unreadable.push(Unreadable { database, table: None, error }),
        }
    }
    let tasks = Mutex::new(tasks);
    let counts = Mutex::new(counts);
    thread::scope(|scope| {
        for _ in 0..sessions.get() {
            scope.spawn(|| count_next(options, &tasks, &counts, cancelled));
        }
    });
    let mut counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    counts.tables.sort();
    Ok(counts)
}

fn tables(options: &ConnectOptions) -> Result<Vec<QualifiedName>, Error> {
    let rows = session(options)?.query(TABLES, &[])?;
    rows.iter().map(|row| Ok(QualifiedName::new(row.text(0)?, row.text(1)?))).collect()
}

/// Counts until nothing is left. Tables come database by database, so that a session serves many of them.
fn count_next(
    options: &ConnectOptions,
    tasks: &Mutex<VecDeque<Task>>,
    counts: &Mutex<RowCounts>,
    cancelled: &(dyn Fn() -> bool + Sync),
) {
    let mut open: Option<(String, Client)> = None;
    while !cancelled() {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(Task { database, table }) = next else { return };
        let counted = match open.take() {
            Some((name, client)) if name == database => Ok(client),
            _ => session(&options.with_database(&database)),
        }
        .and_then(|mut client| {
            let result = count(&mut client, &table);
            // After an error of the server the session can be used again; after another one, the next count opens a new one.
            if result.as_ref().err().is_none_or(|error| error.server().is_some_and(|said| !said.is_fatal())) {
                open = Some((database.clone(), client));
            }
            result
        });
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counted {
            Ok(rows) => counts.tables.push(TableRows { database, table, rows }),
            Err(error) => counts.unreadable.push(Unreadable { database, table: Some(table), error }),
        }
    }
}

fn count(client: &mut Client, table: &QualifiedName) -> Result<u64, Error> {
    client.query_one(&format!("SELECT pg_catalog.count(*) FROM ONLY {}", table.quoted()), &[])?.number(0)
}
