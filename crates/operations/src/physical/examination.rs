//! What is looked at in a cluster that was restored and has recovered.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

use model::{QualifiedName, quote_identifier};
use postgres::{Client, RestoredCluster};

use crate::progress::Progress;
use crate::{Context, Error, Phase, Problem, crew};

/// Databases that can be connected to.
const DATABASES: &str = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY 1";
/// Tables with rows of their own, with their size in bytes; temporary ones of sessions that are gone left out.
const TABLES: &str = "
    SELECT n.nspname, c.relname, pg_catalog.pg_table_size(c.oid)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND (c.relkind <> 'm' OR c.relispopulated)
    ORDER BY 1, 2";

/// One table to count.
struct Table {
    database: String,
    name: QualifiedName,
    bytes: u64,
}

/// Reads every row of every table of every database, and returns how many tables and rows there are.
pub(super) fn count(
    cluster: &RestoredCluster,
    jobs: usize,
    problems: &mut Vec<Problem>,
    context: &Context<'_>,
) -> Result<(u64, u64), Error> {
    let mut tables = Vec::new();
    for row in Client::connect(&cluster.options(cluster.database()))?.query(DATABASES, &[])? {
        let database = row.text(0)?.to_owned();
        match list(cluster, &database) {
            Ok(found) => tables.extend(found),
            Err(error) => problems.push(problem(&database, "its tables cannot be listed", &error)),
        }
    }
    let progress = Progress::begin(context, Phase::Counts, tables.iter().map(|table| table.bytes).sum());
    // The largest first, so that no thread is left with one at the end.
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let (number, queue) = (tables.len() as u64, Mutex::new(VecDeque::from(tables)));
    let found = Mutex::new(Vec::new());
    let counted = thread::scope(|scope| {
        let run = || crew::stopping_others(&progress, || count_all(cluster, &queue, &found, &progress));
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(run)).collect();
        crew::all(workers.into_iter().map(crew::join).collect())
    })?;
    problems.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok((number, counted.iter().sum()))
}

fn list(cluster: &RestoredCluster, database: &str) -> Result<Vec<Table>, postgres::Error> {
    let rows = Client::connect(&cluster.options(database))?.query(TABLES, &[])?;
    let table = |row: &postgres::Row| {
        Ok(Table {
            database: database.to_owned(),
            name: QualifiedName::new(row.text(0)?, row.text(1)?),
            bytes: row.number(2)?,
        })
    };
    rows.iter().map(table).collect()
}

/// Counts tables until none is left, and returns the rows.
fn count_all(
    cluster: &RestoredCluster,
    queue: &Mutex<VecDeque<Table>>,
    problems: &Mutex<Vec<Problem>>,
    progress: &Progress<'_>,
) -> Result<u64, Error> {
    let mut rows = 0;
    let mut session: Option<(String, Client)> = None;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(table) = next else { return Ok(rows) };
        let client = match &mut session {
            Some((database, client)) if *database == table.database => client,
            other => {
                let client = Client::connect(&cluster.options(&table.database))?;
                &mut other.insert((table.database.clone(), client)).1
            }
        };
        let name = format!("{}.{}", quote_identifier(&table.name.schema), quote_identifier(&table.name.name));
        let sql = format!("SELECT pg_catalog.count(*) FROM ONLY {name}");
        match client.query_one(&sql, &[]).and_then(|row| row.number::<u64>(0)) {
            Ok(count) => rows += count,
            // The session can be used again after an error of the server; after anything else the next statement says so.
            Err(error) => {
                let object = format!("{} in database {}", table.name, table.database);
                let problem = problem(&object, "its rows cannot be read", &error);
                problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
            }
        }
        progress.add(table.bytes)?;
    }
}

fn problem(object: &str, what: &str, error: &postgres::Error) -> Problem {
    let message = format!("{what}: {}", crate::error::with_sources(error));
    Problem { code: "table.unreadable", object: object.to_owned(), message }
}
