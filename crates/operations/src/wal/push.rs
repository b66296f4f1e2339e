//! Pushing WAL into the archive, for `archive_command`.
//!
//! Invariant: `Ok` means that the file which was asked for is durable in the repository. Segments that the server will ask for next
//! are taken along, several at the same time; when one of them fails, the server asks for it again and learns why.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{SEGMENT_HEADER_BYTES, SegmentHeader, SystemId, WalName, WalSegmentName};
use repository::{Repository, Stored, WAL_TEXT_BYTES_MAX, WalArchive, WalOptions, WalSource};

use super::acknowledged::Acknowledged;
use super::{WalError, ahead, cluster};
use crate::context::elapsed;
use crate::{Context, Error};

/// Where the server notes what is ready to be archived, beside the WAL.
const STATUS_DIRECTORY: &str = "archive_status";
const READY: &str = ".ready";

/// What to push.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The file, named as PostgreSQL names it.
    pub path: PathBuf,
    /// The cluster, where it is known; otherwise a segment itself says it, and for other files the control file.
    pub system: Option<SystemId>,
    /// Segments to take along at most.
    pub ahead: u32,
    /// Threads that compress.
    pub threads: usize,
    /// zstd level, or nothing to store without compression.
    pub level: Option<i32>,
}

/// What was pushed.
#[derive(Debug)]
pub struct PushReport {
    /// What was asked for.
    pub name: WalName,
    /// The cluster.
    pub system: SystemId,
    /// Whether it is new. One that was taken along before, and whose file is untouched since, is not compared once more.
    pub stored: Stored,
    /// Its length in bytes.
    pub bytes: u64,
    /// Segments that were taken along and are in the archive, too.
    pub ahead: Vec<WalSegmentName>,
    /// Why one of them is not. The others after it were not tried.
    pub failed_ahead: Option<Error>,
    /// How long it took.
    pub duration: Duration,
}

/// Pushes a file of WAL.
///
/// # Errors
/// [`repository::Error::WalDiffers`] when other bytes are archived under its name; [`WalError`] when the file is not what its name
/// says.
pub fn push_wal(
    repository: &Repository,
    request: &PushRequest,
    context: &Context<'_>,
) -> Result<PushReport, Error> {
    let started_at = context.now();
    let name = name_of(&request.path)?;
    let file = WalFile::open(&request.path)?;
    let header = match name {
        WalName::Segment(_) | WalName::Partial(_) => Some(file.header(&request.path)?),
        WalName::History(_) | WalName::Backup(..) => None,
    };
    let system = match (request.system, &header) {
        (Some(system), _) => system,
        (None, Some(header)) => header.system,
        (None, None) => cluster::system_of(&request.path)?,
    };
    let archive = repository.wal(system);
    let notes = Acknowledged::beside(&request.path, system, repository);
    let first = First { name, header, file: &file, path: &request.path };
    let pushed = match (name, &header) {
        (WalName::Segment(segment), Some(header)) => {
            let is_there = archive.head(name)?.is_some();
            let pushed = if is_there && notes.holds(segment, &file.metadata) {
                Pushed { stored: Stored::Same, ahead: Vec::new(), failed_ahead: None }
            } else {
                // What comes after a segment that is there was taken along with it, as far as it was ready.
                let most = if is_there { 0 } else { request.ahead };
                let most = ahead(most, header.segment_size.bytes(), request.threads);
                let next = ready_after(&request.path, segment, most);
                push_all(&archive, request, &first, next, &notes, context)?
            };
            notes.forget(segment);
            pushed
        }
        _ => push_all(&archive, request, &first, VecDeque::new(), &notes, context)?,
    };
    Ok(PushReport {
        name,
        system,
        stored: pushed.stored,
        bytes: file.len(),
        ahead: pushed.ahead,
        failed_ahead: pushed.failed_ahead,
        duration: elapsed(started_at, context),
    })
}

/// The file that was asked for.
struct First<'a> {
    name: WalName,
    header: Option<SegmentHeader>,
    file: &'a WalFile,
    path: &'a Path,
}

struct Pushed {
    stored: Stored,
    ahead: Vec<WalSegmentName>,
    failed_ahead: Option<Error>,
}

/// Pushes the first file on this thread, and what is ready after it on others. Where there is nothing else to do, all threads
/// compress the first.
fn push_all(
    archive: &WalArchive,
    request: &PushRequest,
    first: &First<'_>,
    next: VecDeque<WalSegmentName>,
    notes: &Acknowledged,
    context: &Context<'_>,
) -> Result<Pushed, Error> {
    let threads = if next.is_empty() { request.threads } else { 1 };
    let archive = archive.clone().with_options(WalOptions { level: request.level, threads });
    let queue = Mutex::new(Queue { next, ahead: Vec::new(), failed: None });
    let work = || {
        while let Some(segment) = Queue::take(&queue) {
            let path = request.path.with_file_name(segment.to_string());
            let result = push_ahead(&archive, &path, segment, notes, context);
            Queue::note(&queue, segment, result);
        }
    };
    let stored = std::thread::scope(|scope| {
        for _ in 1..request.threads.max(1) {
            scope.spawn(work);
        }
        let stored = put(&archive, first, context);
        if stored.is_err() {
            // Somebody has to look at this; the others can wait.
            Queue::lock(&queue).next.clear();
        }
        work();
        stored
    })?;
    let Queue { mut ahead, failed, .. } = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    ahead.sort_unstable();
    Ok(Pushed { stored, ahead, failed_ahead: failed })
}

/// Segments that wait to be taken along, and what became of the others.
struct Queue {
    next: VecDeque<WalSegmentName>,
    ahead: Vec<WalSegmentName>,
    failed: Option<Error>,
}

