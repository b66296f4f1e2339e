//! Segments that are not complete yet, as pieces of them.
//!
//! Invariant: a piece is deleted only when the whole segment, or another piece with all its bytes, is stored (W10). Pieces that overlap
//! hold the same bytes where they do.

use std::collections::BTreeMap;

use format::{ObjectKey, WalHead};
use jiff::Timestamp;
use model::{SegmentSize, WalName, WalSegmentName};

use super::read::{WalStream, read_head};
use super::seal::Content;
use super::{Stored, WalArchive};
use crate::Error;
use crate::error::{Problem, ProblemKind};
use crate::repository::storage_key;

/// How often pieces are listed again when some of them go while they are read: whoever merges them does so all the time, but not that fast.
const READ_ATTEMPTS: u32 = 10;

/// What is stored of a segment that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The segment.
    pub segment: WalSegmentName,
    /// The size of segments of its cluster.
    pub size: SegmentSize,
    /// Bytes from the start of the segment that are there without a gap.
    pub bytes: u32,
    /// When the last of them was archived.
    pub archived_at: Timestamp,
}

impl WalArchive {
    /// Stores the bytes of a segment from `offset` on; together with what was stored before, they make it durable up to their end.
    ///
    /// Store calls: as [`WalArchive::put_segment`].
    ///
    /// # Errors
    /// [`Error::WalDiffers`] when another piece begins at `offset`. [`Error::WalLength`] when the bytes do not fit into the
    /// segment, and [`Error::WalMisnamed`] when they are its beginning and that of another segment.
    pub fn put_piece(
        &self,
        segment: WalSegmentName,
        size: SegmentSize,
        offset: u32,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Stored, Error> {
        let name = WalName::Segment(segment);
        let expected = u64::from(size.bytes().saturating_sub(offset));
        let found = bytes.len() as u64;
        if found == 0 || found > expected {
            return Err(Error::WalLength { name, found, expected });
        }
        if offset == 0 {
            self.require_first_page(name, segment, size, bytes)?;
        }
        let head = self.new_head(name, Some(size), offset, found, now);
        self.put(&self.piece_key(segment, offset), &head, &Content::read(&bytes)?)
    }

    /// Stores the bytes of a segment from `offset` on as one piece, and deletes the pieces that begin behind `offset` and end within it.
    /// Returns how many they were.
    ///
    /// Store calls: as [`WalArchive::put_piece`]; 1 list, and for each piece behind `offset` 1 size, 1 range and 1 delete.
    ///
    /// # Errors
    /// As [`WalArchive::put_piece`].
    pub fn merge_pieces(
        &self,
        segment: WalSegmentName,
        size: SegmentSize,
        offset: u32,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<usize, Error> {
        self.put_piece(segment, size, offset, bytes, now)?;
        let end = u64::from(offset) + bytes.len() as u64;
        let mut deleted = 0;
        for (other, key) in self.pieces(segment)?.into_iter().rev() {
            if other <= offset {
                break;
            }
            let Some(head) = read_head(&self.repository, &key)? else { continue };
            if u64::from(other) + head.bytes <= end {
                self.repository.store.delete(&storage_key(&key)?)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Deletes the pieces of a segment that is stored as a whole. Returns how many there were.
    ///
    /// Store calls: 1 size, 1 list, and 1 delete for each piece.
    ///
    /// # Errors
    /// [`Error::WalUnfinished`] when the whole segment is not stored; nothing is deleted then.
    pub fn delete_pieces(&self, segment: WalSegmentName) -> Result<usize, Error> {
        let store = &self.repository.store;
        if store.size(&storage_key(&self.key(WalName::Segment(segment)))?)?.is_none() {
            return Err(Error::WalUnfinished { segment });
        }
        let pieces = self.pieces(segment)?;
        // From the last to the first: what is left after an interruption is still a beginning.
        for key in pieces.values().rev() {
            store.delete(&storage_key(key)?)?;
        }
        Ok(pieces.len())
    }

    /// How far the pieces of a segment go; nothing when it has none. Only their heads are read, and again if pieces go meanwhile.
    ///
    /// Store calls: 1 list, and 1 size and 1 range for each piece.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn unfinished(&self, segment: WalSegmentName) -> Result<Option<Unfinished>, Error> {
        again_if_gone(|| self.read_heads(segment))
    }

    fn read_heads(&self, segment: WalSegmentName) -> Result<Option<Unfinished>, Error> {
        let mut found: Option<Unfinished> = None;
        for (offset, key) in self.pieces(segment)? {
            let end = found.as_ref().map_or(0, |found| found.bytes);
            let head = read_head(&self.repository, &key)?.ok_or_else(|| gone(&key))?;
            if offset > end {
                break;
            }
            found = Some(extend(found, segment, &head, &key)?);
        }
        Ok(found)
    }

    /// The bytes of a segment from its start as far as its pieces go without a gap; nothing when it has none. Read again if
    /// pieces go meanwhile. Memory: the bytes.
    ///
    /// Store calls: 1 list, and for each piece 1 size and 1 range for every 8 MiB.
    ///
    /// # Errors
    /// [`Error::Damaged`], also when pieces overlap and contradict each other.
    pub fn join_pieces(&self, segment: WalSegmentName) -> Result<Option<(Unfinished, Vec<u8>)>, Error> {
        again_if_gone(|| self.join(segment))
    }

    fn join(&self, segment: WalSegmentName) -> Result<Option<(Unfinished, Vec<u8>)>, Error> {
        let mut joined: Vec<u8> = Vec::new();
        let mut found: Option<Unfinished> = None;
        for (offset, key) in self.pieces(segment)? {
            let at = offset as usize;
            if at > joined.len() {
                break;
            }
            let mut stream = WalStream::open(&self.repository, &key)?.ok_or_else(|| gone(&key))?;
            found = Some(extend(found, segment, stream.head(), &key)?);
            let mut at = at;
            while let Some(chunk) = stream.next(|record| record.plaintext(&self.repository.keyring))? {
                if at == 0 {
                    self.check_first_page(&key, stream.head(), &chunk)?;
                }
                at = append(&mut joined, at, &chunk).ok_or_else(|| contradiction(&key))?;
            }
        }
        Ok(found.map(|found| (found, joined)))
    }

    /// The keys of the pieces of a segment by offset.
    fn pieces(&self, segment: WalSegmentName) -> Result<BTreeMap<u32, ObjectKey>, Error> {
        let whole = self.key(WalName::Segment(segment)).to_string();
        let prefix = whole.strip_suffix("wal").unwrap_or(&whole);
        let listed = self.repository.store.list(prefix)?;
        let pieces = listed.iter().filter_map(|object| match ObjectKey::parse(object.key.as_str()) {
            Some(key @ ObjectKey::WalPiece(_, _, offset)) => Some((offset, key)),
            _ => None,
        });
        Ok(pieces.collect())
    }
}

/// A piece that went away between two calls is no damage: the segment has become whole, or another piece has its bytes now.
fn again_if_gone<T>(read: impl Fn() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    let is_gone = |result: &Result<Option<T>, Error>| matches!(result, Err(Error::Damaged(problem)) if problem.kind == ProblemKind::Missing);
    let mut result = read();
    for _ in 1..READ_ATTEMPTS {
        if !is_gone(&result) {
            break;
        }
        result = read();
    }
    result
}

fn gone(key: &ObjectKey) -> Error {
    Problem::new(key.to_string(), ProblemKind::Missing, "it is not there").into()
}

/// What is stored with one more piece, which begins where the others end or before.
fn extend(
    found: Option<Unfinished>,
    segment: WalSegmentName,
    head: &WalHead,
    key: &ObjectKey,
) -> Result<Unfinished, Error> {
    // A head of a segment has a size, and ends within it.
    let size = head.segment_bytes.ok_or_else(|| contradiction(key))?;
    let end = u32::try_from(u64::from(head.offset) + head.bytes).map_err(|_| contradiction(key))?;
    let new = Unfinished { segment, size, bytes: end, archived_at: head.archived_at };
    match found {
        Some(found) if found.size != size => Err(contradiction(key)),
        Some(found) if found.bytes >= end => Ok(found),
        _ => Ok(new),
    }
}

/// Appends what is new of `chunk`, which begins at `at` within `joined` or at its end. Returns where it ends; nothing when it
/// differs where it overlaps.
fn append(joined: &mut Vec<u8>, at: usize, chunk: &[u8]) -> Option<usize> {
    let (there, new) = chunk.split_at((joined.len() - at).min(chunk.len()));
    if joined[at..at + there.len()] != *there {
        return None;
    }
    joined.extend_from_slice(new);
    Some(at + chunk.len())
}

fn contradiction(key: &ObjectKey) -> Error {
    let message = "it contradicts another piece of its segment";
    Problem::new(key.to_string(), ProblemKind::Inconsistent, message).into()
}
