//! What the threads of one backup share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use format::{ChunkId, ListEntry, NewRecord, ObjectKey, Place};

use super::earlier::EarlierCluster;
use super::lists::write_list;
use super::pack::{FinishedPack, PackBuilder};
use super::packs::{PackTable, Spot};
use super::parent::Parent;
use super::sealer::Job;
use super::stream::Stream;
use super::{MAX_KNOWN_CHUNKS, PACK_BYTES, WriteOptions};
use crate::Error;
use crate::records::Records;
use crate::repository::{Inner, storage_key};

/// The state of a backup that is being written.
pub(super) struct Shared {
    pub(super) repository: Arc<Inner>,
    pub(super) options: WriteOptions,
    pub(super) records: Arc<Records>,
    pub(super) parent: Option<Parent>,
    pub(super) packs: PackTable,
    /// Full chunks of this backup, so that equal chunks are stored once. Bounded: what comes late is stored twice.
    known: Mutex<HashMap<ChunkId, Spot>>,
    /// The pack of deltas and lists. They die together, when the next backup writes its own, so they stay apart from full
    /// chunks, which live for long: else full chunks would be stored again only because of their neighbours.
    short_lived: Mutex<Option<PackBuilder>>,
    /// Where chunks go in. Streams that are still open elsewhere do not keep it open.
    jobs: Mutex<Option<Sender<Job>>>,
    finished_packs: Mutex<Option<Sender<PackBuilder>>>,
    buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    pack_buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    reused_bytes: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// Empty buffers that wait to be used again, at most.
const IDLE_BUFFERS: usize = 16;
/// Empty pack buffers that wait to be used again, at most.
const IDLE_PACK_BUFFERS: usize = 3;

impl Shared {
    pub(super) fn new(
        repository: Arc<Inner>,
        options: WriteOptions,
        records: Arc<Records>,
        parent: Option<Parent>,
        jobs: Sender<Job>,
        finished_packs: Sender<PackBuilder>,
    ) -> Self {
        Self {
            repository,
            options,
            records,
            parent,
            packs: PackTable::default(),
            known: Mutex::default(),
            short_lived: Mutex::default(),
            jobs: Mutex::new(Some(jobs)),
            finished_packs: Mutex::new(Some(finished_packs)),
            buffers: crossbeam_channel::bounded(IDLE_BUFFERS),
            pack_buffers: crossbeam_channel::bounded(IDLE_PACK_BUFFERS),
            reused_bytes: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    pub(super) fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        self.repository.chunk_id(plain)
    }

    /// An empty buffer, used before where possible: fresh memory costs a page fault for every 4 KiB.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.buffers.1.try_recv().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(super) fn recycle(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // A buffer that nobody waits for is freed.
        let _ = self.buffers.0.try_send(buffer);
    }

    fn recycle_pack(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let _ = self.pack_buffers.0.try_send(buffer);
    }

    /// Sends a chunk to the seal threads; blocks while they are busy. Returns `false` when they are gone.
    pub(super) fn send(&self, job: Job) -> bool {
        let sender = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sender.is_some_and(|sender| sender.send(job).is_ok())
    }

