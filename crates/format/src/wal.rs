//! Objects of WAL: whole segments, their unfinished pieces, histories and what base backups leave behind (docs/format.md,
//! section 15).
//!
//! Invariant: what comes out of an object is what its head says, and the head is the one that belongs at its key. A chunk is
//! authenticated before it is given; that all are there is known only at the end.

use jiff::Timestamp;
use model::{SegmentSize, SystemId, TimelineId, WalName};
use serde::{Deserialize, Serialize};

use crate::container::{
    Codec, ContainerBuilder, ContainerKind, NewRecord, Record, RecordType, WAL_CHUNK_BYTES,
    WAL_CONTAINER_BYTES_MAX, Walker,
};
use crate::{ChunkId, Compressor, FormatError, Keyring};

/// The version of WAL objects that this program writes.
pub const WAL_VERSION: u32 = 1;
/// Most bytes of a history or of what a base backup left behind; real ones have less than a thousandth of that.
pub const WAL_TEXT_BYTES_MAX: u64 = 1 << 20;

/// About what the headers and tags of a small object take, in bytes.
const OVERHEAD_BYTES: usize = 4 << 10;

/// What an object of WAL holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalHead {
    /// [`WAL_VERSION`].
    pub version: u32,
    /// The name that PostgreSQL gave it; for a piece, that of its segment.
    pub name: WalName,
    /// The cluster that wrote it.
    pub system_id: SystemId,
    /// The timeline in its name.
    pub timeline: TimelineId,
    /// The size of the segments of its cluster in bytes; nothing for what is no segment.
    pub segment_bytes: Option<SegmentSize>,
    /// Where in the segment it begins, in bytes; 0 for everything that is no piece.
    pub offset: u32,
    /// How many bytes it holds.
    pub bytes: u64,
    /// When it was archived.
    pub archived_at: Timestamp,
}

/// A chunk of WAL, ready to be sealed.
#[derive(Debug)]
pub struct EncodedChunk {
    id: ChunkId,
    codec: Codec,
    plain_len: u32,
    body: Vec<u8>,
}

/// An object of WAL that grows chunk by chunk, in memory.
pub struct WalBuilder {
    builder: ContainerBuilder,
    left: u64,
}

/// An object of WAL that is read record by record.
pub struct WalOpener {
    walker: Walker,
    left: u64,
}

impl WalHead {
    /// Checks that the head does not contradict itself.
    fn check(&self) -> Result<(), FormatError> {
        let offset = u64::from(self.offset);
        let is_sound = match (self.name, self.segment_bytes) {
            (WalName::Segment(name), Some(size)) => {
                let end = offset.saturating_add(self.bytes);
                name.fits(size) && self.bytes > 0 && end <= u64::from(size.bytes())
            }
            (WalName::Partial(name), Some(size)) => {
                name.fits(size) && offset == 0 && self.bytes == u64::from(size.bytes())
            }
            (WalName::History(_) | WalName::Backup(..), None) => {
                offset == 0 && self.bytes <= WAL_TEXT_BYTES_MAX
            }
            _ => false,
        };
        if is_sound && self.timeline == self.name.timeline() {
            Ok(())
        } else {
            Err(FormatError::malformed("the head of a WAL object contradicts itself"))
        }
    }

    /// Whether it holds all that its name promises: a whole segment, or what is no segment.
    pub fn is_whole(&self) -> bool {
        self.segment_bytes.is_none_or(|size| self.offset == 0 && self.bytes == u64::from(size.bytes()))
    }

    fn parse(plaintext: &[u8]) -> Result<Self, FormatError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let what = "the head of a WAL object";
        let Version { version } = serde_json::from_slice(plaintext).map_err(FormatError::json(what))?;
        if version != WAL_VERSION {
            let (found, known) = (version.into(), WAL_VERSION.into());
            return Err(FormatError::Newer { field: "WAL version", found, known });
        }
        let head: Self = serde_json::from_slice(plaintext).map_err(FormatError::json(what))?;
        head.check()?;
        Ok(head)
    }
}

impl EncodedChunk {
    /// The chunk of these bytes, at most [`WAL_CHUNK_BYTES`]; compressed where there is a compressor and where it helps.
    pub fn new(
        plain: &[u8],
        compressor: Option<&mut Compressor>,
        keyring: &Keyring,
    ) -> Result<Self, FormatError> {
        let plain_len = u32::try_from(plain.len()).map_err(|_| FormatError::Limit {
            what: "a chunk",
            value: plain.len() as u64,
            limit: WAL_CHUNK_BYTES as u64,
        })?;
        let compressed = compressor.map(|compressor| compressor.compress(plain)).transpose()?;
        let (codec, body) = match compressed {
            Some(frame) if frame.len() < plain.len() => (Codec::Zstd, frame),
            _ => (Codec::Stored, plain),
        };
        Ok(Self { id: keyring.secrets().chunk_id(plain), codec, plain_len, body: body.to_vec() })
    }

