//! `global/pg_control`: what a cluster says of itself while no server runs on it (`pg_control.h` of the server's source).
//!
//! Invariant: nothing is believed before its CRC was right. The layouts are those of 64-bit machines whose numbers begin with the low
//! byte; the file of any other fails with its CRC, or its version.
//!
//! Deliberately absent: writing it.

mod crc;

use std::fmt;

use model::{Lsn, SegmentSize, SystemId, TimelineId};

/// Where the file is, below the data directory.
pub const CONTROL_PATH: &str = "global/pg_control";
/// Bytes of the file; those behind the CRC are zeros.
pub const CONTROL_BYTES: usize = 8192;

/// `pg_control_version` of 13 to 16.
const VERSION_13: u32 = 1300;
/// `pg_control_version` of 17, which has the fields of 13.
const VERSION_17: u32 = 1700;
/// `pg_control_version` of 18.
const VERSION_18: u32 = 1800;

/// Why a `pg_control` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// It ends early.
    #[error("pg_control has {bytes} bytes, which is too few")]
    Short {
        /// Its size in bytes.
        bytes: usize,
    },
    /// Of a version that is not known.
    #[error(
        "pg_control has the version {version}; {VERSION_13} (PostgreSQL 13 to 17) and {VERSION_18} (18) are known"
    )]
    Version {
        /// What it says.
        version: u32,
    },
    /// Damaged, or read while it was written.
    #[error("pg_control is damaged: its checksum is wrong")]
    Checksum,
    /// The CRC is right and a value is none that a server writes.
    #[error("pg_control says that the {what} is {value}, which cannot be")]
    Value {
        /// Of what.
        what: &'static str,
        /// What it says.
        value: u64,
    },
}

/// What the server was doing when the file was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// Starting.
    Startup,
    /// It was shut down in an orderly way.
    ShutDown,
    /// The same, as a standby.
    ShutDownInRecovery,
    /// Shutting down.
    ShuttingDown,
    /// Recovering from a crash.
    InCrashRecovery,
    /// Replaying WAL of an archive or of a primary.
    InArchiveRecovery,
    /// Running.
    InProduction,
}

/// As `pg_controldata` says it.
impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Startup => "starting up",
            Self::ShutDown => "shut down",
            Self::ShutDownInRecovery => "shut down in recovery",
            Self::ShuttingDown => "shutting down",
            Self::InCrashRecovery => "in crash recovery",
            Self::InArchiveRecovery => "in archive recovery",
            Self::InProduction => "in production",
        })
    }
}

/// Settings without which WAL of the cluster cannot be replayed: a standby refuses smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplaySettings {
    /// `max_connections`.
    pub max_connections: u32,
    /// `max_worker_processes`.
    pub max_worker_processes: u32,
    /// `max_wal_senders`.
    pub max_wal_senders: u32,
    /// `max_prepared_transactions`.
    pub max_prepared_transactions: u32,
    /// `max_locks_per_transaction`.
    pub max_locks_per_transaction: u32,
}

/// The contents of the file, as far as they matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// The system identifier.
    pub system_id: SystemId,
    /// `pg_control_version`.
    pub control_version: u32,
    /// `catalog_version_no`: part of the names of directories in tablespaces.
    pub catalog_version: u32,
    /// What the server was doing.
    pub state: ClusterState,
    /// Where the last checkpoint (of a standby: restartpoint) is in the WAL.
    pub checkpoint: Lsn,
    /// Where replay begins from it.
    pub redo: Lsn,
    /// The timeline of the last checkpoint.
    pub timeline: TimelineId,
    /// How far a server in recovery must replay at least. 0/0 outside of recovery.
    pub min_recovery_point: Lsn,
    /// The timeline of that position; none outside of recovery.
    pub min_recovery_timeline: Option<TimelineId>,
    /// Where a backup must be replayed from, while it is being restored.
    pub backup_start: Lsn,
    /// The end of a backup that was taken from a standby, while it is being restored.
    pub backup_end: Lsn,
    /// The end of the backup has to be seen in the WAL before the cluster is consistent.
    pub backup_end_required: bool,
    /// What replay needs.
    pub replay: ReplaySettings,
    /// Bytes of a page.
    pub block_bytes: u32,
    /// Pages in a file of a relation.
    pub segment_blocks: u32,
    /// The size of WAL segments.
    pub wal_segment_size: SegmentSize,
    /// Pages have checksums.
    pub data_checksums: bool,
}