    /// Says that no more chunks will come.
    pub(super) fn no_more_chunks(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A new pack.
    pub(super) fn open_pack(&self) -> Result<PackBuilder, Error> {
        let buffer = self.pack_buffers.1.try_recv().unwrap_or_default();
        let number = self.packs.lock().open();
        PackBuilder::new(&self.repository, number, buffer)
    }

    /// Whether a pack has all that it should hold.
    pub(super) fn is_full(&self, pack: &PackBuilder) -> bool {
        pack.bytes() >= self.options.pack_bytes.min(PACK_BYTES)
    }

    /// Sends a pack on its way to the store. Blocks while too many are on their way.
    pub(super) fn close_pack(&self, pack: PackBuilder) -> Result<(), Error> {
        let sender = self.finished_packs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match sender {
            // The receivers go away only after a failure.
            Some(sender) => sender.send(pack).map_err(|_| Error::Stopped),
            // During the commit there are no put threads any more.
            None => self.put_pack(pack),
        }
    }

    /// Says that no more packs will come.
    pub(super) fn no_more_packs(&self) {
        self.finished_packs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Puts a finished pack into the store, and records its name.
    pub(super) fn put_pack(&self, pack: PackBuilder) -> Result<(), Error> {
        let FinishedPack { number, name, bytes } = pack.finish()?;
        self.repository.store.put(&storage_key(&ObjectKey::Pack(name))?, &bytes)?;
        self.packs.lock().close(number, name, bytes.len() as u64);
        self.recycle_pack(bytes);
        Ok(())
    }

    /// Appends a record to the pack of deltas and lists.
    pub(super) fn append_short_lived(&self, record: &NewRecord<'_>) -> Result<Spot, Error> {
        let mut pack = self.short_lived.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = match pack.take() {
            Some(open) => open,
            None => self.open_pack()?,
        };
        let place = open.append(record)?;
        if self.is_full(&open) {
            self.close_pack(open)?;
        } else {
            *pack = Some(open);
        }
        Ok(place)
    }

    /// The pack of deltas and lists, when there is one with anything in it.
    pub(super) fn take_short_lived(&self) -> Option<PackBuilder> {
        self.short_lived.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The place of a record of an earlier backup, noting that this backup needs its pack.
    pub(super) fn reuse(&self, place: &Place) -> Option<Spot> {
        let pack_bytes = self.parent.as_ref()?.usable(&place.pack)?;
        Some(self.packs.reuse(place, pack_bytes))
    }

    /// Whether a record of an earlier backup may be used again.
    pub(super) fn may_reuse(&self, place: &Place) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.usable(&place.pack).is_some())
    }

    /// The files of an earlier backup of the cluster.
    pub(super) fn earlier(&self) -> Option<&EarlierCluster> {
        self.parent.as_ref()?.cluster()
    }

    /// The same list in the parent.
    pub(super) fn reuse_list(&self, id: ChunkId) -> Option<Spot> {
        let (place, pack_bytes) = self.parent.as_ref()?.list(&id)?;
        Some(self.packs.reuse(&place, pack_bytes))
    }

    /// An equal full chunk of this backup.
    pub(super) fn known(&self, id: ChunkId) -> Option<Spot> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    pub(super) fn remember(&self, id: ChunkId, spot: Spot) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_KNOWN_CHUNKS {
            known.insert(id, spot);
        }
    }

    /// Seals lists of `stream` that are complete, so that their entries leave the memory.
    pub(super) fn flush_lists(&self, stream: &Stream) -> Result<(), Error> {
        while let Some((number, entries)) = {
            let packs = self.packs.lock();
            stream.take_list(false, |pack| packs.name(pack).is_some())
        } {
            stream.place_list(number, write_list(self, &stream.name, &entries)?);
        }
        Ok(())
    }

    /// The entry of a chunk that is in an earlier backup, when everything that it needs may be used again.
    pub(super) fn reuse_entry(&self, entry: &ListEntry) -> Option<(Spot, Option<Spot>)> {
        let spot = self.reuse(&entry.place)?;
        let base = match &entry.base {
            Some(base) => Some(self.reuse(base)?),
            None => None,
        };
        self.count_reused(spot.plain_bytes);
        Some((spot, base))
    }

    fn count_reused(&self, plain_bytes: u32) {
        self.reused_bytes.fetch_add(u64::from(plain_bytes), Ordering::Relaxed);
    }

    pub(super) fn reused_bytes(&self) -> u64 {
        self.reused_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Records an error that stops the backup. The first one counts. Whoever fails calls this before it lets go of its end of
    /// a channel, so that whoever notices the loose end finds the error here.
    pub(super) fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if !error.is_consequence() && !self.failed.swap(true, Ordering::Relaxed) {
            *failure = Some(error);
        }
    }

    /// The error that stopped the backup; later callers learn only that there was one.
    pub(super) fn failure(&self) -> Error {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Error::Stopped)
    }
}
