//! Chosen tables, brought back from a backup or from a moment: compared with the live ones first, and then, if asked for, put in place or
//! beside them.
//!
//! Invariant: what is written to the live database is one transaction, which is rolled back whole when anything in it fails; rows of
//! tables that were not chosen are never changed, not by the server itself either. The rows of the backup are only ever in a sandbox and
//! in the live database.

mod apply;
mod created;
mod error;
mod locking;
mod order;
mod origin;
mod report;
mod side_schema;

use std::time::Duration;

use model::QualifiedName;
use postgres::{Client, ConnectOptions, Spelling, TableShape, table_shapes};
use repository::Repository;

pub use error::TablesError;
pub use origin::TableOrigin;
pub use report::{RecoveredTable, TableRecoveryReport, Written};

use crate::context::elapsed;
use crate::progress::Progress;
use crate::row_diff::{DiffOptions, TablePair, Unheard, diff_rows};
use crate::{Context, Error, Phase};
use created::CreatedTables;
use origin::OldRows;

/// What to do with the rows of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyMode {
    /// Insert the rows that the live table lacks. What is there stays as it is.
    InsertMissing,
    /// Make the rows of the live table those of the backup: insert what is missing, change what differs, remove what is extra.
    Replace,
    /// Put the rows into tables of this schema, which is made.
    SideSchema(String),
}

/// Which tables are recovered, from where, and how.
#[derive(Debug, Clone)]
pub struct TableRecoveryRequest {
    /// The live database.
    pub live: ConnectOptions,
    /// The tables: `schema.name` or `name`.
    pub tables: Vec<String>,
    /// Where the rows come from.
    pub origin: TableOrigin,
    /// What to do with them; without it, they are compared and nothing is written.
    pub mode: Option<ApplyMode>,
    /// Rows that differ which are shown, of each kind.
    pub samples: usize,
    /// Connections and threads that restore the backup.
    pub jobs: usize,
    /// How long to wait for the lock of a table.
    pub lock_timeout: Duration,
}

/// Compares tables with what they were, and brings them back as the request says.
///
/// # Errors
/// Nothing in the live database was changed then, but for two things: a sequence may have been moved forward, and definitions that a table
/// needs which was dropped (a schema, a type) may have been made.
pub fn recover_tables(
    repository: &Repository,
    request: &TableRecoveryRequest,
    context: &Context<'_>,
) -> Result<TableRecoveryReport, Error> {
    let started_at = context.now();
    let mut live = connect(&request.live)?;
    if let Some(ApplyMode::SideSchema(schema)) = &request.mode {
        side_schema::require_free(&mut live, schema)?;
    }
    let old_rows = OldRows::open(repository, &request.origin, &request.tables, request.jobs, context)?;
    let mut old = connect(&old_rows.options)?;
    let mut report = TableRecoveryReport::new(&old_rows.backup, request);
    report.restore = elapsed(started_at, context);
    let spelling = spelling(&mut old, &mut live)?;
    let chosen = Chosen::find(&mut old, &mut live, &request.tables)?;
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let options = DiffOptions { samples: request.samples, with_place: false, spelling };
    let work = Work { request, context, options };
    match &request.mode {
        None => report.tables = work.compare(&chosen, &mut old, &mut live)?,
        Some(ApplyMode::SideSchema(schema)) => {
            report.tables = work.compare(&chosen, &mut old, &mut live)?;
            live.execute("COMMIT")?;
            side_schema::fill(&work, schema, &chosen, &mut report.tables, &mut old, &mut live)?;
        }
        Some(mode) => {
            work.put_in_place(*mode == ApplyMode::Replace, chosen, &old_rows, old, live, &mut report)?;
        }
    }
    report.duration = elapsed(started_at, context);
    Ok(report)
}

/// A session with the fixed settings.
fn connect(options: &ConnectOptions) -> Result<Client, Error> {
    let mut client = Client::connect(options)?;
    postgres::apply_session_settings(&mut client)?;
    Ok(client)
}

