//! Where to go on: behind what is archived, if the server still has what follows.
//!
//! Invariant: streams begin at the start of a segment, as a segment is only known to be whole when all of it came or was compared.

use jiff::Timestamp;
use model::{Lsn, SegmentSize, TimelineHistory, TimelineId, WalSegmentName};
use repository::{TimelineWal, WalArchive, WalCatalogue};

use super::event::Origin;

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// The segment that is received first. Its timeline is that of the stream.
    pub(super) segment: WalSegmentName,
    /// What decided it.
    pub(super) origin: Origin,
}

/// Where the WAL of a timeline ends in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    /// Segments to go on with, the best first: the one before the last, if the last was begun before that one was whole, and
    /// the last, if it is not whole, or the one behind it.
    pub(super) segments: Vec<WalSegmentName>,
    /// Behind the last byte.
    pub(super) archived_to: Lsn,
}

/// Segments to go on with, the best first: on the latest timeline of the server's past of which something is archived. Where that
/// timeline has ended for the server and everything up to there is archived, with the one that followed.
pub(super) fn behind_archive(
    history: &TimelineHistory,
    size: SegmentSize,
    mut tail: impl FnMut(TimelineId) -> Result<Option<Tail>, repository::Error>,
) -> Result<Vec<WalSegmentName>, repository::Error> {
    // The timeline that follows the one that is looked at.
    let mut next = None;
    for leg in history.legs().rev() {
        let Some(tail) = tail(leg.timeline)? else {
            next = Some(leg.timeline);
            continue;
        };
        return Ok(match (leg.end, next) {
            (Some(switch), Some(next)) if tail.archived_to >= switch => {
                vec![WalSegmentName::containing(next, switch, size)]
            }
            _ => tail.segments,
        });
    }
    Ok(Vec::new())
}

/// Where to begin without an archive: where the slot begins to keep WAL, else where the server is.
pub(super) fn from_server(
    history: &TimelineHistory,
    size: SegmentSize,
    restart: Option<Lsn>,
    flushed: Lsn,
) -> Start {
    let (lsn, origin) = restart.map_or((flushed, Origin::Server), |restart| (restart, Origin::Slot));
    // A segment in which a timeline began is there on the later one.
    Start { segment: history.segment_at(lsn, size), origin }
}

/// The tail of a timeline; nothing if nothing of it is archived. What pieces make whole is made whole on the way, and pieces of whole
/// segments are deleted: a receiver that was killed may have left them.
pub(super) fn tail(
    archive: &WalArchive,
    catalogue: &WalCatalogue,
    timeline: TimelineId,
    size: SegmentSize,
    now: Timestamp,
) -> Result<Option<Tail>, repository::Error> {
    let Some(wal) = catalogue.timelines.get(&timeline) else { return Ok(None) };
    for segment in wal.pieces.keys().filter(|segment| wal.segments.contains_key(segment)) {
        archive.delete_pieces(*segment)?;
    }
    let whole = wal.segments.keys().next_back().copied();
    let begun =
        wal.pieces.keys().next_back().copied().filter(|begun| whole.is_none_or(|whole| *begun > whole));
    let Some(last) = begun else {
        let next = whole.map(|whole| whole.next(size));
        return Ok(next.map(|next| Tail { segments: vec![next], archived_to: next.start(size) }));
    };
    let mut segments = Vec::new();
    if let Some(before) = skipped(wal, last, size)
        && make_whole(archive, before, size, now)? < size.bytes()
    {
        segments.push(before);
    }
    let bytes = make_whole(archive, last, size, now)?;
    segments.push(if bytes < size.bytes() { last } else { last.next(size) });
    Ok(Some(Tail { segments, archived_to: last.start(size).plus(bytes.into()) }))
}

/// The segment before `last` if it is not whole although the archive goes back further: it was still being stored when `last`
/// was begun.
fn skipped(wal: &TimelineWal, last: WalSegmentName, size: SegmentSize) -> Option<WalSegmentName> {
    let position = last.start(size).0.checked_sub(1)?;
    let before = WalSegmentName::containing(last.timeline, Lsn(position), size);
    let goes_back = wal.segments.range(..last).next().is_some() || wal.pieces.range(..last).next().is_some();
    (goes_back && !wal.segments.contains_key(&before)).then_some(before)
}

/// Stores a segment as a whole if its pieces are. Returns how many bytes of it are archived.
fn make_whole(
    archive: &WalArchive,
    segment: WalSegmentName,
    size: SegmentSize,
    now: Timestamp,
) -> Result<u32, repository::Error> {
    let bytes = archive.unfinished(segment)?.map_or(0, |unfinished| unfinished.bytes);
    if bytes == size.bytes()
        && let Some((_, bytes)) = archive.join_pieces(segment)?
    {
        archive.put_segment(segment, size, &bytes, now)?;
        archive.delete_pieces(segment)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: SegmentSize = SegmentSize::DEFAULT;

    fn timeline(number: u32) -> TimelineId {
        TimelineId::new(number).unwrap()
    }

    fn name(number: u32, segment: u32) -> WalSegmentName {
        WalSegmentName { timeline: timeline(number), log: 0, segment }
    }

    /// Timeline 1 ended within its segment 5, timeline 2 at the start of segment 8; the server is on timeline 4.
    fn history() -> TimelineHistory {
        TimelineHistory::parse(timeline(4), b"1\t0/5000100\t\n2\t0/8000000\t\n").unwrap()
    }

    /// Where to go on when `number` is archived up to `archived_to` and has these segments to go on with.
    fn go_on(number: u32, segments: &[u32], archived_to: u64) -> Vec<WalSegmentName> {
        let tail = |asked| {
            let segments = segments.iter().map(|segment| name(number, *segment)).collect();
            Ok((asked == timeline(number)).then_some(Tail { segments, archived_to: Lsn(archived_to) }))
        };
        behind_archive(&history(), SIZE, tail).unwrap()
    }

    #[test]
    fn it_goes_on_behind_the_archive() {
        assert_eq!(go_on(4, &[9], 0x0900_0000), [name(4, 9)]);
        assert_eq!(go_on(4, &[8, 9], 0x0900_0010), [name(4, 8), name(4, 9)]);
        // The rest of an earlier timeline first.
        assert_eq!(go_on(1, &[5], 0x0500_00ff), [name(1, 5)]);
        assert_eq!(go_on(2, &[7], 0x07ff_ffff), [name(2, 7)]);
        // All of it is there, or even more, which the server has forgotten.
        assert_eq!(go_on(1, &[5], 0x0500_0100), [name(2, 5)]);
        assert_eq!(go_on(1, &[9], 0x0900_0000), [name(2, 5)]);
        assert_eq!(go_on(2, &[8], 0x0800_0000), [name(4, 8)]);
        // Of a timeline that is no past of the server's nothing follows.
        assert_eq!(go_on(3, &[9], 0x0900_0000), []);
    }

    #[test]
    fn without_an_archive_the_slot_decides_and_then_the_server() {
        let start = |restart| from_server(&history(), SIZE, restart, Lsn(0x0a00_0100));
        assert_eq!(start(None), Start { segment: name(4, 10), origin: Origin::Server });
        assert_eq!(start(Some(Lsn(0x0900_0000))), Start { segment: name(4, 9), origin: Origin::Slot });
        assert_eq!(start(Some(Lsn(0x0500_0010))), Start { segment: name(2, 5), origin: Origin::Slot });
        assert_eq!(start(Some(Lsn(0x0400_0010))), Start { segment: name(1, 4), origin: Origin::Slot });
    }
}
