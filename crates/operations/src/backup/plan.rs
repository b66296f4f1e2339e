//! Which tables travel beside the archive as row streams of their own, and in which pieces they are read.

use std::collections::BTreeMap;

use model::QualifiedName;
use postgres::{PageRange, Table};

/// Row streams of one backup. More large tables than this go through the archive: each is an argument of `pg_dump`
/// and a pattern that it looks up.
const ROW_STREAMS_MAX: usize = 1_000;

/// How the rows of a database are read.
pub(crate) struct Plan<'a> {
    /// Tables with a row stream each, largest first.
    pub(crate) large: Vec<&'a Table>,
    /// Tables whose rows are in the archive, read a second time for their proof.
    pub(crate) small: Vec<&'a Table>,
    /// Tables whose rows were left out on request.
    pub(crate) without_rows: Vec<&'a Table>,
    /// Bytes on the server of all rows that are read: an estimate for the progress.
    pub(crate) bytes: u64,
}

/// One piece of reading.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work<'a> {
    /// Pages of a large table: its position in [`Plan::large`], and the part of its row stream.
    Part { large: usize, part: u32, pages: Option<PageRange> },
    /// All of a small table.
    Small(&'a Table),
}

impl<'a> Plan<'a> {
    /// Partitions in `moving` go through the archive: `pg_dump` knows to load them through their root.
    pub(crate) fn new(
        tables: &'a [Table],
        large_table_bytes: u64,
        moving: &BTreeMap<QualifiedName, QualifiedName>,
    ) -> Self {
        let (wanted, without_rows): (Vec<&Table>, Vec<&Table>) =
            tables.iter().filter(|table| table.kind.stores_rows()).partition(|table| table.rows_wanted);
        let bytes = wanted.iter().copied().map(size).sum();
        let (mut large, mut small): (Vec<&Table>, Vec<&Table>) = wanted.into_iter().partition(|table| {
            size(table) >= large_table_bytes && table.extension.is_none() && !moving.contains_key(&table.name)
        });
        large.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.name.cmp(&b.name)));
        small.extend(large.split_off(large.len().min(ROW_STREAMS_MAX)));
        Self { large, small, without_rows, bytes }
    }

    /// The names of the tables that `pg_dump` is to dump without rows because we read them.
    pub(crate) fn large_names(&self) -> Vec<QualifiedName> {
        self.large.iter().map(|table| table.name.clone()).collect()
    }

    /// Everything to read, in the order in which it is best begun: large pieces first, so that no worker is left with
    /// one at the end.
    pub(crate) fn work(&self) -> Vec<Work<'a>> {
        let parts = self.large.iter().enumerate().flat_map(|(large, table)| {
            (0..).zip(table.ranges()).map(move |(part, pages)| Work::Part { large, part, pages })
        });
        parts.chain(self.small.iter().map(|table| Work::Small(table))).collect()
    }
}

fn size(table: &Table) -> u64 {
    table.bytes + table.toast_bytes
}
