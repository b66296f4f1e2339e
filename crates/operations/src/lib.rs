//! Where PostgreSQL and the repository meet: backup, restore, verify, export.
//!
//! Architecture invariant: this room never prints, never reads the clock or the environment, and decides nothing about
//! when. It takes a [`Context`], emits [`Event`]s and returns reports. Rows go from one side to the other without being
//! written to a disk outside a sandbox.

mod backup;
mod checks;
mod context;
mod crew;
mod doctor;
mod error;
mod export;
mod loading;
mod opened;
mod physical;
mod preflight;
mod problem;
mod progress;
mod receive;
mod recover;
mod restore;
mod row_chunks;
mod row_diff;
mod streams;
mod table_recovery;
mod verify;
mod wal;
mod warning;

pub use backup::{BackupReport, BackupRequest, SizeLimit, backup};
pub use checks::{BUILT_IN_CHECKS, CheckKind, CheckReport, CheckRequest, CheckResult, run_checks};
pub use context::{Context, Event, Observer, Phase, Unobserved};
pub use doctor::{Examination, examine};
pub use error::Error;
pub use export::{ExportFormat, export};
pub use physical::{
    ClusterBackupRequest, ClusterRestoreReport, ClusterRestoreRequest, DirectoryError, Method,
    RecoveryCommands, StartFrom, TargetAction, Unreachable, backup_cluster, end_recovery, restore_cluster,
};
/// The room that speaks to PostgreSQL, for whoever has to name a database or understand an error.
pub use postgres;
pub use preflight::{PreflightFinding, preflight_restore, preflight_restore_cluster};
pub use problem::Problem;
pub use receive::{Origin, ReceiveError, ReceiveEvent, ReceiveReport, ReceiveRequest, receive_wal};
pub use recover::{
    BareSite, ClusterDrill, ClusterRecovery, DatabaseChecks, DatabaseDrill, DatabaseRecovery, Databases,
    Directories, Found, Objectives, PlanRequest, RecoverError, RecoveryDirectory, RecoveryRecord,
    RecoveryState, Site, Skipped, StepRecord, StepState, drill_cluster, drill_database, markdown,
    plan_cluster, plan_cluster_drill, plan_database, plan_database_drill, record_tables, recover_cluster,
    recover_database, roll_back_cluster, roll_back_database,
};
pub use restore::{RestoreReport, RestoreRequest, restore};
pub use row_diff::{Differing, RowSample, SampleColumn, SampleValue, TableDiff};
pub use table_recovery::{
    ApplyMode, RecoveredTable, TableOrigin, TableRecoveryReport, TableRecoveryRequest, TablesError, Written,
    recover_tables,
};
pub use verify::{VerifyReport, VerifyRequest, compare, verify};
pub use wal::{
    FetchReport, FetchRequest, Fetched, NewestWal, PrefetchReport, PrefetchRequest, PushReport, PushRequest,
    WalError, WalStatus, WalWindow, fetch_wal, prefetch_wal, push_wal, system_of, wal_status,
};
pub use warning::Warning;
