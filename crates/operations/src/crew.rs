//! Threads that work on one phase: the first that fails stops the others, and its error is the one reported.

use std::thread::ScopedJoinHandle;

use crate::Error;
use crate::progress::Progress;

/// Runs `work` and stops the whole phase when it fails.
pub(crate) fn stopping_others<T>(
    progress: &Progress<'_>,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let result = work();
    if result.is_err() {
        progress.stop();
    }
    result
}

/// The result of a thread. A panic of ours goes on in the thread that waits.
pub(crate) fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// All results, or the error that came first in meaning: a thread that only noticed that it should stop is not the
/// cause.
pub(crate) fn all<T>(results: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut done = Vec::with_capacity(results.len());
    let mut consequence = None;
    for result in results {
        match result {
            Ok(value) => done.push(value),
            Err(error) if error.is_consequence() => consequence = consequence.or(Some(error)),
            Err(cause) => return Err(cause),
        }
    }
    consequence.map_or(Ok(done), Err)
}
