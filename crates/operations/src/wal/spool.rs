//! Segments that were fetched ahead, beside the place where the server wants them.
//!
//! Invariant: a file gets the name of a segment only when all of its bytes were authenticated and are durable, so neither a kill nor
//! a power failure leaves half a segment under such a name. The name holds a keyed hash of what the file was then (segment, inode,
//! size, time of its last change), and only while it is still so is the file given to a server: one that was changed, replaced or
//! copied from elsewhere is not. Its bytes are not read again, for that takes longer than copying them; from the moment they are
//! authenticated they are as safe as those in `pg_wal`, with the same owner on the same disk, and the server checks every record.
//! The directory is named for the cluster and the repository: what another one left behind is not seen. Nothing here ever fails a
//! fetch; without a spool it only takes longer.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
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
    /// What its file was when it came; see [`mark`].
    mark: ChunkId,
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

    /// Moves a segment out of the spool to `target`. Returns whether it did; a file that is not what it was when it came goes.
    pub(super) fn take(&self, name: WalSegmentName, target: &Path, archive: &WalArchive) -> bool {
        let entries = self.entries();
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else { return false };
        let path = self.directory.join(entry.file());
        if fs::symlink_metadata(&path).is_ok_and(|file| mark(name, &file, archive) == entry.mark) {
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
        if archive.get(WalName::Segment(name), &mut place)?.is_none() {
            return Ok(false);
        }
        // Here and not in the server, which waits for nothing then: it syncs what it restores before it relies on it.
        let file = place.sync().map_err(failed)?;
        let entry = Entry { name, mark: mark(name, &file, archive) };
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
        let (name, mark) = file.split_once('.')?;
        Some(Self { name: name.parse().ok()?, mark: mark.parse().ok()? })
    }

    fn file(&self) -> String {
        format!("{}.{}", self.name, self.mark)
    }
}

/// Tells the file of a segment from any other, and from itself after a change. The time of the last change of its inode is not in it,
/// since the file gets its name afterwards.
fn mark(name: WalSegmentName, file: &Metadata, archive: &WalArchive) -> ChunkId {
    let (seconds, nanoseconds) = (file.mtime(), file.mtime_nsec());
    let state = format!("{name} {} {} {} {seconds}.{nanoseconds:09}", file.dev(), file.ino(), file.size());
    archive.hash(state.as_bytes())
}

#[cfg(test)]
mod tests;
