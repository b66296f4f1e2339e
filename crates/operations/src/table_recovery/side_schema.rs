//! Rows of a backup beside the live tables, in a schema of their own.
//!
//! Invariant: nothing that is there is touched: the schema is made, and the transaction fails if there is one of its name. The tables have
//! the columns that the backup had, and the constraints and indexes of the live ones, but no foreign keys and no triggers.

use std::collections::BTreeMap;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use model::QualifiedName;
use postgres::{Client, CopyError, CopyIn, OrderedRows, RowSink, Rows, Spelling, TableShape};

use super::report::{RecoveredTable, Written};
use super::{Chosen, TablesError, Work};
use crate::progress::Progress;
use crate::{Error, Phase, crew};

/// Bytes of rows that are handed on at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may wait.
const QUEUE: usize = 4;

/// An error if there is such a schema.
pub(super) fn require_free(client: &mut Client, schema: &str) -> Result<(), Error> {
    let sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    if client.query(sql, &[Some(schema)])?.is_empty() {
        Ok(())
    } else {
        Err(TablesError::SchemaExists { schema: schema.to_owned() }.into())
    }
}

/// Makes the schema and its tables and fills them.
pub(super) fn fill(
    work: &Work<'_>,
    schema: &str,
    chosen: &Chosen,
    tables: &mut [RecoveredTable],
    old: &mut Client,
    live: &mut Client,
) -> Result<(), Error> {
    let progress = Progress::begin(work.context, Phase::Apply, 0);
    let spelling = work.options.spelling;
    let sources: Vec<(&TableShape, Option<&TableShape>)> = chosen
        .pairs
        .iter()
        .map(|pair| (&pair.backup, Some(&pair.live)))
        .chain(chosen.dropped.iter().map(|shape| (shape, None)))
        .collect();
    let names = names(schema, &sources.iter().map(|(shape, _)| &shape.name).collect::<Vec<_>>());
    live.execute(&format!("BEGIN; CREATE SCHEMA {}", spelling.identifier(schema)))?;
    let mut filled = || -> Result<(), Error> {
        for (shape, there) in &sources {
            let Some(name) = names.get(&shape.name) else { continue };
            create(shape, *there, name, spelling, live)?;
            let inserted = copy(shape, name, spelling, old, live, &progress)?;
            if let Some(table) = tables.iter_mut().find(|table| table.before.table == shape.name) {
                let table_name = name.clone();
                table.written =
                    Some(Written { table: table_name, inserted, updated: 0, deleted: 0, conflicts: 0 });
            }
        }
        Ok(())
    };
    let result = filled();
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = live.execute(end);
    result?;
    Ok(ended?)
}

/// What the tables are called in the schema: as they are called, or with their schema where two have one name.
fn names(schema: &str, tables: &[&QualifiedName]) -> BTreeMap<QualifiedName, QualifiedName> {
    let is_unique = |name: &str| tables.iter().filter(|table| table.name == name).count() == 1;
    let called = |table: &&QualifiedName| {
        let name = if is_unique(&table.name) {
            table.name.clone()
        } else {
            format!("{}.{}", table.schema, table.name)
        };
        ((*table).clone(), QualifiedName::new(schema, name))
    };
    tables.iter().map(called).collect()
}

