//! Regions of the files of a cluster: taken from the earlier backup, or stored, by the thread that read them.

use std::sync::Arc;

use format::{ChunkId, ListEntry, RecordType};

use super::chunk_store::{ChunkStore, Difference};
use super::cluster::ClusterWriter;
use super::earlier::Span;
use super::packs::Spot;
use super::shared::Shared;
use super::stream::Entry;
use crate::Error;

/// Deltas of one file in a row that were not worth it, after which only one region in as many is tried.
const PATIENCE: u32 = 8;
/// Regions between two looks for lists that are complete.
const FLUSH_INTERVAL: u32 = 256;

/// Writes regions from one thread.
pub struct RegionWriter<'a> {
    cluster: &'a ClusterWriter,
    shared: Arc<Shared>,
    store: ChunkStore,
    file: Option<CurrentFile>,
    since_flush: u32,
}

/// The file of the last region.
struct CurrentFile {
    number: u32,
    span: Option<Span>,
    /// Deltas that were not worth it, since the last one that was.
    misses: u32,
}

impl std::fmt::Debug for RegionWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegionWriter({:?})", self.cluster)
    }
}

impl<'a> RegionWriter<'a> {
    pub(super) fn new(cluster: &'a ClusterWriter, shared: Arc<Shared>) -> Result<Self, Error> {
        let store = ChunkStore::new(Arc::clone(&shared))?;
        Ok(Self { cluster, shared, store, file: None, since_flush: 0 })
    }

    /// Writes a region. When it is not what the earlier backup has at this place, `inspect` is shown its bytes first, and says
    /// whether it changed them.
    ///
    /// # Errors
    /// When the backup has failed; the first caller to learn of a failure gets its cause, others [`Error::Stopped`].
    pub fn store(
        &mut self,
        file: u32,
        region: u32,
        bytes: &mut [u8],
        inspect: &mut dyn FnMut(&mut [u8]) -> bool,
    ) -> Result<(), Error> {
        self.check()?;
        let earlier = self.earlier_entry(file, region);
        let mut id = self.shared.chunk_id(bytes);
        if let Some(kept) = self.reuse_as(earlier.as_ref(), id) {
            return self.insert(file, region, kept);
        }
        if inspect(bytes) {
            id = self.shared.chunk_id(bytes);
        }
        if let Some(kept) = self.reuse_as(earlier.as_ref(), id) {
            return self.insert(file, region, kept);
        }
        let stored = match self.shared.known(id) {
            Some(spot) => (spot, None),
            None => self.store_new(earlier.as_ref(), region, id, bytes)?,
        };
        self.insert(file, region, stored)
    }

    /// The bytes of a region in the earlier backup. Returns whether there are any that can be used.
    ///
    /// # Errors
    /// When the backup has failed.
    pub fn earlier(&mut self, file: u32, region: u32, bytes: &mut Vec<u8>) -> Result<bool, Error> {
        self.check()?;
        let Some(entry) = self.unread_entry(file, region) else { return Ok(false) };
        let records = &self.shared.records;
        // What cannot be read is as good as not there: whoever asks then reads the region from the cluster.
        let plain = match &entry.base {
            None => records.read(&entry.place, RecordType::Full),
            Some(base) => records
                .read(base, RecordType::Full)
                .and_then(|plain| records.read_delta(&entry.place, base, &plain)),
        };
        let Ok(plain) = plain else { return Ok(false) };
        *bytes = plain;
        Ok(true)
    }

    /// Takes a region as the earlier backup has it. Returns whether that can be done.
    ///
    /// # Errors
    /// When the backup has failed.
    pub fn keep(&mut self, file: u32, region: u32) -> Result<bool, Error> {
        self.check()?;
        let Some(entry) = self.unread_entry(file, region) else { return Ok(false) };
        match self.shared.reuse_entry(&entry) {
            Some(kept) => self.insert(file, region, kept).map(|()| true),
            None => Ok(false),
        }
    }

    /// Everything that this thread had was written.
    ///
    /// # Errors
    /// When the backup has failed.
    pub fn finish(mut self) -> Result<(), Error> {
        self.check()?;
        self.store.finish().map_err(|error| self.explain(error))
    }

    fn check(&self) -> Result<(), Error> {
        if self.shared.has_failed() { Err(self.shared.failure()) } else { Ok(()) }
    }

    /// An error that is only a consequence gives way to its cause.
    fn explain(&self, error: Error) -> Error {
        if error.is_consequence() { self.shared.failure() } else { error }
    }

    /// The span of `file` in the earlier backup; makes it the current file.
    fn enter(&mut self, file: u32) -> Option<Span> {
        match &self.file {
            Some(current) if current.number == file => current.span,
            _ => {
                let span = self.cluster.earlier_span(file);
                self.file = Some(CurrentFile { number: file, span, misses: 0 });
                span
            }
        }
    }

    fn earlier_entry(&mut self, file: u32, region: u32) -> Option<ListEntry> {
        let span = self.enter(file);
        self.cluster.earlier_entry(span, region)
    }

    /// The entry of a region whose bytes may be taken for those of the cluster.
    fn unread_entry(&mut self, file: u32, region: u32) -> Option<ListEntry> {
        if self.cluster.serves_unread() { self.earlier_entry(file, region) } else { None }
    }

    /// The places of an earlier chunk, if it is the chunk `id` and may be used again.
    fn reuse_as(&self, earlier: Option<&ListEntry>, id: ChunkId) -> Option<(Spot, Option<Spot>)> {
        earlier.filter(|entry| entry.place.id == id).and_then(|entry| self.shared.reuse_entry(entry))
    }

    fn store_new(
        &mut self,
        earlier: Option<&ListEntry>,
        region: u32,
        id: ChunkId,
        bytes: &[u8],
    ) -> Result<(Spot, Option<Spot>), Error> {
        let misses = self.file.as_ref().map_or(0, |current| current.misses);
        let may_try = self.shared.options.delta && (misses < PATIENCE || region.is_multiple_of(PATIENCE));
        let base = earlier.filter(|_| may_try).map(|entry| entry.base.unwrap_or(entry.place));
        if let Some(base) = base.filter(|base| self.shared.may_reuse(base)) {
            let stored = self.store.difference(&base, id, bytes, Difference::InPlace);
            let stored = stored.map_err(|error| self.explain(error))?;
            if let Some(current) = &mut self.file {
                current.misses = if stored.is_some() { 0 } else { misses.saturating_add(1) };
            }
            if let Some((spot, base)) = stored {
                return Ok((spot, Some(base)));
            }
        }
        let spot = self.store.full(id, bytes).map_err(|error| self.explain(error))?;
        Ok((spot, None))
    }

    fn insert(&mut self, file: u32, region: u32, (spot, base): (Spot, Option<Spot>)) -> Result<(), Error> {
        let entry = Entry { spot, rows: 0, key_hash: 0, continues: false, base };
        self.cluster.stream().insert(file, region, entry);
        self.since_flush += 1;
        if self.since_flush < FLUSH_INTERVAL {
            return Ok(());
        }
        self.since_flush = 0;
        self.shared.flush_lists(self.cluster.stream()).map_err(|error| self.explain(error))
    }
}
