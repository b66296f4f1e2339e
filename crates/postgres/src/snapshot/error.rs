//! Why a snapshot could not be taken or is no longer held.

use std::fmt;

use model::QualifiedName;
use thiserror::Error as ThisError;

use crate::filter::FilterError;
use crate::{Error, SessionError};

/// Why a snapshot could not be taken or is no longer held.
#[derive(Debug, ThisError)]
pub enum SnapshotError {
    /// The connection could not be made, or a statement failed.
    #[error("cannot take a snapshot")]
    Statement(#[source] Error),
    /// The session does not have the fixed settings.
    #[error("cannot take a snapshot")]
    Session(#[source] SessionError),
    /// It was told to stop.
    #[error("the snapshot was not taken: it was told to stop")]
    Stopped,
    /// The filters cannot be used.
    #[error("cannot tell which tables are wanted")]
    Filter(#[source] FilterError),
    /// The role may not read these tables.
    #[error("the role may not read {}", list(.tables))]
    Unreadable {
        /// The tables.
        tables: Vec<QualifiedName>,
    },
    /// Row-level security would hide rows from the role.
    #[error("row-level security would hide rows of {}", list(.tables))]
    RowsHidden {
        /// The tables.
        tables: Vec<QualifiedName>,
    },
    /// Others held tables so that they could not be read, for longer than we wait.
    #[error("could not lock all tables in {attempts} attempts: {}", blocked(.blockers))]
    Locked {
        /// Who held what after the last attempt; empty when they had just let go.
        blockers: Vec<Blocker>,
        /// How often it was tried.
        attempts: u32,
    },
    /// Tables came, went or were rewritten in every attempt.
    #[error("tables changed during each of {attempts} attempts, the last time {table}")]
    Changed {
        /// The table, or what the server said of it.
        table: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The server has no room for so many locks.
    #[error(
        "the server has no room for locks on {tables} tables: max_locks_per_transaction must be {setting} at least"
    )]
    LockCapacity {
        /// How many tables were to be locked.
        tables: usize,
        /// A value of `max_locks_per_transaction` that is enough; the server reads it when it starts.
        setting: u64,
        /// What the server said.
        #[source]
        source: Error,
    },
    /// The session no longer holds the snapshot, so what was read may not belong together.
    #[error("the session no longer holds the snapshot of the backup")]
    Lost,
}

impl From<Error> for SnapshotError {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

impl From<SessionError> for SnapshotError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<FilterError> for SnapshotError {
    fn from(error: FilterError) -> Self {
        Self::Filter(error)
    }
}

/// A session that held a table, or waited to hold it, so that nobody else could read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The table.
    pub table: QualifiedName,
    /// The process of the server (`pg_stat_activity.pid`); 0 for a prepared transaction.
    pub pid: i32,
    /// Whether it holds the lock; otherwise it waits for it, and everybody else queues behind it.
    pub granted: bool,
    /// Its role; empty where we may not know.
    pub user: String,
    /// Its `application_name`; empty where we may not know.
    pub application: String,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.granted { "is held by" } else { "is waited for by" };
        write!(f, "{} {verb} ", self.table)?;
        if self.pid == 0 {
            return f.write_str("a prepared transaction");
        }
        write!(f, "process {}", self.pid)?;
        if !self.user.is_empty() {
            write!(f, " of {}", self.user)?;
        }
        if !self.application.is_empty() {
            write!(f, " ({})", self.application)?;
        }
        Ok(())
    }
}

impl Blocker {
    /// All of `blockers` in one line for people; when there are many, only their number after the first.
    pub fn line(blockers: &[Self]) -> String {
        blocked(blockers)
    }
}

/// How many names an error lists before it only counts the others.
const NAMES_LISTED: usize = 5;

fn blocked(blockers: &[Blocker]) -> String {
    if blockers.is_empty() { "whoever held one had just let go".into() } else { list(blockers) }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(NAMES_LISTED).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match items.len().saturating_sub(NAMES_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
