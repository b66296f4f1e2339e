//! Reading objects of WAL in windows, from their first byte to their last.
//!
//! Invariant: a chunk is given only when it is authentic and of the object that belongs at the key; the end is reached only
//! when every chunk was there and nothing comes after.

use std::io::Write;

use format::{
    FormatError, HEADER_BYTES, ObjectKey, RECORD_HEADER_BYTES, Record, WAL_CONTAINER_BYTES_MAX, WalHead,
    WalOpener,
};
use model::{SegmentHeader, TimelineId, WalName};
use storage::{Key, StoreError};

use super::WalArchive;
use crate::Error;
use crate::error::{Problem, ProblemKind};
use crate::records::{damaged, reading};
use crate::repository::{Inner, storage_key};

/// How much of an object is read at a time, in bytes: more than most sealed segments of 16 MiB have.
const WINDOW_BYTES: usize = 8 << 20;

/// An object that is being read. It has given its head.
pub(super) struct WalStream<'a> {
    window: Window<'a>,
    opener: WalOpener,
    head: WalHead,
}

/// A part of an object that moves on.
struct Window<'a> {
    repository: &'a Inner,
    key: &'a ObjectKey,
    place: Key,
    size: u64,
    /// Bytes of the object before the end of `bytes`.
    read: u64,
    bytes: Vec<u8>,
    /// Where in `bytes` the part begins that nobody has taken.
    start: usize,
}

impl<'a> WalStream<'a> {
    /// Opens the object at `key`, which is an object of WAL; nothing when it is not there. Reads its first window.
    pub(super) fn open(repository: &'a Inner, key: &'a ObjectKey) -> Result<Option<Self>, Error> {
        let Some(mut window) = Window::open(repository, key, WINDOW_BYTES)? else { return Ok(None) };
        let (opener, head) = open_head(&mut window)?;
        Ok(Some(Self { window, opener, head }))
    }

    pub(super) fn head(&self) -> &WalHead {
        &self.head
    }

