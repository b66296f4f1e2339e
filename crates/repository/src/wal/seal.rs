//! From bytes to a sealed object, on several threads.
//!
//! Invariant: chunks enter the object in their order. A thread is at most [`AHEAD`] chunks ahead of what is already in the
//! object, so memory is bounded whatever the threads do.

use std::thread;

use crossbeam_channel::{Receiver, Sender};
use format::{Compressor, EncodedChunk, FormatError, WAL_CHUNK_BYTES, WalBuilder, WalHead};

use super::source::WalSource;
use super::{MAX_WAL_THREADS, WalOptions};
use crate::Error;
use crate::repository::Inner;

/// Encoded chunks that wait for their turn, for each thread.
const AHEAD: usize = 2;

/// The bytes of an object. The first chunk has been read, and looked at.
pub(super) struct Content<'a> {
    pub(super) first: Vec<u8>,
    pub(super) source: &'a dyn WalSource,
}

impl<'a> Content<'a> {
    /// Reads the first chunk.
    pub(super) fn read(source: &'a dyn WalSource) -> Result<Self, Error> {
        let mut first = Vec::new();
        read_chunk(source, 0, &mut first)?;
        Ok(Self { first, source })
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> u64 {
        self.source.len().div_ceil(WAL_CHUNK_BYTES as u64)
    }

    /// The chunk of this number, perhaps read into `buffer`.
    pub(super) fn chunk<'b>(&'b self, number: u64, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Error> {
        if number == 0 {
            return Ok(&self.first);
        }
        read_chunk(self.source, number, buffer)?;
        Ok(buffer)
    }
}

fn read_chunk(source: &dyn WalSource, number: u64, buffer: &mut Vec<u8>) -> Result<(), Error> {
    let offset = number * WAL_CHUNK_BYTES as u64;
    let length = source.len().saturating_sub(offset).min(WAL_CHUNK_BYTES as u64);
    buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
    source.read_at(offset, buffer).map_err(Error::Source)
}

/// The sealed object with this head and this content.
pub(super) fn seal(
    repository: &Inner,
    options: WalOptions,
    head: &WalHead,
    content: &Content<'_>,
) -> Result<Vec<u8>, Error> {
    let salt = crate::random::salt()?;
    let failed = |source| Error::Seal { what: head.name.to_string(), source };
    let mut builder = WalBuilder::new(head, &repository.keyring, salt).map_err(failed)?;
    let most = usize::try_from(content.chunks()).unwrap_or(MAX_WAL_THREADS);
    let threads = options.threads.clamp(1, MAX_WAL_THREADS).min(most);
    if threads > 1 {
        seal_in_parallel(repository, options, &mut builder, content, threads, &failed)?;
    } else {
        let mut encoder = Encoder::new(repository, options).map_err(failed)?;
        for number in 0..content.chunks() {
            let chunk = encoder.encode(content, number)?.map_err(failed)?;
            builder.append(&chunk).map_err(failed)?;
        }
    }
    builder.finish().map_err(failed)
}

/// Thread k of n encodes the chunks k, k + n, k + 2n, …; this thread seals them in turn.
fn seal_in_parallel(
    repository: &Inner,
    options: WalOptions,
    builder: &mut WalBuilder,
    content: &Content<'_>,
    threads: usize,
    failed: &dyn Fn(FormatError) -> Error,
) -> Result<(), Error> {
    thread::scope(|scope| {
        let encoded: Vec<Receiver<_>> = (0..threads)
            .map(|first| {
                let (sender, receiver) = crossbeam_channel::bounded(AHEAD);
                let numbers = (0..content.chunks()).skip(first).step_by(threads);
                scope.spawn(move || encode_some(repository, options, content, numbers, &sender));
                receiver
            })
            .collect();
        for number in 0..content.chunks() {
            let turn = usize::try_from(number).unwrap_or_default() % threads;
            // A thread that ends early has panicked, which goes on when the scope ends.
            let Some(Ok(chunk)) = encoded.get(turn).map(Receiver::recv) else { break };
            builder.append(&chunk?.map_err(failed)?).map_err(failed)?;
        }
        Ok(())
    })
}

fn encode_some(
    repository: &Inner,
    options: WalOptions,
    content: &Content<'_>,
    numbers: impl Iterator<Item = u64>,
    sender: &Sender<Result<Result<EncodedChunk, FormatError>, Error>>,
) {
    let mut encoder = match Encoder::new(repository, options) {
        Ok(encoder) => encoder,
        Err(error) => {
            let _ = sender.send(Ok(Err(error)));
            return;
        }
    };
    for number in numbers {
        // Nobody waits any more after an error of another thread.
        if sender.send(encoder.encode(content, number)).is_err() {
            return;
        }
    }
}

/// What one thread owns.
struct Encoder<'a> {
    repository: &'a Inner,
    compressor: Option<Compressor>,
    buffer: Vec<u8>,
}

impl<'a> Encoder<'a> {
    fn new(repository: &'a Inner, options: WalOptions) -> Result<Self, FormatError> {
        let compressor = options.level.map(Compressor::new).transpose()?;
        Ok(Self { repository, compressor, buffer: Vec::new() })
    }

    fn encode(
        &mut self,
        content: &Content<'_>,
        number: u64,
    ) -> Result<Result<EncodedChunk, FormatError>, Error> {
        let plain = content.chunk(number, &mut self.buffer)?;
        Ok(EncodedChunk::new(plain, self.compressor.as_mut(), &self.repository.keyring))
    }
}
