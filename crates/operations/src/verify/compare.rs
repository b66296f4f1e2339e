//! Comparing a restored database with what its backup says: inventory, every row of every table, every foreign key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use model::{Difference, Filters, QualifiedName, RowHasher, RowProof};
use postgres::{
    Client, ConnectOptions, EXTENSION_VERSION, INVENTORY_VERSION, PageRange, Table, check_foreign_keys,
    common_part, list_tables, take_inventory,
};

use crate::opened::Opened;
use crate::progress::Progress;
use crate::row_chunks::RowCounter;
use crate::{Context, Error, Phase, Problem, Warning, crew};

/// What was compared.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) tables: u64,
    pub(crate) rows: u64,
    pub(crate) problems: Vec<Problem>,
}

/// Compares `database`, which nobody else may be changing, with the backup.
pub(crate) fn compare(
    backup: &Opened,
    hasher: &RowHasher,
    database: &ConnectOptions,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Compared, Error> {
    let mut client = connect(database)?;
    context.phase(Phase::Inventory);
    let mut compared = Compared { problems: inventory(backup, &mut client, context)?, ..Compared::default() };
    let tables = list_tables(&mut client, &Filters::default())?;
    let expected = expected(backup, &tables);
    let found = prove(&expected, hasher, database, jobs, context)?;
    let roots = postgres::moving_partitions(&mut client)?;
    compare_rows(&expected, &found, &roots, &mut compared);
    context.phase(Phase::ForeignKeys);
    compared.problems.extend(foreign_keys(&mut client)?);
    Ok(compared)
}

fn connect(database: &ConnectOptions) -> Result<Client, Error> {
    let mut client = Client::connect(database)?;
    postgres::apply_session_settings(&mut client)?;
    Ok(client)
}

fn inventory(backup: &Opened, client: &mut Client, context: &Context<'_>) -> Result<Vec<Problem>, Error> {
    client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let mut found = take_inventory(client, &backup.record.filters)?;
    client.execute("COMMIT")?;
    let mut expected = backup.inventory()?;
    let version = backup.record.inventory_version;
    if version != INVENTORY_VERSION {
        (expected, found) = (common_part(&expected), common_part(&found));
        context.warn(Warning::DefinitionsNotCompared { id: backup.id.clone(), version });
    }
    let differences = expected.differences(&found);
    // A restore gets the version of an extension that is installed, as it must.
    let matters = |difference: &Difference| !matches!(difference, Difference::Changed { expected, .. } if expected.class == EXTENSION_VERSION);
    Ok(differences
        .into_iter()
        .filter(matters)
        .map(|difference| Problem {
            code: "inventory.differs",
            object: difference.object(),
            message: difference.to_string(),
        })
        .collect())
}

/// A table whose rows were proven at backup time, and the restored one as it is to be read.
struct Expected {
    name: QualifiedName,
    proof: RowProof,
    table: Option<Table>,
}

/// The restored tables, to be read with the columns and conditions of the backup: their own order of columns may differ.
fn expected(backup: &Opened, tables: &[Table]) -> Vec<Expected> {
    let found: BTreeMap<&QualifiedName, &Table> = tables.iter().map(|table| (&table.name, table)).collect();
    let proven = backup.record.tables.iter().filter_map(|record| Some((record, record.proof?)));
    proven
        .map(|(record, proof)| {
            let (columns, condition) = (record.columns.clone(), record.condition.clone());
            let table = found.get(&record.name).map(|table| Table { columns, condition, ..(*table).clone() });
            Expected { name: record.name.clone(), proof, table }
        })
        .collect()
}

/// Reads every table that is there, with `jobs` connections. The result has one proof per expected table.
fn prove(
    expected: &[Expected],
    hasher: &RowHasher,
    database: &ConnectOptions,
    jobs: usize,
    context: &Context<'_>,
) -> Result<Vec<RowProof>, Error> {
    let bytes = expected.iter().filter_map(|expected| expected.table.as_ref()).map(|table| table.bytes).sum();
    let progress = Progress::begin(context, Phase::RowProofs, bytes);
    let queue: Mutex<VecDeque<(usize, &Table, Option<PageRange>)>> = Mutex::new(
        expected
            .iter()
            .enumerate()
            .filter_map(|(n, expected)| Some((n, expected.table.as_ref()?)))
            .flat_map(|(n, table)| table.ranges().into_iter().map(move |pages| (n, table, pages)))
            .collect(),
    );
    let found = Mutex::new(vec![RowProof::default(); expected.len()]);
    let work = || {
        crew::stopping_others(&progress, || {
            let mut client = connect(database)?;
            while let Some((n, table, pages)) = lock(&queue).pop_front() {
                let mut counter = RowCounter::new(hasher, &progress);
                let sql = table.copy_out_sql(pages);
                client.copy_out(&sql, &mut counter).map_err(|error| Error::reading(&table.name, error))?;
                lock(&found)[n].merge(counter.finish()?.proof);
            }
            Ok(())
        })
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        crew::all(workers.into_iter().map(crew::join).collect())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compares table by table. Partitions by hash are compared together: where the hash of a key depends on the database,
/// as that of an enum does, a right restore moves rows between them.
fn compare_rows(
    expected: &[Expected],
    found: &[RowProof],
    roots: &BTreeMap<QualifiedName, QualifiedName>,
    compared: &mut Compared,
) {
    let mut by_root: BTreeMap<&QualifiedName, (RowProof, RowProof)> = BTreeMap::new();
    for (expected, found) in expected.iter().zip(found) {
        compared.tables += 1;
        compared.rows += found.rows;
        let problem = |code, message| Problem { code, object: expected.name.to_string(), message };
        if expected.table.is_none() {
            let message = format!("table {} was not restored", expected.name);
            compared.problems.push(problem("table.missing", message));
        } else {
            let sums = by_root.entry(roots.get(&expected.name).unwrap_or(&expected.name)).or_default();
            sums.0.merge(expected.proof);
            sums.1.merge(*found);
        }
    }
    for (name, (expected, found)) in by_root {
        let message = match () {
            () if expected == found => continue,
            () if expected.rows != found.rows => {
                format!("table {name} has {} rows instead of {}", found.rows, expected.rows)
            }
            () => format!("table {name} has {} rows, as expected, but not the same ones", found.rows),
        };
        compared.problems.push(Problem { code: "rows.differ", object: name.to_string(), message });
    }
}

fn foreign_keys(client: &mut Client) -> Result<Vec<Problem>, Error> {
    let report = check_foreign_keys(client)?;
    Ok(report.violations.iter().map(foreign_key_problem).collect())
}

/// A foreign key that does not hold.
pub(crate) fn foreign_key_problem(violation: &postgres::ForeignKeyViolation) -> Problem {
    Problem {
        code: "foreign_key.violated",
        object: violation.table.to_string(),
        message: format!(
            "{} rows of {} refer to rows of {} that are not there (foreign key {})",
            violation.rows, violation.table, violation.referenced, violation.constraint
        ),
    }
}
