//! What the bytes of a repository mean: chunking, sealing, containers, lists, manifests, key slots, object keys.
//!
//! Architecture invariant: everything here is a pure function of its arguments. There is no file, no clock and no
//! source of randomness; salts, nonces and times are arguments. `docs/format.md` is the specification.

mod checksum;
mod chunking;
mod codec;
mod container;
mod error;
mod escrow;
mod head;
mod hold;
mod identity;
mod intent;
mod journal;
mod journal_chain;
mod key;
mod key_note;
mod keyring;
mod lease;
mod list;
mod manifest;
mod object_key;
mod seal;
mod site_document;
mod slot;
mod wal;

pub use checksum::render_checksums;
pub use chunking::{GearCutter, RowCutter};
pub use codec::Compressor;
pub use container::{
    CHUNK_BYTES_MAX, CONTAINER_BYTES_MAX, CONTAINER_OVERHEAD_BYTES, Codec, Container, ContainerBuilder,
    ContainerKind, Finished, HEADER_BYTES, NewRecord, RECORD_HEADER_BYTES, RECORDS_MAX, Record, RecordHeader,
    RecordSpan, RecordType, WAL_CHUNK_BYTES, WAL_CONTAINER_BYTES_MAX, Walker, walk,
};
pub use error::FormatError;
pub use escrow::{ESCROW_LINES, EscrowError, LineFault, MistypedLine};
pub use head::{Chunking, CutSizes, EpochRecord, FORMAT_VERSION, Head, SUITE};
pub use hold::{HOLD_VERSION, Hold};
pub use identity::{
    ChunkId, Commitment, JournalId, PackId, ParseHexError, RepositoryId, Sha256, SiteId, SlotId,
};
pub use intent::{INTENT_VERSION, Intent};
pub use journal::{
    Fragment, JOURNAL_LINE_BYTES_MAX, JOURNAL_VERSION, JournalEntry, JournalEvent, JournalHead, line_hash,
    open_journal_copy, seal_journal_copy,
};
pub use journal_chain::{ChainBreak, ChainFinding, JournalChain};
pub use key::{HolderKey, JournalKey, KEY_BYTES, ParseKeyError, RootKey, Secrets};
pub use key_note::{
    KEY_NOTE_BYTES_MAX, KEY_NOTE_VERSION, KeyCheck, KeyLabel, LABEL_CHARS_MAX, LabelError, RotationClaim,
    SlotNote,
};
pub use keyring::Keyring;
pub use lease::{LEASE_VERSION, Lease};
pub use list::{LIST_ENTRIES_MAX, ListEntry, Place, decode_list, encode_list};
pub use manifest::{
    BadPage, ExtensionRecord, FILES, FileRecord, ListPlace, LogicalRecord, MANIFEST_VERSION, Manifest,
    PackRecord, PhysicalRecord, ProblemRecord, Proof, REGIONS, StreamKind, StreamRecord, TablespaceRecord,
};
pub use object_key::{ObjectKey, journal_file_name, parse_journal_file_name};
pub use site_document::{SITE_DOCUMENT_VERSION, SiteDocument, SiteDocumentKind, site_id, text_hash};
pub use slot::{SLOT_BYTES, SlotHeader, SlotRandom, open_slot, parse_slot, seal_slot};
pub use wal::{EncodedChunk, WAL_TEXT_BYTES_MAX, WAL_VERSION, WalBuilder, WalHead, WalOpener};
