//! From bytes to a sealed object, on several threads.
//!
//! Invariant: chunks enter the object in their order. A thread is at most [`AHEAD`] chunks ahead of what is already in the
//! object, so memory is bounded whatever the threads do.

use std::thread;

use crossbeam_channel::{Receiver, Sender};
use format::{Compressor, EncodedChunk, FormatError, WAL_CHUNK_BYTES, WalBuilder, WalHead};

use super::{MAX_WAL_THREADS, WalOptions};
use crate::Error;
use crate::repository::Inner;

/// Encoded chunks that wait for their turn, for each thread.
const AHEAD: usize = 2;

/// The sealed object with this head and these bytes.
pub(super) fn seal(
    repository: &Inner,
    options: WalOptions,
    head: &WalHead,
    bytes: &[u8],
) -> Result<Vec<u8>, Error> {
    let salt = crate::random::salt()?;
    let chunks = bytes.len().div_ceil(WAL_CHUNK_BYTES);
    let threads = options.threads.clamp(1, MAX_WAL_THREADS).min(chunks);
    let sealed = if threads > 1 {
        seal_in_parallel(repository, options, head, bytes, salt, threads)
    } else {
        seal_alone(repository, options, head, bytes, salt)
    };
    sealed.map_err(|source| Error::Seal { what: head.name.to_string(), source })
}

fn seal_alone(
    repository: &Inner,
    options: WalOptions,
    head: &WalHead,
    bytes: &[u8],
    salt: [u8; 32],
) -> Result<Vec<u8>, FormatError> {
    let mut builder = WalBuilder::new(head, &repository.keyring, salt)?;
    let mut compressor = options.level.map(Compressor::new).transpose()?;
    for chunk in bytes.chunks(WAL_CHUNK_BYTES) {
        builder.append(&EncodedChunk::new(chunk, compressor.as_mut(), &repository.keyring)?)?;
    }
    builder.finish()
}

/// Thread k of n encodes the chunks k, k + n, k + 2n, …; this thread seals them in turn.
fn seal_in_parallel(
    repository: &Inner,
    options: WalOptions,
    head: &WalHead,
    bytes: &[u8],
    salt: [u8; 32],
    threads: usize,
) -> Result<Vec<u8>, FormatError> {
    let mut builder = WalBuilder::new(head, &repository.keyring, salt)?;
    thread::scope(|scope| {
        let encoded: Vec<Receiver<_>> = (0..threads)
            .map(|first| {
                let (sender, receiver) = crossbeam_channel::bounded(AHEAD);
                let chunks = bytes.chunks(WAL_CHUNK_BYTES).skip(first).step_by(threads);
                scope.spawn(move || encode(repository, options, chunks, &sender));
                receiver
            })
            .collect();
        let chunks = bytes.len().div_ceil(WAL_CHUNK_BYTES);
        for receiver in encoded.iter().cycle().take(chunks) {
            // A thread that ends early has panicked, which goes on when the scope ends.
            let Ok(chunk) = receiver.recv() else { break };
            builder.append(&chunk?)?;
        }
        builder.finish()
    })
}

fn encode<'a>(
    repository: &Inner,
    options: WalOptions,
    chunks: impl Iterator<Item = &'a [u8]>,
    sender: &Sender<Result<EncodedChunk, FormatError>>,
) {
    let mut compressor = match options.level.map(Compressor::new).transpose() {
        Ok(compressor) => compressor,
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    for chunk in chunks {
        // Nobody waits any more after an error of another thread.
        if sender.send(EncodedChunk::new(chunk, compressor.as_mut(), &repository.keyring)).is_err() {
            return;
        }
    }
}
