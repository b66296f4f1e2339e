//! Keeping a lease while work goes on.
//!
//! Invariant: the lease is renewed well before it expires, and whoever works is told when somebody else has taken over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;
use repository::{Error, HeldLease, LEASE_LASTS, LeaseToken, Repository};

/// A lease is renewed so many times before it would expire.
const RENEWALS: u32 = 3;

/// Renews a lease until it is dropped, and then gives it back.
#[derive(Debug)]
pub struct LeaseKeeper {
    repository: Repository,
    held: Arc<Mutex<HeldLease>>,
    lost: Arc<AtomicBool>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LeaseKeeper {
    /// Keeps `held`, by the time of `clock`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        repository: &Repository,
        held: HeldLease,
        clock: fn() -> Timestamp,
    ) -> Result<Self, std::io::Error> {
        let interval = Duration::try_from(LEASE_LASTS).unwrap_or(Duration::from_mins(5)) / RENEWALS;
        let held = Arc::new(Mutex::new(held));
        let lost = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = bounded::<()>(0);
        let keeper = (repository.clone(), Arc::clone(&held), Arc::clone(&lost));
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            let (repository, held, lost) = keeper;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                // A store that fails now may answer the next time, before the lease is over; the commit asks again.
                if matches!(repository.renew_lease(&mut held, clock()), Err(Error::LeaseLost { .. })) {
                    lost.store(true, Ordering::Relaxed);
                    return;
                }
            }
        })?;
        Ok(Self { repository: repository.clone(), held, lost, stop: Some(stop), thread: Some(thread) })
    }

    /// What to commit under.
    pub fn token(&self) -> LeaseToken {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).token.clone()
    }

    /// Is set when somebody else has taken over.
    pub fn lost(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lost)
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if !self.lost.load(Ordering::Relaxed) {
            // One that stays is over in a few minutes.
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.repository.release_lease(&held);
        }
    }
}
