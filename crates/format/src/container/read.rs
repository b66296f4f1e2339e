//! Reading containers: one record by its place, or all of them in order.

use aws_lc_rs::digest;

use super::{
    Codec, ContainerKind, HEADER_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC, RECORDS_MAX, RecordType, SUITE,
    TRAILER_BYTES, TYPE_TRAILER, VERSION, nonce,
};
use crate::seal::{Cipher, TAG_BYTES, require_known};
use crate::{ChunkId, FormatError, Keyring, codec};

/// A container whose header was read, so that its records can be opened.
pub struct Container {
    kind: ContainerKind,
    header: [u8; HEADER_BYTES],
    cipher: Cipher,
}

/// The authenticated header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Position of the record in its container.
    pub index: u32,
    /// What it holds.
    pub record_type: RecordType,
    /// How its body is encoded.
    pub codec: Codec,
    /// Length of the chunk in bytes.
    pub plain_len: u32,
    /// Bytes after the header, tag included.
    pub sealed_len: u32,
    /// The id of the chunk.
    pub id: ChunkId,
}

/// A record that was authenticated and decrypted, still encoded.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// For a delta, the id of its base.
    pub base: Option<ChunkId>,
    /// The encoded chunk.
    pub body: &'a [u8],
}

impl Container {
    /// Reads the header: the first [`HEADER_BYTES`] of a container.
    pub fn open(kind: ContainerKind, header: &[u8], keyring: &Keyring) -> Result<Self, FormatError> {
        if header.len() < 8 || &header[..8] != kind.magic() {
            return Err(FormatError::Magic { expected: kind.name() });
        }
        let Some(header) = header.first_chunk::<HEADER_BYTES>() else {
            return Err(FormatError::Truncated { place: "the header", length: header.len() as u64 });
        };
        require_known("container version", header[8], VERSION)?;
        require_known("suite", header[9], SUITE)?;
        if header[10..12] != [0, 0] {
            return Err(FormatError::malformed("a container has unknown flags"));
        }
        if header[16..32] != keyring.repository().0 {
            return Err(FormatError::Foreign);
        }
        let epoch = u32_at(header, 12);
        let cipher = Cipher::new(&keyring.root_key(epoch)?.container_key(&header[32..], header))?;
        Ok(Self { kind, header: *header, cipher })
    }

    /// Authenticates and decrypts the record in `bytes` (header, ciphertext and tag; nothing else), in place.
    pub fn open_record<'a>(&self, bytes: &'a mut [u8]) -> Result<Record<'a>, FormatError> {
        let (index, type_byte) = parse_clear(bytes)?;
        if bytes.len() != RECORD_HEADER_BYTES + u32_at(bytes, 16) as usize {
            return Err(FormatError::malformed("a record is not as long as it says"));
        }
        let (header_bytes, _) = bytes.split_at(RECORD_HEADER_BYTES);
        let header = RecordHeader {
            index,
            record_type: RecordType::parse(type_byte)?,
            codec: Codec::parse(header_bytes[9])?,
            plain_len: u32_at(header_bytes, 12),
            sealed_len: u32_at(header_bytes, 16),
            id: ChunkId(chunk_id(header_bytes)),
        };
        if !self.kind.allows(header.record_type) {
            return Err(FormatError::malformed("a record of this type does not belong into this container"));
        }
        let limit = self.kind.chunk_bytes_max();
        if header.plain_len as usize > limit {
            let (value, limit) = (header.plain_len.into(), limit as u64);
            return Err(FormatError::Limit { what: "a chunk", value, limit });
        }
        if (header.record_type == RecordType::Delta) != header.codec.needs_base() {
            return Err(FormatError::malformed("type and codec of a record contradict each other"));
        }
        let body: &[u8] = self.decrypt(index, bytes)?;
        match header.codec {
            Codec::Stored | Codec::Zstd => Ok(Record { header, base: None, body }),
            Codec::ZstdDelta | Codec::ZstdXor => match body.split_first_chunk::<32>() {
                Some((base, body)) => Ok(Record { header, base: Some(ChunkId(*base)), body }),
                None => Err(FormatError::malformed("a delta record is too short to name its base")),
            },
        }
    }

    fn decrypt<'a>(&self, index: u32, bytes: &'a mut [u8]) -> Result<&'a mut [u8], FormatError> {
        let (header, sealed) = bytes.split_at_mut(RECORD_HEADER_BYTES);
        let mut aad = [0; HEADER_BYTES + RECORD_HEADER_BYTES];
        aad[..HEADER_BYTES].copy_from_slice(&self.header);
        aad[HEADER_BYTES..].copy_from_slice(header);
        self.cipher.open(nonce(index), &aad, sealed, "a record")
    }
}

