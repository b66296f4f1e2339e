//! Sealed containers: packs, manifests, proofs, WAL, copies of journals and site documents (docs/format.md, section 6).
//!
//! Invariant: nothing of a record is believed before it is authenticated, and a length is checked against its limit
//! before memory is set aside for it.

mod read;
mod write;

pub(crate) use read::open_single;
pub use read::{Container, Record, RecordHeader, Walker, walk};
pub(crate) use write::seal_single;
pub use write::{ContainerBuilder, Finished, NewRecord, RecordSpan};

use crate::FormatError;
use crate::seal::TAG_BYTES;

/// Length of the header of a container, in bytes.
pub const HEADER_BYTES: usize = 64;
/// Length of the header of a record, in bytes.
pub const RECORD_HEADER_BYTES: usize = 52;
/// A container has at most so many bytes, unless it holds WAL.
pub const CONTAINER_BYTES_MAX: usize = 64 << 20;
/// A container of WAL has at most so many bytes: the largest segment, 1 GiB, as it is, and 1 MiB for everything else.
pub const WAL_CONTAINER_BYTES_MAX: usize = (1 << 30) + (1 << 20);
/// A container has at most so many records, the trailer not counted.
pub const RECORDS_MAX: u32 = 1 << 20;
/// A chunk has at most so many bytes.
pub const CHUNK_BYTES_MAX: usize = 64 << 20;
/// A chunk of WAL has so many bytes, the last one of an object at most so many.
pub const WAL_CHUNK_BYTES: usize = 1 << 20;

pub(crate) const VERSION: u8 = 1;
pub(crate) const SUITE: u8 = 1;
pub(crate) const RECORD_MAGIC: &[u8; 4] = b"CHNK";
pub(crate) const TRAILER_BYTES: usize = 36;

/// Bytes of a container that are not of its records: its header and its trailer.
pub const CONTAINER_OVERHEAD_BYTES: u64 =
    (HEADER_BYTES + RECORD_HEADER_BYTES + TRAILER_BYTES + crate::seal::TAG_BYTES) as u64;

/// What a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// Many chunks.
    Pack,
    /// One manifest.
    Manifest,
    /// One proof.
    Proof,
    /// WAL: a head, then chunks.
    Wal,
    /// Entries of a journal.
    Journal,
    /// A document of a site.
    Site,
}

impl ContainerKind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Pack => b"CHRVPACK",
            Self::Manifest => b"CHRVMANI",
            Self::Proof => b"CHRVPROF",
            Self::Wal => b"CHRVWALS",
            Self::Journal => b"CHRVJRNL",
            Self::Site => b"CHRVSITE",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Manifest => "manifest",
            Self::Proof => "proof",
            Self::Wal => "WAL object",
            Self::Journal => "copy of a journal",
            Self::Site => "site document",
        }
    }

    /// Whether the name of a container says what is in it.
    const fn is_named_by_hash(self) -> bool {
        !matches!(self, Self::Wal)
    }

    /// Most bytes of a container.
    const fn bytes_max(self) -> usize {
        match self {
            Self::Pack | Self::Manifest | Self::Proof | Self::Journal | Self::Site => CONTAINER_BYTES_MAX,
            Self::Wal => WAL_CONTAINER_BYTES_MAX,
        }
    }

    /// Most bytes of a chunk.
    const fn chunk_bytes_max(self) -> usize {
        match self {
            Self::Pack | Self::Manifest | Self::Proof | Self::Journal | Self::Site => CHUNK_BYTES_MAX,
            Self::Wal => WAL_CHUNK_BYTES,
        }
    }

    /// Most bytes of a record after its header. WAL is read record by record: a reader need not set aside more than a chunk before
    /// it has authenticated anything. The others are read as a whole, which bounds their records.
    const fn sealed_bytes_max(self) -> usize {
        match self {
            Self::Pack | Self::Manifest | Self::Proof | Self::Journal | Self::Site => u32::MAX as usize,
            Self::Wal => WAL_CHUNK_BYTES + TAG_BYTES,
        }
    }

    const fn allows(self, record: RecordType) -> bool {
        match self {
            Self::Pack => matches!(record, RecordType::Full | RecordType::Delta | RecordType::List),
            Self::Manifest => matches!(record, RecordType::Manifest),
            Self::Proof => matches!(record, RecordType::Proof),
            Self::Wal => matches!(record, RecordType::WalHead | RecordType::WalChunk),
            Self::Journal => matches!(record, RecordType::Journal),
            Self::Site => matches!(record, RecordType::Site),
        }
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    /// A chunk of a stream.
    Full = 1,
    /// A chunk of a stream, as the difference to a full one.
    Delta = 2,
    /// Part of the list of a stream.
    List = 3,
    /// A manifest.
    Manifest = 4,
    /// A proof.
    Proof = 5,
    /// What an object of WAL holds.
    WalHead = 6,
    /// A chunk of WAL.
    WalChunk = 7,
    /// Entries of a journal.
    Journal = 8,
    /// A document of a site.
    Site = 9,
}

pub(crate) const TYPE_TRAILER: u8 = 127;

impl RecordType {
    fn parse(byte: u8) -> Result<Self, FormatError> {
        Ok(match byte {
            1 => Self::Full,
            2 => Self::Delta,
            3 => Self::List,
            4 => Self::Manifest,
            5 => Self::Proof,
            6 => Self::WalHead,
            7 => Self::WalChunk,
            8 => Self::Journal,
            9 => Self::Site,
            found => return Err(FormatError::Newer { field: "record type", found: found.into(), known: 9 }),
        })
    }
}

/// How the bytes of a record are encoded before they are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    Stored = 0,
    /// One zstd frame.
    Zstd = 1,
    /// The id of the base, then one zstd frame with the base as prefix.
    ZstdDelta = 2,
    /// The id of the base, then one zstd frame of the exclusive or of chunk and base.
    ZstdXor = 3,
}

impl Codec {
    fn parse(byte: u8) -> Result<Self, FormatError> {
        Ok(match byte {
            0 => Self::Stored,
            1 => Self::Zstd,
            2 => Self::ZstdDelta,
            3 => Self::ZstdXor,
            found => return Err(FormatError::Newer { field: "codec", found: found.into(), known: 3 }),
        })
    }

    /// Whether a body in this encoding needs a base.
    const fn needs_base(self) -> bool {
        matches!(self, Self::ZstdDelta | Self::ZstdXor)
    }
}

/// The nonce of record `index`.
pub(crate) fn nonce(index: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&u64::from(index).to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests;
