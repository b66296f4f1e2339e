//! Made-up WAL: segments with the first page that PostgreSQL would write, half of the rest noise.

use model::{Lsn, SegmentSize, SystemId, TimelineId, WalSegmentName};

use crate::ledger::noise;

/// The cluster that writes it.
pub(crate) const SYSTEM: SystemId = SystemId(77);

pub(crate) fn timeline(number: u32) -> TimelineId {
    TimelineId::new(number).unwrap()
}

/// Segment `number` of a timeline, of 16 MiB.
pub(crate) fn segment(on: u32, number: u64) -> WalSegmentName {
    segment_of(on, Lsn(number << 24), SegmentSize::DEFAULT)
}

pub(crate) fn segment_of(on: u32, start: Lsn, size: SegmentSize) -> WalSegmentName {
    WalSegmentName::containing(timeline(on), start, size)
}

/// The bytes of segment `number`; other versions have other bytes behind the first page.
pub(crate) fn wal(on: u32, number: u64, size: SegmentSize, version: u64) -> Vec<u8> {
    let mut bytes = vec![0x10, 0xd1, 0x02, 0x00];
    bytes.extend(on.to_le_bytes());
    bytes.extend((number * u64::from(size.bytes())).to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(SYSTEM.0.to_le_bytes());
    bytes.extend(size.bytes().to_le_bytes());
    bytes.extend(8192u32.to_le_bytes());
    let length = size.bytes() as usize;
    bytes.extend(noise(number * 1000 + version, length / 2));
    bytes.resize(length, 7);
    bytes
}
