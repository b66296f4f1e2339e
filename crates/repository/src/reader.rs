//! Reading a backup.
//!
//! Invariant: every chunk that comes out was authenticated and has the id that the backup names. Chunks can be read by any number
//! of threads, in any order.

mod cluster;
mod fetch;
mod groups;
mod stream;

use std::sync::Arc;

use format::{ChunkId, ListEntry, Manifest, RecordType, Sha256, StreamRecord};
use model::BackupId;

use crate::cache::Cache;
use crate::records::Records;
use crate::{Error, Repository};

pub use self::fetch::Loader;
pub use self::groups::{Entries, Groups};
pub use self::stream::StreamReader;

/// Plaintexts of bases that are kept at hand, in bytes: neighbours share bases only now and then.
const BASE_CACHE_BYTES: usize = 8 << 20;

/// One backup, open for reading. A clone reads the same backup.
#[derive(Debug, Clone)]
pub struct BackupReader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    records: Records,
    manifest: Manifest,
    manifest_sha256: Sha256,
    bases: Cache<ChunkId, Arc<Vec<u8>>>,
}

impl Repository {
    /// Opens a backup for reading.
    ///
    /// # Errors
    /// [`Error::NoSuchBackup`]; [`Error::Damaged`] when its manifest is not the one that was written.
    pub fn read(&self, id: &BackupId) -> Result<BackupReader, Error> {
        let (manifest, manifest_sha256) = self.inner.manifest(id)?;
        let records = Records::new(Arc::clone(&self.inner));
        let bases = Cache::new(BASE_CACHE_BYTES);
        Ok(BackupReader { shared: Arc::new(Shared { records, manifest, manifest_sha256, bases }) })
    }
}

impl BackupReader {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The SHA-256 of the manifest object, as proofs name it.
    pub fn manifest_sha256(&self) -> Sha256 {
        self.shared.manifest_sha256
    }

    /// The entries of a stream in order. At most one list is in memory at a time.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`].
    pub fn entries(&self, stream: &str) -> Result<Entries, Error> {
        let record = self.stream_record(stream)?;
        Ok(Entries::new(self.clone(), record))
    }

    /// The entries of a stream of rows in pieces that can each be loaded by one `COPY`, in any order: several chunks of a few
    /// MiB together, or one row that is larger than a chunk.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`].
    pub fn groups(&self, stream: &str) -> Result<Groups, Error> {
        Ok(Groups::new(self.entries(stream)?))
    }

    /// The plaintext of one chunk. To read many, a [`Loader`] is faster.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what was written.
    pub fn chunk(&self, entry: &ListEntry) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        self.loader().load(std::slice::from_ref(entry), |_, bytes| {
            plain.extend_from_slice(bytes);
            Ok::<_, Error>(())
        })?;
        Ok(plain)
    }

    /// Reads many chunks with few calls to the store. Give each thread its own.
    pub fn loader(&self) -> Loader {
        Loader::new(self.clone())
    }

    /// The bytes of a stream, read ahead by threads of its own. An archive's hash is checked at its end.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`]; [`Error::Thread`].
    pub fn stream(&self, stream: &str) -> Result<StreamReader, Error> {
        StreamReader::open(self, stream)
    }

    fn stream_record(&self, stream: &str) -> Result<&StreamRecord, Error> {
        let manifest = self.manifest();
        let missing = || Error::NoSuchStream { id: manifest.id.clone(), stream: stream.to_owned() };
        manifest.stream(stream).ok_or_else(missing)
    }

    /// The full chunk at `place`, from the cache or from `bytes`, which hold its record.
    fn base(&self, place: &format::Place, bytes: &[u8]) -> Result<Arc<Vec<u8>>, Error> {
        self.shared.bases.get_or_make(&place.id, || {
            let plain = self.shared.records.open(place, RecordType::Full, &mut bytes.to_vec(), None)?;
            let weight = plain.len();
            Ok((Arc::new(plain), weight))
        })
    }
}
