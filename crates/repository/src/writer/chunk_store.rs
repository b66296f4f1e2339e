//! Chunks into records of packs: in full, or as the difference to another chunk.

use std::sync::Arc;

use format::{ChunkId, Codec, Compressor, NewRecord, Place, RecordType};

use super::pack::{self, PackBuilder};
use super::packs::Spot;
use super::shared::Shared;
use crate::Error;

/// A delta is kept when its size is at most this part of the size of the full chunk: 1/4.
const DELTA_PART: usize = 4;

/// A difference byte by byte that takes more than this part of the chunk (1/64) is compared with one that knows what has moved.
/// Measured on pages of a ledger: 137 kB for what changed in place, and 7.4 MB instead of 0.4 MB for compacted pages.
const GOOD_IN_PLACE: usize = 64;

/// How a difference to a base is expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// With the base as prefix: finds what has moved.
    Prefix,
    /// Byte by byte, for what changes in place; with the base as prefix where that does not suffice, because something has moved:
    /// the server compacts a page when it removes dead rows from it.
    InPlace,
}

/// What one thread stores chunks with. It has a pack of its own.
pub(super) struct ChunkStore {
    shared: Arc<Shared>,
    /// Compresses full chunks, unless they are stored as they are.
    compressor: Option<Compressor>,
    differences: Differences,
    pack: Option<PackBuilder>,
}

impl ChunkStore {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let new = |level| Compressor::new(level).map_err(pack::seal("a chunk"));
        let compressor = shared.options.level.map(new).transpose()?;
        let differences = Differences { prefix: new(1)?, in_place: new(1)? };
        Ok(Self { shared, compressor, differences, pack: None })
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
        let (codec, body) = self.differences.express(plain, &base_plain, how)?;
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

/// Expresses chunks as differences.
struct Differences {
    prefix: Compressor,
    in_place: Compressor,
}

impl Differences {
    /// The difference of `plain` to `base`, encoded.
    fn express(&mut self, plain: &[u8], base: &[u8], how: Difference) -> Result<(Codec, &[u8]), Error> {
        if how == Difference::InPlace {
            let limit = plain.len() / GOOD_IN_PLACE;
            let in_place = self.in_place.compress_xor(plain, base).map_err(pack::seal("a chunk"))?.len();
            let moved = match in_place {
                length if length <= limit => None,
                _ => Some(self.prefix.compress_delta(plain, base).map_err(pack::seal("a chunk"))?.len()),
            };
            if moved.is_none_or(|moved| moved >= in_place) {
                return Ok((Codec::ZstdXor, self.in_place.output()));
            }
            return Ok((Codec::ZstdDelta, self.prefix.output()));
        }
        let body = self.prefix.compress_delta(plain, base).map_err(pack::seal("a chunk"))?;
        Ok((Codec::ZstdDelta, body))
    }
}
