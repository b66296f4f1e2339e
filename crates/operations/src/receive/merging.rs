//! Which pieces of a segment to merge. A server that writes little, or commits that wait for the archive, make many small pieces
//! of a segment before it is whole; readers and object stores want few.
//!
//! Invariant: a segment has at most [`PIECES_MOST`] pieces that are not being merged, and each byte is stored again once a level,
//! so a logarithm of the number of flushes.

use std::collections::BTreeSet;

/// Neighbours of the same level that become one of the next.
const FAN_IN: usize = 16;
/// Pieces of a segment, the first one apart.
const PIECES_MOST: usize = 8 * FAN_IN;

/// The pieces of the segment that is being received.
#[derive(Debug, Default)]
pub(super) struct Merging {
    /// All but the one at the start, in order.
    pieces: Vec<Piece>,
    /// Every offset that ever had a piece: another one there would be refused.
    taken: BTreeSet<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    offset: u32,
    /// How often its bytes were merged.
    level: u32,
}

impl Merging {
    /// For a segment that has pieces at these offsets, and bytes up to `end` without a gap. What is behind a gap is left alone.
    pub(super) fn resume(offsets: impl IntoIterator<Item = u32>, end: u32) -> Self {
        let mut merging = Self::default();
        for offset in offsets {
            if offset < end {
                merging.add(offset);
            } else {
                merging.taken.insert(offset);
            }
        }
        merging
    }

    /// A piece was stored behind all others.
    pub(super) fn add(&mut self, offset: u32) {
        self.taken.insert(offset);
        if offset > 0 {
            self.pieces.push(Piece { offset, level: 0 });
        }
    }

    /// The offset of a piece that is to replace all pieces behind it, if there are enough. It goes up to the end of the last one.
    pub(super) fn next(&mut self) -> Option<u32> {
        let first = self.first_to_merge()?;
        let merged = self.pieces.split_off(first);
        let begin = merged.first()?.offset;
        let level = merged.iter().map(|piece| piece.level).max()? + 1;
        // It begins before them, within the piece before, as no two pieces begin at the same place.
        let lowest = self.pieces.last().map_or(0, |before| before.offset) + 1;
        let Some(offset) = (lowest..begin).rev().find(|offset| !self.taken.contains(offset)) else {
            // No room: they stay as they are, and are not looked at again.
            self.pieces.extend(merged.iter().map(|piece| Piece { level, ..*piece }));
            return None;
        };
        self.taken.insert(offset);
        self.pieces.push(Piece { offset, level });
        Some(offset)
    }

    fn first_to_merge(&self) -> Option<usize> {
        if self.pieces.len() > PIECES_MOST {
            return Some(0);
        }
        let first = self.pieces.len().checked_sub(FAN_IN)?;
        let level = self.pieces.last()?.level;
        self.pieces[first..].iter().all(|piece| piece.level == level).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An archive of pieces as offset and end, with as many bytes as were stored.
    #[derive(Default)]
    struct Archive {
        pieces: std::collections::BTreeMap<u32, u32>,
        stored: u64,
    }

    impl Archive {
        fn put(&mut self, offset: u32, end: u32) {
            assert!(self.pieces.insert(offset, end).is_none(), "two pieces at {offset}");
            self.stored += u64::from(end - offset);
        }

        fn merge(&mut self, offset: u32, end: u32) {
            self.put(offset, end);
            self.pieces.retain(|other, its_end| *other <= offset || *its_end > end);
        }

        /// How far the pieces go without a gap.
        fn end(&self) -> u32 {
            self.pieces
                .iter()
                .fold(0, |end, (offset, its_end)| if *offset <= end { end.max(*its_end) } else { end })
        }
    }

    fn run(sizes: impl IntoIterator<Item = u32>, mut merging: Merging, mut archive: Archive) -> Archive {
        let mut end = archive.end();
        for size in sizes {
            archive.put(end, end + size);
            merging.add(end);
            end += size;
            while let Some(offset) = merging.next() {
                archive.merge(offset, end);
            }
            assert_eq!(archive.end(), end);
        }
        archive
    }

    #[test]
    fn few_pieces_are_left_of_many() {
        // 16 MiB in commits of 200 bytes.
        let archive = run(std::iter::repeat_n(200, 80_000), Merging::default(), Archive::default());
        assert!(archive.pieces.len() < 80, "{} pieces", archive.pieces.len());
        assert!(archive.stored < 6 * 16_000_000, "{} bytes", archive.stored);
    }

    #[test]
    fn what_was_left_behind_is_merged() {
        let mut archive = Archive::default();
        for at in 0..1000 {
            archive.put(at * 8, at * 8 + 8);
        }
        let merging = Merging::resume(archive.pieces.keys().copied(), archive.end());
        let archive = run([8], merging, archive);
        assert_eq!(archive.pieces.len(), 2);
    }

    #[test]
    fn what_is_behind_a_gap_is_left_alone() {
        let mut merging = Merging::resume((0..200).map(|at| at * 8), 24);
        assert_eq!(merging.pieces.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [8, 16]);
        assert_eq!(merging.next(), None);
        assert!(merging.taken.contains(&1592));
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_offset_used_twice(
            sizes in prop::collection::vec(1_u32..40, 1..600),
            before in prop::collection::vec(1_u32..40, 0..200),
        ) {
            let (mut archive, mut end) = (Archive::default(), 0);
            for size in before {
                archive.put(end, end + size);
                end += size;
            }
            let merging = Merging::resume(archive.pieces.keys().copied(), archive.end());
            run(sizes, merging, archive);
        }
    }
}