impl Record<'_> {
    /// Decodes a record that is not a delta and checks it against its id.
    pub fn plaintext(&self, keyring: &Keyring) -> Result<Vec<u8>, FormatError> {
        let plain_len = self.header.plain_len as usize;
        let plaintext = match self.header.codec {
            Codec::Stored if self.body.len() == plain_len => self.body.to_vec(),
            Codec::Stored => return Err(FormatError::malformed("a stored chunk is not as long as it says")),
            Codec::Zstd => codec::decompress(self.body, plain_len)?,
            Codec::ZstdDelta | Codec::ZstdXor => {
                return Err(FormatError::malformed("a delta was read without its base"));
            }
        };
        keyring.check_chunk(self.header.id, &plaintext)?;
        Ok(plaintext)
    }

    /// Decodes a delta with the plaintext of its base and checks it against its id.
    pub fn plaintext_with_base(&self, base: &[u8], keyring: &Keyring) -> Result<Vec<u8>, FormatError> {
        let plain_len = self.header.plain_len as usize;
        let plaintext = match self.header.codec {
            Codec::ZstdDelta => codec::decompress_delta(self.body, base, plain_len)?,
            Codec::ZstdXor => codec::decompress_xor(self.body, base, plain_len)?,
            Codec::Stored | Codec::Zstd => {
                return Err(FormatError::malformed("a full chunk was read as a delta"));
            }
        };
        keyring.check_chunk(self.header.id, &plaintext)?;
        Ok(plaintext)
    }
}

/// Follows a container record by record, as its bytes come in. When it gave the trailer and nothing comes after it, every rule of
/// the format holds.
pub struct Walker {
    container: Container,
    headers: digest::Context,
    next: u32,
}

impl Walker {
    /// Reads the header: the first [`HEADER_BYTES`] of a container.
    pub fn new(kind: ContainerKind, header: &[u8], keyring: &Keyring) -> Result<Self, FormatError> {
        let container = Container::open(kind, header, keyring)?;
        let mut headers = digest::Context::new(&digest::SHA256);
        headers.update(&container.header);
        Ok(Self { container, headers, next: 0 })
    }

    /// Length of the record that begins with `clear` (at least its [`RECORD_HEADER_BYTES`]), in bytes with its header. It is within
    /// the limits of the container, and not authentic yet.
    pub fn record_bytes(&self, clear: &[u8]) -> Result<usize, FormatError> {
        parse_clear(clear)?;
        let sealed_len = u32_at(clear, 16) as usize;
        let limit = self.container.kind.sealed_bytes_max();
        if sealed_len > limit {
            return Err(FormatError::Limit {
                what: "a record",
                value: sealed_len as u64,
                limit: limit as u64,
            });
        }
        Ok(RECORD_HEADER_BYTES + sealed_len)
    }

    /// Opens the next record, in place; nothing when it is the trailer, after which no byte may come.
    pub fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<Option<Record<'a>>, FormatError> {
        let (index, record_type) = parse_clear(record)?;
        if index != self.next {
            return Err(FormatError::malformed("the records of a container are not in order"));
        }
        if record_type == TYPE_TRAILER {
            check_trailer(&self.container, record, index, self.headers.clone())?;
            return Ok(None);
        }
        if index >= RECORDS_MAX {
            return Err(FormatError::malformed("a container has too many records"));
        }
        self.next += 1;
        self.headers.update(&record[..RECORD_HEADER_BYTES]);
        self.container.open_record(record).map(Some)
    }
}

