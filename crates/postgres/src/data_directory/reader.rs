//! Hands files to a sink, with several threads.
//!
//! Invariants: files are named in their order, each one after it was opened, so that one that vanished before is not named at all. A
//! file has the bytes that it had when it was opened: what is added later is not read. Where one of several regions got shorter, zeros
//! take the place of what is gone, as in a base backup of the server: replay of the WAL cuts them off.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use model::ClusterPath;

use super::changes::Changes;
use super::listing::{Place, failed};
use super::open_file::{self, OpenFile};
use crate::cluster::{ClusterError, ClusterFile, ClusterSink, FileNumber, Region, RegionSink};

/// Time between two looks whether the server still keeps the backup.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Reads files into a sink.
pub(super) struct Reader<'a> {
    sink: &'a dyn ClusterSink,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    threads: NonZeroUsize,
    /// Bytes of a page: what is cut off is cut off at one.
    block_bytes: u32,
    /// What has changed since the earlier backup, if that is known.
    changes: Option<Changes>,
}

/// What is still to be read.
struct Queue<'a> {
    head: Mutex<Head<'a>>,
    /// Somebody failed.
    stopped: AtomicBool,
}

struct Head<'a> {
    files: std::slice::Iter<'a, Place>,
    /// The file whose regions are handed out, and the next one of them.
    open: Option<(Arc<Task<'a>>, u32)>,
}

