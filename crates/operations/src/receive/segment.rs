//! The segment that is being received.
//!
//! Invariant: what the archive had of it before is compared with what the server sends, byte by byte; nothing is appended to WAL
//! that is not the server's.

use model::{Lsn, SEGMENT_HEADER_BYTES, SegmentSize, WalSegmentName};

/// The server's WAL is not the continuation of what is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Differs {
    /// The first position that differs.
    pub(super) position: Lsn,
}

/// A segment as far as it is known.
#[derive(Debug)]
pub(super) struct Segment {
    name: WalSegmentName,
    size: SegmentSize,
    /// Its bytes from the start: those that are archived, or those that came, whichever are more.
    bytes: Vec<u8>,
    /// How many of them came from the server.
    came: usize,
    /// How many of them are archived.
    durable: usize,
}

impl Segment {
    /// A segment of which `archived` is in the archive.
    pub(super) fn new(name: WalSegmentName, size: SegmentSize, archived: Vec<u8>) -> Self {
        Self { name, size, durable: archived.len(), bytes: archived, came: 0 }
    }

    pub(super) fn name(&self) -> WalSegmentName {
        self.name
    }

    /// Takes bytes that follow those that came. Returns how many belong to this segment.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Differs> {
        let room = (self.size.bytes() as usize).saturating_sub(self.came);
        let mine = &bytes[..bytes.len().min(room)];
        let known = &self.bytes[self.came..self.bytes.len().min(self.came + mine.len())];
        if let Some(at) = known.iter().zip(mine).position(|(known, new)| known != new) {
            return Err(Differs { position: self.lsn(self.came + at) });
        }
        let known = known.len();
        self.bytes.extend_from_slice(&mine[known..]);
        self.came += mine.len();
        Ok(mine.len())
    }

    /// All of it came.
    pub(super) fn is_complete(&self) -> bool {
        self.came == self.size.bytes() as usize
    }

    /// The offset and the bytes of what came and is not archived. Nothing while that is less than the header by which a segment
    /// is recognised.
    pub(super) fn unarchived(&self) -> Option<(u32, &[u8])> {
        let is_recognisable = self.came >= SEGMENT_HEADER_BYTES;
        // A segment has at most 1 GiB.
        let offset =
            u32::try_from(self.durable).ok().filter(|_| is_recognisable && self.came > self.durable)?;
        Some((offset, &self.bytes[self.durable..]))
    }

    /// What is archived from an offset on.
    pub(super) fn archived_from(&self, offset: u32) -> &[u8] {
        self.bytes.get(offset as usize..self.durable).unwrap_or_default()
    }

    /// What came is archived now.
    pub(super) fn set_archived(&mut self) {
        self.durable = self.bytes.len();
    }

    /// Behind the last byte that is archived and that the server has confirmed.
    pub(super) fn archived_to(&self) -> Lsn {
        self.lsn(self.durable.min(self.came))
    }

    /// Its bytes, all of them or what there is.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn lsn(&self, offset: usize) -> Lsn {
        self.name.start(self.size).plus(offset as u64)
    }
}

#[cfg(test)]
mod tests {
    use model::TimelineId;

    use super::*;

    const SIZE: SegmentSize = match SegmentSize::new(1 << 20) {
        Ok(size) => size,
        Err(_) => panic!(),
    };

    fn segment(archived: &[u8]) -> Segment {
        let name = WalSegmentName { timeline: TimelineId::FIRST, log: 0, segment: 3 };
        Segment::new(name, SIZE, archived.to_vec())
    }

    #[test]
    fn what_is_archived_is_compared_and_not_stored_again() {
        let mut segment = segment(&[7; 100]);
        assert_eq!(segment.archived_to(), Lsn(3 << 20));
        assert_eq!(segment.take(&[7; 60]), Ok(60));
        assert_eq!((segment.archived_to(), segment.unarchived()), (Lsn((3 << 20) + 60), None));
        assert_eq!(segment.take(&[7; 60]), Ok(60));
        assert_eq!(segment.archived_to(), Lsn((3 << 20) + 100));
        assert_eq!(segment.unarchived(), Some((100, &[7; 20][..])));
        assert_eq!(segment.archived_from(98), [7; 2]);
        segment.set_archived();
        assert_eq!((segment.archived_to(), segment.unarchived()), (Lsn((3 << 20) + 120), None));
        assert_eq!(segment.archived_from(98), [7; 22]);
    }

    #[test]
    fn wal_of_another_past_is_refused() {
        let mut other = segment(&[7; 100]);
        assert_eq!(other.take(&[7; 50]), Ok(50));
        let mut bytes = [7; 60];
        bytes[49] = 8;
        assert_eq!(other.take(&bytes), Err(Differs { position: Lsn((3 << 20) + 99) }));
        // Behind what is archived, anything goes.
        let mut same = segment(&[7; 100]);
        let mut bytes = [7; 120];
        bytes[100] = 8;
        assert_eq!(same.take(&bytes), Ok(120));
    }

    #[test]
    fn a_segment_takes_no_more_than_its_size() {
        let mut segment = segment(&[]);
        assert_eq!(segment.take(&[1; 39]), Ok(39));
        // The server may send very little at first.
        assert_eq!(segment.unarchived(), None);
        assert_eq!(segment.take(&vec![1; 2 << 20]), Ok((1 << 20) - 39));
        assert!(segment.is_complete());
        assert_eq!(segment.take(&[1; 5]), Ok(0));
        assert_eq!(segment.unarchived().map(|(at, bytes)| (at, bytes.len())), Some((0, 1 << 20)));
        assert_eq!(segment.into_bytes().len(), 1 << 20);
    }
}