    /// The id of its bytes.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    fn record(&self, record_type: RecordType) -> NewRecord<'_> {
        NewRecord {
            record_type,
            codec: self.codec,
            plain_len: self.plain_len,
            id: self.id,
            base: None,
            body: &self.body,
        }
    }
}

impl WalBuilder {
    /// An object with this head and no chunks yet. `salt` must be random.
    pub fn new(head: &WalHead, keyring: &Keyring, salt: [u8; 32]) -> Result<Self, FormatError> {
        head.check()?;
        let plaintext = serde_json::to_vec(head).map_err(FormatError::json("the head of a WAL object"))?;
        // Memory that is never touched costs nothing, and a buffer that grows is copied again and again.
        let most = head.bytes.min(WAL_CONTAINER_BYTES_MAX as u64);
        let buffer = Vec::with_capacity(usize::try_from(most).unwrap_or_default() + OVERHEAD_BYTES);
        let mut builder = ContainerBuilder::new(ContainerKind::Wal, keyring, salt, buffer)?;
        builder.append(&EncodedChunk::new(&plaintext, None, keyring)?.record(RecordType::WalHead))?;
        Ok(Self { builder, left: head.bytes })
    }

    /// Seals the next chunk. All but the last have [`WAL_CHUNK_BYTES`].
    pub fn append(&mut self, chunk: &EncodedChunk) -> Result<(), FormatError> {
        self.left = left_after(self.left, chunk.plain_len)?;
        self.builder.append(&chunk.record(RecordType::WalChunk)).map(|_| ())
    }

    /// Closes the object and returns its bytes.
    pub fn finish(self) -> Result<Vec<u8>, FormatError> {
        require_all(self.left)?;
        self.builder.finish_unnamed()
    }
}

impl WalOpener {
    /// Reads the header: the first [`crate::HEADER_BYTES`] of the object.
    pub fn new(header: &[u8], keyring: &Keyring) -> Result<Self, FormatError> {
        Ok(Self { walker: Walker::new(ContainerKind::Wal, header, keyring)?, left: 0 })
    }

    /// Length in bytes of the record that begins with `clear`, which has at least [`crate::RECORD_HEADER_BYTES`].
    pub fn record_bytes(&self, clear: &[u8]) -> Result<usize, FormatError> {
        self.walker.record_bytes(clear)
    }

    /// Opens the first record.
    pub fn head(&mut self, record: &mut [u8], keyring: &Keyring) -> Result<WalHead, FormatError> {
        let record = self.walker.open(record)?.ok_or(FormatError::malformed("a WAL object is empty"))?;
        if record.header.record_type != RecordType::WalHead {
            return Err(FormatError::malformed("a WAL object does not begin with its head"));
        }
        let head = WalHead::parse(&record.plaintext(keyring)?)?;
        self.left = head.bytes;
        Ok(head)
    }

    /// Opens the next chunk; nothing when `record` is the trailer and every chunk was there. No byte may come after it.
    pub fn chunk<'a>(&mut self, record: &'a mut [u8]) -> Result<Option<Record<'a>>, FormatError> {
        let Some(record) = self.walker.open(record)? else {
            require_all(self.left)?;
            return Ok(None);
        };
        if record.header.record_type != RecordType::WalChunk {
            return Err(FormatError::malformed("a WAL object has two heads"));
        }
        self.left = left_after(self.left, record.header.plain_len)?;
        Ok(Some(record))
    }
}

/// Checks that a chunk is as long as the chunk must be with `left` bytes to come; what is left after it.
fn left_after(left: u64, plain_len: u32) -> Result<u64, FormatError> {
    if left > 0 && u64::from(plain_len) == left.min(WAL_CHUNK_BYTES as u64) {
        Ok(left - u64::from(plain_len))
    } else {
        Err(FormatError::malformed("a WAL object has a chunk of a wrong length"))
    }
}

fn require_all(left: u64) -> Result<(), FormatError> {
    if left == 0 { Ok(()) } else { Err(FormatError::malformed("a WAL object lacks its last chunks")) }
}

#[cfg(test)]
mod tests;
