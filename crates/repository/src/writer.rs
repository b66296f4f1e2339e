//! Writing a backup.
//!
//! Invariant: packs come before the manifest, and the manifest makes the backup exist. A writer that is dropped without
//! [`BackupWriter::commit`] leaves packs that nothing names, and no backup. Its intent is there as long as it is (W12).
//!
//! Chunks go through one bounded channel to a few seal threads, and finished packs through another to a few put threads, so that
//! hashing, compressing and encrypting use all cores while the store waits for its disk. Every queue and buffer has a named
//! limit, and memory does not grow with the database (except for 32 bytes for each chunk of the parent, up to a limit).

mod archive;
mod chosen;
mod chunk_store;
mod cluster;
mod commit;
mod earlier;
mod lists;
mod pack;
mod packs;
mod parent;
mod regions;
mod rows;
mod sealer;
mod shared;
mod stream;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use format::{FileRecord, Manifest, ObjectKey, PackId, StreamKind};
use model::{BackupId, Kind, QualifiedName};

use self::pack::PackBuilder;
use self::sealer::{Job, Sealer};
use self::shared::Shared;
use self::stream::Stream;
use crate::catalog::ProofKeys;
use crate::error::Problem;
use crate::intents::Announcement;
use crate::proofs::Condition;
use crate::records::Records;
use crate::{Error, LeaseToken, Repository};

pub use self::archive::ArchiveWriter;
pub use self::cluster::ClusterWriter;
pub use self::commit::{CommitFacts, Committed};
pub use self::parent::MAX_INDEXED_ENTRIES;
pub use self::regions::RegionWriter;
pub use self::rows::{PartWriter, RowStream};

/// A pack is closed when it has this many bytes (or a chunk more): 16 MiB.
pub const PACK_BYTES: usize = 16 << 20;
/// Most threads that seal. Each holds a pack of its own, so this bounds memory.
pub const MAX_SEAL_THREADS: usize = 4;
/// Threads that put packs. While one waits for a sync, another can write.
const PUT_THREADS: usize = 2;
/// Finished packs that wait for a put thread.
const WAITING_PACKS: usize = 1;
/// Chunks that wait for each seal thread.
const WAITING_CHUNKS: usize = 2;
/// Full chunks of a backup that are remembered to store equal ones once: about 8 MiB of memory.
const MAX_KNOWN_CHUNKS: usize = 1 << 16;

/// Keys of packs start so.
pub(crate) const PACKS: &str = "packs/";

/// How a backup is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Level of zstd; nothing stores chunks uncompressed.
    pub level: Option<i32>,
    /// Threads that seal, from 1 to [`MAX_SEAL_THREADS`].
    pub seal_threads: usize,
    /// A pack is closed when it has this many bytes; at most [`PACK_BYTES`].
    pub pack_bytes: usize,
    /// Whether chunks of the newest good backup of the same source and kind are used again.
    pub reuse: bool,
    /// Whether a changed chunk may be stored as its difference to a chunk of that backup.
    pub delta: bool,
}

impl Default for WriteOptions {
    /// Level 1, one seal thread for each core, with reuse and deltas.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            level: Some(1),
            seal_threads: cores.min(MAX_SEAL_THREADS),
            pack_bytes: PACK_BYTES,
            reuse: true,
            delta: true,
        }
    }
}

/// A piece of a stream of rows: whole rows of COPY text, or a part of one row that is larger than a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The text.
    pub bytes: Vec<u8>,
    /// Rows that end in it.
    pub rows: u32,
    /// Hash of the first column of its first row.
    pub key_hash: u64,
    /// Whether the next chunk goes on with the same row.
    pub continues: bool,
}

/// A backup that is being written. Streams may be written from several threads.
pub struct BackupWriter {
    id: BackupId,
    source: String,
    kind: Kind,
    parent: Option<BackupId>,
    reuse_problems: Vec<Problem>,
    shared: Arc<Shared>,
    streams: Mutex<Vec<Arc<Stream>>>,
    sealers: Vec<JoinHandle<()>>,
    putters: Vec<JoinHandle<()>>,
    /// The right without which nothing is committed.
    lease: Option<LeaseToken>,
    /// Goes away last, when no thread can put a pack any more.
    intent: Announcement,
}

impl std::fmt::Debug for BackupWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackupWriter({})", self.id)
    }
}

