//! The files of a cluster, as a physical backup reads them.
//!
//! Invariant: whoever takes the files cannot tell which source reads them. A [`ClusterSource`] names directories and files and
//! hands over the bytes of each file region by region, from one thread or several; a [`ClusterSink`] takes them. What a source
//! has handed over when [`ClusterSource::read`] returns, WAL and `backup_label` included, is a backup that starts without
//! anything else.
//!
//! Deliberately absent: what happens to the bytes.

mod error;

use std::error::Error as StdError;

use jiff::Timestamp;
use model::{ClusterPath, Lsn, SegmentSize, SystemId, TimelineId};

pub use error::ClusterError;

/// What can go wrong on the side of whoever takes the files. The source passes it on as it is.
pub type SinkError = Box<dyn StdError + Send + Sync>;

/// A cluster, and the state of it in which a backup began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStart {
    /// The system identifier.
    pub system_id: SystemId,
    /// `server_version_num`.
    pub server_version: u32,
    /// The timeline at the start.
    pub timeline: TimelineId,
    /// Where replay of the WAL has to begin: the redo position of the checkpoint that started the backup.
    pub start_lsn: Lsn,
    /// The size of its WAL segments.
    pub segment_size: SegmentSize,
    /// The size of its pages, in bytes.
    pub block_bytes: u32,
    /// Whether its pages have checksums.
    pub data_checksums: bool,
    /// Whether it was read from a standby.
    pub from_standby: bool,
    /// Its tablespaces besides the two that lie in the data directory.
    pub tablespaces: Vec<Tablespace>,
    /// Bytes of all files, as far as the source can tell beforehand; for the progress.
    pub expected_bytes: u64,
}

/// A tablespace outside the data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tablespace {
    /// Its OID; its files have paths below `pg_tblspc/<oid>`.
    pub oid: u32,
    /// Where it was on the server.
    pub location: String,
}

/// How a backup ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStop {
    /// The timeline at the end. From a standby that was promoted in between, a source returns an error instead.
    pub timeline: TimelineId,
    /// Where the cluster is consistent: replay must reach this position.
    pub stop_lsn: Lsn,
    /// Sentences about what the server warned of.
    pub warnings: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFile {
    /// Where it is.
    pub path: ClusterPath,
    /// Its permission bits.
    pub mode: u32,
    /// Its expected size in bytes; the real one is told when it is finished.
    pub bytes: u64,
}

/// Stands for one file of a sink, in the order in which files were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u32);

/// A region of a file: all its bytes from `number` × region size on, a whole region or, at the end of the file, less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    /// The file.
    pub file: FileNumber,
    /// The region: 0, 1, 2, …
    pub number: u32,
}

/// Takes the files of a cluster. Called from any thread.
pub trait ClusterSink: Sync {
    /// The size of the regions in bytes; a multiple of every page size.
    fn region_bytes(&self) -> u32;

    /// There is a directory. Directories that hold files need not be named, but for their modes.
    fn directory(&self, path: &ClusterPath, mode: u32) -> Result<(), SinkError>;

    /// A file begins. Each of its regions is then given exactly once, in any order, to a [`RegionSink`]. No path is named twice.
    fn file(&self, file: &ClusterFile) -> Result<FileNumber, SinkError>;

    /// All regions of a file were given; it has `bytes`, which may be more or less than was expected.
    fn finish(&self, file: FileNumber, bytes: u64) -> Result<(), SinkError>;

    /// Somebody to give regions to. Each thread has its own.
    fn worker(&self) -> Result<Box<dyn RegionSink + '_>, SinkError>;
}

/// Reads a part of a file again: fills the buffer with the bytes that are there now, from an offset in the file on. Returns
/// whether it could.
pub type Again<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> bool;

/// Takes regions, one after another.
pub trait RegionSink {
    /// Takes the bytes of a region. Where a page is torn or damaged, the sink asks `again` for it, and `bytes` then holds what came.
    fn store(&mut self, region: Region, bytes: &mut [u8], again: Again<'_>) -> Result<(), SinkError>;

    /// The region as the previous backup has it, for sources that learn only what has changed since. Returns whether there is one.
    fn earlier(&mut self, region: Region, bytes: &mut Vec<u8>) -> Result<bool, SinkError>;

    /// Takes the region as the previous backup has it, unread. Returns whether there is one; if not, it must be stored.
    fn keep(&mut self, region: Region) -> Result<bool, SinkError>;

    /// Everything was given.
    fn finish(self: Box<Self>) -> Result<(), SinkError>;
}

/// The previous backup of the same cluster, for sources that can ask for the difference to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierBackup {
    /// The cluster that it is of. If it is another, there is no difference to ask for.
    pub system_id: SystemId,
    /// Its timeline.
    pub timeline: TimelineId,
    /// Whether the pages of the cluster had checksums. To switch them on or off changes every page, and no WAL tells of it.
    pub data_checksums: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// Where its replay begins.
    pub start_lsn: Lsn,
    /// Where it is consistent.
    pub stop_lsn: Lsn,
    /// Its files and their sizes in bytes, `backup_label` and WAL left out.
    pub files: Vec<(ClusterPath, u64)>,
}

/// Reads the files of a cluster.
pub trait ClusterSource {
    /// Starts the backup on the server.
    fn start(&mut self) -> Result<ClusterStart, crate::ClusterError>;

    /// Hands every file to `sink` and ends the backup on the server. `cancelled` is asked between regions.
    fn read(
        &mut self,
        sink: &dyn ClusterSink,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ClusterStop, crate::ClusterError>;

    /// How it reads, for the manifest: `base_backup`, `data_directory`.
    fn method(&self) -> &'static str;
}
