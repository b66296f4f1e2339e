//! The WAL that makes the files of a backup consistent.
//!
//! Invariant: what is named is whole. There is a segment for every position from the start to the end of the backup, each one the
//! cluster's own and in its place, not one that was renamed for later use.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use model::{Lsn, SEGMENT_HEADER_BYTES, SegmentHeader, WalName, WalSegmentName};

use super::listing::{self, failed};
use crate::cluster::{ClusterError, ClusterStart, ClusterStop};

/// The names in `pg_wal` of what the backup needs: segments by their positions, then the histories of timelines.
pub(super) fn needed(
    directory: &Path,
    start: &ClusterStart,
    stop: &ClusterStop,
) -> Result<Vec<String>, ClusterError> {
    let names = listing::names(directory)?.unwrap_or_default();
    let names: Vec<WalName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let segments = segments(&names, start, stop)?;
    for segment in &segments {
        check(&directory.join(segment.to_string()), *segment, start)?;
    }
    let is_needed =
        |name: &&WalName| matches!(name, WalName::History(timeline) if *timeline <= stop.timeline);
    let mut histories: Vec<_> = names.iter().filter(is_needed).collect();
    histories.sort();
    let segments = segments.iter().map(ToString::to_string);
    Ok(segments.chain(histories.iter().map(ToString::to_string)).collect())
}

/// The segments from the start to the end. Where timelines meet, both have one with the same positions.
fn segments(
    names: &[WalName],
    start: &ClusterStart,
    stop: &ClusterStop,
) -> Result<Vec<WalSegmentName>, ClusterError> {
    let size = start.segment_size;
    let first = WalSegmentName::containing(start.timeline, start.start_lsn, size);
    // The backup ends before this position.
    let last = WalSegmentName::containing(stop.timeline, Lsn(stop.stop_lsn.0.saturating_sub(1)), size);
    let place = |segment: WalSegmentName| (segment.start(size), segment.timeline);
    let mut found: Vec<WalSegmentName> = names
        .iter()
        .filter_map(|name| match name {
            WalName::Segment(segment) => Some(*segment),
            _ => None,
        })
        .filter(|segment| (start.timeline..=stop.timeline).contains(&segment.timeline))
        .filter(|segment| (first.start(size)..=last.start(size)).contains(&segment.start(size)))
        .collect();
    found.sort_by_key(|segment| place(*segment));
    let mut expected = first.start(size);
    for segment in &found {
        if segment.start(size) > expected {
            return Err(ClusterError::WalGone { from: expected });
        }
        expected = segment.end(size);
    }
    if !found.contains(&first) {
        return Err(ClusterError::WalGone { from: start.start_lsn });
    }
    if !found.contains(&last) {
        return Err(ClusterError::WalGone { from: expected.min(last.start(size)) });
    }
    Ok(found)
}

/// Looks whether the file holds the WAL that its name says. One that was renamed to be written later does not.
fn check(file: &Path, segment: WalSegmentName, start: &ClusterStart) -> Result<(), ClusterError> {
    let mut head = [0; SEGMENT_HEADER_BYTES];
    let read =
        File::open(file).and_then(|mut file| file.read_exact(&mut head).and_then(|()| file.metadata()));
    let bytes = read.map_err(|source| failed(file, source))?.len();
    let size = start.segment_size;
    let is_right = bytes == u64::from(size.bytes())
        && SegmentHeader::parse(&head).is_ok_and(|head| head.check(segment, size, start.system_id).is_ok());
    if is_right { Ok(()) } else { Err(ClusterError::WalGone { from: segment.start(size) }) }
}

#[cfg(test)]
mod tests {
    use model::{SegmentSize, SystemId, TimelineId};

    use super::*;

    fn range(start_lsn: u64, stop_lsn: u64, timelines: (u32, u32)) -> (ClusterStart, ClusterStop) {
        let timeline = |number| TimelineId::new(number).unwrap();
        let start = ClusterStart {
            system_id: SystemId(1),
            server_version: 150_000,
            timeline: timeline(timelines.0),
            start_lsn: Lsn(start_lsn),
            segment_size: SegmentSize::DEFAULT,
            block_bytes: 8192,
            data_checksums: true,
            from_standby: false,
            tablespaces: Vec::new(),
            expected_bytes: 0,
        };
        let stop =
            ClusterStop { timeline: timeline(timelines.1), stop_lsn: Lsn(stop_lsn), warnings: Vec::new() };
        (start, stop)
    }

    fn find(names: &[&str], (start, stop): &(ClusterStart, ClusterStop)) -> Result<Vec<String>, Lsn> {
        let names: Vec<WalName> = names.iter().map(|name| name.parse().unwrap()).collect();
        match segments(&names, start, stop) {
            Ok(found) => Ok(found.iter().map(ToString::to_string).collect()),
            Err(ClusterError::WalGone { from }) => Err(from),
            Err(other) => panic!("{other}"),
        }
    }

    const A: &str = "000000010000000000000002";
    const B: &str = "000000010000000000000003";
    const C: &str = "000000010000000000000004";

    #[test]
    fn every_segment_of_the_backup_and_no_other() {
        let backup = range(0x0200_0028, 0x0400_0100, (1, 1));
        let all = [C, A, "000000010000000000000001", B, "000000010000000000000005", "00000002.history"];
        assert_eq!(find(&all, &backup).unwrap(), [A, B, C]);
        // It ends where the next segment begins.
        assert_eq!(find(&all, &range(0x0200_0028, 0x0400_0000, (1, 1))).unwrap(), [A, B]);
        assert_eq!(find(&[A], &range(0x0200_0028, 0x0200_0100, (1, 1))).unwrap(), [A]);
    }

    #[test]
    fn a_gap_is_an_error_that_says_where() {
        let backup = range(0x0200_0028, 0x0400_0100, (1, 1));
        assert_eq!(find(&[B, C], &backup), Err(Lsn(0x0200_0000)));
        assert_eq!(find(&[A, C], &backup), Err(Lsn(0x0300_0000)));
        assert_eq!(find(&[A, B], &backup), Err(Lsn(0x0400_0000)));
        assert_eq!(find(&[], &backup), Err(Lsn(0x0200_0028)));
        // Of a timeline that it has nothing to do with.
        assert_eq!(find(&[A, B, "000000020000000000000004"], &backup), Err(Lsn(0x0400_0000)));
    }

    #[test]
    fn where_timelines_meet_both_are_needed() {
        let backup = range(0x0200_0028, 0x0400_0100, (1, 2));
        let (b2, c2) = ("000000020000000000000003", "000000020000000000000004");
        assert_eq!(find(&[c2, b2, A, B], &backup).unwrap(), [A, B, b2, c2]);
        assert_eq!(find(&[A, B, C], &backup), Err(Lsn(0x0400_0000)));
        assert_eq!(find(&[b2, c2, B], &backup), Err(Lsn(0x0200_0000)));
    }
}
