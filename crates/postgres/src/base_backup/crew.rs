//! The threads that hand regions to a sink while one other receives them.
//!
//! Invariants: memory is `threads` × ([`BUFFERS_PER_THREAD`] + 1) buffers of one region each; a file is finished after its last region
//! was stored, by whichever thread stored it; the first failure of any thread ends the work of all.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use model::ClusterPath;

use super::changed_file::Patch;
use super::reread::Reread;
use crate::cluster::{ClusterError, ClusterSink, FileNumber, Region, RegionSink};

/// Regions in memory for each thread: one that it works on, one that waits for it, and one that is being filled.
const BUFFERS_PER_THREAD: usize = 3;

/// A file whose regions are on their way.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) number: FileNumber,
    pub(super) path: ClusterPath,
    /// Its size.
    pub(super) bytes: u64,
    /// Regions that were not stored yet.
    pub(super) left: AtomicU32,
}

/// A region to be stored.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: Arc<OpenFile>,
    /// Its number in the file.
    pub(super) region: u32,
    pub(super) bytes: Vec<u8>,
    /// What of the region `bytes` are: all of it, or blocks that changed.
    pub(super) patch: Option<Patch>,
}

/// Why the receiving thread stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// It failed.
    Failed(ClusterError),
    /// Another thread failed, and has the reason.
    Elsewhere,
}

impl<E: Into<ClusterError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Gives work to the crew.
#[derive(Debug)]
pub(super) struct Dispatcher<'a> {
    jobs: Sender<Job>,
    free: Receiver<Vec<u8>>,
    failed: &'a AtomicBool,
}

impl Dispatcher<'_> {
    /// An empty buffer, as soon as one is free.
    pub(super) fn buffer(&self) -> Result<Vec<u8>, Stop> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(Stop::Elsewhere);
        }
        self.free.recv().map_err(|_| Stop::Elsewhere)
    }

    pub(super) fn give(&self, job: Job) -> Result<(), Stop> {
        self.jobs.send(job).map_err(|_| Stop::Elsewhere)
    }
}

/// What all threads of the crew share.
struct Crew<'a> {
    sink: &'a dyn ClusterSink,
    reread: &'a Reread<'a>,
    jobs: Receiver<Job>,
    free: Sender<Vec<u8>>,
    failed: &'a AtomicBool,
    first_error: &'a Mutex<Option<ClusterError>>,
}

/// Runs `receive` on this thread and stores what it gives to the dispatcher on `threads` others. Returns when everything is stored.
pub(super) fn run<T>(
    sink: &dyn ClusterSink,
    reread: &Reread<'_>,
    threads: NonZeroUsize,
    receive: impl FnOnce(&Dispatcher<'_>) -> Result<T, Stop>,
) -> Result<T, ClusterError> {
    let buffers = threads.get() * BUFFERS_PER_THREAD;
    let (job_sender, jobs) = bounded(buffers);
    let (free, free_receiver) = bounded(buffers);
    for _ in 0..buffers {
        // The channel holds them all.
        let _ = free.send(Vec::new());
    }
    let failed = AtomicBool::new(false);
    let first_error = Mutex::new(None);
    let result = thread::scope(|scope| {
        let crew = Crew { sink, reread, jobs, free, failed: &failed, first_error: &first_error };
        for _ in 0..threads.get() {
            let crew = Crew { jobs: crew.jobs.clone(), free: crew.free.clone(), ..crew };
            scope.spawn(move || crew.work());
        }
        drop(crew);
        let dispatcher = Dispatcher { jobs: job_sender, free: free_receiver, failed: &failed };
        let result = receive(&dispatcher);
        if result.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        result
    });
    let first_error = first_error.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (result, first_error) {
        (Err(Stop::Failed(error)), _) | (_, Some(error)) => Err(error),
        (Ok(value), None) => Ok(value),
        // Threads end early only with an error.
        (Err(Stop::Elsewhere), None) => Err(ClusterError::Cancelled),
    }
}

impl Crew<'_> {
    fn work(&self) {
        if let Err(error) = self.take_jobs() {
            self.failed.store(true, Ordering::Relaxed);
            let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    }

    fn take_jobs(&self) -> Result<(), ClusterError> {
        let mut taker = self.sink.worker().map_err(ClusterError::Sink)?;
        let mut patched = Vec::new();
        for mut job in &self.jobs {
            if self.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.store(&mut job, taker.as_mut(), &mut patched)?;
            job.bytes.clear();
            // Nobody wants it once everything was received.
            let _ = self.free.send(job.bytes);
        }
        if self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        taker.finish().map_err(ClusterError::Sink)
    }

    /// Stores a region. `patched` is room for one that is made from an earlier one.
    fn store(
        &self,
        job: &mut Job,
        taker: &mut dyn RegionSink,
        patched: &mut Vec<u8>,
    ) -> Result<(), ClusterError> {
        let file = &job.file;
        let region = Region { file: file.number, number: job.region };
        let mut again = |offset: u64, bytes: &mut [u8]| self.reread.read(&file.path, offset, bytes);
        match &job.patch {
            None => taker.store(region, &mut job.bytes, &mut again).map_err(ClusterError::Sink)?,
            Some(patch) => {
                let is_kept = patch.unchanged && taker.keep(region).map_err(ClusterError::Sink)?;
                if !is_kept {
                    make_patched(job, patch, taker, patched)?;
                    taker.store(region, patched, &mut again).map_err(ClusterError::Sink)?;
                }
            }
        }
        if file.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.sink.finish(file.number, file.bytes).map_err(ClusterError::Sink)?;
        }
        Ok(())
    }
}

/// Makes a region of which blocks came in `made`.
fn make_patched(
    job: &Job,
    patch: &Patch,
    taker: &mut dyn RegionSink,
    made: &mut Vec<u8>,
) -> Result<(), ClusterError> {
    made.clear();
    let wanted = patch.earlier_bytes();
    if wanted > 0 {
        let region = Region { file: job.file.number, number: job.region };
        let is_there = taker.earlier(region, made).map_err(ClusterError::Sink)?;
        if !is_there || made.len() < wanted {
            return Err(ClusterError::EarlierMissing { path: job.file.path.clone() });
        }
    }
    patch.apply(made, &job.bytes);
    Ok(())
}
