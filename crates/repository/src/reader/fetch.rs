//! Reading many records with few calls to the store.
//!
//! Records that are needed together mostly lie next to each other in one pack or two. They are read as one range each, as long
//! as a range stays below a named size and the gaps in it are small.

use std::collections::HashMap;
use std::sync::Arc;

use format::{ListEntry, PackId, Place, RECORD_HEADER_BYTES, RecordType};

use super::BackupReader;
use crate::Error;

/// Largest range that is read at once, in bytes.
pub(super) const MAX_RANGE_BYTES: u64 = 4 << 20;
/// Bytes that are read needlessly rather than with another call.
const MAX_GAP_BYTES: u64 = 64 << 10;

/// One range of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) pack: PackId,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// First byte of a record, and the first after it.
pub(super) fn extent(place: &Place) -> (u64, u64) {
    let start = u64::from(place.offset);
    (start, start + RECORD_HEADER_BYTES as u64 + u64::from(place.sealed_bytes))
}

/// The ranges that hold all of `places`, in order of pack and position.
pub(super) fn plan(mut places: Vec<Place>) -> Vec<Range> {
    places.sort_unstable_by_key(|place| (place.pack, place.offset));
    let mut ranges: Vec<Range> = Vec::new();
    for place in &places {
        let (start, end) = extent(place);
        match ranges.last_mut() {
            Some(last)
                if last.pack == place.pack
                    && start <= last.end + MAX_GAP_BYTES
                    && end.max(last.end) - last.start <= MAX_RANGE_BYTES =>
            {
                last.end = last.end.max(end);
            }
            _ => ranges.push(Range { pack: place.pack, start, end }),
        }
    }
    ranges
}

/// Bytes of plaintext that are fetched together: bounds the memory of a [`Loader`] to about twice as much.
const WINDOW_BYTES: u64 = 8 << 20;

/// Reads chunks of a backup, a few MiB at a time.
#[derive(Debug)]
pub struct Loader {
    reader: BackupReader,
    /// Buffers of ranges, used again and again.
    buffers: Vec<Vec<u8>>,
    /// The record that is being opened.
    record: Vec<u8>,
}

/// Ranges that were read.
struct Window {
    ranges: Vec<(Range, Vec<u8>)>,
}

impl Window {
    /// The bytes of the record at `place`, which is in one of the ranges.
    fn record(&self, place: &Place) -> Option<&[u8]> {
        let (start, end) = extent(place);
        let after =
            self.ranges.partition_point(|(range, _)| (range.pack, range.start) <= (place.pack, start));
        let (range, bytes) = self.ranges.get(after.checked_sub(1)?)?;
        let from = usize::try_from(start.checked_sub(range.start)?).ok()?;
        let to = usize::try_from(end.checked_sub(range.start)?).ok()?;
        if range.pack == place.pack { bytes.get(from..to) } else { None }
    }
}

impl Loader {
    pub(super) fn new(reader: BackupReader) -> Self {
        Self { reader, buffers: Vec::new(), record: Vec::new() }
    }

    /// Reads the chunks of `entries` and gives each to `visit`, in order.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a chunk is not what was written; whatever `visit` returns.
    pub fn load<E: From<Error>>(
        &mut self,
        entries: &[ListEntry],
        mut visit: impl FnMut(&ListEntry, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = entries;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |entry: &&ListEntry| {
                bytes += u64::from(entry.place.plain_bytes);
                bytes <= WINDOW_BYTES
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (window, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            self.load_window(window, &mut visit)?;
            rest = later;
        }
        Ok(())
    }

    fn load_window<E: From<Error>>(
        &mut self,
        entries: &[ListEntry],
        visit: &mut impl FnMut(&ListEntry, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Bases that are at hand already need not be read. They are held until the window is done.
        let mut bases = HashMap::new();
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            places.push(entry.place);
            if let Some(base) = &entry.base {
                match self.reader.shared.bases.get(&base.id) {
                    Some(plain) => {
                        bases.insert(base.id, plain);
                    }
                    None => places.push(*base),
                }
            }
        }
        let window = self.fetch(plan(places))?;
        for entry in entries {
            let base = match &entry.base {
                None => None,
                Some(base) => match bases.get(&base.id) {
                    Some(plain) => Some((base, Arc::clone(plain))),
                    None => Some((base, self.reader.base(base, record(&window, base)?)?)),
                },
            };
            self.record.clear();
            self.record.extend_from_slice(record(&window, &entry.place)?);
            let expected = if base.is_some() { RecordType::Delta } else { RecordType::Full };
            let base = base.as_ref().map(|(place, plain)| (*place, plain.as_slice()));
            let plain = self.reader.shared.records.open(&entry.place, expected, &mut self.record, base)?;
            visit(entry, &plain)?;
        }
        self.buffers = window.ranges.into_iter().map(|(_, buffer)| buffer).collect();
        Ok(())
    }

    fn fetch(&mut self, ranges: Vec<Range>) -> Result<Window, Error> {
        let mut read = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut buffer = self.buffers.pop().unwrap_or_default();
            buffer.resize(usize::try_from(range.end - range.start).unwrap_or(usize::MAX), 0);
            self.reader.shared.records.read_range(range.pack, range.start, &mut buffer)?;
            read.push((range, buffer));
        }
        Ok(Window { ranges: read })
    }
}

fn record<'a>(window: &'a Window, place: &Place) -> Result<&'a [u8], Error> {
    // Every place of a window is in one of its ranges: they were planned from them.
    window.record(place).ok_or(Error::Stopped)
}

#[cfg(test)]
mod tests {
    use format::ChunkId;

    use super::*;

    fn place(pack: u8, offset: u32, sealed_bytes: u32) -> Place {
        Place { pack: PackId([pack; 32]), offset, sealed_bytes, plain_bytes: 1, id: ChunkId([0; 32]) }
    }

    #[test]
    fn neighbours_are_read_together() {
        let header = u32::try_from(RECORD_HEADER_BYTES).unwrap();
        let places =
            vec![place(2, 64, 100), place(1, 164 + header, 100), place(1, 64, 100), place(1, 64, 100)];
        let ranges = plan(places);
        let end = u64::from(264 + 2 * header);
        let second = 64 + 100 + u64::from(header);
        assert_eq!(
            ranges,
            [
                Range { pack: PackId([1; 32]), start: 64, end },
                Range { pack: PackId([2; 32]), start: 64, end: second }
            ]
        );
    }

    #[test]
    fn far_and_large_records_are_read_apart() {
        let far = plan(vec![place(1, 64, 100), place(1, 1 << 20, 100)]);
        assert_eq!(far.len(), 2);
        let large = plan((0..8).map(|n| place(1, 64 + n * 1_000_052, 1_000_000)).collect());
        assert!(large.iter().all(|range| range.end - range.start <= MAX_RANGE_BYTES), "{large:?}");
        assert_eq!(large.len(), 2);
    }
}
