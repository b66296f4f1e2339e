//! Checks of a whole cluster that runs: whether everything that its catalogs name is there, can be read, and hangs together.
//!
//! Invariant: what is wrong with one table or one database is reported and does not keep the rest from being looked at.
//!
//! Deliberately absent: comparing with what was backed up.

mod amcheck;
mod relation_files;
mod row_counts;

pub use amcheck::{AmcheckError, AmcheckFinding, AmcheckReport, amcheck};
pub use relation_files::{MissingFile, RelationFiles, find_missing_files};
pub use row_counts::{RowCounts, TableRows, count_rows};

use crate::client::{Client, Error};
use crate::conninfo::ConnectOptions;
use crate::session::{SessionError, apply_session_settings, use_utf8};

/// A database or one table of it that could not be looked at.
#[derive(Debug)]
pub struct Unreadable {
    /// The database.
    pub database: String,
    /// The table, if the database itself could be read.
    pub table: Option<model::QualifiedName>,
    /// Why.
    pub error: Error,
}

/// The databases that allow connections, in the order of their names. Those that were being dropped are left out.
fn databases(options: &ConnectOptions) -> Result<Vec<String>, Error> {
    let sql = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname";
    let rows = session(options)?.query(sql, &[])?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// A session with the fixed settings that speaks UTF-8.
fn session(options: &ConnectOptions) -> Result<Client, Error> {
    let mut client = Client::connect(options)?;
    apply_session_settings(&mut client).map_err(|error| match error {
        SessionError::Statement(error) => error,
        refused @ SessionError::Refused { .. } => Error::Unexpected { problem: refused.to_string() },
    })?;
    use_utf8(&mut client)?;
    Ok(client)
}
