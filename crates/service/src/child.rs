//! Programs of others that have so much time: hooks, alerts, secrets.
//!
//! Invariant: whoever starts one puts it into a process group of its own, so that it is ended with all that it started.

use std::io;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How often is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until the child ends. At `until`, ends it and its group; then there is no status.
///
/// # Errors
/// When it cannot be waited for.
pub fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            end(child);
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends a child and its group.
pub fn end(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}
