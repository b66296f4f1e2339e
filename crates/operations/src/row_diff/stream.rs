//! The rows of one side, read in a thread of its own and handed over in batches.
//!
//! Invariant: the reader is ahead by at most [`QUEUE`] batches of [`BATCH_BYTES`] and one row, however large the table is; rows come in
//! the order of their keys, and an order that is not ours is an error and never a wrong result.

use std::cmp::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};
use model::QualifiedName;
use postgres::{Client, CopyError, RowSink};

use super::line::{Layout, Line, Parts};
use crate::table_recovery::TablesError;
use crate::{Error, progress::Progress};

/// Bytes of rows that are handed over at a time; a batch ends with the row that reaches it.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait.
const QUEUE: usize = 4;

/// Whole rows, one after another, without their newlines.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    rows: Vec<(usize, Parts)>,
}

/// What goes from the reader to the merge; the end in good order is told.
#[derive(Debug)]
enum Piece {
    Rows(Batch),
    End,
}

/// Gives rows to a [`RowQueue`].
pub(super) struct Feed<'a> {
    layout: &'a Layout,
    table: &'a QualifiedName,
    sender: Sender<Piece>,
    batch: Batch,
    start: usize,
    last_key: Vec<u8>,
}

/// The rows of one side, in the order of their keys.
pub(super) struct RowQueue {
    receiver: Receiver<Piece>,
    batch: Batch,
    at: usize,
    start: usize,
    is_over: bool,
}

/// The two ends.
pub(super) fn queue<'a>(layout: &'a Layout, table: &'a QualifiedName) -> (Feed<'a>, RowQueue) {
    let (sender, receiver) = bounded(QUEUE);
    let feed = Feed { layout, table, sender, batch: Batch::default(), start: 0, last_key: Vec::new() };
    (feed, RowQueue { receiver, batch: Batch::default(), at: 0, start: 0, is_over: false })
}

impl Feed<'_> {
    /// Reads everything that `sql` gives.
    pub(super) fn read(mut self, client: &mut Client, sql: &str) -> Result<(), Error> {
        let table = self.table;
        client.copy_out(sql, &mut self).map_err(|error| match error {
            CopyError::Sink(error) => error,
            CopyError::Postgres(source) => Error::ReadRows { table: table.clone(), source },
        })?;
        self.send()?;
        self.end()
    }

    /// There is no more.
    pub(super) fn end(self) -> Result<(), Error> {
        self.sender.send(Piece::End).map_err(|_| Error::Cancelled)
    }

    /// The batch is handed over. Nobody takes it any more when the merge has failed.
    fn send(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.start = 0;
        self.sender.send(Piece::Rows(batch)).map_err(|_| Error::Cancelled)
    }

    /// The bytes behind `start` are a whole row with its newline.
    fn end_row(&mut self) -> Result<(), Error> {
        self.batch.bytes.pop();
        let row = &self.batch.bytes[self.start..];
        let malformed = || TablesError::Malformed { table: self.table.clone() };
        let parts = self.layout.parts(row).ok_or_else(malformed)?;
        let key = Line::new(row, parts).key();
        if !self.last_key.is_empty()
            && self.layout.compare(&self.last_key, key).ok_or_else(malformed)? == Ordering::Greater
        {
            return Err(TablesError::OutOfOrder { table: self.table.clone() }.into());
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.start = self.batch.bytes.len();
        self.batch.rows.push((self.start, parts));
        if self.start >= BATCH_BYTES { self.send() } else { Ok(()) }
    }
}

impl RowSink for Feed<'_> {
    type Error = Error;

    fn row(&mut self, row: &[u8]) -> Result<(), Error> {
        self.batch.bytes.extend_from_slice(row);
        self.end_row()
    }

    fn row_part(&mut self, part: &[u8], last: bool) -> Result<(), Error> {
        self.batch.bytes.extend_from_slice(part);
        if last { self.end_row() } else { Ok(()) }
    }
}

impl RowQueue {
    /// Has the next row ready, if there is one.
    pub(super) fn fill(&mut self, progress: &Progress<'_>) -> Result<(), Error> {
        while self.at == self.batch.rows.len() && !self.is_over {
            // A reader that is gone without a word has failed, and says so itself.
            match self.receiver.recv().map_err(|_| Error::Cancelled)? {
                Piece::Rows(batch) => {
                    progress.add(batch.bytes.len() as u64)?;
                    (self.batch, self.at, self.start) = (batch, 0, 0);
                }
                Piece::End => self.is_over = true,
            }
        }
        Ok(())
    }

    /// The next row, after [`RowQueue::fill`]; nothing at the end.
    pub(super) fn head(&self) -> Option<Line<'_>> {
        let (end, parts) = *self.batch.rows.get(self.at)?;
        Some(Line::new(&self.batch.bytes[self.start..end], parts))
    }

    /// Goes on to the row behind it.
    pub(super) fn advance(&mut self) {
        if let Some((end, _)) = self.batch.rows.get(self.at) {
            self.start = *end;
            self.at += 1;
        }
    }
}