struct Task<'a> {
    place: &'a Place,
    file: OpenFile,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        sink: &'a dyn ClusterSink,
        cancelled: &'a (dyn Fn() -> bool + Sync),
        threads: NonZeroUsize,
        block_bytes: u32,
    ) -> Self {
        Self { sink, cancelled, threads, block_bytes, changes: None }
    }

    /// Takes what did not change from the earlier backup.
    pub(super) fn knowing(self, changes: Option<Changes>) -> Self {
        Self { changes, ..self }
    }

    /// Reads `files`. `still_there` is asked now and then whether to go on.
    pub(super) fn read(
        &self,
        files: &[Place],
        still_there: &mut dyn FnMut() -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        let head = Head { files: files.iter(), open: None };
        let queue = Queue { head: Mutex::new(head), stopped: AtomicBool::new(false) };
        let (done, results) = crossbeam_channel::bounded(self.threads.get());
        thread::scope(|scope| {
            for _ in 0..self.threads.get() {
                let (done, queue) = (done.clone(), &queue);
                // The receiver outlives the threads.
                scope.spawn(move || drop(done.send(self.work(queue))));
            }
            drop(done);
            let mut outcome = Ok(());
            loop {
                let result = match results.recv_timeout(CHECK_INTERVAL) {
                    Ok(result) => result,
                    Err(RecvTimeoutError::Timeout) => still_there(),
                    Err(RecvTimeoutError::Disconnected) => return outcome,
                };
                if result.is_err() {
                    queue.stopped.store(true, Ordering::Relaxed);
                    outcome = outcome.and(result);
                }
            }
        })
    }

    /// Hands over a file of which we have the bytes.
    pub(super) fn give(&self, path: &ClusterPath, mode: u32, bytes: &[u8]) -> Result<(), ClusterError> {
        let file = ClusterFile { path: path.clone(), mode, bytes: bytes.len() as u64 };
        let number = self.sink.file(&file).map_err(ClusterError::Sink)?;
        if !bytes.is_empty() {
            let mut worker = self.sink.worker().map_err(ClusterError::Sink)?;
            let mut buffer = bytes.to_vec();
            for (region, bytes) in (0..).zip(buffer.chunks_mut(self.sink.region_bytes() as usize)) {
                let region = Region { file: number, number: region };
                worker.store(region, bytes, &mut |_, _| false).map_err(ClusterError::Sink)?;
            }
            worker.finish().map_err(ClusterError::Sink)?;
        }
        self.sink.finish(number, file.bytes).map_err(ClusterError::Sink)
    }

    fn work(&self, queue: &Queue<'_>) -> Result<(), ClusterError> {
        let mut worker = self.sink.worker().map_err(ClusterError::Sink)?;
        let mut buffer = vec![0; self.sink.region_bytes() as usize];
        while let Some((task, region)) = self.take(queue)? {
            self.read_region(worker.as_mut(), &task, region, &mut buffer)?;
        }
        if queue.stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        worker.finish().map_err(ClusterError::Sink)
    }

    /// The next region to read. Opens the next file when the last one is handed out.
    fn take<'q>(&self, queue: &Queue<'q>) -> Result<Option<(Arc<Task<'q>>, u32)>, ClusterError> {
        if (self.cancelled)() {
            return Err(ClusterError::Cancelled);
        }
        // A thread that panics takes all others with it, at the end of the scope.
        let mut head = queue.head.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.stopped.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if let Some((task, next)) = &mut head.open
                && *next < task.file.regions()
            {
                *next += 1;
                return Ok(Some((Arc::clone(task), *next - 1)));
            }
            let Some(place) = head.files.next() else { return Ok(None) };
            head.open = self.open(place)?.map(|task| (Arc::new(task), 0));
        }
    }

    /// Opens a file and names it to the sink; nothing if it is gone or has no bytes.
    fn open<'q>(&self, place: &'q Place) -> Result<Option<Task<'q>>, ClusterError> {
        let (file, metadata) = match open_file::open(&place.file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !place.required => return Ok(None),
            Err(error) => return Err(failed(&place.file, error)),
        };
        let bytes = metadata.len();
        if place.required && bytes != place.bytes {
            return Err(failed(&place.file, io::ErrorKind::UnexpectedEof.into()));
        }
        let named = ClusterFile { path: place.path.clone(), mode: open_file::mode(&metadata), bytes };
        let number = self.sink.file(&named).map_err(ClusterError::Sink)?;
        if bytes == 0 {
            return self.finish(number, 0).map(|()| None);
        }
        let regions = bytes.div_ceil(u64::from(self.sink.region_bytes()));
        let regions = u32::try_from(regions)
            .map_err(|_| failed(&place.file, io::Error::from(io::ErrorKind::FileTooLarge)))?;
        let file = OpenFile::new(file, number, bytes, regions, self.sink.region_bytes());
        Ok(Some(Task { place, file }))
    }

    fn read_region(
        &self,
        worker: &mut dyn RegionSink,
        task: &Task<'_>,
        number: u32,
        buffer: &mut [u8],
    ) -> Result<(), ClusterError> {
        let Task { place, file } = task;
        let region = Region { file: file.number, number };
        if self.is_unchanged(task, number) && worker.keep(region).map_err(ClusterError::Sink)? {
            return if file.is_last() { self.finish(file.number, file.bytes) } else { Ok(()) };
        }
        let offset = u64::from(number) * u64::from(self.sink.region_bytes());
        let wanted = usize::try_from(file.bytes - offset).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..wanted];
        let read = file.read(number, buffer).map_err(|error| failed(&place.file, error))?;
        let mut given = wanted;
        if read < wanted {
            if place.required {
                return Err(failed(&place.file, io::ErrorKind::UnexpectedEof.into()));
            }
            if file.regions() == 1 {
                given = read;
            } else {
                let whole_pages = read - read % self.block_bytes.max(1) as usize;
                buffer[whole_pages..].fill(0);
            }
        }
        if given > 0 {
            let mut again = |offset, buffer: &mut [u8]| file.read_again(offset, buffer);
            worker.store(region, &mut buffer[..given], &mut again).map_err(ClusterError::Sink)?;
        }
        if file.is_last() {
            let bytes = if file.regions() == 1 { given as u64 } else { file.bytes };
            self.finish(file.number, bytes)?;
        }
        Ok(())
    }

    fn is_unchanged(&self, task: &Task<'_>, number: u32) -> bool {
        let Task { place, file } = task;
        self.changes.as_ref().is_some_and(|changes| changes.is_unchanged(&place.path, number, file.bytes))
    }

    fn finish(&self, number: FileNumber, bytes: u64) -> Result<(), ClusterError> {
        self.sink.finish(number, bytes).map_err(ClusterError::Sink)
    }
}
