//! Streams of rows, whose parts are written at the same time.

use std::sync::Arc;

use super::Chunk;
use super::sealer::Job;
use super::shared::Shared;
use super::stream::Stream;
use crate::Error;

/// The rows of one table. Parts of it (ranges of its pages) may be written from different threads.
#[derive(Clone)]
pub struct RowStream {
    stream: Arc<Stream>,
    shared: Arc<Shared>,
}

/// One part of a stream of rows.
pub struct PartWriter {
    stream: Arc<Stream>,
    shared: Arc<Shared>,
    number: u32,
    chunks: u32,
}

impl std::fmt::Debug for RowStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowStream({})", self.stream.name)
    }
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartWriter({}, part {})", self.stream.name, self.number)
    }
}

impl RowStream {
    pub(super) fn new(stream: Arc<Stream>, shared: Arc<Shared>) -> Self {
        Self { stream, shared }
    }

    /// Opens part `number`. The parts make up the stream in the order of their numbers. Number them 0, 1, 2, …: where a number
    /// is missing, the entries of later parts wait in memory until the commit.
    ///
    /// # Errors
    /// When the part was opened before.
    pub fn part(&self, number: u32) -> Result<PartWriter, Error> {
        if !self.stream.open_part(number) {
            return Err(Error::OpenedTwice {
                what: format!("part {number} of stream {:?}", self.stream.name),
            });
        }
        Ok(PartWriter {
            stream: Arc::clone(&self.stream),
            shared: Arc::clone(&self.shared),
            number,
            chunks: 0,
        })
    }
}

impl PartWriter {
    /// An empty buffer for the next chunk, used before where possible.
    pub fn buffer(&self) -> Vec<u8> {
        self.shared.buffer()
    }

    /// Adds the next chunk. Blocks while the seal threads are busy.
    ///
    /// # Errors
    /// When the chunk is larger than the format allows, or when the backup has failed; the first caller to learn of a failure
    /// gets its cause, others [`Error::Stopped`].
    pub fn push(&mut self, chunk: Chunk) -> Result<(), Error> {
        send(&self.shared, &self.stream, self.number, self.chunks, chunk)?;
        self.chunks += 1;
        Ok(())
    }

    /// Says that the part is complete. A part that is dropped without this makes the commit fail.
    pub fn finish(self) {
        self.stream.finish_part(self.number, self.chunks);
    }
}

/// Sends a chunk to the seal threads.
pub(super) fn send(
    shared: &Shared,
    stream: &Arc<Stream>,
    part: u32,
    sequence: u32,
    chunk: Chunk,
) -> Result<(), Error> {
    if chunk.bytes.len() > format::CHUNK_BYTES_MAX {
        return Err(Error::TooLarge {
            what: format!("a chunk of stream {:?}", stream.name),
            bytes: chunk.bytes.len() as u64,
            limit: format::CHUNK_BYTES_MAX as u64,
        });
    }
    let job = Job { stream: Arc::clone(stream), part, sequence, chunk };
    if shared.has_failed() || !shared.send(job) {
        return Err(shared.failure());
    }
    Ok(())
}
