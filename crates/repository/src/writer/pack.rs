//! A pack that is being filled.

use format::{Codec, Compressor, ContainerBuilder, ContainerKind, NewRecord, PackId, RecordType};

use super::packs::Spot;
use crate::Error;
use crate::repository::Inner;

/// A pack in memory, with the number that stands for it until it has a name.
pub(super) struct PackBuilder {
    number: u32,
    builder: ContainerBuilder,
}

/// A pack that is ready to be put.
pub(super) struct FinishedPack {
    pub(super) number: u32,
    pub(super) name: PackId,
    pub(super) bytes: Vec<u8>,
}

impl PackBuilder {
    /// An empty pack. `buffer` is used for its bytes.
    pub(super) fn new(repository: &Inner, number: u32, buffer: Vec<u8>) -> Result<Self, Error> {
        let salt = crate::random::salt()?;
        let builder = ContainerBuilder::new(ContainerKind::Pack, &repository.keyring, salt, buffer)
            .map_err(seal("a pack"))?;
        Ok(Self { number, builder })
    }

    pub(super) fn bytes(&self) -> usize {
        self.builder.len()
    }

    /// Seals a record at the end.
    pub(super) fn append(&mut self, record: &NewRecord<'_>) -> Result<Spot, Error> {
        let span = self.builder.append(record).map_err(seal("a chunk"))?;
        Ok(Spot {
            pack: self.number,
            offset: span.offset,
            sealed_bytes: span.sealed_len,
            plain_bytes: record.plain_len,
            id: record.id,
        })
    }

    pub(super) fn finish(self) -> Result<FinishedPack, Error> {
        let finished = self.builder.finish().map_err(seal("a pack"))?;
        Ok(FinishedPack { number: self.number, name: finished.id, bytes: finished.bytes })
    }
}

/// Body and codec of a chunk on its own: compressed where that helps.
pub(super) fn encode<'a>(
    compressor: Option<&'a mut Compressor>,
    plain: &'a [u8],
) -> Result<(Codec, &'a [u8]), Error> {
    let Some(compressor) = compressor else { return Ok((Codec::Stored, plain)) };
    let compressed = compressor.compress(plain).map_err(seal("a chunk"))?;
    Ok(if compressed.len() < plain.len() { (Codec::Zstd, compressed) } else { (Codec::Stored, plain) })
}

/// The record of a chunk.
pub(super) fn record<'a>(
    record_type: RecordType,
    id: format::ChunkId,
    plain: &[u8],
    (codec, body): (Codec, &'a [u8]),
) -> Result<NewRecord<'a>, Error> {
    Ok(NewRecord { record_type, codec, plain_len: length(plain)?, id, base: None, body })
}

/// The length of a chunk as the format writes it.
pub(super) fn length(plain: &[u8]) -> Result<u32, Error> {
    u32::try_from(plain.len()).map_err(|_| Error::TooLarge {
        what: "a chunk".to_owned(),
        bytes: plain.len() as u64,
        limit: format::CHUNK_BYTES_MAX as u64,
    })
}

/// Says what could not be sealed.
pub(super) fn seal(what: &'static str) -> impl FnOnce(format::FormatError) -> Error {
    move |source| Error::Seal { what: what.to_owned(), source }
}
