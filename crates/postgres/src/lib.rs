//! Everything that speaks to PostgreSQL.
//!
//! Architecture invariant: this room knows nothing of repositories. It reads rows into a sink or a pipe and loads
//! them from one; what happens to the bytes in between is not its business. It never prints and never reads the environment.

pub mod archive;
mod backup_label;
mod base_backup;
mod client;
mod cluster;
mod conninfo;
pub mod control;
mod data_directory;
mod dump;
mod filter;
mod foreign_key;
mod inspection;
mod inventory;
pub mod load;
mod owned_sequence;
pub mod page;
mod partition;
mod password;
mod preflight;
mod process;
mod sandbox;
mod sequence_feed;
mod session;
mod slot_health;
mod snapshot;
mod staging;
mod table;
mod table_shape;
mod tools;
mod unfinished;
mod write_guard;

pub use base_backup::{BaseBackup, BaseBackupOptions, Checkpoint};
pub use client::{
    Canceller, Client, CopyError, CopyIn, Error, ErrorKind, NextTimeline, ReplicationClient,
    ReplicationError, Row, RowSink, Sample, SampleLimits, ServerError, SlotLifetime, SlotName, SlotNameError,
    SlotState, StandbyStatus, SystemIdentity, TransactionStatus, WalEvent, WalStream,
};
pub use cluster::{
    Again, ClusterError, ClusterFile, ClusterSink, ClusterSource, ClusterStart, ClusterStop, EarlierBackup,
    FileNumber, Region, RegionSink, SinkError, Tablespace,
};
pub use conninfo::{ClientEnvironment, ConnectOptions, ConninfoError, ConninfoWarning, account_name};
pub use data_directory::{DataDirectory, DataDirectoryOptions, Unusable};
pub use dump::{ArchiveRequest, failed_to_lock, start_archive, start_definitions, start_globals};
pub use filter::{FilterError, PatternError};
pub use foreign_key::{
    ForeignKeyReport, ForeignKeyViolation, UncheckedForeignKey, UncheckedReason, check_foreign_keys,
    check_foreign_keys_of,
};
pub use inspection::{
    AmcheckError, AmcheckFinding, AmcheckReport, MissingFile, RelationFiles, RowCounts, TableRows,
    Unreadable, amcheck, count_rows, find_missing_files,
};
pub use inventory::{
    EXTENSION_VERSION, INVENTORY_VERSION, InventoryError, LargeObjects, SEQUENCE_VALUE, common_part,
    read_large_objects, sequence_value, take_inventory, with_dumped_sequence_values,
};
pub use owned_sequence::{SequencePosition, advance_sequences, sequence_positions};
pub use partition::moving_partitions;
pub use preflight::{
    AvailableExtension, ChangedCollation, Extension, Finding, NEWEST_MAJOR, OLDEST_MAJOR, PreflightError,
    Sessions, Severity, TargetDatabase, TargetServer, extensions, preflight, preflight_replication,
    refused_locale,
};
pub use process::{Input, Process, ProcessError};
pub use sandbox::{
    Locale, LocaleProvider, RecoveryRequest, RestoredCluster, RestoredDirectory, RestoredError, Sandbox,
    SandboxError, SandboxOptions, TlsServer, WalSupply,
};
pub use sequence_feed::{SequenceBehind, sequences_behind};
pub use session::{SessionError, apply_session_settings, give_child_settings};
pub use slot_health::{SlotHealth, SlotProblem, SlotWal};
pub use snapshot::{Blocker, Snapshot, SnapshotError, SnapshotOptions};
pub use staging::{Staged, Staging};
pub use table::{PageRange, RANGE_BYTES, Rows, Spelling, Table, TableKind, list_tables};
pub use table_shape::{ColumnOrder, ColumnShape, OrderedRows, TableShape, table_names, table_shapes};
pub use tools::{Programs, Tools, ToolsError};
pub use unfinished::{Unfinished, constraints_not_valid, invalid_indexes};
pub use write_guard::{ForeignKeyLink, WriteGuard, foreign_key_links};
