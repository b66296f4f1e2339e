//! What the repository used at earlier moments, one a day, in a file of the daemon.
//!
//! Invariant: a file that cannot be read or written loses a forecast, and nothing else.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

/// Moments are so far apart at least.
const APART: SignedDuration = SignedDuration::from_hours(20);
/// So many are kept.
const KEPT: usize = 400;

/// All moments, the oldest first, with this one where it is time for one.
pub(crate) fn remember(file: &Path, at: Timestamp, bytes: u64) -> Vec<(Timestamp, u64)> {
    let mut history = read(file);
    // What is from the future was written by a wrong clock.
    history.retain(|(then, _)| *then <= at);
    if history.last().is_none_or(|(then, _)| at.duration_since(*then) >= APART) {
        history.push((at, bytes));
        let excess = history.len().saturating_sub(KEPT);
        history.drain(..excess);
        // Without it, the next forecast begins anew.
        let _ = write(file, &history);
    }
    history
}

fn read(file: &Path) -> Vec<(Timestamp, u64)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let (at, bytes) = line.split_once(' ')?;
        Some((at.parse().ok()?, bytes.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn write(file: &Path, history: &[(Timestamp, u64)]) -> std::io::Result<()> {
    let mut text = String::new();
    for (at, bytes) in history {
        let _ = writeln!(text, "{at} {bytes}");
    }
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_a_day_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("usage");
        let at = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        for hours in 0..100 {
            remember(&file, at(hours), u64::try_from(hours).unwrap());
        }
        let found = remember(&file, at(100), 7);
        assert_eq!(
            found,
            [0, 20, 40, 60, 80, 100]
                .map(|hours| (at(hours), if hours == 100 { 7 } else { u64::try_from(hours).unwrap() }))
        );
        fs::write(&file, "not a moment\n").unwrap();
        assert_eq!(remember(&file, at(200), 9), [(at(200), 9)]);
        assert_eq!(remember(&file, at(100), 3), [(at(100), 3)], "the clock went back");
    }
}