/// Makes a table with the columns that the backup had.
fn create(
    shape: &TableShape,
    live: Option<&TableShape>,
    name: &QualifiedName,
    spelling: Spelling,
    client: &mut Client,
) -> Result<(), Error> {
    let refused =
        |source| TablesError::Write { table: name.clone(), what: "placed beside the others", source };
    let table = spelling.qualified(name);
    let column = |column: &postgres::ColumnShape| {
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", spelling.identifier(&column.name), column.sql_type)
    };
    let mut statements = Vec::new();
    if let Some(live) = live {
        statements
            .push(format!("CREATE TABLE {table} (LIKE {} INCLUDING ALL)", spelling.qualified(&live.name)));
        let gone = live.columns.iter().filter(|there| shape.column(&there.name).is_none());
        for there in gone {
            statements.push(format!(
                "ALTER TABLE {table} DROP COLUMN {} CASCADE",
                spelling.identifier(&there.name)
            ));
        }
        for old in shape.stored_columns() {
            match live.column(&old.name) {
                None => statements.push(format!("ALTER TABLE {table} ADD COLUMN {}", column(old))),
                // As text, whatever it was: the values of long ago may not fit the type of today.
                Some(there) if there.sql_type != old.sql_type && !there.generated => {
                    let name = spelling.identifier(&old.name);
                    statements.push(format!("ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT"));
                    statements.push(format!(
                        "ALTER TABLE {table} ALTER COLUMN {name} TYPE {} USING NULL",
                        old.sql_type
                    ));
                }
                Some(_) => {}
            }
        }
    } else {
        let columns: Vec<String> = shape.stored_columns().map(column).collect();
        statements.push(format!("CREATE TABLE {table} ({})", columns.join(", ")));
        if let Some(key) = shape.keys.first() {
            let key: Vec<String> = key.iter().map(|name| spelling.identifier(name)).collect();
            statements.push(format!("ALTER TABLE {table} ADD UNIQUE ({})", key.join(", ")));
        }
    }
    for statement in statements {
        client.execute(&statement).map_err(refused)?;
    }
    Ok(())
}

/// Copies all rows of a table from one session to the other. Returns how many.
fn copy(
    shape: &TableShape,
    name: &QualifiedName,
    spelling: Spelling,
    old: &mut Client,
    live: &mut Client,
    progress: &Progress<'_>,
) -> Result<u64, Error> {
    let columns: Vec<String> = shape.stored_columns().map(|column| column.name.clone()).collect();
    let rows = OrderedRows { shape, key: &[], columns: &columns, with_place: false, spelling };
    let read = rows.unordered_copy_out_sql();
    let write = Rows { name, columns: &columns, condition: None, spelling }.copy_in_sql();
    let (sender, receiver) = bounded(QUEUE);
    let refused = |source| TablesError::Write { table: name.clone(), what: "inserted", source };
    thread::scope(|scope| {
        let table = &shape.name;
        let reader = scope.spawn(move || {
            let mut sink = Pieces { sender, piece: Vec::with_capacity(PIECE_BYTES) };
            old.copy_out(&read, &mut sink).map_err(|error| match error {
                CopyError::Sink(error) => error,
                CopyError::Postgres(source) => Error::ReadRows { table: table.clone(), source },
            })?;
            sink.hand_on()
        });
        let written = begin_copy(name, &write, receiver, live, progress);
        let read = crew::join(reader);
        let copy = match (written, read) {
            (Ok(copy), Ok(())) => copy,
            // Dropping the COPY makes it fail.
            (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
        };
        Ok(copy.finish().map_err(refused)?)
    })
}

/// Sends everything that is handed on, and leaves the end of the COPY to the caller, who knows whether it was everything.
fn begin_copy<'a>(
    name: &QualifiedName,
    sql: &str,
    receiver: Receiver<Vec<u8>>,
    live: &'a mut Client,
    progress: &Progress<'_>,
) -> Result<CopyIn<'a>, Error> {
    let refused = |source| TablesError::Write { table: name.clone(), what: "inserted", source };
    let mut copy = live.copy_in(sql).map_err(refused)?;
    for piece in receiver {
        progress.add(piece.len() as u64)?;
        copy.send(&piece).map_err(refused)?;
    }
    Ok(copy)
}

/// Hands rows on in pieces.
struct Pieces {
    sender: Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn hand_on(&mut self) -> Result<(), Error> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender.send(piece).map_err(|_| Error::Cancelled)
    }
}

impl RowSink for Pieces {
    type Error = Error;

    fn row(&mut self, row: &[u8]) -> Result<(), Error> {
        self.row_part(row, true)
    }

    fn row_part(&mut self, part: &[u8], _: bool) -> Result<(), Error> {
        self.piece.extend_from_slice(part);
        if self.piece.len() >= PIECE_BYTES { self.hand_on() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_one_name_keep_their_schema_in_it() {
        let (a, b, c) =
            (QualifiedName::new("x", "t"), QualifiedName::new("y", "t"), QualifiedName::new("y", "u"));
        let found = names("side", &[&a, &b, &c]);
        let called = |table| found[table].name.as_str();
        assert_eq!((called(&a), called(&b), called(&c)), ("x.t", "y.t", "u"));
    }
}
