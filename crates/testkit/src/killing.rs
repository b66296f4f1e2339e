//! Programs that are killed at a point that they tell of themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Runs `command`, and kills it `later` than it says `words` on standard error, or lets it end when it never does.
///
/// # Panics
/// When it cannot be run.
pub fn kill_at(mut command: Command, words: &str, later: Duration) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if line.contains(words) {
            // The delay is the point at which to kill; nothing waits for anything here.
            thread::sleep(later);
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
}
