//! Counts the bytes of a phase across threads, and carries the order to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Context, Error, Event, Phase};

/// The progress of one phase. Shared by all its threads.
pub(crate) struct Progress<'a> {
    context: &'a Context<'a>,
    phase: Phase,
    total_bytes: u64,
    done_bytes: AtomicU64,
    stopped: AtomicBool,
}

impl<'a> Progress<'a> {
    /// Begins a phase with an estimate of the bytes to do; 0 when unknown.
    pub(crate) fn begin(context: &'a Context<'a>, phase: Phase, total_bytes: u64) -> Self {
        context.phase(phase);
        Self { context, phase, total_bytes, done_bytes: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }

    /// Counts bytes as done. An error when the operation is to stop, so that every loop that makes progress can end.
    pub(crate) fn add(&self, bytes: u64) -> Result<(), Error> {
        let done_bytes = self.done_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total_bytes = self.total_bytes;
        self.context.observer.event(Event::Progress { phase: self.phase, done_bytes, total_bytes });
        self.check()
    }

    /// An error when the operation is to stop.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stopped.load(Ordering::Relaxed) || self.context.observer.cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// Makes every other thread of the phase end at its next step, because one of them failed.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
