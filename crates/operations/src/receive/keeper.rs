//! Whole segments are stored on a thread of their own, so that the stream goes on meanwhile.
//!
//! Invariant: at most one segment is being stored while another one is received, so memory is two segments.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use jiff::Timestamp;
use model::{Lsn, SegmentSize, WalSegmentName};
use repository::WalArchive;

/// A segment that is whole.
struct Job {
    name: WalSegmentName,
    bytes: Vec<u8>,
    now: Timestamp,
}

/// A segment that was stored, or not.
struct Done {
    result: Result<(), repository::Error>,
}

/// The segment that is being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Storing {
    pub(super) name: WalSegmentName,
    /// How far it was archived in pieces before: what counts until all of it is.
    pub(super) archived_to: Lsn,
}

/// Gives segments to the thread.
pub(super) struct Keeper {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    storing: Option<Storing>,
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
                let result = store(&archive, size, &job);
                if done_sender.send(Done { result }).is_err() {
                    return;
                }
            }
        });
        (Self { jobs, done, storing: None }, thread)
    }

    /// The segment that is being stored.
    pub(super) fn storing(&self) -> Option<Storing> {
        self.storing
    }

    /// Gives a segment to the thread, which must be idle.
    pub(super) fn store(&mut self, storing: Storing, bytes: Vec<u8>, now: Timestamp) {
        self.storing = Some(storing);
        // If the thread is gone, the end of its answers says so.
        let _ = self.jobs.send(Job { name: storing.name, bytes, now });
    }

    /// The segment that was stored since, if one was. Waits `at_most` for it.
    pub(super) fn stored(&mut self, at_most: Duration) -> Result<Option<WalSegmentName>, repository::Error> {
        let Some(storing) = self.storing else { return Ok(None) };
        let done = if at_most.is_zero() {
            self.done.try_recv().map_err(|error| error == TryRecvError::Empty)
        } else {
            self.done.recv_timeout(at_most).map_err(|error| error == RecvTimeoutError::Timeout)
        };
        match done {
            Ok(Done { result }) => {
                self.storing = None;
                result.map(|()| Some(storing.name))
            }
            Err(true) => Ok(None),
            Err(false) => Err(repository::Error::Stopped),
        }
    }
}

fn store(archive: &WalArchive, size: SegmentSize, job: &Job) -> Result<(), repository::Error> {
    archive.put_segment(job.name, size, &job.bytes, job.now)?;
    archive.delete_pieces(job.name)?;
    Ok(())
}