    /// Gives the next chunk to `see`; nothing at the end.
    pub(super) fn next<T>(
        &mut self,
        see: impl FnOnce(Record<'_>) -> Result<T, FormatError>,
    ) -> Result<Option<T>, Error> {
        let Self { window, opener, .. } = self;
        let length = next_length(window, opener)?;
        let key = window.key;
        let result = match opener.chunk(window.take(length)?) {
            Ok(Some(record)) => see(record).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match result.map_err(|error| damaged(key, &error))? {
            Some(seen) => Ok(Some(seen)),
            None if window.left() == 0 => Ok(None),
            None => Err(damaged(key, &FormatError::Trailing { extra: window.left() })),
        }
    }
}

/// Reads only the head of the object at `key`; nothing when it is not there. That the rest is sound is not looked at.
pub(super) fn read_head(repository: &Inner, key: &ObjectKey) -> Result<Option<WalHead>, Error> {
    /// More than the header and the head of any object have.
    const HEAD_WINDOW_BYTES: usize = 4 << 10;
    let Some(mut window) = Window::open(repository, key, HEAD_WINDOW_BYTES)? else { return Ok(None) };
    Ok(Some(open_head(&mut window)?.1))
}

fn open_head(window: &mut Window<'_>) -> Result<(WalOpener, WalHead), Error> {
    let (key, keyring) = (window.key, &window.repository.keyring);
    let mut opener =
        WalOpener::new(window.take(HEADER_BYTES)?, keyring).map_err(|error| damaged(key, &error))?;
    let length = next_length(window, &opener)?;
    let head = opener.head(window.take(length)?, keyring).map_err(|error| damaged(key, &error))?;
    let found = match key {
        ObjectKey::WalPiece(..) => match head.name {
            WalName::Segment(segment) => Some(ObjectKey::WalPiece(head.system_id, segment, head.offset)),
            _ => None,
        },
        _ => Some(ObjectKey::Wal(head.system_id, head.name)).filter(|_| head.is_whole()),
    };
    if found.as_ref() == Some(key) {
        return Ok((opener, head));
    }
    let what = if head.is_whole() { "" } else { "a piece of " };
    let message = format!("it is {what}{} of the cluster {}", head.name, head.system_id);
    Err(Problem::new(key.to_string(), ProblemKind::Swapped, message).into())
}

fn next_length(window: &mut Window<'_>, opener: &WalOpener) -> Result<usize, Error> {
    let key = window.key;
    opener.record_bytes(window.see(RECORD_HEADER_BYTES)?).map_err(|error| damaged(key, &error))
}

impl<'a> Window<'a> {
    fn open(repository: &'a Inner, key: &'a ObjectKey, first: usize) -> Result<Option<Self>, Error> {
        let place = storage_key(key)?;
        let Some(size) = repository.store.size(&place)? else { return Ok(None) };
        let limit = WAL_CONTAINER_BYTES_MAX as u64;
        if size > limit {
            return Err(reading(key, StoreError::TooLarge { key: place, size, limit }));
        }
        let mut window = Self { repository, key, place, size, read: 0, bytes: Vec::new(), start: 0 };
        window.fill(first)?;
        Ok(Some(window))
    }

    /// Bytes of the object that nobody has taken.
    fn left(&self) -> u64 {
        self.size - self.read + (self.bytes.len() - self.start) as u64
    }

    /// The next `length` bytes, which stay.
    fn see(&mut self, length: usize) -> Result<&mut [u8], Error> {
        if self.left() < length as u64 {
            let error = FormatError::Truncated { place: "a record", length: self.size };
            return Err(damaged(self.key, &error));
        }
        if self.bytes.len() - self.start < length {
            self.fill(length.max(WINDOW_BYTES))?;
        }
        Ok(&mut self.bytes[self.start..self.start + length])
    }

    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> Result<&mut [u8], Error> {
        self.see(length)?;
        let from = self.start;
        self.start += length;
        Ok(&mut self.bytes[from..self.start])
    }

    /// Makes `length` bytes available, or all that are left.
    fn fill(&mut self, length: usize) -> Result<(), Error> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let kept = self.bytes.len();
        let more =
            length.saturating_sub(kept).min(usize::try_from(self.size - self.read).unwrap_or(usize::MAX));
        if more == 0 {
            return Ok(());
        }
        self.bytes.resize(kept + more, 0);
        let result = self.repository.store.read_range(&self.place, self.read, &mut self.bytes[kept..]);
        result.map_err(|error| reading(self.key, error))?;
        self.read += more as u64;
        Ok(())
    }
}

impl WalArchive {
    /// Writes the WAL of this name to `out`; nothing when it is not there. Every chunk is authenticated before it is written, and
    /// the first page of a segment must be that of the name; but only an `Ok` says that `out` has everything.
    ///
    /// Store calls: 1 size, and 1 range for every 8 MiB of the object.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Output`] when `out` does not take the bytes.
    pub fn get(&self, name: WalName, out: &mut dyn Write) -> Result<Option<WalHead>, Error> {
        let key = self.key(name);
        let Some(mut stream) = WalStream::open(&self.repository, &key)? else { return Ok(None) };
        let mut is_first = true;
        while let Some(chunk) = stream.next(|record| record.plaintext(&self.repository.keyring))? {
            if is_first {
                self.check_first_page(&key, stream.head(), &chunk)?;
            }
            is_first = false;
            out.write_all(&chunk).map_err(Error::Output)?;
        }
        Ok(Some(stream.head))
    }

    /// What is known of the WAL of this name without reading it; nothing when it is not there.
    ///
    /// Store calls: 1 size and 1 range.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn head(&self, name: WalName) -> Result<Option<WalHead>, Error> {
        read_head(&self.repository, &self.key(name))
    }

    /// The history of a timeline as PostgreSQL wrote it; nothing when it is not there.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn history(&self, timeline: TimelineId) -> Result<Option<Vec<u8>>, Error> {
        let mut text = Vec::new();
        let head = self.get(WalName::History(timeline), &mut text)?;
        Ok(head.map(|_| text))
    }

    /// Refuses a segment whose first page is not that of its name: whoever stored it was not this program, or was wrong.
    pub(super) fn check_first_page(
        &self,
        key: &ObjectKey,
        head: &WalHead,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let (WalName::Segment(name) | WalName::Partial(name)) = head.name else { return Ok(()) };
        let Some(size) = head.segment_bytes.filter(|_| head.offset == 0) else { return Ok(()) };
        let checked = SegmentHeader::parse(bytes)
            .map_err(Into::into)
            .and_then(|header| header.check(name, size, self.system));
        checked.map_err(|error| Problem::new(key.to_string(), ProblemKind::Swapped, error.to_string()).into())
    }
}
