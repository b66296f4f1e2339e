//! Streams of bytes without rows: cut where their content says so.

use std::io::{self, Write};
use std::sync::Arc;

use aws_lc_rs::digest;
use format::GearCutter;

use super::Chunk;
use super::rows::send;
use super::shared::Shared;
use super::stream::Stream;
use crate::Error;
use crate::catalog::finish_sha256;

/// Writes an archive stream. Its write errors hold an [`Error`] that [`io::Error::downcast`] gives back.
pub struct ArchiveWriter {
    stream: Arc<Stream>,
    shared: Arc<Shared>,
    cutter: GearCutter,
    hasher: digest::Context,
    chunk: Vec<u8>,
    chunks: u32,
}

impl std::fmt::Debug for ArchiveWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArchiveWriter({})", self.stream.name)
    }
}

impl ArchiveWriter {
    pub(super) fn new(stream: Arc<Stream>, shared: Arc<Shared>) -> Self {
        stream.open_part(0);
        let sizes = shared.repository.head.chunking.archive;
        let cutter = GearCutter::new(sizes, shared.repository.keyring.secrets());
        let chunk = shared.buffer();
        Self { stream, shared, cutter, hasher: digest::Context::new(&digest::SHA256), chunk, chunks: 0 }
    }

    /// Adds `bytes` to the stream. Blocks while the seal threads are busy.
    ///
    /// # Errors
    /// When the backup has failed; the first caller to learn of a failure gets its cause, others [`Error::Stopped`].
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        while let Some(cut) = self.cutter.find_cut(bytes) {
            let (head, tail) = bytes.split_at_checked(cut).unwrap_or((bytes, &[]));
            self.chunk.extend_from_slice(head);
            self.end_chunk()?;
            bytes = tail;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(())
    }

    /// Says that the stream is complete. A stream that is dropped without this makes the commit fail.
    ///
    /// # Errors
    /// As [`ArchiveWriter::push`].
    pub fn finish(mut self) -> Result<(), Error> {
        if !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        self.stream.set_sha256(finish_sha256(&self.hasher.finish()));
        self.stream.finish_part(0, self.chunks);
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), Error> {
        let bytes = std::mem::replace(&mut self.chunk, self.shared.buffer());
        let chunk = Chunk { bytes, ..Chunk::default() };
        send(&self.shared, &self.stream, 0, self.chunks, chunk)?;
        self.chunks += 1;
        Ok(())
    }
}

impl Write for ArchiveWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