impl Repository {
    /// Starts to write the backup `id`.
    ///
    /// # Errors
    /// When the earlier backups cannot be listed, or a thread cannot be started. Damage in an earlier backup is no error: it
    /// is not used again ([`BackupWriter::reuse_problems`]).
    pub fn begin(
        &self,
        id: BackupId,
        source: &str,
        kind: Kind,
        options: WriteOptions,
    ) -> Result<BackupWriter, Error> {
        let records = Arc::new(Records::new(Arc::clone(&self.inner)));
        let mut problems = Vec::new();
        let chosen = if options.reuse { self.choose_parent(source, kind, &mut problems)? } else { None };
        let parent_id = chosen.as_ref().map(|chosen| &chosen.manifest.id);
        let intent = Announcement::of_writer(&self.inner, &id, parent_id)?;
        let parent = match chosen {
            Some(chosen) => self.open_parent(chosen, &records, &mut problems)?,
            None => None,
        };
        let (parent_id, parent) = parent.unzip();
        problems.extend(parent.iter().flat_map(|parent| parent.problems.iter().cloned()));

        let (finished, packs) = crossbeam_channel::bounded(WAITING_PACKS);
        let seal_threads = options.seal_threads.clamp(1, MAX_SEAL_THREADS);
        let (jobs, waiting) = crossbeam_channel::bounded(seal_threads * WAITING_CHUNKS);
        let shared = Arc::new(Shared::new(Arc::clone(&self.inner), options, records, parent, jobs, finished));
        let mut writer = BackupWriter {
            id,
            source: source.to_owned(),
            kind,
            parent: parent_id,
            reuse_problems: problems,
            shared,
            streams: Mutex::default(),
            sealers: Vec::new(),
            putters: Vec::new(),
            lease: None,
            intent,
        };
        for number in 0..PUT_THREADS {
            let (shared, packs) = (Arc::clone(&writer.shared), packs.clone());
            writer.putters.push(spawn(format!("put-{number}"), move || put_packs(&shared, &packs))?);
        }
        for number in 0..seal_threads {
            let (shared, waiting) = (Arc::clone(&writer.shared), waiting.clone());
            writer.sealers.push(spawn(format!("seal-{number}"), move || seal_chunks(&shared, &waiting))?);
        }
        Ok(writer)
    }

    /// The newest backup of the same source and kind that can be read and is not known to be bad. Where all are known to be bad,
    /// it is the newest of them, if it is logical: its chunks are found by their content, so what is wrong with it as a whole is
    /// not handed on. A cluster's regions are also taken over unread, where the server says that they did not change, so a
    /// physical backup must be good in every part. One of a cluster that was damaged already serves by content alone: else every
    /// backup would be stored in full until somebody mends the cluster.
    fn newest_good(
        &self,
        source: &str,
        kind: Kind,
        mut proofs: ProofKeys,
        damaged: &HashSet<PackId>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<(Manifest, Condition)>, Error> {
        let mut newest = None;
        for id in self.ids()? {
            let (manifest, sha256) = match self.inner.manifest(&id) {
                Ok(found) => found,
                Err(Error::Damaged(problem)) => {
                    problems.push(problem);
                    continue;
                }
                // Pruned since it was listed.
                Err(Error::NoSuchBackup { .. }) => continue,
                Err(error) => return Err(error),
            };
            if manifest.source != source || manifest.kind != kind {
                continue;
            }
            let condition = self.condition(&id, sha256, proofs.remove(&id).unwrap_or_default());
            let is_whole = || manifest.packs.iter().all(|pack| !damaged.contains(&pack.sha256));
            let serves = match (kind, condition) {
                (Kind::Logical, condition) => condition == Condition::Good,
                (Kind::Physical, Condition::Bad) => false,
                (Kind::Physical, Condition::Good | Condition::DamagedBefore) => is_whole(),
            };
            if serves {
                return Ok(Some((manifest, condition)));
            }
            if kind == Kind::Logical {
                newest.get_or_insert((manifest, condition));
            }
        }
        Ok(newest)
    }

    /// The files of a physical backup; none when the list of them is damaged.
    fn files_of(&self, manifest: &Manifest, problems: &mut Vec<Problem>) -> Vec<FileRecord> {
        if manifest.physical.is_none() {
            return Vec::new();
        }
        let files = self.read(&manifest.id).and_then(|reader| reader.files());
        files.unwrap_or_else(|error| {
            problems.push(parent::as_problem(error, format::FILES));
            Vec::new()
        })
    }

    /// The packs that are in the store, with their sizes.
    fn packs_there(&self) -> Result<HashMap<PackId, u64>, Error> {
        let listed = self.inner.store.list(PACKS)?;
        let packs = listed.iter().filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(ObjectKey::Pack(id)) => Some((id, object.size)),
            _ => None,
        });
        Ok(packs.collect())
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name).spawn(run).map_err(|source| Error::Thread { source })
}