/// How names are written in both databases, which must have the same encoding.
fn spelling(old: &mut Client, live: &mut Client) -> Result<Spelling, Error> {
    let sql = "SELECT pg_catalog.getdatabaseencoding()::text";
    let backup = old.query_one(sql, &[])?.text(0)?.to_owned();
    let live = live.query_one(sql, &[])?.text(0)?.to_owned();
    if backup != live {
        return Err(TablesError::Encoding { backup, live }.into());
    }
    Ok(Spelling::of_encoding(&live))
}

/// The chosen tables.
struct Chosen {
    /// Those that are on both sides.
    pairs: Vec<TablePair>,
    /// Those that are not in the live database any more.
    dropped: Vec<TableShape>,
}

impl Chosen {
    fn find(old: &mut Client, live: &mut Client, typed: &[String]) -> Result<Self, Error> {
        let names = OldRows::find(old, typed)?;
        let mut shapes = table_shapes(old, &names)?;
        // Who chooses a table has chosen its partitions.
        shapes.retain(|shape| {
            shape.root.as_ref().is_none_or(|root| *root == shape.name || !names.contains(root))
        });
        let live = table_shapes(live, &names)?;
        let mut chosen = Self { pairs: Vec::new(), dropped: Vec::new() };
        for shape in shapes {
            match live.iter().find(|there| there.name == shape.name) {
                Some(there) => chosen.pairs.push(TablePair::new(shape, there.clone(), false)),
                None => chosen.dropped.push(shape),
            }
        }
        Ok(chosen)
    }

    fn dropped_names(&self) -> Vec<QualifiedName> {
        self.dropped.iter().map(|shape| shape.name.clone()).collect()
    }
}

/// What every step needs.
struct Work<'a> {
    request: &'a TableRecoveryRequest,
    context: &'a Context<'a>,
    options: DiffOptions,
}

impl Work<'_> {
    /// Compares every table. The live session is in a transaction afterwards, with one snapshot of all tables.
    fn compare(
        &self,
        chosen: &Chosen,
        old: &mut Client,
        live: &mut Client,
    ) -> Result<Vec<RecoveredTable>, Error> {
        let progress = Progress::begin(self.context, Phase::Differences, 0);
        let shapes: Vec<&TableShape> = chosen.pairs.iter().map(|pair| &pair.live).collect();
        locking::begin_reading(live, &shapes, self.request.lock_timeout, self.options.spelling)?;
        let mut tables = Vec::new();
        for pair in &chosen.pairs {
            let diff = diff_rows(pair, old, Some(live), self.options, &mut Unheard, &progress)?;
            tables.push(RecoveredTable::new(diff, true));
        }
        for shape in &chosen.dropped {
            let pair = TablePair::new(shape.clone(), shape.clone(), true);
            let diff = diff_rows(&pair, old, None, self.options, &mut Unheard, &progress)?;
            tables.push(RecoveredTable::new(diff, false));
        }
        tables.sort_by(|a, b| a.before.table.cmp(&b.before.table));
        Ok(tables)
    }

    /// Makes the tables that are gone, then writes all rows in one transaction, then makes what belongs to the new tables.
    fn put_in_place(
        &self,
        replace: bool,
        chosen: Chosen,
        old_rows: &OldRows,
        mut old: Client,
        mut live: Client,
        report: &mut TableRecoveryReport,
    ) -> Result<(), Error> {
        let names = chosen.dropped_names();
        let Chosen { mut pairs, dropped } = chosen;
        let created = if names.is_empty() {
            None
        } else {
            let toc = old_rows.definitions(self.context)?;
            Some(CreatedTables::make(toc, names.clone(), &self.request.live, &mut live, self.context)?)
        };
        let written = (|| {
            for there in table_shapes(&mut live, &names)? {
                if let Some(shape) = dropped.iter().find(|shape| shape.name == there.name) {
                    pairs.push(TablePair::new(shape.clone(), there, true));
                }
            }
            pairs.sort_by(|a, b| a.live.name.cmp(&b.live.name));
            apply::apply(self, replace, &pairs, &names, &mut old, &mut live, report)
        })();
        match (created, written) {
            (None, result) => result,
            (Some(created), Ok(())) => {
                report.left_out = created.finish(&mut live, self.context)?;
                Ok(())
            }
            (Some(created), Err(error)) => {
                created.remove(self.options.spelling);
                Err(error)
            }
        }
    }
}
