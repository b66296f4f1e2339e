//! The nouns of Chronavault and the decisions about them.
//!
//! Architecture invariant: everything here is a pure function of its arguments. There is no clock, no file, no
//! environment, no randomness and no async; `now` and random bits are arguments.

mod backup_id;
mod cluster_id;
mod cluster_path;
mod filters;
mod forecast;
mod inventory;
mod kind;
mod lsn;
mod name;
mod recovery_id;
mod recovery_plan;
mod recovery_target;
mod recovery_window;
mod retention;
mod row_proof;
mod run;
mod schedule;
mod segment_header;
mod size;
mod timeline_history;
mod wal_name;

pub use backup_id::{BackupId, ParseBackupIdError};
pub use cluster_id::{ParseIdError, SystemId, TimelineId};
pub use cluster_path::{ClusterPath, ParseClusterPathError};
pub use filters::Filters;
pub use forecast::{
    FORECAST_DAYS, FORECAST_HORIZON, FORECAST_LEAST_POINTS, FORECAST_LEAST_SPAN, Forecast, forecast, trend,
};
pub use inventory::{Class, Difference, Inventory, Item};
pub use kind::{Kind, Level, Operation, Outcome, ParseWordError, RecoveryStep, RunOutcome, Scenario};
pub use lsn::{Lsn, ParseLsnError};
pub use name::{QualifiedName, quote_identifier, quote_literal};
pub use recovery_id::{ParseRecoveryIdError, RecoveryId};
pub use recovery_plan::{RecoveryPlan, TargetTimeline, TimedWindow, plan_recovery};
pub use recovery_target::{ParseMomentError, RecoveryTarget, parse_moment};
pub use recovery_window::{
    ArchivedRange, ArchivedTimeline, BackupSpan, Gap, GapCause, HistoryState, Recoverability, RecoveryWindow,
    SegmentState, recoverability,
};
pub use retention::{
    BackupVerdict, EXPIRING_AT_ONCE, Fate, Halt, Kept, RetentionPlan, RetentionPolicies, RetentionPolicy,
    Standing, StoredBackup, StoredCluster, StoredTimeline, StoredWal, WalCut, WalFate, WalKept, WalVerdict,
    plan_removal, plan_retention, superseded_failures,
};
pub use row_proof::{ROW_SECRET_BYTES, RowHashState, RowHasher, RowProof, TableRecord};
pub use run::{Actor, RecoveryFacts, Run, RunEnd, RunEvent, RunFacts, RunStart, VerificationFacts, runs};
pub use schedule::{Cadence, CronExpression, Due, ParseCronError, Schedule};
pub use segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderError, SegmentMismatch};
pub use size::ByteSize;
pub use timeline_history::{Ancestor, Leg, ParseHistoryError, TimelineHistory};
pub use wal_name::{ParseWalNameError, SegmentSize, SegmentSizeError, WalName, WalSegmentName};
