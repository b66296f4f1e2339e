//! Checking a backup without restoring it.
//!
//! Invariant: a check reads and never writes, goes on after it found something, and says of each object what is wrong with it. An
//! `Err` means that the check itself could not be done.

mod contents;
mod objects;
mod rows;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use format::Manifest;
use model::BackupId;

use crate::error::{Problem, ProblemKind};
use crate::{BackupReader, Error, Repository};

/// Most problems that one check reports; a backup with so many is not going to be repaired one by one.
pub const MAX_PROBLEMS: usize = 1000;
/// Most threads of one check. Each holds some 16 MiB.
const MAX_THREADS: usize = 4;

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes looked at.
    pub done_bytes: u64,
    /// Bytes to look at.
    pub total_bytes: u64,
}

/// Told how far a check is; may stop it.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync);

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Everything that is wrong, each object once for each kind.
    pub problems: Vec<Problem>,
    /// Whether the checksum file is missing. The backup is complete without it, and it can be written again.
    pub lacks_checksums: bool,
    /// Rows whose hashes were compared (at the level `contents`).
    pub rows: u64,
}

impl Repository {
    /// Checks every object that the backup needs against its hash: its manifest, its packs, its checksum file.
    ///
    /// # Errors
    /// When there is no such backup, when the store fails, or [`Error::Cancelled`].
    pub fn check_objects(&self, id: &BackupId, progress: OnProgress<'_>) -> Result<Findings, Error> {
        let Some(reader) = self.reader_for_check(id)? else { return Ok(self.damaged_manifest(id)) };
        let check = Check::new(progress, pack_bytes(reader.manifest()));
        let lacks_checksums = objects::check(self, &reader, &check)?;
        check.finish(lacks_checksums)
    }

    /// Checks the objects, and then the content of every chunk: that it decrypts and decompresses, is the one that was written, and
    /// that the lists, the hashes of archives and the row proofs of all tables agree with it.
    ///
    /// # Errors
    /// As [`Repository::check_objects`].
    pub fn check_contents(&self, id: &BackupId, progress: OnProgress<'_>) -> Result<Findings, Error> {
        let Some(reader) = self.reader_for_check(id)? else { return Ok(self.damaged_manifest(id)) };
        let manifest = reader.manifest();
        let check = Check::new(progress, pack_bytes(manifest) + manifest.plain_bytes);
        let lacks_checksums = objects::check(self, &reader, &check)?;
        contents::check(self, &reader, &check)?;
        check.finish(lacks_checksums)
    }

    /// The reader of a backup, or nothing when its manifest is damaged.
    fn reader_for_check(&self, id: &BackupId) -> Result<Option<BackupReader>, Error> {
        match self.read(id) {
            Ok(reader) => Ok(Some(reader)),
            Err(Error::Damaged(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Without its manifest, nothing else is known of a backup.
    fn damaged_manifest(&self, id: &BackupId) -> Findings {
        let problems = match self.read(id) {
            Err(Error::Damaged(problem)) => vec![problem],
            _ => Vec::new(),
        };
        Findings { problems, ..Findings::default() }
    }
}

fn pack_bytes(manifest: &Manifest) -> u64 {
    manifest.packs.iter().map(|pack| pack.bytes).sum()
}

/// A check under way, shared by its threads.
struct Check<'a> {
    progress: OnProgress<'a>,
    done: AtomicU64,
    total: u64,
    cancelled: AtomicBool,
    rows: AtomicU64,
    problems: Mutex<Problems>,
}

#[derive(Default)]
struct Problems {
    found: Vec<Problem>,
    seen: BTreeSet<(String, ProblemKind)>,
}

impl<'a> Check<'a> {
    fn new(progress: OnProgress<'a>, total: u64) -> Self {
        Self {
            progress,
            done: AtomicU64::new(0),
            total,
            cancelled: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            problems: Mutex::default(),
        }
    }

    /// Counts bytes that were looked at.
    fn advance(&self, bytes: u64) -> Result<(), Error> {
        let done_bytes = (self.done.fetch_add(bytes, Ordering::Relaxed) + bytes).min(self.total);
        if (self.progress)(Progress { done_bytes, total_bytes: self.total }).is_break() {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn report(&self, problem: Problem) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.found.len() < MAX_PROBLEMS && problems.seen.insert((problem.object.clone(), problem.kind))
        {
            problems.found.push(problem);
        }
    }

    /// Reports what is damaged or cannot be read, and goes on; anything else ends the check.
    fn tolerate<T>(&self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Damaged(problem)) => {
                self.report(problem);
                Ok(None)
            }
            Err(Error::Store(error)) => {
                self.report(Problem::new(error.object(), ProblemKind::Unreadable, explain(&error)));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn finish(self, lacks_checksums: bool) -> Result<Findings, Error> {
        // The last step may have been too small to be told apart from the one before.
        self.advance(self.total.saturating_sub(self.done.load(Ordering::Relaxed)))?;
        let mut problems = self.problems.into_inner().unwrap_or_else(PoisonError::into_inner).found;
        problems.sort_by(|a, b| (&a.object, a.kind).cmp(&(&b.object, b.kind)));
        Ok(Findings { problems, lacks_checksums, rows: self.rows.into_inner() })
    }
}

/// An error of the store and its cause in one sentence.
fn explain(error: &storage::StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Does `work` for each item, on a few threads. The first error ends it.
fn for_each<T: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(&mut Option<crate::Loader>, T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS);
    let items = Mutex::new(items.fuse());
    let failure = Mutex::new(None);
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut loader = None;
                while failures.load(Ordering::Relaxed) == 0 {
                    let Some(item) = items.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    if let Err(error) = work(&mut loader, item) {
                        failures.fetch_add(1, Ordering::Relaxed);
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
