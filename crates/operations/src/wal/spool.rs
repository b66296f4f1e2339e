//! Segments that were fetched ahead, beside the place where the server wants them.
//!
//! Invariant: a segment is taken from the spool only when its bytes have the keyed hash in its name, so neither a power failure nor
//! anything else that happens to the file can bring a wrong byte to a server. The directory is named for the cluster and the repository:
//! what another one left behind is not seen. Nothing here ever fails a fetch; without a spool it only takes longer.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use model::{SystemId, WalName, WalSegmentName};
use repository::{ChunkId, Repository, WalArchive};

use super::WalError;
use super::place::{Place, TEMPORARY};
use crate::Error;

/// The directory beside the WAL of the server.
const DIRECTORY: &str = "chronavault-spool";
/// Held by whoever fetches ahead.
const LOCK: &str = "lock";
/// How much of a segment is read and hashed at a time, in bytes: little enough to be hashed before it leaves the cache of the
/// processor.
const READ_BYTES: usize = 256 << 10;

/// Threads that hash one segment, at most.
const MAX_HASH_THREADS: usize = 4;

/// The spool of one cluster and repository.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    directory: PathBuf,
}

/// The right to fetch ahead, until it is dropped; also when the process dies.
#[derive(Debug)]
pub(super) struct Right(#[expect(dead_code, reason = "it is held, not used")] File);

/// A segment in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: WalSegmentName,
    hash: ChunkId,
}

/// The directory beside a file of WAL that belongs to one cluster and one repository.
pub(super) fn directory_beside(wal: &Path, system: SystemId, repository: &Repository) -> PathBuf {
    wal.with_file_name(DIRECTORY).join(format!("{system}-{}", repository.id()))
}

impl Spool {
    /// The spool beside `target`, which need not exist.
    pub(super) fn beside(target: &Path, system: SystemId, repository: &Repository) -> Self {
        Self { directory: directory_beside(target, system, repository) }
    }

    /// Makes the directory, for its owner only.
    pub(super) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)
    }

    /// The segments in it, in their order.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let Ok(listed) = fs::read_dir(&self.directory) else { return Vec::new() };
        let mut entries: Vec<_> =
            listed.filter_map(|entry| Entry::parse(entry.ok()?.file_name().to_str()?)).collect();
        entries.sort_unstable_by_key(|entry| entry.name);
        entries
    }

    /// Moves a segment out of the spool to `target`. Returns whether it did; where the bytes are not what they should be, the file
    /// goes.
    pub(super) fn take(
        &self,
        name: WalSegmentName,
        target: &Path,
        archive: &WalArchive,
        threads: usize,
    ) -> bool {
        let entries = self.entries();
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else { return false };
        let path = self.directory.join(entry.file());
        if hash_of(&path, archive, threads).is_ok_and(|hash| hash == entry.hash) {
            fs::rename(&path, target).is_ok()
        } else {
            self.remove(*entry);
            false
        }
    }

    /// Whether nobody fetches ahead at the moment.
    pub(super) fn is_idle(&self) -> bool {
        self.right().is_some() || !self.directory.join(LOCK).exists()
    }

    /// The right to fetch ahead, unless somebody has it.
    pub(super) fn right(&self) -> Option<Right> {
        let file =
            File::options().create(true).write(true).truncate(false).open(self.directory.join(LOCK)).ok()?;
        match file.try_lock() {
            Ok(()) => Some(Right(file)),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        }
    }

    /// Removes what is not `wanted`, and what a killed process left half written. Only whoever has the right may do that.
    pub(super) fn sweep(&self, _right: &Right, wanted: impl Fn(WalSegmentName) -> bool) {
        for entry in self.entries().into_iter().filter(|entry| !wanted(entry.name)) {
            self.remove(entry);
        }
        let Ok(listed) = fs::read_dir(&self.directory) else { return };
        for path in listed.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.to_string_lossy().ends_with(TEMPORARY) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Puts a segment of the archive into the spool. Returns whether it is there.
    pub(super) fn put(
        &self,
        name: WalSegmentName,
        random: [u8; 8],
        archive: &WalArchive,
    ) -> Result<bool, Error> {
        let path = self.directory.join(name.to_string());
        let failed = |error| WalError::write(&path, error);
        let mut place = Place::beside(&path, random).map_err(failed)?;
        let mut hashing = Hashing::new(archive);
        let mut both = Both { place: &mut place, hashing: &mut hashing };
        if archive.get(WalName::Segment(name), &mut both)?.is_none() {
            return Ok(false);
        }
        let entry = Entry { name, hash: hashing.finish() };
        place.rename(&self.directory.join(entry.file())).map_err(failed)?;
        Ok(true)
    }

    fn remove(&self, entry: Entry) {
        // What stays is not wanted the next time either.
        let _ = fs::remove_file(self.directory.join(entry.file()));
    }
}

impl Entry {
    fn parse(file: &str) -> Option<Self> {
        let (name, hash) = file.split_once('.')?;
        Some(Self { name: name.parse().ok()?, hash: hash.parse().ok()? })
    }

    fn file(&self) -> String {
        format!("{}.{}", self.name, self.hash)
    }
}

/// The hash of a segment: that of the hashes of its parts of [`READ_BYTES`].
struct Hashing<'a> {
    archive: &'a WalArchive,
    part: Vec<u8>,
    hashes: Vec<u8>,
}

impl<'a> Hashing<'a> {
    fn new(archive: &'a WalArchive) -> Self {
        Self { archive, part: Vec::with_capacity(READ_BYTES), hashes: Vec::new() }
    }

    fn close_part(&mut self) {
        self.hashes.extend_from_slice(&self.archive.hash(&self.part).0);
        self.part.clear();
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(READ_BYTES - self.part.len()));
            self.part.extend_from_slice(now);
            if self.part.len() == READ_BYTES {
                self.close_part();
            }
            bytes = later;
        }
    }

    fn finish(mut self) -> ChunkId {
        if !self.part.is_empty() {
            self.close_part();
        }
        self.archive.hash(&self.hashes)
    }
}

/// The hash of a file, of which each thread reads a part.
fn hash_of(path: &Path, archive: &WalArchive, threads: usize) -> io::Result<ChunkId> {
    let file = &File::open(path)?;
    let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let parts = bytes.div_ceil(READ_BYTES);
    let share = parts.div_ceil(threads.clamp(1, MAX_HASH_THREADS)).max(1);
    let hashes = std::thread::scope(|scope| {
        let hash_some = |first: usize| {
            let (mut buffer, mut hashes) = (Vec::new(), Vec::new());
            for part in first..(first + share).min(parts) {
                let start = part * READ_BYTES;
                buffer.resize(READ_BYTES.min(bytes - start), 0);
                file.read_exact_at(&mut buffer, start as u64)?;
                hashes.extend_from_slice(&archive.hash(&buffer).0);
            }
            Ok::<_, io::Error>(hashes)
        };
        let threads: Vec<_> =
            (share..parts).step_by(share).map(|first| scope.spawn(move || hash_some(first))).collect();
        let mut hashes = hash_some(0)?;
        for thread in threads {
            hashes.extend(crate::crew::join(thread)?);
        }
        Ok::<_, io::Error>(hashes)
    })?;
    Ok(archive.hash(&hashes))
}

/// Writes and hashes.
struct Both<'a, 'b> {
    place: &'a mut Place,
    hashing: &'a mut Hashing<'b>,
}

impl Write for Both<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.place.write_all(bytes)?;
        self.hashing.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.place.flush()
    }
}

#[cfg(test)]
mod tests;
