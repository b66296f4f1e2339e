//! `recover tables`: what it takes.

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{BackupArg, parse_backup};

/// Rows of each kind that are shown when nothing is said.
const SAMPLES: usize = 10;

/// `recover tables`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecoverTablesArgs {
    /// A table: NAME or SCHEMA.NAME. May be repeated. A partitioned table is taken with its partitions.
    #[arg(long = "table", value_name = "NAME", required = true)]
    pub(crate) tables: Vec<String>,
    /// The backup that the rows come from, logical or physical.
    #[arg(long, value_name = "ID|latest", default_value = "latest", value_parser = parse_backup)]
    pub(crate) from: BackupArg,
    /// With physical backups: the rows as they were at this moment, as 2026-11-26T03:00:00Z, by replaying archived WAL.
    #[arg(long, value_name = "TIME", value_parser = model::parse_moment)]
    pub(crate) at: Option<Timestamp>,
    /// The source whose backups are used, and whose database is the live one.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// The live database, instead of that of the source: any connection string that libpq accepts. Put no password here.
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// The database within a physical backup [default: called as the live one].
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// What to do with the rows of the backup. Without it, rows are compared and nothing is written.
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) mode: Option<TablesModeArg>,
    /// With --mode side-schema: the name of the schema to make [default: recovered_YYYYMMDD_HHMMSS].
    #[arg(long, value_name = "NAME")]
    pub(crate) schema: Option<String>,
    /// Show up to N rows of each kind that differ.
    #[arg(long, value_name = "N", default_value_t = SAMPLES)]
    pub(crate) sample: usize,
    /// Compare only, whatever the mode.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Restore over N connections at the same time [default: the number of processors, at most 4].
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<u64>,
    /// How long to wait for the lock of a table.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) lock_timeout: u64,
}

/// What to do with the rows of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TablesModeArg {
    /// Insert the rows that the live table lacks; what is there stays as it is.
    InsertMissing,
    /// Make the rows those of the backup: insert, change, remove.
    Replace,
    /// Put the rows into tables of a new schema.
    SideSchema,
}

impl TablesModeArg {
    /// As on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InsertMissing => "insert-missing",
            Self::Replace => "replace",
            Self::SideSchema => "side-schema",
        }
    }
}
