//! Why tables could not be compared or recovered.

use model::{BackupId, QualifiedName};

/// Tables could not be compared or recovered. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The two databases have different encodings, so their rows cannot be compared byte by byte.
    #[error("the backup is of a database in {backup} and the live one is in {live}")]
    Encoding {
        /// The encoding of the backup.
        backup: String,
        /// The encoding of the live database.
        live: String,
    },
    /// This machine cannot restore the backup.
    #[error("{id} cannot be restored on this machine: {reason}")]
    NoSandbox {
        /// The backup.
        id: BackupId,
        /// Why not.
        reason: String,
    },
    /// The cluster of a physical backup has no such database.
    #[error("the cluster in the backup has no database {database}; it has {}", known.join(", "))]
    NoDatabase {
        /// The name.
        database: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// A row that the server sent has not the fields that were asked for.
    #[error("a row of table {table} has not the fields that were asked for")]
    Malformed {
        /// The table.
        table: QualifiedName,
    },
    /// A server ordered rows in another way than it was told.
    #[error("the rows of table {table} are not in the order of their keys; an index of it may be damaged")]
    OutOfOrder {
        /// The table.
        table: QualifiedName,
    },
    /// The role may not switch off triggers, or have foreign keys checked later.
    #[error("the role does not own table {}", names(tables))]
    NotOwner {
        /// The tables.
        tables: Vec<QualifiedName>,
    },
    /// Rules of a table would take the place of what is written.
    #[error("table {table} has rules that would do something else than what is written: {}", rules.join(", "))]
    Rules {
        /// The table.
        table: QualifiedName,
        /// The rules.
        rules: Vec<String>,
    },
    /// Others use the tables for too long.
    #[error("table {table} could not be locked in time, others are using it")]
    Locked {
        /// The table.
        table: QualifiedName,
        /// What the server says.
        #[source]
        source: postgres::Error,
    },
    /// Rows of a table that was not chosen would be changed or deleted by the server itself.
    #[error(
        "{rows} rows of table {table}, which was not chosen, refer to rows of {referenced} that would go or change: foreign key \
         {constraint} says {action}, so they would not stay as they are"
    )]
    DraggedAlong {
        /// The table that refers.
        table: QualifiedName,
        /// The table that is referred to.
        referenced: QualifiedName,
        /// The foreign key.
        constraint: String,
        /// What it says.
        action: String,
        /// How many rows.
        rows: u64,
    },
    /// The server refused to write rows.
    #[error("the rows of table {table} could not be {what}")]
    Write {
        /// The table.
        table: QualifiedName,
        /// `inserted`, `changed`, `removed`.
        what: &'static str,
        /// Why.
        #[source]
        source: postgres::Error,
    },
    /// A foreign key does not hold with the rows of the backup.
    #[error("with the rows of the backup, a foreign key does not hold")]
    ForeignKey(#[source] postgres::Error),
    /// Fewer rows were there than were compared a moment ago.
    #[error(
        "{found} rows of table {table} were {what} and {expected} should have been; the server itself changed others, as a foreign key says"
    )]
    Moved {
        /// The table.
        table: QualifiedName,
        /// `changed`, `removed`.
        what: &'static str,
        /// As many as were compared.
        expected: u64,
        /// As many as were written.
        found: u64,
    },
    /// The rows were written, and are not those of the backup.
    #[error("table {table} differs from the backup in {rows} rows after it was replaced")]
    StillDiffers {
        /// The table.
        table: QualifiedName,
        /// How many rows.
        rows: u64,
    },
    /// A schema that would be made is there.
    #[error("schema {schema} exists already")]
    SchemaExists {
        /// Its name.
        schema: String,
    },
}

fn names(tables: &[QualifiedName]) -> String {
    tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
