//! One thread that turns chunks into records: find it in the parent, or store its difference, or store it in full.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use format::{ChunkId, Codec, Compressor, NewRecord, Place, RecordType};

use super::Chunk;
use super::lists::write_list;
use super::pack::{self, PackBuilder};
use super::packs::Spot;
use super::shared::Shared;
use super::stream::{Entry, Stream};
use crate::Error;

/// A delta is kept when its size is at most this part of the size of the full chunk: 1/4.
const DELTA_PART: usize = 4;

/// One chunk on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) stream: Arc<Stream>,
    pub(super) part: u32,
    pub(super) sequence: u32,
    pub(super) chunk: Chunk,
}

/// What one thread owns.
pub(super) struct Sealer {
    shared: Arc<Shared>,
    /// Compresses full chunks, unless they are stored as they are.
    compressor: Option<Compressor>,
    delta: Compressor,
    pack: Option<PackBuilder>,
}

impl Sealer {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let new = |level| Compressor::new(level).map_err(pack::seal("a chunk"));
        let compressor = shared.options.level.map(new).transpose()?;
        Ok(Self { shared, compressor, delta: new(1)?, pack: None })
    }

    /// Seals chunks until there are no more, or until anything fails.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> Result<(), Error> {
        for job in jobs {
            if self.shared.has_failed() {
                return Ok(());
            }
            let stream = Arc::clone(&job.stream);
            self.seal(job)?;
            self.flush_lists(&stream)?;
        }
        match self.pack.take() {
            Some(pack) => self.shared.close_pack(pack),
            None => Ok(()),
        }
    }

    fn seal(&mut self, job: Job) -> Result<(), Error> {
        let Job { stream, part, sequence, chunk } = job;
        let id = self.shared.chunk_id(&chunk.bytes);
        let (spot, base) = match self.find(&stream, part, sequence, id) {
            Some(found) => found,
            None => self.store(&stream, part, sequence, id, &chunk)?,
        };
        let entry =
            Entry { spot, rows: chunk.rows, key_hash: chunk.key_hash, continues: chunk.continues, base };
        stream.insert(part, sequence, entry);
        self.shared.recycle(chunk.bytes);
        Ok(())
    }

    /// The chunk where it is already: earlier in this backup, or in the parent.
    fn find(&self, stream: &Stream, part: u32, sequence: u32, id: ChunkId) -> Option<(Spot, Option<Spot>)> {
        let in_parent = stream.parent.as_ref().and_then(|parent| parent.find(&id));
        if let Some((position, entry)) = in_parent {
            stream.matched(part, sequence, position);
            let spot = self.shared.reuse(&entry.place)?;
            let base = match &entry.base {
                Some(base) => Some(self.shared.reuse(base)?),
                None => None,
            };
            self.shared.count_reused(spot.plain_bytes);
            return Some((spot, base));
        }
        self.shared.known(id).map(|spot| (spot, None))
    }

    fn store(
        &mut self,
        stream: &Stream,
        part: u32,
        sequence: u32,
        id: ChunkId,
        chunk: &Chunk,
    ) -> Result<(Spot, Option<Spot>), Error> {
        if let Some(base) = self.base_for(stream, part, sequence, chunk) {
            let stored = self.store_delta(&base, id, &chunk.bytes)?;
            stream.tried_delta(stored.is_some());
            if let Some((spot, base)) = stored {
                return Ok((spot, Some(base)));
            }
        }
        let spot = self.store_full(id, &chunk.bytes)?;
        self.shared.remember(id, spot);
        Ok((spot, None))
    }

    /// The chunk of the parent that this one most likely grew out of: the one that starts with the same row, else the one at the
    /// same place.
    fn base_for(&self, stream: &Stream, part: u32, sequence: u32, chunk: &Chunk) -> Option<Place> {
        let parent = stream.parent.as_ref()?;
        if !self.shared.options.delta || !stream.may_try_delta(sequence) {
            return None;
        }
        let by_key = if stream.table.is_some() { parent.find_key(chunk.key_hash) } else { None };
        if let Some(position) = by_key {
            stream.matched(part, sequence, position);
        }
        let position = by_key.or_else(|| stream.expected_position(part, sequence))?;
        parent.base_at(position)
    }

    /// Stores the difference to `base` when that is small, and returns the places of both.
    fn store_delta(
        &mut self,
        base: &Place,
        id: ChunkId,
        plain: &[u8],
    ) -> Result<Option<(Spot, Spot)>, Error> {
        // A base that cannot be read is none: the chunk is stored in full, and a check will name the damage.
        let Ok(base_plain) = self.shared.records.read(base, RecordType::Full) else { return Ok(None) };
        // What the chunk would take in full is judged by its base, which saves compressing it twice.
        let full = plain.len() as u64 * u64::from(base.sealed_bytes) / u64::from(base.plain_bytes.max(1));
        let limit = usize::try_from(full).unwrap_or(usize::MAX) / DELTA_PART;
        let body = self.delta.compress_delta(plain, &base_plain).map_err(pack::seal("a chunk"))?;
        if body.len() > limit {
            return Ok(None);
        }
        let Some(base) = self.shared.reuse(base) else { return Ok(None) };
        let spot = self.shared.append_short_lived(&NewRecord {
            record_type: RecordType::Delta,
            codec: Codec::ZstdDelta,
            plain_len: pack::length(plain)?,
            id,
            base: Some(base.id),
            body,
        })?;
        Ok(Some((spot, base)))
    }

    fn store_full(&mut self, id: ChunkId, plain: &[u8]) -> Result<Spot, Error> {
        let mut open = match self.pack.take() {
            Some(pack) => pack,
            None => self.shared.open_pack()?,
        };
        let spot = open.append(&pack::record(
            RecordType::Full,
            id,
            plain,
            pack::encode(self.compressor.as_mut(), plain)?,
        )?)?;
        if self.shared.is_full(&open) {
            self.shared.close_pack(open)?;
        } else {
            self.pack = Some(open);
        }
        Ok(spot)
    }

    /// Seals lists that are complete, so that their entries leave the memory.
    fn flush_lists(&self, stream: &Stream) -> Result<(), Error> {
        while let Some((number, entries)) = {
            let packs = self.shared.packs.lock();
            stream.take_list(false, |pack| packs.name(pack).is_some())
        } {
            stream.place_list(number, write_list(&self.shared, &stream.name, &entries)?);
        }
        Ok(())
    }
}
