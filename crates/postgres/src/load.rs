//! Bringing a backup into a database: definitions, rows, indexes and constraints, in the order in which they depend on each other.
//!
//! Invariants: any error fails the restore, also one that `pg_restore` would ignore; its exit status and what it said are both
//! checked. A database appears under its name only when it is complete. Nothing is written to disk on this side: archives go to
//! `pg_restore` through a pipe or an anonymous file in memory.
//!
//! Deliberately absent: where archives and rows come from, and the rows of large tables, which the caller brings with `COPY`
//! between the phases. [`Loader`] runs the phases; [`NewDatabase`] makes, fills in and swaps databases; [`Selection`] chooses tables;
//! [`RoleRecord`] and [`roles_needed`] deal with roles.

mod database;
mod existing;
mod grants;
mod names;
mod phase;
mod properties;
mod restore;
mod roles;
mod selection;
mod switch;
mod tokens;
mod transcript;

use std::io;

pub use database::{
    NewDatabase, database_exists, databases, drop_temporary, first_object, maintenance_client,
};
pub use existing::Existing;
pub use names::find_table;
pub use phase::Phase;
pub use properties::{Apply, DatabaseProperties, DatabaseSetting, Privilege, SecurityLabel};
pub use restore::{LoadOptions, Loader};
pub use roles::{Membership, RoleRecord, create_roles, missing_roles, read_roles, roles_needed};
pub use selection::{LeftOut, Selection, foreign_keys_to};
pub use switch::{
    accepts_connections, allow_connections, database_name, database_oid, end_statements, switch_databases,
};

use crate::archive::ArchiveError;
use crate::client::Error;
use crate::process::ProcessError;
use crate::sandbox::LocaleProvider;

/// Why a backup could not be brought into a database.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// `pg_restore` failed, or reported an error.
    #[error("restoring {phase} failed{}: {message}", at(object.as_deref()))]
    Restore {
        /// The part that was being restored.
        phase: Phase,
        /// The first object that failed, where `pg_restore` named it.
        object: Option<String>,
        /// What `pg_restore` said, in one line and without the command that failed, as that may hold a password.
        message: String,
    },
    /// `pg_restore` could not be run.
    #[error("restoring {phase} failed")]
    Process {
        /// The part that was being restored.
        phase: Phase,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The archive is damaged or could not be passed on.
    #[error("the archive could not be restored")]
    Archive(#[from] ArchiveError),
    /// An anonymous file in memory could not be made.
    #[error("the table of contents could not be kept in memory")]
    Memory(#[source] io::Error),
    /// No table has this name.
    #[error("the backup has no table {table}{}", alternatives(similar))]
    UnknownTable {
        /// The name, as it was given.
        table: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// The name is that of several tables.
    #[error("the backup has several tables {table}: {}", candidates.join(", "))]
    AmbiguousTable {
        /// The name, as it was given.
        table: String,
        /// The tables.
        candidates: Vec<String>,
    },
    /// A table to be restored is in the target already.
    #[error("table {table} exists already")]
    TableExists {
        /// The table.
        table: String,
    },
    /// The target server is too old for the collations of the database.
    #[error(
        "a database with locale provider {provider} needs PostgreSQL {needed}, and the target is {found}"
    )]
    Locale {
        /// The provider.
        provider: LocaleProvider,
        /// First major version that has it.
        needed: u32,
        /// Major version of the target.
        found: u32,
    },
    /// Something was to be done to a database, and the server refused.
    #[error("database {database} could not be {action}")]
    Database {
        /// The database.
        database: String,
        /// What was to be done: `created`, `renamed`, …
        action: &'static str,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// Something was to be read from or done to a role, and the server refused.
    #[error("role {role} could not be {action}")]
    Role {
        /// The role.
        role: String,
        /// What was to be done.
        action: &'static str,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The server could not be asked.
    #[error("the target could not be asked for its {what}")]
    Query {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<Error>,
    },
}

fn at(object: Option<&str>) -> String {
    object.map_or_else(String::new, |object| format!(" at {object}"))
}

fn alternatives(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; similar are {}", names.join(", ")),
    }
}
