//! What the first page of a WAL segment says about it (`XLogLongPageHeaderData` in `xlog_internal.h` of the server's source).
//!
//! Invariant: a segment that passes [`SegmentHeader::check`] belongs to the cluster, the timeline and the place that its name
//! and its archive say. Deliberately absent: the records behind the header; whether they are whole is for the server to see.

use crate::{Lsn, SegmentSize, SystemId, TimelineId, WalSegmentName};

/// Bytes from the start of a segment that [`SegmentHeader::parse`] looks at.
pub const SEGMENT_HEADER_BYTES: usize = 40;

/// The high byte of `XLOG_PAGE_MAGIC`, the same since version 9; the low byte counts the changes of the WAL's format.
const MAGIC_HIGH: u8 = 0xd1;
/// `XLP_LONG_HEADER`: set on the first page of a segment and on no other.
const LONG_HEADER: u16 = 0x0002;

/// The header of the first page of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The timeline of the first page.
    pub timeline: TimelineId,
    /// The position of the first byte.
    pub start: Lsn,
    /// The cluster that wrote it.
    pub system: SystemId,
    /// The size of the segments of that cluster.
    pub segment_size: SegmentSize,
}

/// The bytes are not the start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// There are too few bytes.
    #[error("it has only {bytes} bytes")]
    Short {
        /// How many there are.
        bytes: usize,
    },
    /// The bytes are something else, or were written by a server of another byte order.
    #[error("it does not begin like a WAL segment")]
    NotWal,
    /// The size of segments that it names is none.
    #[error("it names {bytes} bytes as the size of WAL segments")]
    Size {
        /// The size in bytes.
        bytes: u32,
    },
}

/// A segment that does not belong where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentMismatch {
    /// It cannot be read at all.
    #[error(transparent)]
    Header(#[from] SegmentHeaderError),
    /// Another cluster wrote it.
    #[error("the cluster with the system identifier {found} wrote it, not {expected}")]
    System {
        /// The cluster that it names.
        found: SystemId,
        /// The cluster that it should name.
        expected: SystemId,
    },
    /// It is from another place in the WAL.
    #[error("it begins at {found}, not at {expected}")]
    Start {
        /// Where it begins.
        found: Lsn,
        /// Where its name says that it begins.
        expected: Lsn,
    },
    /// It was written on a later timeline than its name says.
    #[error("it was written on timeline {found}, not on {expected}")]
    Timeline {
        /// The timeline of its first page.
        found: TimelineId,
        /// That of its name.
        expected: TimelineId,
    },
    /// Its cluster has segments of another size.
    #[error("its cluster has segments of {found} bytes, not of {expected}")]
    Size {
        /// The size that it names, in bytes.
        found: u32,
        /// The size that was expected, in bytes.
        expected: u32,
    },
}

impl SegmentHeader {
    /// Reads the header from the first [`SEGMENT_HEADER_BYTES`] of a segment of a little-endian server.
    pub fn parse(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(SegmentHeaderError::Short { bytes: bytes.len() });
        };
        let [_, magic_high, info_low, info_high, ..] = *header;
        let timeline = TimelineId::new(u32::from_le_bytes(field(header, 4)));
        let is_first_page = u16::from_le_bytes([info_low, info_high]) & LONG_HEADER != 0;
        let Some(timeline) = timeline.filter(|_| magic_high == MAGIC_HIGH && is_first_page) else {
            return Err(SegmentHeaderError::NotWal);
        };
        let bytes = u32::from_le_bytes(field(header, 32));
        Ok(Self {
            timeline,
            start: Lsn(u64::from_le_bytes(field(header, 8))),
            system: SystemId(u64::from_le_bytes(field(header, 24))),
            segment_size: SegmentSize::new(bytes).map_err(|_| SegmentHeaderError::Size { bytes })?,
        })
    }

    /// Whether this is the header of the segment `name` of the cluster `system`. A segment in which a timeline begins was copied
    /// from its parent up to there, so its first page may name an earlier timeline than its name does.
    pub fn check(
        &self,
        name: WalSegmentName,
        size: SegmentSize,
        system: SystemId,
    ) -> Result<(), SegmentMismatch> {
        if self.system != system {
            return Err(SegmentMismatch::System { found: self.system, expected: system });
        }
        if self.segment_size != size {
            let (found, expected) = (self.segment_size.bytes(), size.bytes());
            return Err(SegmentMismatch::Size { found, expected });
        }
        if self.start != name.start(size) || !name.fits(size) {
            return Err(SegmentMismatch::Start { found: self.start, expected: name.start(size) });
        }
        if self.timeline > name.timeline {
            return Err(SegmentMismatch::Timeline { found: self.timeline, expected: name.timeline });
        }
        Ok(())
    }
}

fn field<const N: usize>(header: &[u8; SEGMENT_HEADER_BYTES], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[offset..offset + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a segment as PostgreSQL 15 writes them.
    fn header(timeline: u32, start: u64, system: u64, size: u32) -> Vec<u8> {
        let mut bytes = vec![0x10, 0xd1, 0x02, 0x00];
        bytes.extend(timeline.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(system.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(8192u32.to_le_bytes());
        bytes
    }

    const SIZE: SegmentSize = SegmentSize::DEFAULT;

    #[test]
    fn a_header_is_read() {
        let read = SegmentHeader::parse(&header(3, 0x5_0100_0000, 77, 16 << 20)).unwrap();
        let expected = SegmentHeader {
            timeline: TimelineId::new(3).unwrap(),
            start: Lsn(0x5_0100_0000),
            system: SystemId(77),
            segment_size: SIZE,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_segment_is_refused() {
        let sound = header(1, 16 << 20, 77, 16 << 20);
        assert_eq!(SegmentHeader::parse(&sound[..39]), Err(SegmentHeaderError::Short { bytes: 39 }));
        // Another magic, a short header, no timeline.
        for (offset, value) in [(1, 0xd0), (2, 0x00), (4, 0x00)] {
            let mut changed = sound.clone();
            changed[offset] = value;
            assert_eq!(SegmentHeader::parse(&changed), Err(SegmentHeaderError::NotWal), "{offset}");
        }
        let odd = SegmentHeader::parse(&header(1, 0, 77, 17));
        assert_eq!(odd, Err(SegmentHeaderError::Size { bytes: 17 }));
        assert_eq!(SegmentHeader::parse(&[0; 40]), Err(SegmentHeaderError::NotWal));
    }

    #[test]
    fn a_segment_under_another_name_is_noticed() {
        let name: WalSegmentName = "000000020000000000000003".parse().unwrap();
        let (start, system) = (3 << 24, SystemId(77));
        let check = |bytes: &[u8]| SegmentHeader::parse(bytes).unwrap().check(name, SIZE, system);
        assert_eq!(check(&header(2, start, 77, 16 << 20)), Ok(()));
        // The segment in which timeline 2 began.
        assert_eq!(check(&header(1, start, 77, 16 << 20)), Ok(()));
        let other = check(&header(2, start, 78, 16 << 20));
        assert!(matches!(other, Err(SegmentMismatch::System { found: SystemId(78), .. })));
        let other = check(&header(2, 4 << 24, 77, 16 << 20));
        assert!(matches!(other, Err(SegmentMismatch::Start { found: Lsn(0x0400_0000), .. })));
        assert!(matches!(check(&header(3, start, 77, 16 << 20)), Err(SegmentMismatch::Timeline { .. })));
        assert!(matches!(check(&header(2, start, 77, 32 << 20)), Err(SegmentMismatch::Size { .. })));
    }
}
