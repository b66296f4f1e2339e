//! What came of a recovery of tables.

use std::time::Duration;

use model::{BackupId, QualifiedName};
use postgres::load::LeftOut;

use super::{ApplyMode, TableRecoveryRequest};
use crate::Problem;
use crate::row_diff::TableDiff;

/// What came of a recovery of tables.
#[derive(Debug, Clone)]
pub struct TableRecoveryReport {
    /// The backup that the rows come from.
    pub backup: BackupId,
    /// The live database, for people, without a password.
    pub target: String,
    /// What was done; nothing if rows were only compared.
    pub mode: Option<ApplyMode>,
    /// How long it took.
    pub duration: Duration,
    /// How long of that the rows of the backup needed until they could be read.
    pub restore: Duration,
    /// The tables, by name.
    pub tables: Vec<RecoveredTable>,
    /// Sequences that were moved forward, so that the next value is one that no row has.
    pub sequences: Vec<QualifiedName>,
    /// Triggers that were off while rows were written.
    pub triggers_off: u64,
    /// What belongs to a table that was made anew and was not made, and why.
    pub left_out: Vec<LeftOut>,
    /// Foreign keys of the tables that do not hold.
    pub problems: Vec<Problem>,
}

impl TableRecoveryReport {
    pub(super) fn new(backup: &BackupId, request: &TableRecoveryRequest) -> Self {
        Self {
            backup: backup.clone(),
            target: request.live.describe(),
            mode: request.mode.clone(),
            duration: Duration::ZERO,
            restore: Duration::ZERO,
            tables: Vec::new(),
            sequences: Vec::new(),
            triggers_off: 0,
            left_out: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Whether every table was as the backup has it, before anything was done.
    pub fn was_same(&self) -> bool {
        self.tables.iter().all(|table| table.in_live && table.before.is_empty())
    }
}

/// One table of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredTable {
    /// How it differed before anything was written.
    pub before: TableDiff,
    /// Whether the live database had it.
    pub in_live: bool,
    /// What was written.
    pub written: Option<Written>,
    /// How it differs afterwards, as the transaction saw it that wrote the rows.
    pub after: Option<TableDiff>,
}

impl RecoveredTable {
    pub(super) fn new(before: TableDiff, in_live: bool) -> Self {
        Self { before, in_live, written: None, after: None }
    }
}

/// What was written to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The table that was written to.
    pub table: QualifiedName,
    /// Rows inserted.
    pub inserted: u64,
    /// Rows changed.
    pub updated: u64,
    /// Rows removed.
    pub deleted: u64,
    /// Rows that were to be inserted and that a unique constraint did not let in.
    pub conflicts: u64,
}
