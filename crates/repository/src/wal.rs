//! The WAL archive of one cluster: whole segments, pieces of segments that are not complete yet, histories of timelines, and
//! what base backups leave behind (docs/format.md, section 15).
//!
//! Invariant: what is stored is stored once and durable when it is said to be; the same bytes again are a success, and other
//! bytes under the same name are refused loudly. A segment is that of its name: its first page says so, both before it is
//! stored and before it is given out.
//!
//! Deliberately absent: any decision about which WAL is needed, and any connection to a server.

mod archived;
mod catalogue;
mod pieces;
mod read;
mod seal;
mod source;
mod write;

use std::sync::Arc;

use format::{ChunkId, ObjectKey};
use model::{SystemId, WalName, WalSegmentName};

pub(crate) use catalogue::WAL;
pub use catalogue::{TimelineWal, WalCatalogue};
pub use format::WalHead;
pub use pieces::Unfinished;
pub use source::WalSource;

use crate::Repository;
use crate::repository::Inner;

/// Most threads that seal one object of WAL. Each holds some 4 MiB.
pub const MAX_WAL_THREADS: usize = 16;

/// How WAL is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// zstd level, or nothing to store without compression.
    pub level: Option<i32>,
    /// Threads that compress one segment, from 1 to [`MAX_WAL_THREADS`].
    pub threads: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { level: Some(1), threads: 2 }
    }
}

/// What putting WAL came to. Either way it is in the archive, durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// The same bytes were there already; all of them were read and authenticated.
    Same,
}

/// The WAL of one cluster in a repository. A clone is the same archive.
///
/// Memory: putting holds the sealed object (at most as long as the segment) beside the bytes that are given, reading holds 8 MiB.
#[derive(Debug, Clone)]
pub struct WalArchive {
    repository: Arc<Inner>,
    system: SystemId,
    options: WalOptions,
}

impl Repository {
    /// The WAL archive of a cluster, which need not have any WAL yet. No store call is made.
    pub fn wal(&self, system: SystemId) -> WalArchive {
        WalArchive { repository: Arc::clone(&self.inner), system, options: WalOptions::default() }
    }
}

impl WalArchive {
    /// The same archive, stored in another way from now on.
    #[must_use]
    pub fn with_options(self, options: WalOptions) -> Self {
        Self { options, ..self }
    }

    /// The cluster.
    pub fn system(&self) -> SystemId {
        self.system
    }

    /// The keyed hash of bytes, as chunk ids are made. No store call is made.
    pub fn hash(&self, bytes: &[u8]) -> ChunkId {
        self.repository.chunk_id(bytes)
    }

    fn key(&self, name: WalName) -> ObjectKey {
        ObjectKey::Wal(self.system, name)
    }

    fn piece_key(&self, segment: WalSegmentName, offset: u32) -> ObjectKey {
        ObjectKey::WalPiece(self.system, segment, offset)
    }
}
