//! Looking at everything in a thread of its own, so that a large or slow repository holds up neither the schedule nor the watchdog.
//!
//! Invariant: one look is at work at a time. Neither side waits for the other: a look is asked for only when none is at work, and there
//! is room for what comes of it.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never};
use repository::Repository;

use crate::observation::{Observation, ReceiverState, Trouble};
use crate::scheduler::Scheduler;

/// A look that takes longer hangs.
pub const LOOK_LIMIT: Duration = Duration::from_mins(30);

/// What the daemon itself knows when it looks at everything.
#[derive(Debug, Clone)]
pub struct Look {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// Receivers by source.
    pub receivers: BTreeMap<String, ReceiverState>,
    /// What is wrong with the daemon itself.
    pub troubles: Vec<Trouble>,
    /// Whether something ran since the last look.
    pub has_changed: bool,
}

/// What came of a look.
#[derive(Debug)]
pub struct Sight {
    /// What is known.
    pub observation: Observation,
    /// The repository as it was opened anew, when that is not as it was opened before: its keys were rotated.
    pub reopened: Option<Repository>,
}

/// Looks at everything.
pub trait Watch: Send {
    /// Looks. May take its time.
    fn look(&mut self, look: &Look) -> Sight;
}

/// What to do in the thread.
struct Request {
    look: Look,
    /// Who looks from now on.
    watch: Option<Box<dyn Watch>>,
}

/// The thread, from outside.
pub(super) struct Lookout {
    requests: Sender<Request>,
    sights: Receiver<Sight>,
    /// Who is to look from the next time on.
    next: Option<Box<dyn Watch>>,
    since: Option<Instant>,
    limit: Duration,
}

impl Lookout {
    /// Somewhere for `watch` to look from. A look that takes longer than `limit` hangs.
    pub(super) fn start(watch: Box<dyn Watch>, limit: Duration) -> io::Result<Self> {
        let (requests, asked) = bounded::<Request>(1);
        let (answers, sights) = bounded(1);
        std::thread::Builder::new().name("lookout".to_owned()).spawn(move || {
            let mut watch: Option<Box<dyn Watch>> = None;
            while let Ok(request) = asked.recv() {
                watch = request.watch.or(watch);
                let Some(watch) = &mut watch else { return };
                if answers.send(watch.look(&request.look)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, sights, next: Some(watch), since: None, limit })
    }

    /// Has another one look from the next time on.
    pub(super) fn replace(&mut self, watch: Box<dyn Watch>) {
        self.next = Some(watch);
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.since.is_some()
    }

    /// Has somebody look, unless they are at work.
    pub(super) fn ask(&mut self, look: Look) {
        if self.is_at_work() {
            return;
        }
        match self.requests.try_send(Request { look, watch: self.next.take() }) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => self.since = Some(Instant::now()),
            Err(TrySendError::Full(request)) => self.next = request.watch,
        }
    }

    /// Where what is seen arrives. It says that nobody sends any more when the thread has ended, which it does only by a panic.
    pub(super) fn sights(&self) -> Receiver<Sight> {
        self.sights.clone()
    }

    /// Nobody looks any more.
    pub(super) fn blind(&mut self) {
        (self.sights, self.since) = (never(), Some(Instant::now()));
    }

    /// A look has ended.
    pub(super) fn ended(&mut self) {
        self.since = None;
    }

    /// For how long a look hangs that does.
    pub(super) fn hangs_for(&self) -> Option<Duration> {
        let at_work = self.since.map(|since| since.elapsed());
        at_work.filter(|at_work| *at_work > self.limit)
    }
}
