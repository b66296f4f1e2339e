//! A sealed repository over a store: writing backups, reading them, checking them.
//!
//! Architecture invariant: nothing leaves this room as plaintext before it was authenticated, and nothing is said to exist before
//! it is durable. The write order is: packs, then the lists in them, then the manifest, then the checksum file. There is no
//! global index: every backup names every byte that it needs.
//!
//! Deliberately absent: PostgreSQL. What goes in and comes out are named streams of bytes.

mod cache;
mod catalog;
mod check;
mod error;
mod holds;
mod intents;
mod journal;
mod keys;
mod known;
mod leases;
mod lists;
mod proofs;
mod prune;
mod random;
mod reader;
mod records;
mod repository;
mod site_documents;
mod wal;
mod writer;

pub use catalog::{BackupSummary, Listed, Usage};
pub use check::{Findings, MAX_PROBLEMS, OnProgress, Progress};
pub use error::{Error, Problem, ProblemKind};
pub use format::{
    BadPage, CHUNK_BYTES_MAX, ChainBreak, ChainFinding, ChunkId, ESCROW_LINES, EscrowError, ExtensionRecord,
    FileRecord, FormatError, Fragment, Hold, HolderKey, JOURNAL_LINE_BYTES_MAX, JournalChain, JournalEntry,
    JournalEvent, JournalHead, JournalId, JournalKey, KeyLabel, LabelError, Lease, ListEntry, LogicalRecord,
    MANIFEST_VERSION, Manifest, PackId, PackRecord, ParseKeyError, PhysicalRecord, Place, ProblemRecord,
    Proof, RepositoryId, RowCutter, Sha256, SiteDocument, SiteDocumentKind, SiteId, SlotId, StreamKind,
    StreamRecord, TablespaceRecord, WAL_TEXT_BYTES_MAX, journal_file_name, line_hash,
    parse_journal_file_name, site_id, text_hash,
};
pub use holds::{Holds, PlacedHold};
pub use intents::INTENT_ABANDONED_AFTER;
pub use journal::JournalCopy;
pub use keys::{
    Granted, KEY_OLD_AFTER, KeyConcern, KeyError, KeyHealth, KeyRemoval, KeySummary, Rotated, Rotation,
    RotationPlan, SlotSummary, key_health,
};
pub use known::ClusterBackup;
pub use leases::{HeldLease, LEASE_LASTS, LeaseRequest, LeaseToken, Taken};
pub use proofs::ProofEntry;
pub use prune::{
    Objects, OnPrune, PacksLeft, PlannedBackup, PlannedPacks, PlannedWal, PrunePlan, PruneProgress,
    PruneReport, RemovalRequest, Removed, SegmentRange, TRASH_KEPT,
};
pub use reader::{BackupReader, Entries, Groups, Loader, StreamReader};
pub use repository::{InitError, OpenError, Repository};
pub use site_documents::{NewestSiteDocument, SITE_DOCUMENTS_KEPT, SiteDocumentKey};
pub use wal::{
    MAX_WAL_THREADS, Stored, TimelineWal, Unfinished, WalArchive, WalCatalogue, WalHead, WalOptions,
    WalSource,
};
pub use writer::{
    ArchiveWriter, BackupWriter, Chunk, ClusterWriter, CommitFacts, Committed, MAX_INDEXED_ENTRIES,
    MAX_SEAL_THREADS, PACK_BYTES, PartWriter, RegionWriter, RowStream, WriteOptions,
};