fn put_packs(shared: &Shared, packs: &Receiver<PackBuilder>) {
    for pack in packs {
        if shared.has_failed() {
            return;
        }
        if let Err(error) = shared.put_pack(pack) {
            shared.fail(error);
            return;
        }
    }
}

fn seal_chunks(shared: &Arc<Shared>, jobs: &Receiver<Job>) {
    if let Err(error) = Sealer::new(Arc::clone(shared)).and_then(|sealer| sealer.run(jobs)) {
        shared.fail(error);
    }
}

impl BackupWriter {
    /// The id of the backup.
    pub fn id(&self) -> &BackupId {
        &self.id
    }

    /// Commits only while nobody else has taken this right (W18).
    pub fn require_lease(&mut self, token: LeaseToken) {
        self.lease = Some(token);
    }

    /// The backup whose chunks are used again.
    pub fn parent(&self) -> Option<&BackupId> {
        self.parent.as_ref()
    }

    /// What of earlier backups could not be read, and is therefore not used again. A check of those backups says more.
    pub fn reuse_problems(&self) -> &[Problem] {
        &self.reuse_problems
    }

    /// An empty buffer for [`Chunk::bytes`], used before where possible. Those of pushed chunks come back here.
    pub fn buffer(&self) -> Vec<u8> {
        self.shared.buffer()
    }

    /// Opens the stream of the rows of `table`.
    ///
    /// # Errors
    /// When a stream of that name was opened before.
    pub fn rows(&self, name: &str, table: &QualifiedName) -> Result<RowStream, Error> {
        let stream = self.open_stream(name, StreamKind::Rows, Some(table))?;
        Ok(RowStream::new(stream, Arc::clone(&self.shared)))
    }

    /// Opens an archive stream.
    ///
    /// # Errors
    /// When a stream of that name was opened before.
    pub fn archive(&self, name: &str) -> Result<ArchiveWriter, Error> {
        let stream = self.open_stream(name, StreamKind::Archive, None)?;
        Ok(ArchiveWriter::new(stream, Arc::clone(&self.shared)))
    }

    /// Opens the streams of the files of a cluster.
    ///
    /// # Errors
    /// When they were opened before.
    pub fn cluster(&self) -> Result<ClusterWriter, Error> {
        let regions = self.open_stream(format::REGIONS, StreamKind::Regions, None)?;
        Ok(ClusterWriter::new(self.archive(format::FILES)?, regions, Arc::clone(&self.shared)))
    }

    fn open_stream(
        &self,
        name: &str,
        kind: StreamKind,
        table: Option<&QualifiedName>,
    ) -> Result<Arc<Stream>, Error> {
        let parent = self.shared.parent.as_ref().and_then(|parent| parent.stream(name, table));
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.iter().any(|stream| stream.name == name) {
            return Err(Error::OpenedTwice { what: format!("stream {name:?}") });
        }
        let stream = Arc::new(Stream::new(name.to_owned(), kind, table.cloned(), parent));
        streams.push(Arc::clone(&stream));
        Ok(stream)
    }

    /// Lets go of the threads and waits for them. Afterwards no chunk is on its way.
    fn stop(&mut self) {
        self.shared.no_more_chunks();
        for thread in self.sealers.drain(..) {
            join(thread);
        }
        if let Some(pack) = self.shared.take_short_lived()
            && !self.shared.has_failed()
            && let Err(error) = self.shared.close_pack(pack)
        {
            self.shared.fail(error);
        }
        self.shared.no_more_packs();
        for thread in self.putters.drain(..) {
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        // A panic is a fault in this program, and belongs to whoever waits for the thread.
        std::panic::resume_unwind(panic);
    }
}

impl Drop for BackupWriter {
    fn drop(&mut self) {
        if !self.sealers.is_empty() {
            self.shared.fail(Error::Abandoned);
            self.stop();
        }
    }
}
