//! Putting WAL into the archive.

use format::{ObjectKey, WAL_TEXT_BYTES_MAX, WAL_VERSION, WalHead};
use jiff::Timestamp;
use model::{SegmentHeader, SegmentSize, TimelineId, WalName, WalSegmentName};
use storage::{Created, StoreError};

use super::read::WalStream;
use super::seal::{self, Content};
use super::source::WalSource;
use super::{Stored, WalArchive};
use crate::Error;
use crate::repository::storage_key;

impl WalArchive {
    /// Stores a whole segment, `bytes`, that was archived at `now`.
    ///
    /// Store calls: 1 size and 1 put when it is new. When it is there: 1 size, 1 range for every 8 MiB of the object, 1 settle.
    ///
    /// # Errors
    /// [`Error::WalDiffers`] when other bytes are there under its name. [`Error::WalLength`] and [`Error::WalMisnamed`] when the
    /// bytes are not those of such a segment; nothing is stored then.
    pub fn put_segment(
        &self,
        name: WalSegmentName,
        size: SegmentSize,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Stored, Error> {
        self.put_segment_from(name, size, &bytes, now)
    }

    /// The same, with bytes that are read in parts. Memory: a few MiB for each thread, and the sealed object.
    ///
    /// # Errors
    /// As [`WalArchive::put_segment`], and [`Error::Source`].
    pub fn put_segment_from(
        &self,
        name: WalSegmentName,
        size: SegmentSize,
        source: &dyn WalSource,
        now: Timestamp,
    ) -> Result<Stored, Error> {
        self.put_pages(WalName::Segment(name), name, size, source, now)
    }

    /// Stores the last segment of a timeline that ended within it: a whole segment under the name `….partial`.
    ///
    /// # Errors
    /// As [`WalArchive::put_segment`].
    pub fn put_partial(
        &self,
        name: WalSegmentName,
        size: SegmentSize,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Stored, Error> {
        self.put_partial_from(name, size, &bytes, now)
    }

    /// The same, with bytes that are read in parts.
    ///
    /// # Errors
    /// As [`WalArchive::put_segment_from`].
    pub fn put_partial_from(
        &self,
        name: WalSegmentName,
        size: SegmentSize,
        source: &dyn WalSource,
        now: Timestamp,
    ) -> Result<Stored, Error> {
        self.put_pages(WalName::Partial(name), name, size, source, now)
    }

    /// Stores the history of a timeline.
    ///
    /// # Errors
    /// [`Error::WalDiffers`]; [`Error::TooLarge`] above 1 MiB.
    pub fn put_history(&self, timeline: TimelineId, bytes: &[u8], now: Timestamp) -> Result<Stored, Error> {
        self.put_text(WalName::History(timeline), bytes, now)
    }

    /// Stores what a base backup that began at `offset` in the segment `start` left behind: `….backup`.
    ///
    /// # Errors
    /// As [`WalArchive::put_history`].
    pub fn put_backup(
        &self,
        start: WalSegmentName,
        offset: u32,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Stored, Error> {
        self.put_text(WalName::Backup(start, offset), bytes, now)
    }

    fn put_pages(
        &self,
        name: WalName,
        segment: WalSegmentName,
        size: SegmentSize,
        source: &dyn WalSource,
        now: Timestamp,
    ) -> Result<Stored, Error> {
        let (found, expected) = (source.len(), u64::from(size.bytes()));
        if found != expected {
            return Err(Error::WalLength { name, found, expected });
        }
        let content = Content::read(source)?;
        self.require_first_page(name, segment, size, &content.first)?;
        self.put(&self.key(name), &self.new_head(name, Some(size), 0, found, now), &content)
    }

    fn put_text(&self, name: WalName, bytes: &[u8], now: Timestamp) -> Result<Stored, Error> {
        let (found, limit) = (bytes.len() as u64, WAL_TEXT_BYTES_MAX);
        if found > limit {
            return Err(Error::TooLarge { what: name.to_string(), bytes: found, limit });
        }
        self.put(&self.key(name), &self.new_head(name, None, 0, found, now), &Content::read(&bytes)?)
    }

    /// Refuses bytes that begin with the first page of another segment.
    pub(super) fn require_first_page(
        &self,
        name: WalName,
        segment: WalSegmentName,
        size: SegmentSize,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let header = SegmentHeader::parse(bytes).map_err(Into::into);
        let checked = header.and_then(|header| header.check(segment, size, self.system));
        checked.map_err(|source| Error::WalMisnamed { name, source })
    }

    pub(super) fn new_head(
        &self,
        name: WalName,
        segment_bytes: Option<SegmentSize>,
        offset: u32,
        bytes: u64,
        archived_at: Timestamp,
    ) -> WalHead {
        WalHead {
            version: WAL_VERSION,
            name,
            system_id: self.system,
            timeline: name.timeline(),
            segment_bytes,
            offset,
            bytes,
            archived_at,
        }
    }

    /// Stores one object, unless it is there.
    pub(super) fn put(
        &self,
        key: &ObjectKey,
        head: &WalHead,
        content: &Content<'_>,
    ) -> Result<Stored, Error> {
        if let Some(stream) = WalStream::open(&self.repository, key)? {
            return self.compare(key, stream, content);
        }
        let sealed = seal::seal(&self.repository, self.options, head, content)?;
        match self.repository.store.put(&storage_key(key)?, &sealed) {
            Ok(Created::New | Created::AlreadyThere) => Ok(Stored::New),
            // Somebody else was faster; the salt makes every object a different one.
            Err(StoreError::Conflict { .. }) => match WalStream::open(&self.repository, key)? {
                Some(stream) => self.compare(key, stream, content),
                None => Err(StoreError::Conflict { key: storage_key(key)? }.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the object holds these bytes. All of it is authenticated, and nothing is decompressed: chunks are the same when their
    /// ids are.
    fn compare(
        &self,
        key: &ObjectKey,
        mut stream: WalStream<'_>,
        content: &Content<'_>,
    ) -> Result<Stored, Error> {
        let mut is_same = stream.head().bytes == content.source.len();
        let (mut number, mut buffer) = (0, Vec::new());
        // An object that differs is followed to its end, too: a damaged one does not differ, it is damaged.
        while let Some(id) = stream.next(|record| Ok(record.header.id))? {
            is_same = is_same && self.repository.chunk_id(content.chunk(number, &mut buffer)?) == id;
            number += 1;
        }
        if !is_same {
            return Err(Error::WalDiffers { key: key.to_string() });
        }
        // Whoever put it may have died before its name was durable.
        self.repository.store.settle(&storage_key(key)?)?;
        Ok(Stored::Same)
    }
}