/// Where the fields are that are not at the same place in every version.
struct Layout {
    crc_at: usize,
}

impl ControlFile {
    /// Reads the bytes of the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        let fields = Fields(bytes);
        let control_version = fields.u32(8)?;
        let layout = match control_version {
            VERSION_13 | VERSION_17 => Layout { crc_at: 288 },
            // A boolean came in before the nonce, which is in front of the CRC.
            VERSION_18 => Layout { crc_at: 292 },
            version => return Err(ControlError::Version { version }),
        };
        let checked = bytes.get(..layout.crc_at).ok_or(ControlError::Short { bytes: bytes.len() })?;
        if crc::crc32c(checked) != fields.u32(layout.crc_at)? {
            return Err(ControlError::Checksum);
        }
        let segment_bytes = fields.u32(228)?;
        Ok(Self {
            system_id: SystemId(fields.u64(0)?),
            control_version,
            catalog_version: fields.u32(12)?,
            state: state(fields.u32(16)?)?,
            checkpoint: Lsn(fields.u64(32)?),
            redo: Lsn(fields.u64(40)?),
            timeline: TimelineId::new(fields.u32(48)?)
                .ok_or(ControlError::Value { what: "timeline", value: 0 })?,
            min_recovery_point: Lsn(fields.u64(136)?),
            min_recovery_timeline: TimelineId::new(fields.u32(144)?),
            backup_start: Lsn(fields.u64(152)?),
            backup_end: Lsn(fields.u64(160)?),
            backup_end_required: fields.boolean(168)?,
            replay: ReplaySettings {
                max_connections: fields.u32(180)?,
                max_worker_processes: fields.u32(184)?,
                max_wal_senders: fields.u32(188)?,
                max_prepared_transactions: fields.u32(192)?,
                max_locks_per_transaction: fields.u32(196)?,
            },
            block_bytes: block_bytes(fields.u32(216)?)?,
            segment_blocks: fields.u32(220)?,
            wal_segment_size: SegmentSize::new(segment_bytes).map_err(|_| ControlError::Value {
                what: "size of WAL segments",
                value: u64::from(segment_bytes),
            })?,
            data_checksums: fields.u32(252)? != 0,
        })
    }
}

/// Reads numbers out of bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Result<[u8; N], ControlError> {
        let found = self.0.get(at..).and_then(|behind| behind.first_chunk::<N>());
        found.copied().ok_or(ControlError::Short { bytes: self.0.len() })
    }

    fn u32(&self, at: usize) -> Result<u32, ControlError> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Result<u64, ControlError> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    fn boolean(&self, at: usize) -> Result<bool, ControlError> {
        self.bytes::<1>(at).map(|[byte]| byte != 0)
    }
}

fn state(number: u32) -> Result<ClusterState, ControlError> {
    Ok(match number {
        0 => ClusterState::Startup,
        1 => ClusterState::ShutDown,
        2 => ClusterState::ShutDownInRecovery,
        3 => ClusterState::ShuttingDown,
        4 => ClusterState::InCrashRecovery,
        5 => ClusterState::InArchiveRecovery,
        6 => ClusterState::InProduction,
        other => return Err(ControlError::Value { what: "state", value: u64::from(other) }),
    })
}

/// `--with-blocksize` of the server's build: 1 to 32 KiB.
fn block_bytes(bytes: u32) -> Result<u32, ControlError> {
    let is_size = bytes.is_power_of_two() && (1 << 10..=32 << 10).contains(&bytes);
    if is_size {
        Ok(bytes)
    } else {
        Err(ControlError::Value { what: "size of pages", value: u64::from(bytes) })
    }
}

/// A `pg_control` of 15 as `initdb` leaves it, of the cluster `system_id`.
#[cfg(test)]
pub(crate) fn sample(system_id: SystemId) -> Vec<u8> {
    let mut bytes = vec![0; CONTROL_BYTES];
    let mut put = |at: usize, number: u32| bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    for (at, number) in [
        (8, VERSION_13),
        (12, 202_209_061),
        (16, 1),
        (48, 1),
        (180, 100),
        (184, 8),
        (188, 10),
        (196, 64),
        (216, 8192),
        (220, 131_072),
        (228, 16 << 20),
        (252, 1),
    ] {
        put(at, number);
    }
    bytes[..8].copy_from_slice(&system_id.0.to_le_bytes());
    let crc = crc::crc32c(&bytes[..288]);
    bytes[288..292].copy_from_slice(&crc.to_le_bytes());
    bytes
}
