//! Fetching ahead: the segments that a recovering server will ask for next.
//!
//! Invariant: it ends by itself, after a bounded number of segments or at the first that is not there; and only one process at a time
//! fetches ahead for a server.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use model::{SystemId, WalName, WalSegmentName};
use repository::{Repository, WalArchive};

use super::spool::Spool;
use super::{WalError, ahead};
use crate::{Context, Error};

/// What to fetch ahead.
#[derive(Debug, Clone)]
pub struct PrefetchRequest {
    /// The segment that the server has.
    pub after: WalSegmentName,
    /// Where the server has its WAL written to, as in [`super::FetchRequest`].
    pub target: PathBuf,
    /// The cluster.
    pub system: SystemId,
    /// Segments to have ready at most.
    pub ahead: u32,
    /// Threads that fetch.
    pub threads: usize,
}

/// What was fetched ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefetchReport {
    /// Segments that came into the spool.
    pub segments: u32,
    /// Whether somebody else was at it, so that nothing was done.
    pub was_busy: bool,
}

/// Fetches ahead.
///
/// # Errors
/// As [`super::fetch_wal`]; the server learns of them when it asks for the segment.
pub fn prefetch_wal(
    repository: &Repository,
    request: &PrefetchRequest,
    context: &Context<'_>,
) -> Result<PrefetchReport, Error> {
    let archive = repository.wal(request.system);
    let Some(head) = archive.head(WalName::Segment(request.after))? else {
        return Ok(PrefetchReport::default());
    };
    let Some(size) = head.segment_bytes else { return Ok(PrefetchReport::default()) };
    let spool = Spool::beside(&request.target, request.system, repository);
    spool.make().map_err(|error| WalError::write(&request.target, error))?;
    let Some(right) = spool.right() else { return Ok(PrefetchReport { segments: 0, was_busy: true }) };
    let mut wanted = Vec::new();
    let mut name = request.after;
    for _ in 0..ahead(request.ahead, size.bytes(), request.threads) {
        name = name.next(size);
        wanted.push(name);
    }
    spool.sweep(&right, |name| wanted.contains(&name));
    let ready: Vec<_> = spool.entries().iter().map(|entry| entry.name).collect();
    wanted.retain(|name| !ready.contains(name));
    fetch_all(&archive, &spool, &wanted, request.threads, context)
}

/// What the threads share.
struct Progress<'a> {
    wanted: std::slice::Iter<'a, WalSegmentName>,
    segments: u32,
    failure: Option<Error>,
}

fn fetch_all(
    archive: &WalArchive,
    spool: &Spool,
    wanted: &[WalSegmentName],
    threads: usize,
    context: &Context<'_>,
) -> Result<PrefetchReport, Error> {
    let progress = Mutex::new(Progress { wanted: wanted.iter(), segments: 0, failure: None });
    let lock = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    // In a function, so that the lock is not held while its result is worked on.
    let next = || lock().wanted.next();
    let work = || {
        while let Some(name) = next() {
            let fetched = spool.put(*name, context.random_bytes(), archive);
            let mut progress = lock();
            match fetched {
                Ok(true) => progress.segments += 1,
                // The archive ends here, or somebody has to look at it.
                Ok(false) => progress.wanted = [].iter(),
                Err(error) => {
                    progress.wanted = [].iter();
                    progress.failure.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let Progress { segments, failure, .. } = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(PrefetchReport { segments, was_busy: false }), Err)
}
