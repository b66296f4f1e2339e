//! One thread that turns chunks of rows and archives into records: find it in the parent, or have it stored.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use format::{ChunkId, Place};

use super::Chunk;
use super::chunk_store::{ChunkStore, Difference};
use super::packs::Spot;
use super::shared::Shared;
use super::stream::{Entry, Stream};
use crate::Error;

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
    store: ChunkStore,
}

impl Sealer {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let store = ChunkStore::new(Arc::clone(&shared))?;
        Ok(Self { shared, store })
    }

    /// Seals chunks until there are no more, or until anything fails.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) -> Result<(), Error> {
        for job in jobs {
            if self.shared.has_failed() {
                return Ok(());
            }
            let stream = Arc::clone(&job.stream);
            self.seal(job)?;
            self.shared.flush_lists(&stream)?;
        }
        self.store.finish()
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
            return self.shared.reuse_entry(&entry);
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
            let stored = self.store.difference(&base, id, &chunk.bytes, Difference::Prefix)?;
            stream.tried_delta(stored.is_some());
            if let Some((spot, base)) = stored {
                return Ok((spot, Some(base)));
            }
        }
        Ok((self.store.full(id, &chunk.bytes)?, None))
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
}