impl Queue {
    fn lock(queue: &Mutex<Self>) -> std::sync::MutexGuard<'_, Self> {
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(queue: &Mutex<Self>) -> Option<WalSegmentName> {
        Self::lock(queue).next.pop_front()
    }

    fn note(queue: &Mutex<Self>, segment: WalSegmentName, result: Result<(), Error>) {
        let mut queue = Self::lock(queue);
        match result {
            Ok(()) => queue.ahead.push(segment),
            Err(error) => {
                queue.next.clear();
                queue.failed.get_or_insert(error);
            }
        }
    }
}

fn put(archive: &WalArchive, first: &First<'_>, context: &Context<'_>) -> Result<Stored, Error> {
    let now = context.now();
    let stored = match (first.name, &first.header) {
        (WalName::Segment(segment), Some(header)) => {
            archive.put_segment_from(segment, header.segment_size, first.file, now)
        }
        (WalName::Partial(segment), Some(header)) => {
            archive.put_partial_from(segment, header.segment_size, first.file, now)
        }
        (WalName::Backup(segment, offset), _) => {
            archive.put_backup(segment, offset, &first.file.text(first.path)?, now)
        }
        (name, _) => archive.put_history(name.timeline(), &first.file.text(first.path)?, now),
    };
    stored.map_err(|error| reading(first.path, error))
}

fn push_ahead(
    archive: &WalArchive,
    path: &Path,
    segment: WalSegmentName,
    notes: &Acknowledged,
    context: &Context<'_>,
) -> Result<(), Error> {
    let file = WalFile::open(path)?;
    let size = file.header(path)?.segment_size;
    let stored = archive.put_segment_from(segment, size, &file, context.now());
    stored.map_err(|error| reading(path, error))?;
    notes.note(segment, &file.metadata);
    Ok(())
}

/// The same error with the file that could not be read.
fn reading(path: &Path, error: repository::Error) -> Error {
    match error {
        repository::Error::Source(source) => WalError::read(path, source).into(),
        error => error.into(),
    }
}

/// A file of WAL that is being read.
struct WalFile {
    file: File,
    /// From before the first byte was read.
    metadata: Metadata,
}

impl WalFile {
    fn open(path: &Path) -> Result<Self, WalError> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            Ok(Self { file, metadata })
        };
        open().map_err(|error| WalError::read(path, error))
    }

    fn header(&self, path: &Path) -> Result<SegmentHeader, WalError> {
        let mut bytes = vec![0; SEGMENT_HEADER_BYTES.min(usize::try_from(self.len()).unwrap_or(usize::MAX))];
        self.read_at(0, &mut bytes).map_err(|error| WalError::read(path, error))?;
        SegmentHeader::parse(&bytes).map_err(|source| WalError::NotSegment { path: path.to_owned(), source })
    }

    /// All of it. One that is longer than it may be is cut behind that, and then refused for its length.
    fn text(&self, path: &Path) -> Result<Vec<u8>, WalError> {
        let most = self.len().min(WAL_TEXT_BYTES_MAX + 1);
        let mut bytes = vec![0; usize::try_from(most).unwrap_or_default()];
        self.read_at(0, &mut bytes).map_err(|error| WalError::read(path, error))?;
        Ok(bytes)
    }
}

impl WalSource for WalFile {
    fn len(&self) -> u64 {
        self.metadata.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// The name that a path ends in.
fn name_of(path: &Path) -> Result<WalName, WalError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.parse().map_err(|source| WalError::Name { path: path.to_owned(), source })
}

/// The segments after `segment` on its timeline that the server waits to have archived, in their order. Where that cannot be
/// found out, there are none.
fn ready_after(path: &Path, segment: WalSegmentName, most: u32) -> VecDeque<WalSegmentName> {
    let Ok(entries) = fs::read_dir(path.with_file_name(STATUS_DIRECTORY)) else { return VecDeque::new() };
    let names = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_suffix(READY)?.parse::<WalSegmentName>().ok()
    });
    let mut ready: Vec<_> =
        names.filter(|name| name.timeline == segment.timeline && *name > segment).collect();
    ready.sort_unstable();
    ready.truncate(most as usize);
    ready.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_after_a_segment_is_found_in_order_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let status = directory.path().join(STATUS_DIRECTORY);
        fs::create_dir(&status).unwrap();
        for name in [
            "000000010000000000000002.ready",
            "000000010000000000000005.ready",
            "000000010000000000000004.ready",
            "000000010000000000000003.ready",
            "000000010000000000000006.done",
            "000000010000000000000007.partial.ready",
            "000000010000000000000003.00000028.backup.ready",
            "000000020000000000000004.ready",
            "00000002.history.ready",
            "x.ready",
        ] {
            fs::write(status.join(name), b"").unwrap();
        }
        let path = directory.path().join("000000010000000000000003");
        let found = |most| {
            let found = ready_after(&path, "000000010000000000000003".parse().unwrap(), most);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(9), ["000000010000000000000004", "000000010000000000000005"]);
        assert_eq!(found(1), ["000000010000000000000004"]);
        assert_eq!(found(0), [""; 0]);
        let elsewhere = Path::new("/nowhere/000000010000000000000003");
        assert!(ready_after(elsewhere, "000000010000000000000003".parse().unwrap(), 9).is_empty());
    }

    #[test]
    fn large_segments_are_not_taken_along() {
        assert_eq!(ahead(16, 16 << 20, 2), 16);
        assert_eq!(ahead(16, 16 << 20, 4), 16);
        assert_eq!(ahead(16, 64 << 20, 2), 0);
        assert_eq!(ahead(16, 1 << 30, 1), 0);
    }
}
