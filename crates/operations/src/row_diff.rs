//! How the rows of a table differ from those in another database: what is missing, what is extra and what has changed, by key.
//!
//! Invariant: both sides are read as sorted streams and merged, so that memory is bounded whatever the size of the table; the order is
//! one of bytes and numbers that does not depend on collations, and each reader checks it.
//!
//! Deliberately absent: transactions and locks, which belong to whoever opened the sessions.

mod line;
mod pairing;
mod sample;
mod stream;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::thread;

use model::QualifiedName;
use postgres::{Client, OrderedRows, Spelling};

use line::Layout;
pub(crate) use line::Line;
pub(crate) use pairing::TablePair;
pub use sample::{Differing, RowSample, SampleColumn, SampleValue};
use stream::RowQueue;

use crate::progress::Progress;
use crate::table_recovery::TablesError;
use crate::{Error, crew};

/// How the rows of a table differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDiff {
    /// The table.
    pub table: QualifiedName,
    /// The columns by which rows are known; without any, whole rows are compared, each as often as it occurs.
    pub key: Vec<String>,
    /// Columns that only the backup has. They are not compared.
    pub only_in_backup: Vec<String>,
    /// Columns that only the live table has. They are not compared.
    pub only_in_live: Vec<String>,
    /// Columns whose type is another one. They are compared as text.
    pub retyped: Vec<String>,
    /// Rows of the backup that the live table lacks.
    pub missing: u64,
    /// Rows of the live table that the backup lacks.
    pub extra: u64,
    /// Rows that both have, with other values.
    pub changed: u64,
    /// Rows that are the same.
    pub same: u64,
    /// For each column that differs in a changed row, in how many.
    pub changed_columns: BTreeMap<String, u64>,
    /// The first rows of each kind, by kind.
    pub samples: Vec<RowSample>,
}

impl TableDiff {
    /// Rows in the backup.
    pub const fn backup_rows(&self) -> u64 {
        self.missing + self.changed + self.same
    }

    /// Rows in the live table.
    pub const fn live_rows(&self) -> u64 {
        self.extra + self.changed + self.same
    }

    /// Whether every row is the same.
    pub const fn is_empty(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.changed == 0
    }
}

/// Is told every row that differs, in the order of the keys.
pub(crate) trait DifferenceSink {
    /// One row: as the backup has it, and as it is in the live table.
    fn differs(
        &mut self,
        differing: Differing,
        backup: Option<Line<'_>>,
        live: Option<Line<'_>>,
    ) -> Result<(), Error>;
}

/// Wants to know nothing.
pub(crate) struct Unheard;

impl DifferenceSink for Unheard {
    fn differs(&mut self, _: Differing, _: Option<Line<'_>>, _: Option<Line<'_>>) -> Result<(), Error> {
        Ok(())
    }
}

/// What is asked of a comparison besides the tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiffOptions {
    /// Rows of each kind that are shown.
    pub(crate) samples: usize,
    /// Whether `sink` needs to know where the rows of the live table are.
    pub(crate) with_place: bool,
    /// How names are written in SQL.
    pub(crate) spelling: Spelling,
}

/// Compares the two tables of `pair`, each read by its own session, in the transaction that it is in. Without a live session there is no
/// live table, and every row is missing.
pub(crate) fn diff_rows(
    pair: &TablePair,
    backup: &mut Client,
    live: Option<&mut Client>,
    options: DiffOptions,
    sink: &mut dyn DifferenceSink,
    progress: &Progress<'_>,
) -> Result<TableDiff, Error> {
    let rows = |shape, with_place| OrderedRows {
        shape,
        key: &pair.key,
        columns: &pair.columns,
        with_place,
        spelling: options.spelling,
    };
    let (old_sql, new_sql) =
        (rows(&pair.backup, false).copy_out_sql(), rows(&pair.live, options.with_place).copy_out_sql());
    let old_layout = pair.layout(false);
    let new_layout = pair.layout(options.with_place);
    let name = &pair.live.name;
    thread::scope(|scope| {
        let (old_feed, old_rows) = stream::queue(&old_layout, name);
        let (new_feed, new_rows) = stream::queue(&new_layout, name);
        let old_reader = scope.spawn(move || old_feed.read(backup, &old_sql));
        let new_reader = scope.spawn(move || match live {
            Some(live) => new_feed.read(live, &new_sql),
            None => new_feed.end(),
        });
        let mut merge =
            Merge { pair, layout: &old_layout, samples: options.samples, diff: pair.empty_diff() };
        // The queues end with this, so that a reader that has more to say notices.
        let merged = merge.run(old_rows, new_rows, sink, progress).map(|()| merge.diff);
        let read = crew::all(vec![crew::join(old_reader), crew::join(new_reader)]);
        match (merged, read) {
            (Ok(diff), Ok(_)) => Ok(diff),
            (Err(error), Err(cause)) if error.is_consequence() => Err(cause),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    })
}

/// A merge on its way.
struct Merge<'a> {
    pair: &'a TablePair,
    layout: &'a Layout,
    samples: usize,
    diff: TableDiff,
}

impl Merge<'_> {
    fn run(
        &mut self,
        mut old: RowQueue,
        mut new: RowQueue,
        sink: &mut dyn DifferenceSink,
        progress: &Progress<'_>,
    ) -> Result<(), Error> {
        loop {
            old.fill(progress)?;
            new.fill(progress)?;
            let (backup, live) = (old.head(), new.head());
            let order = match (backup, live) {
                (None, None) => {
                    self.diff.samples.sort_by_key(|sample| sample.differing);
                    return Ok(());
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(backup), Some(live)) => {
                    let malformed = || TablesError::Malformed { table: self.diff.table.clone() };
                    self.layout.compare(backup.key(), live.key()).ok_or_else(malformed)?
                }
            };
            match order {
                Ordering::Less => self.differs(Differing::Missing, backup, None, sink)?,
                Ordering::Greater => self.differs(Differing::Extra, None, live, sink)?,
                Ordering::Equal if backup.map(Line::body) == live.map(Line::body) => self.diff.same += 1,
                Ordering::Equal => self.differs(Differing::Changed, backup, live, sink)?,
            }
            if order != Ordering::Greater {
                old.advance();
            }
            if order != Ordering::Less {
                new.advance();
            }
        }
    }

    fn differs(
        &mut self,
        differing: Differing,
        backup: Option<Line<'_>>,
        live: Option<Line<'_>>,
        sink: &mut dyn DifferenceSink,
    ) -> Result<(), Error> {
        let count = match differing {
            Differing::Missing => &mut self.diff.missing,
            Differing::Extra => &mut self.diff.extra,
            Differing::Changed => &mut self.diff.changed,
        };
        *count += 1;
        if *count <= self.samples as u64 {
            let key: Vec<&str> = self.pair.key.iter().map(|(name, _)| name.as_str()).collect();
            let sample = sample::sample(differing, &key, &self.pair.columns, backup, live);
            self.diff.samples.push(sample);
        }
        if let (Some(backup), Some(live)) = (backup, live) {
            for (name, (old, new)) in self.pair.columns.iter().zip(backup.values().zip(live.values())) {
                if old != new {
                    *self.diff.changed_columns.entry(name.clone()).or_default() += 1;
                }
            }
        }
        sink.differs(differing, backup, live)
    }
}
