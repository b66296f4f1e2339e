//! Turns the rows of a COPY into chunks for the repository, and proves them on the way.
//!
//! One hash per row serves twice: it is added to the row proof, and it decides whether the chunk ends after the row
//! (docs/format.md, section 7). A row is copied once, from the connection's buffer into its chunk.

use model::{RowHashState, RowHasher, RowProof};
use postgres::RowSink;
use repository::{Chunk, PartWriter, RowCutter};

use crate::Error;
use crate::progress::Progress;

/// Receives the rows of one part of a table and gives chunks to that part of a row stream.
pub(crate) struct RowChunks<'a> {
    hasher: &'a RowHasher,
    cutter: &'a RowCutter,
    progress: &'a Progress<'a>,
    part: PartWriter,
    chunk: Vec<u8>,
    rows: u32,
    key_hash: u64,
    /// The hash so far of a row that arrives in parts, because it is larger than the connection's buffer.
    long: Option<RowHashState>,
    read: Read,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Read {
    pub(crate) proof: RowProof,
    pub(crate) bytes: u64,
}

impl<'a> RowChunks<'a> {
    pub(crate) fn new(
        hasher: &'a RowHasher,
        cutter: &'a RowCutter,
        progress: &'a Progress<'a>,
        part: PartWriter,
    ) -> Self {
        let chunk = part.buffer();
        let read = Read::default();
        Self { hasher, cutter, progress, part, chunk, rows: 0, key_hash: 0, long: None, read }
    }

    /// Stores what is left and returns what was read.
    pub(crate) fn finish(mut self) -> Result<Read, Error> {
        self.store(false)?;
        self.part.finish();
        Ok(self.read)
    }

    fn count(&mut self, row_hash: u128, row_len: usize) {
        self.read.proof.add(row_hash);
        self.read.bytes += row_len as u64;
        self.rows += 1;
    }

    /// Gives the chunk to the repository and starts the next one; an empty chunk stays as it is.
    fn store(&mut self, continues: bool) -> Result<(), Error> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.progress.add(self.chunk.len() as u64)?;
        let bytes = std::mem::replace(&mut self.chunk, self.part.buffer());
        self.part.push(Chunk { bytes, rows: self.rows, key_hash: self.key_hash, continues })?;
        self.rows = 0;
        Ok(())
    }

    /// Takes the next bytes of a long row, which has chunks of its own: pieces of exactly the largest size.
    fn long_part(&mut self, mut part: &[u8]) -> Result<(), Error> {
        let max = self.cutter.max_bytes();
        while self.chunk.len() + part.len() > max {
            let (head, tail) = part.split_at(max - self.chunk.len());
            self.chunk.extend_from_slice(head);
            part = tail;
            self.store(true)?;
        }
        self.chunk.extend_from_slice(part);
        Ok(())
    }
}

impl RowSink for RowChunks<'_> {
    type Error = Error;

    #[inline]
    fn row(&mut self, row: &[u8]) -> Result<(), Error> {
        if row.len() > self.cutter.max_bytes() {
            return self.row_part(row, true);
        }
        let hash = self.hasher.hash(without_newline(row));
        if self.chunk.is_empty() {
            self.key_hash = self.hasher.key_hash(row);
        }
        self.chunk.extend_from_slice(row);
        self.count(hash, row.len());
        if self.cutter.cut_after(self.chunk.len(), row.len(), hash) {
            self.store(false)?;
        }
        Ok(())
    }

    #[cold]
    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Error> {
        if self.long.is_none() {
            self.store(false)?;
            self.key_hash = self.hasher.key_hash(part);
        }
        let hash = self.long.get_or_insert_with(|| self.hasher.start());
        hash.update(if last { without_newline(part) } else { part });
        let digest = if last { Some(hash.digest128()) } else { None };
        self.long_part(part)?;
        if let Some(digest) = digest {
            self.long = None;
            self.count(digest, part.len());
            self.store(false)
        } else {
            self.read.bytes += part.len() as u64;
            Ok(())
        }
    }
}

fn without_newline(row: &[u8]) -> &[u8] {
    row.strip_suffix(b"\n").unwrap_or(row)
}

/// Proves rows without storing them.
pub(crate) struct RowCounter<'a> {
    hasher: &'a RowHasher,
    progress: &'a Progress<'a>,
    long: Option<RowHashState>,
    read: Read,
    unreported: u64,
}

impl<'a> RowCounter<'a> {
    /// Bytes after which progress is reported.
    const REPORT_BYTES: u64 = 1 << 20;

    pub(crate) fn new(hasher: &'a RowHasher, progress: &'a Progress<'a>) -> Self {
        Self { hasher, progress, long: None, read: Read::default(), unreported: 0 }
    }

    pub(crate) fn finish(self) -> Result<Read, Error> {
        self.progress.add(self.unreported)?;
        Ok(self.read)
    }

    #[inline]
    fn seen(&mut self, bytes: usize) -> Result<(), Error> {
        self.read.bytes += bytes as u64;
        self.unreported += bytes as u64;
        if self.unreported >= Self::REPORT_BYTES {
            self.progress.add(std::mem::take(&mut self.unreported))?;
        }
        Ok(())
    }
}

impl RowSink for RowCounter<'_> {
    type Error = Error;

    #[inline]
    fn row(&mut self, row: &[u8]) -> Result<(), Error> {
        self.read.proof.add(self.hasher.hash(without_newline(row)));
        self.seen(row.len())
    }

    #[cold]
    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Error> {
        let hash = self.long.get_or_insert_with(|| self.hasher.start());
        hash.update(if last { without_newline(part) } else { part });
        if last {
            self.read.proof.add(hash.digest128());
            self.long = None;
        }
        self.seen(part.len())
    }
}
