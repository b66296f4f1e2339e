//! Writing a container, in memory.

use aws_lc_rs::digest;

use super::{
    Codec, ContainerKind, HEADER_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC, RECORDS_MAX, RecordType, SUITE,
    TRAILER_BYTES, TYPE_TRAILER, VERSION, nonce,
};
use crate::seal::{Cipher, TAG_BYTES};
use crate::{ChunkId, FormatError, Keyring, PackId};

/// A container that grows record by record. Bytes are hashed as they are added, while they are in the cache.
pub struct ContainerBuilder {
    kind: ContainerKind,
    bytes: Vec<u8>,
    cipher: Cipher,
    /// Of everything so far, for containers that are named by it.
    hash: Option<digest::Context>,
    record_headers: digest::Context,
    records: u32,
}

/// A record to add.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// What it holds.
    pub record_type: RecordType,
    /// How `body` is encoded.
    pub codec: Codec,
    /// Length of the chunk in bytes, decoded.
    pub plain_len: u32,
    /// The id of the chunk.
    pub id: ChunkId,
    /// For a delta, the id of its base; it comes before `body`.
    pub base: Option<ChunkId>,
    /// The encoded chunk.
    pub body: &'a [u8],
}

/// Where a record is in its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// Offset of the record's header in bytes.
    pub offset: u32,
    /// Bytes after the header, tag included.
    pub sealed_len: u32,
}

/// A finished container.
#[derive(Debug)]
pub struct Finished {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256: for a pack, its name.
    pub id: PackId,
}

impl ContainerBuilder {
    /// An empty container, to be sealed in the current epoch. `salt` must be random.
    pub fn new(
        kind: ContainerKind,
        keyring: &Keyring,
        salt: [u8; 32],
        mut buffer: Vec<u8>,
    ) -> Result<Self, FormatError> {
        let epoch = keyring.current_epoch();
        buffer.clear();
        buffer.extend_from_slice(kind.magic());
        buffer.extend_from_slice(&[VERSION, SUITE, 0, 0]);
        buffer.extend_from_slice(&epoch.to_le_bytes());
        buffer.extend_from_slice(&keyring.repository().0);
        buffer.extend_from_slice(&salt);
        let cipher = Cipher::new(&keyring.root_key(epoch)?.container_key(&salt, &buffer))?;
        let mut record_headers = digest::Context::new(&digest::SHA256);
        record_headers.update(&buffer);
        let hash = kind.is_named_by_hash().then(|| record_headers.clone());
        Ok(Self { kind, bytes: buffer, cipher, hash, record_headers, records: 0 })
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether a record with a body of `body_len` bytes still fits.
    pub fn has_room_for(&self, body_len: usize) -> bool {
        let overhead = 2 * RECORD_HEADER_BYTES + ChunkId::BYTES + TRAILER_BYTES + 2 * TAG_BYTES;
        self.records < RECORDS_MAX && self.bytes.len() + body_len + overhead <= self.kind.bytes_max()
    }

    /// Seals a record at the end.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<RecordSpan, FormatError> {
        if !self.kind.allows(record.record_type) {
            return Err(FormatError::malformed("a record of this type does not belong into this container"));
        }
        let (value, limit) = (record.plain_len.into(), self.kind.chunk_bytes_max() as u64);
        if value > limit {
            return Err(FormatError::Limit { what: "a chunk", value, limit });
        }
        if !self.has_room_for(record.body.len()) {
            return Err(FormatError::malformed("a container has no room for another record"));
        }
        let header = RawHeader {
            index: self.records,
            record_type: record.record_type as u8,
            codec: record.codec as u8,
            plain_len: record.plain_len,
            id: record.id,
        };
        let prefix: &[u8] = record.base.as_ref().map_or(&[], |base| &base.0);
        let span = self.seal(&header, prefix, record.body)?;
        self.records += 1;
        Ok(span)
    }

    /// Adds the trailer and closes the container.
    pub fn finish(mut self) -> Result<Finished, FormatError> {
        self.close()?;
        let hash = match self.hash {
            Some(hash) => hash.finish(),
            None => digest::digest(&digest::SHA256, &self.bytes),
        };
        let mut id = PackId([0; 32]);
        id.0.copy_from_slice(hash.as_ref());
        Ok(Finished { bytes: self.bytes, id })
    }

    /// The same, without the name.
    pub(crate) fn finish_unnamed(mut self) -> Result<Vec<u8>, FormatError> {
        self.close()?;
        Ok(self.bytes)
    }

    /// Adds the trailer.
    fn close(&mut self) -> Result<(), FormatError> {
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..4].copy_from_slice(&self.records.to_le_bytes());
        trailer[4..].copy_from_slice(self.record_headers.clone().finish().as_ref());
        let header = RawHeader {
            index: self.records,
            record_type: TYPE_TRAILER,
            codec: Codec::Stored as u8,
            plain_len: 36,
            id: ChunkId([0; 32]),
        };
        self.seal(&header, &[], &trailer).map(|_| ())
    }

    fn seal(&mut self, header: &RawHeader, prefix: &[u8], body: &[u8]) -> Result<RecordSpan, FormatError> {
        let offset = self.bytes.len();
        let sealed_len = prefix.len() + body.len() + TAG_BYTES;
        let span = RecordSpan { offset: as_u32(offset)?, sealed_len: as_u32(sealed_len)? };
        let header_bytes = header.encode(span.sealed_len);
        let mut aad = [0; HEADER_BYTES + RECORD_HEADER_BYTES];
        aad[..HEADER_BYTES].copy_from_slice(&self.bytes[..HEADER_BYTES]);
        aad[HEADER_BYTES..].copy_from_slice(&header_bytes);
        self.bytes.extend_from_slice(&header_bytes);
        self.bytes.extend_from_slice(prefix);
        self.bytes.extend_from_slice(body);
        let plain = &mut self.bytes[offset + RECORD_HEADER_BYTES..];
        let tag = self.cipher.seal(nonce(header.index), &aad, plain)?;
        self.bytes.extend_from_slice(&tag);
        self.record_headers.update(&header_bytes);
        if let Some(hash) = &mut self.hash {
            hash.update(&self.bytes[offset..]);
        }
        Ok(span)
    }
}

struct RawHeader {
    index: u32,
    record_type: u8,
    codec: u8,
    plain_len: u32,
    id: ChunkId,
}

impl RawHeader {
    fn encode(&self, sealed_len: u32) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.index.to_le_bytes());
        bytes[8] = self.record_type;
        bytes[9] = self.codec;
        bytes[12..16].copy_from_slice(&self.plain_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&sealed_len.to_le_bytes());
        bytes[20..].copy_from_slice(&self.id.0);
        bytes
    }
}

fn as_u32(length: usize) -> Result<u32, FormatError> {
    let (value, limit) = (length as u64, u32::MAX.into());
    u32::try_from(length).map_err(|_| FormatError::Limit { what: "a container", value, limit })
}

/// Seals one plaintext as a container of its own, compressed.
pub(crate) fn seal_single(
    kind: ContainerKind,
    record_type: RecordType,
    plaintext: &[u8],
    keyring: &Keyring,
    salt: [u8; 32],
) -> Result<Finished, FormatError> {
    let body = crate::codec::compress_once(plaintext)?;
    let mut builder = ContainerBuilder::new(kind, keyring, salt, Vec::with_capacity(body.len() + 512))?;
    builder.append(&NewRecord {
        record_type,
        codec: Codec::Zstd,
        plain_len: as_u32(plaintext.len())?,
        id: keyring.secrets().chunk_id(plaintext),
        base: None,
        body: &body,
    })?;
    builder.finish()
}
