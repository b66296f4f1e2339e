//! Whole segments are stored, and pieces merged, on a thread of their own, so that the stream goes on meanwhile.
//!
//! Invariant: one thing is done at a time, so memory is two segments: the one that is received, and the one that is stored.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use jiff::Timestamp;
use model::{Lsn, SegmentSize, WalSegmentName};
use repository::WalArchive;

/// Something to do.
struct Job {
    segment: WalSegmentName,
    /// Where a piece begins that is to replace those behind it; nothing for a whole segment.
    piece: Option<u32>,
    bytes: Vec<u8>,
    now: Timestamp,
}

/// The segment that is being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storing {
    pub(super) name: WalSegmentName,
    /// How far it was archived in pieces before: what counts until all of it is.
    pub(super) archived_to: Lsn,
}

/// What the thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Storing(Storing),
    Merging,
}

/// Gives work to the thread.
pub(super) struct Keeper {
    jobs: Sender<Job>,
    done: Receiver<Result<(), repository::Error>>,
    work: Option<Work>,
}

impl Keeper {
    /// Starts the thread. It ends when the value is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        archive: WalArchive,
        size: SegmentSize,
    ) -> (Self, ScopedJoinHandle<'scope, ()>) {
        let (jobs, job_receiver) = bounded::<Job>(1);
        let (done_sender, done) = bounded(1);
        let thread = scope.spawn(move || {
            for job in job_receiver {
                if done_sender.send(job.run(&archive, size)).is_err() {
                    return;
                }
            }
        });
        (Self { jobs, done, work: None }, thread)
    }

    /// The thread has something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// The segment that is being stored.
    pub(super) fn storing(&self) -> Option<Storing> {
        match self.work {
            Some(Work::Storing(storing)) => Some(storing),
            _ => None,
        }
    }

    /// Has a whole segment stored. The thread must be idle.
    pub(super) fn store(&mut self, storing: Storing, bytes: Vec<u8>, now: Timestamp) {
        self.give(Work::Storing(storing), Job { segment: storing.name, piece: None, bytes, now });
    }

    /// Has the bytes from `offset` on stored as one piece of a segment, instead of those that they have been in. The thread must be idle.
    pub(super) fn merge(&mut self, segment: WalSegmentName, offset: u32, bytes: Vec<u8>, now: Timestamp) {
        self.give(Work::Merging, Job { segment, piece: Some(offset), bytes, now });
    }

    fn give(&mut self, work: Work, job: Job) {
        self.work = Some(work);
        // If the thread is gone, the end of its answers says so.
        let _ = self.jobs.send(job);
    }

    /// The segment that was stored since, if one was. Waits `at_most` for the thread to be idle.
    pub(super) fn stored(&mut self, at_most: Duration) -> Result<Option<WalSegmentName>, repository::Error> {
        let Some(work) = self.work else { return Ok(None) };
        let done = if at_most.is_zero() {
            self.done.try_recv().map_err(|error| error == TryRecvError::Empty)
        } else {
            self.done.recv_timeout(at_most).map_err(|error| error == RecvTimeoutError::Timeout)
        };
        match (done, work) {
            (Ok(result), work) => {
                self.work = None;
                result?;
                Ok(if let Work::Storing(storing) = work { Some(storing.name) } else { None })
            }
            (Err(true), _) => Ok(None),
            (Err(false), _) => Err(repository::Error::Stopped),
        }
    }
}

impl Job {
    fn run(&self, archive: &WalArchive, size: SegmentSize) -> Result<(), repository::Error> {
        let Self { segment, piece, bytes, now } = self;
        if let Some(offset) = piece {
            archive.merge_pieces(*segment, size, *offset, bytes, *now)?;
        } else {
            archive.put_segment(*segment, size, bytes, *now)?;
            archive.delete_pieces(*segment)?;
        }
        Ok(())
    }
}
