//! The pages of relation files and their checksums (`checksum_impl.h` and `bufpage.h` of the server's source).
//!
//! Invariant: a page that [`bad_blocks`] does not name is one that PostgreSQL itself would accept, or one that replay of the WAL
//! of the backup replaces as a whole.
//!
//! Deliberately absent: reading again what was bad, which is for whoever has the file; and machines whose numbers begin with
//! the high byte, since the server writes pages as its machine has them.

mod checksum;
mod relation_file;

pub use checksum::checksum;
pub use relation_file::{Fork, RelationFile, SEGMENT_BLOCKS, relation_file};

use model::Lsn;

/// Bytes of a page unless the server was built otherwise (`BLCKSZ`).
pub const PAGE_BYTES: u32 = 8192;
/// Bytes of the head of a page, which holds all that is read here.
const HEAD_BYTES: usize = 24;
/// Where `pd_checksum` is in the head.
const CHECKSUM_AT: usize = 8;
/// Where `pd_upper` is in the head. It is 0 in a page that was never initialised, and never in another.
const UPPER_AT: usize = 14;
/// More WAL than any server writes while a backup of it runs, in bytes (64 TiB). A page that says that it was written
/// behind that was written by nobody: its head is damaged.
const MOST_WAL_BYTES: u64 = 1 << 46;

/// The blocks of `bytes` that are damaged, in order. `bytes` are whole pages of `page_bytes` each from the block
/// `first_block` of the relation on; less than a page at the end is left out, since nobody has written that page yet.
///
/// `start_lsn` is where the WAL of the backup begins. A page is fine when it is new and all zeros; when its LSN is not before
/// `start_lsn`, since it was changed during the backup and the WAL then holds an image of it, however it was torn; or
/// when its checksum is right. The server reasons so for its own base backups (`basebackup.c`).
pub fn bad_blocks(bytes: &[u8], page_bytes: u32, first_block: u32, start_lsn: Lsn) -> Vec<u32> {
    let pages = bytes.chunks_exact(page_bytes.max(1) as usize);
    let numbered = (first_block..).zip(pages);
    numbered.filter(|(block, page)| !is_fine(page, *block, start_lsn)).map(|(block, _)| block).collect()
}

fn is_fine(page: &[u8], block: u32, start_lsn: Lsn) -> bool {
    let Some(head) = page.first_chunk::<HEAD_BYTES>() else { return true };
    if two_bytes(head, UPPER_AT) == 0 {
        return is_zero(page);
    }
    let lsn = page_lsn(head);
    let is_replaced = lsn >= start_lsn && lsn.bytes_since(start_lsn) < MOST_WAL_BYTES;
    is_replaced || checksum(page, block) == two_bytes(head, CHECKSUM_AT)
}

/// `pd_lsn`: the end of the last WAL record that changed the page.
fn page_lsn(head: &[u8; HEAD_BYTES]) -> Lsn {
    let [high @ .., _, _, _, _] = head.first_chunk::<8>().copied().unwrap_or_default();
    let low = head[4..].first_chunk().copied().unwrap_or_default();
    Lsn(u64::from(u32::from_le_bytes(high)) << 32 | u64::from(u32::from_le_bytes(low)))
}

fn two_bytes(head: &[u8; HEAD_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([head[at], head[at + 1]])
}

/// Without a branch per byte, so that it takes no longer than reading the page does.
fn is_zero(page: &[u8]) -> bool {
    page.iter().fold(0, |seen, byte| seen | byte) == 0
}

#[cfg(test)]
mod tests;
