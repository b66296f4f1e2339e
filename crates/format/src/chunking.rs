//! Where streams are cut (docs/format.md, section 7).
//!
//! Invariant: a cut depends on nothing but the bytes since the last cut and secrets of the repository, so that an
//! unchanged part of a stream is cut in the same places again.

use crate::{CutSizes, Secrets};

/// Cuts row streams after rows. It decides by the hash of the row, which is computed anyway for the row proof.
#[derive(Debug, Clone, Copy)]
pub struct RowCutter {
    sizes: CutSizes,
}

impl RowCutter {
    /// A cutter for these sizes.
    pub fn new(sizes: CutSizes) -> Self {
        Self { sizes }
    }

    /// A row longer than this has chunks of its own, of exactly this size.
    pub fn max_bytes(&self) -> usize {
        self.sizes.max_bytes as usize
    }

    /// Whether the chunk ends after a row. `chunk_len` and `row_len` count this row with its newline.
    #[inline]
    pub fn cut_after(&self, chunk_len: usize, row_len: usize, row_hash: u128) -> bool {
        if chunk_len < self.sizes.min_bytes as usize {
            return false;
        }
        // A row ends a chunk with a probability in proportion to its length.
        let draw = (row_hash >> 32) & 0xffff_ffff;
        chunk_len >= self.sizes.max_bytes as usize
            || draw * u128::from(self.sizes.spread_bytes) < (row_len as u128) << 32
    }
}

/// So many bytes count in a gear hash.
const GEAR_REACH: usize = 64;

/// Cuts archive streams wherever a rolling hash says so.
#[derive(Clone)]
pub struct GearCutter {
    sizes: CutSizes,
    gear: Box<[u64]>,
    mask: u64,
    hash: u64,
    length: usize,
}

impl GearCutter {
    /// A cutter at the start of a stream.
    pub fn new(sizes: CutSizes, secrets: &Secrets) -> Self {
        let bits = sizes.spread_bytes.trailing_zeros();
        let mask = u64::MAX.checked_shl(64 - bits).unwrap_or(0);
        Self { sizes, gear: secrets.gear().into(), mask, hash: 0, length: 0 }
    }

    /// Follows the stream. `Some(n)` says that a chunk ends after `data[..n]`; go on with the rest of `data`. `None` says
    /// that all of `data` belongs to the current chunk.
    pub fn find_cut(&mut self, data: &[u8]) -> Option<usize> {
        let (min, max) = (self.sizes.min_bytes as usize, self.sizes.max_bytes as usize);
        // A byte is shifted out of the hash after 64 others, and before `min` there is no cut.
        let skipped = min.saturating_sub(GEAR_REACH + self.length).min(data.len());
        self.length += skipped;
        for (position, byte) in data.iter().enumerate().skip(skipped) {
            self.hash = (self.hash << 1).wrapping_add(self.gear[usize::from(*byte)]);
            self.length += 1;
            if self.length >= max || (self.length >= min && self.hash & self.mask == 0) {
                self.hash = 0;
                self.length = 0;
                return Some(position + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RepositoryId, RootKey};

    const SIZES: CutSizes = CutSizes { min_bytes: 64, spread_bytes: 64, max_bytes: 256 };

    fn cutter() -> GearCutter {
        GearCutter::new(SIZES, &Secrets::derive(&RootKey::new([1; 32]), RepositoryId([2; 16])))
    }

    fn noise(length: usize, mut state: u64) -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    fn cuts(data: &[u8], piece: usize) -> Vec<usize> {
        let mut cutter = cutter();
        let (mut cuts, mut done) = (Vec::new(), 0);
        for mut part in data.chunks(piece) {
            while let Some(length) = cutter.find_cut(part) {
                part = &part[length..];
                done += length;
                cuts.push(done);
            }
            done += part.len();
        }
        cuts
    }

    #[test]
    fn cuts_do_not_depend_on_how_the_stream_arrives() {
        let data = noise(20_000, 1);
        assert_eq!(cuts(&data, 20_000), cuts(&data, 7));
        let sizes: Vec<_> = cuts(&data, 7).windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(sizes.iter().all(|size| (64..=256).contains(size)), "{sizes:?}");
        let average = sizes.iter().sum::<usize>() / sizes.len();
        assert!((100..160).contains(&average), "{average}");
    }

    #[test]
    fn cuts_are_found_again_after_a_change() {
        let data = noise(20_000, 2);
        let mut changed = data.clone();
        changed.splice(1000..1000, [1, 2, 3]);
        let (old, new) = (cuts(&data, 20_000), cuts(&changed, 20_000));
        let found = old.iter().filter(|cut| new.contains(&(*cut + 3))).count();
        assert!(found * 10 > old.len() * 8, "{found} of {}", old.len());
    }

    #[test]
    fn what_is_skipped_cannot_matter() {
        // With one bit of the hash to look at, every second chunk ends at the minimum, where the hash is shortest.
        let sizes = CutSizes { min_bytes: 100, spread_bytes: 2, max_bytes: 200 };
        let data = noise(100_000, 3);
        let mut cutter = GearCutter { sizes, mask: 1 << 63, ..cutter() };
        let (mut plain, mut start, mut hash) = (Vec::new(), 0, 0u64);
        for (end, byte) in (1..).zip(&data) {
            hash = (hash << 1).wrapping_add(cutter.gear[usize::from(*byte)]);
            if end - start == 200 || (end - start >= 100 && hash >> 63 == 0) {
                plain.push(end - start);
                (start, hash) = (end, 0);
            }
        }
        let mut rest = &data[..];
        for length in plain {
            assert_eq!(cutter.find_cut(rest), Some(length));
            rest = &rest[length..];
        }
        assert_eq!(cutter.find_cut(rest), None);
    }

    #[test]
    fn a_row_ends_a_chunk_by_its_own_hash() {
        let cutter = RowCutter::new(SIZES);
        assert!(!cutter.cut_after(63, 10, 0), "below the minimum");
        assert!(cutter.cut_after(64, 10, 0));
        assert!(!cutter.cut_after(255, 10, u128::MAX));
        assert!(cutter.cut_after(256, 10, u128::MAX), "at the maximum");
        // A row of 16 bytes ends a chunk with probability 16 / 64.
        assert!(cutter.cut_after(64, 16, u128::from(0x3fff_ffffu32) << 32));
        assert!(!cutter.cut_after(64, 16, u128::from(0x4000_0000u32) << 32));
    }
}
