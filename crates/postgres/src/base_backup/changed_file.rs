//! Files of which an incremental backup brings only the blocks that changed (`basebackup_incremental.c` of the server).
//!
//! A member `INCREMENTAL.<name>` is a header, padded to a whole block when blocks follow, and the blocks:
//!
//! ```text
//! magic u32 | number of blocks u32 | truncation length u32 | block number u32 …
//! ```
//!
//! Blocks below the truncation length that are not there are as in the earlier backup, or zero where that has none. From it on,
//! blocks that are not there are zero. So the file ends at the truncation length or behind the last block, whichever is later.
//!
//! Invariant: memory is one header (512 KiB for a file of 1 GiB of which every block changed).

use super::tar::Malformed;

/// What the names of such members begin with.
pub(super) const PREFIX: &str = "INCREMENTAL.";
/// The magic number (`INCREMENTAL_MAGIC`).
const MAGIC: u32 = 0xd3ae_1f0d;
/// Bytes before the block numbers.
const FIXED_BYTES: usize = 12;
/// Blocks of a file of a relation at most. The server's `RELSEG_SIZE` is an eighth of it, unless it was built otherwise.
const BLOCK_LIMIT: u32 = 1 << 20;

/// The header of such a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangedBlocks {
    /// Numbers of the blocks that follow, ascending.
    pub(super) blocks: Vec<u32>,
    /// Blocks of the file that may be as in the earlier backup.
    pub(super) truncation_length: u32,
    block_bytes: u32,
}

/// What a region of the file is made of. Offsets and lengths are in bytes of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patch {
    /// Its length.
    pub(super) length: u32,
    /// So much of it may be as in the earlier backup.
    pub(super) kept: u32,
    /// So much of it the earlier backup has, in whole blocks.
    pub(super) earlier: u32,
    /// It is as in the earlier backup.
    pub(super) unchanged: bool,
    /// Where blocks go that came, ascending.
    pub(super) offsets: Vec<u32>,
    /// Bytes of each.
    pub(super) block_bytes: u32,
}

impl Patch {
    /// Bytes of the earlier backup that are part of the region; none if they all changed.
    pub(super) fn earlier_bytes(&self) -> usize {
        let all_came = self.offsets.len() * self.block_bytes as usize == self.length as usize;
        if all_came { 0 } else { self.kept.min(self.earlier) as usize }
    }

    /// Makes the region in `bytes`, which holds what the earlier backup has of it or nothing, from the blocks that came.
    pub(super) fn apply(&self, bytes: &mut Vec<u8>, blocks: &[u8]) {
        bytes.truncate(self.earlier_bytes());
        bytes.resize(self.length as usize, 0);
        for (offset, block) in self.offsets.iter().zip(blocks.chunks_exact(self.block_bytes as usize)) {
            let offset = *offset as usize;
            bytes[offset..offset + block.len()].copy_from_slice(block);
        }
    }
}

/// Collects the header of a member.
#[derive(Debug)]
pub(super) struct HeaderReader {
    bytes: Vec<u8>,
    block_bytes: u32,
}

impl HeaderReader {
    pub(super) fn new(block_bytes: u32) -> Self {
        Self { bytes: Vec::new(), block_bytes }
    }

    /// Takes bytes of the header from `input`; the header, when it is complete.
    pub(super) fn feed(&mut self, input: &mut &[u8]) -> Result<Option<ChangedBlocks>, Malformed> {
        loop {
            let wanted = self.length()?;
            if self.bytes.len() == wanted {
                return self.parse().map(Some);
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (piece, rest) = input.split_at(input.len().min(wanted - self.bytes.len()));
            self.bytes.extend_from_slice(piece);
            *input = rest;
        }
    }

    fn word(&self, at: usize) -> Option<u32> {
        let word = self.bytes.get(at * 4..at * 4 + 4)?;
        Some(u32::from_le_bytes(word.try_into().ok()?))
    }

    /// Bytes of the header, as far as is known yet.
    fn length(&self) -> Result<usize, Malformed> {
        let (Some(magic), Some(count), Some(_)) = (self.word(0), self.word(1), self.word(2)) else {
            return Ok(FIXED_BYTES);
        };
        if magic != MAGIC {
            return Err(Malformed("an incremental file with an unknown magic number"));
        }
        if count > BLOCK_LIMIT {
            return Err(Malformed("an incremental file with too many blocks"));
        }
        let length = FIXED_BYTES + count as usize * 4;
        Ok(if count == 0 { length } else { length.next_multiple_of(self.block_bytes as usize) })
    }

    fn parse(&self) -> Result<ChangedBlocks, Malformed> {
        let wrong = Malformed("an incremental file with a malformed header");
        let (count, truncation_length) = (self.word(1).ok_or(wrong)?, self.word(2).ok_or(wrong)?);
        let blocks = (0..count as usize).map(|at| self.word(3 + at)).collect::<Option<Vec<_>>>();
        let blocks = blocks.ok_or(wrong)?;
        if blocks.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Malformed("an incremental file with blocks out of order"));
        }
        let last = blocks.last().copied().unwrap_or_default();
        if last >= BLOCK_LIMIT || truncation_length > BLOCK_LIMIT {
            return Err(Malformed("an incremental file that is too large"));
        }
        Ok(ChangedBlocks { blocks, truncation_length, block_bytes: self.block_bytes })
    }
}

impl ChangedBlocks {
    /// Bytes of the file that it describes.
    pub(super) fn file_bytes(&self) -> u64 {
        let behind_last = self.blocks.last().map_or(0, |block| u64::from(*block) + 1);
        behind_last.max(self.truncation_length.into()) * u64::from(self.block_bytes)
    }

    /// What region `number` is made of, where the earlier backup's file has `earlier_bytes`.
    pub(super) fn patch(&self, number: u32, region_bytes: u32, earlier_bytes: u64) -> Patch {
        let begin = u64::from(number) * u64::from(region_bytes);
        let block_bytes = u64::from(self.block_bytes);
        // At most a region, so it fits.
        let within = |end: u64| {
            u32::try_from(end.saturating_sub(begin).min(region_bytes.into())).unwrap_or(region_bytes)
        };
        let first = self.blocks.partition_point(|block| u64::from(*block) * block_bytes < begin);
        let behind = begin + u64::from(region_bytes);
        let last = self.blocks.partition_point(|block| u64::from(*block) * block_bytes < behind);
        let offset = |block: &u32| within(u64::from(*block) * block_bytes);
        let (length, kept) =
            (within(self.file_bytes()), within(u64::from(self.truncation_length) * block_bytes));
        Patch {
            length,
            kept,
            earlier: within(earlier_bytes - earlier_bytes % block_bytes),
            unchanged: first == last && kept == length && within(earlier_bytes) == length,
            offsets: self.blocks[first..last].iter().map(offset).collect(),
            block_bytes: self.block_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
