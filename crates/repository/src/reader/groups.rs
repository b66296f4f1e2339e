//! The entries of a stream, one by one and in groups.

use std::sync::Arc;

use format::{ListEntry, Place, StreamRecord};

use super::BackupReader;
use crate::error::{Problem, ProblemKind};
use crate::{Error, lists};

/// A group ends when its plaintext has this many bytes, unless its last row goes on: 4 MiB.
const GROUP_BYTES: u64 = 4 << 20;

/// The entries of a stream in order. After an error there are no more.
#[derive(Debug)]
pub struct Entries {
    reader: BackupReader,
    stream: Arc<str>,
    lists: std::vec::IntoIter<Place>,
    current: std::vec::IntoIter<ListEntry>,
    /// Entries and bytes that the manifest promises and that have not come yet.
    left: u64,
    left_bytes: u64,
}

impl Entries {
    pub(super) fn new(reader: BackupReader, record: &StreamRecord) -> Self {
        let places: Vec<_> = lists::places(record).collect();
        Self {
            stream: record.name.as_str().into(),
            lists: places.into_iter(),
            current: Vec::new().into_iter(),
            left: record.entries,
            left_bytes: record.plain_bytes,
            reader,
        }
    }

    /// The next entry of the current list or the next one.
    fn advance(&mut self) -> Result<Option<ListEntry>, Error> {
        loop {
            if let Some(entry) = self.current.next() {
                let bytes = u64::from(entry.place.plain_bytes);
                let rest = self.left.checked_sub(1).zip(self.left_bytes.checked_sub(bytes));
                let Some((left, left_bytes)) = rest else { return Err(self.inconsistent("more")) };
                (self.left, self.left_bytes) = (left, left_bytes);
                return Ok(Some(entry));
            }
            match self.lists.next() {
                Some(place) => self.current = lists::read(&self.reader.shared.records, &place)?.into_iter(),
                None if self.left == 0 && self.left_bytes == 0 => return Ok(None),
                None => return Err(self.inconsistent("less")),
            }
        }
    }

    fn inconsistent(&self, than: &str) -> Error {
        let message = format!("its lists hold {than} than the manifest says");
        Problem::new(self.stream.as_ref(), ProblemKind::Inconsistent, message).into()
    }
}

impl Iterator for Entries {
    type Item = Result<ListEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.lists = Vec::new().into_iter();
            self.current = Vec::new().into_iter();
            (self.left, self.left_bytes) = (0, 0);
        }
        next.transpose()
    }
}

/// Entries in groups that belong together.
#[derive(Debug)]
pub struct Groups {
    entries: Entries,
    group_bytes: u64,
}

impl Groups {
    pub(super) fn new(entries: Entries) -> Self {
        Self { entries, group_bytes: GROUP_BYTES }
    }

    /// The same groups, of about `bytes` each.
    #[must_use]
    pub fn of_bytes(self, bytes: u64) -> Self {
        Self { group_bytes: bytes, ..self }
    }
}

impl Iterator for Groups {
    type Item = Result<Vec<ListEntry>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut group = Vec::new();
        let mut bytes = 0;
        loop {
            match self.entries.next() {
                Some(Ok(entry)) => {
                    bytes += u64::from(entry.place.plain_bytes);
                    group.push(entry);
                    if bytes >= self.group_bytes && !entry.continues {
                        return Some(Ok(group));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None if group.is_empty() => return None,
                None if group.last().is_some_and(|entry| entry.continues) => {
                    return Some(Err(self.entries.inconsistent("less")));
                }
                None => return Some(Ok(group)),
            }
        }
    }
}