/// Follows a whole container from its first byte to its last, giving each record to `visit`. An `Ok` means that every
/// rule of the format holds.
pub fn walk(
    kind: ContainerKind,
    bytes: &mut [u8],
    keyring: &Keyring,
    mut visit: impl FnMut(u32, Record<'_>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    let length = bytes.len() as u64;
    if bytes.len() > kind.bytes_max() {
        return Err(FormatError::Limit {
            what: "a container",
            value: length,
            limit: kind.bytes_max() as u64,
        });
    }
    let mut walker = Walker::new(kind, bytes, keyring)?;
    let mut offset = HEADER_BYTES;
    loop {
        let rest = &mut bytes[offset..];
        let end = walker.record_bytes(rest).map_err(|error| at_length(error, length))?;
        let Some(record) = rest.get_mut(..end) else {
            return Err(FormatError::Truncated { place: "a record", length });
        };
        let at = u32::try_from(offset).unwrap_or(u32::MAX);
        offset += end;
        match walker.open(record)? {
            Some(record) => visit(at, record)?,
            None if length == offset as u64 => return Ok(()),
            None => return Err(FormatError::Trailing { extra: length - offset as u64 }),
        }
    }
}

/// Opens a container that holds one record, and returns its plaintext.
pub(crate) fn open_single(
    kind: ContainerKind,
    record_type: RecordType,
    bytes: &mut [u8],
    keyring: &Keyring,
) -> Result<Vec<u8>, FormatError> {
    let mut found = None;
    walk(kind, bytes, keyring, |_, record| {
        if found.is_some() || record.header.record_type != record_type {
            return Err(FormatError::malformed("a container holds another record than it should"));
        }
        found = Some(record.plaintext(keyring)?);
        Ok(())
    })?;
    found.ok_or(FormatError::malformed("a container is empty"))
}

fn check_trailer(
    container: &Container,
    record: &mut [u8],
    records: u32,
    headers: digest::Context,
) -> Result<(), FormatError> {
    let clear = &record[..RECORD_HEADER_BYTES];
    let as_it_should = clear[9] == 0
        && u32_at(clear, 12) as usize == TRAILER_BYTES
        && u32_at(clear, 16) as usize == TRAILER_BYTES + TAG_BYTES
        && chunk_id(clear) == [0; 32];
    if !as_it_should {
        return Err(FormatError::malformed("the trailer of a container is malformed"));
    }
    let plain = container.decrypt(records, record)?;
    if u32_at(plain, 0) != records || plain[4..] != *headers.finish().as_ref() {
        return Err(FormatError::malformed("the trailer of a container contradicts its records"));
    }
    Ok(())
}

/// Index and type of a record, once its clear header was checked to be whole and well-formed.
fn parse_clear(bytes: &[u8]) -> Result<(u32, u8), FormatError> {
    if bytes.len() < RECORD_HEADER_BYTES {
        return Err(FormatError::Truncated { place: "the header of a record", length: bytes.len() as u64 });
    }
    if &bytes[..4] != RECORD_MAGIC || bytes[10..12] != [0, 0] {
        return Err(FormatError::malformed("a record does not begin like one"));
    }
    if (u32_at(bytes, 16) as usize) < TAG_BYTES {
        return Err(FormatError::malformed("a record is shorter than its tag"));
    }
    Ok((u32_at(bytes, 4), bytes[8]))
}

/// A record is cut off: what counts is the length of the object.
fn at_length(error: FormatError, length: u64) -> FormatError {
    match error {
        FormatError::Truncated { place, .. } => FormatError::Truncated { place, length },
        other => other,
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

fn chunk_id(header: &[u8]) -> [u8; 32] {
    let mut id = [0; 32];
    id.copy_from_slice(&header[20..RECORD_HEADER_BYTES]);
    id
}
