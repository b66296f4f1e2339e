//! A stream as bytes, read ahead.
//!
//! One thread walks the lists and hands out groups of entries; a few others read, decrypt and decompress them; the reader takes
//! the results in order. What is ahead of the reader is bounded.

use std::io::{self, Read};
use std::thread::JoinHandle;

use aws_lc_rs::digest;
use crossbeam_channel::{Receiver, Sender, bounded};
use format::{ListEntry, Sha256};

use super::BackupReader;
use crate::Error;
use crate::catalog::finish_sha256;
use crate::error::{Problem, ProblemKind};

/// Threads that read ahead.
const THREADS: usize = 2;
/// Groups that may be ready or in work ahead of the reader.
const GROUPS_AHEAD: usize = 4;
/// Plaintext of a group in bytes, at least.
const GROUP_BYTES: u64 = 1 << 20;

type Group = Result<Vec<u8>, Error>;

/// The bytes of one stream. Read errors hold an [`Error`]. For an archive, the end is reached only if its hash is right; otherwise
/// the last read fails.
pub struct StreamReader {
    /// Results in stream order, each behind a channel of its own.
    groups: Option<Receiver<Receiver<Group>>>,
    threads: Vec<JoinHandle<()>>,
    current: Vec<u8>,
    position: usize,
    check: Option<(digest::Context, Sha256)>,
    stream: String,
    failed: bool,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamReader({})", self.stream)
    }
}

impl StreamReader {
    pub(super) fn open(reader: &BackupReader, stream: &str) -> Result<Self, Error> {
        let record = reader.stream_record(stream)?;
        let (ordered, groups) = bounded(GROUPS_AHEAD);
        let (work, tasks) = bounded::<(Vec<ListEntry>, Sender<Group>)>(GROUPS_AHEAD);
        let mut opened = Self {
            groups: Some(groups),
            threads: Vec::new(),
            current: Vec::new(),
            position: 0,
            check: record.sha256.map(|expected| (digest::Context::new(&digest::SHA256), expected)),
            stream: stream.to_owned(),
            failed: false,
        };
        let entries = reader.entries(stream)?;
        opened.spawn("read-lists", move || hand_out(entries, &ordered, &work))?;
        for _ in 0..THREADS {
            let (reader, tasks) = (reader.clone(), tasks.clone());
            opened.spawn("read-chunks", move || {
                for (entries, result) in tasks {
                    // A reader that has gone away wants no result.
                    let _ = result.send(load(&reader, &entries));
                }
            })?;
        }
        Ok(opened)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.push(thread.map_err(|source| Error::Thread { source })?);
        Ok(())
    }

    /// Makes the next group current. Returns `false` at the end of the stream.
    fn advance(&mut self) -> Result<bool, Error> {
        let next = self.groups.as_ref().and_then(|groups| groups.recv().ok());
        let Some(result) = next else {
            return self.check_hash().map(|()| false);
        };
        // The sender is dropped without a result only when its thread has died.
        self.current = result.recv().map_err(|_| Error::Stopped)??;
        self.position = 0;
        if let Some((context, _)) = &mut self.check {
            context.update(&self.current);
        }
        Ok(true)
    }

    fn check_hash(&mut self) -> Result<(), Error> {
        match self.check.take() {
            Some((context, expected)) if finish_sha256(&context.clone().finish()) != expected => {
                let message = "its bytes are not those that were written";
                Err(Problem::new(self.stream.as_str(), ProblemKind::Inconsistent, message).into())
            }
            _ => Ok(()),
        }
    }
}

/// Sends groups of entries to the workers, and the receivers of their results to the reader.
fn hand_out(
    entries: super::Entries,
    ordered: &Sender<Receiver<Group>>,
    work: &Sender<(Vec<ListEntry>, Sender<Group>)>,
) {
    let mut group = Vec::new();
    let mut bytes = 0;
    let send = |group| {
        let (result, receiver) = bounded(1);
        ordered.send(receiver).is_ok() && work.send((group, result)).is_ok()
    };
    for entry in entries {
        match entry {
            Ok(entry) => {
                bytes += u64::from(entry.place.plain_bytes);
                group.push(entry);
                if bytes >= GROUP_BYTES {
                    bytes = 0;
                    if !send(std::mem::take(&mut group)) {
                        return;
                    }
                }
            }
            Err(error) => {
                let (result, receiver) = bounded(1);
                let _ = result.send(Err(error));
                let _ = ordered.send(receiver);
                return;
            }
        }
    }
    if !group.is_empty() {
        send(group);
    }
}

fn load(reader: &BackupReader, entries: &[ListEntry]) -> Group {
    let bytes = entries.iter().map(|entry| entry.place.plain_bytes as usize).sum();
    let mut plain = Vec::with_capacity(bytes);
    reader.loader().load(entries, |_, bytes| {
        plain.extend_from_slice(bytes);
        Ok::<_, Error>(())
    })?;
    Ok(plain)
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.len() {
            if self.failed {
                return Err(io::Error::other(Error::Stopped));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    self.failed = true;
                    self.current.clear();
                    self.position = 0;
                    return Err(io::Error::other(error));
                }
            }
        }
        let rest = self.current.get(self.position..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.position += count;
        Ok(count)
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        // Whoever waits to send finds nobody there, and ends.
        self.groups = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
