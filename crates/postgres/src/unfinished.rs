//! Indexes and constraints that were begun and not finished: they are there, and do not do what their name says.

use model::QualifiedName;

use crate::{Client, Error, session};

/// An index or a constraint that does not do what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The table.
    pub table: QualifiedName,
    /// The name of the index or constraint.
    pub name: String,
}

/// Indexes that no query uses and, if they are unique, that keep nothing unique: what an interrupted `CREATE INDEX CONCURRENTLY`
/// leaves, or a partitioned index without all of its parts. Those that are being built do not count where that is visible.
const INVALID_INDEXES: &str = "
    SELECT n.nspname, t.relname, x.relname FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT i.indisvalid AND t.relpersistence <> 't' AND n.nspname <> 'pg_toast'
      AND i.indexrelid NOT IN (SELECT index_relid FROM pg_catalog.pg_stat_progress_create_index
        WHERE index_relid IS NOT NULL AND datname = pg_catalog.current_database())
    ORDER BY 1, 2, 3";

/// Constraints whose table may have rows that break them. Those of partitions count with their parent's.
const NOT_VALID: &str = "
    SELECT n.nspname, t.relname, c.conname FROM pg_catalog.pg_constraint c
      JOIN pg_catalog.pg_class t ON t.oid = c.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT c.convalidated AND c.conparentid = 0 AND t.relpersistence <> 't'
    ORDER BY 1, 2, 3";

/// The indexes of the database that are not valid. `client` has the fixed settings.
pub fn invalid_indexes(client: &mut Client) -> Result<Vec<Unfinished>, Error> {
    list(client, INVALID_INDEXES)
}

/// The constraints of the database that are `NOT VALID` or `NOT ENFORCED`. `client` has the fixed settings.
pub fn constraints_not_valid(client: &mut Client) -> Result<Vec<Unfinished>, Error> {
    list(client, NOT_VALID)
}

fn list(client: &mut Client, sql: &str) -> Result<Vec<Unfinished>, Error> {
    session::in_utf8(client, |client| {
        let unfinished = |row: &crate::Row| {
            let table = QualifiedName::new(row.text(0)?, row.text(1)?);
            Ok(Unfinished { table, name: row.text(2)?.to_owned() })
        };
        client.query(sql, &[])?.iter().map(unfinished).collect()
    })
}
