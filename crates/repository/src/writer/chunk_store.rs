//! Chunks into records of packs: in full, or as the difference to another chunk.

use std::sync::Arc;

use format::{ChunkId, Codec, Compressor, NewRecord, Place, RecordType};

use super::pack::{self, PackBuilder};
use super::packs::Spot;
use super::shared::Shared;
use crate::Error;

/// A delta is kept when its size is at most this part of the size of the full chunk: 1/4.
const DELTA_PART: usize = 4;

/// How a difference to a base is expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// With the base as prefix: finds what has moved.
    Prefix,
    /// Byte by byte: for what changes in place.
    Xor,
}

/// What one thread stores chunks with. It has a pack of its own.
pub(super) struct ChunkStore {
    shared: Arc<Shared>,
    /// Compresses full chunks, unless they are stored as they are.
    compressor: Option<Compressor>,
    delta: Compressor,
    pack: Option<PackBuilder>,
}

impl ChunkStore {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let new = |level| Compressor::new(level).map_err(pack::seal("a chunk"));
        let compressor = shared.options.level.map(new).transpose()?;
        Ok(Self { shared, compressor, delta: new(1)?, pack: None })
    }

    /// Stores a chunk in full, and remembers it, so that an equal one is not stored again.
    pub(super) fn full(&mut self, id: ChunkId, plain: &[u8]) -> Result<Spot, Error> {
        let mut open = match self.pack.take() {
            Some(pack) => pack,
            None => self.shared.open_pack()?,
        };
        let encoded = pack::encode(self.compressor.as_mut(), plain)?;
        let spot = open.append(&pack::record(RecordType::Full, id, plain, encoded)?)?;
        if self.shared.is_full(&open) {
            self.shared.close_pack(open)?;
        } else {
            self.pack = Some(open);
        }
        self.shared.remember(id, spot);
        Ok(spot)
    }

    /// Stores the difference to `base` when that is small, and returns the places of both.
    pub(super) fn difference(
        &mut self,
        base: &Place,
        id: ChunkId,
        plain: &[u8],
        how: Difference,
    ) -> Result<Option<(Spot, Spot)>, Error> {
        // A base that cannot be read is none: the chunk is stored in full, and a check will name the damage.
        let Ok(base_plain) = self.shared.records.read(base, RecordType::Full) else { return Ok(None) };
        // What the chunk would take in full is judged by its base, which saves compressing it twice.
        let full = plain.len() as u64 * u64::from(base.sealed_bytes) / u64::from(base.plain_bytes.max(1));
        let limit = usize::try_from(full).unwrap_or(usize::MAX) / DELTA_PART;
        let (codec, body) = match how {
            Difference::Prefix => (Codec::ZstdDelta, self.delta.compress_delta(plain, &base_plain)),
            Difference::Xor => (Codec::ZstdXor, self.delta.compress_xor(plain, &base_plain)),
        };
        let body = body.map_err(pack::seal("a chunk"))?;
        if body.len() > limit {
            return Ok(None);
        }
        let Some(base) = self.shared.reuse(base) else { return Ok(None) };
        let spot = self.shared.append_short_lived(&NewRecord {
            record_type: RecordType::Delta,
            codec,
            plain_len: pack::length(plain)?,
            id,
            base: Some(base.id),
            body,
        })?;
        Ok(Some((spot, base)))
    }

    /// Sends the pack that is being filled on its way.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        match self.pack.take() {
            Some(pack) => self.shared.close_pack(pack),
            None => Ok(()),
        }
    }
}
