//! Tables and the SQL that reads and loads their rows.
//!
//! Invariant: the rows of all tables of one snapshot are every row of the database once: each is read from its own storage
//! (`ONLY`), never again through a parent. Two backups of an unchanged table read it in the same pieces and the same
//! order, because the pieces begin at fixed multiples of [`RANGE_BYTES`].
//!
//! Deliberately absent: rows of temporary tables (they end with their session), of foreign tables (they are the other
//! server's) and of materialized views. The latter are filled again by `REFRESH` after a restore, so they cannot be
//! compared with what the source, whose last refresh may be long ago, showed.

mod listing;
mod rows;
use model::QualifiedName;

pub use listing::list_tables;
pub(crate) use listing::{ListedTable, LockableTable, list_for_snapshot, list_lockable};
pub use rows::{PageRange, Rows, Spelling};

/// Heap bytes of one piece of a table that is read in pieces. Fixed: were it to depend on the size of the table, the pieces of
/// the next backup would begin elsewhere, and its chunks would not be found again.
pub const RANGE_BYTES: u64 = 64 << 20;

/// The first major version that reads a range of `ctid` without reading the whole table.
const TID_RANGE_SCAN_SINCE: u32 = 14;

/// What kind of table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary table; also a parent or child of plain inheritance.
    Plain,
    /// A partition that holds rows.
    Leaf,
    /// A partitioned table: it holds no rows itself.
    Partitioned,
    /// A materialized view, and whether it is populated.
    MaterializedView {
        /// Whether it was ever filled.
        populated: bool,
    },
    /// A table of another server.
    Foreign,
}

impl TableKind {
    /// Whether the table has rows of its own that can be read and loaded again.
    pub fn stores_rows(self) -> bool {
        matches!(self, Self::Plain | Self::Leaf)
    }
}

/// A table of the source, as the snapshot sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its OID in `pg_class`.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// What kind of table it is.
    pub kind: TableKind,
    /// The columns that are read: neither dropped nor generated, in the order of the table. May be empty.
    pub columns: Vec<String>,
    /// Pages of the heap, measured after the table was locked; 0 where no rows are stored.
    pub pages: u64,
    /// Bytes of the heap, measured after the table was locked.
    pub bytes: u64,
    /// Bytes of values that are stored out of line (TOAST).
    pub toast_bytes: u64,
    /// Whether a crash of the server empties it.
    pub unlogged: bool,
    /// The table access method (`heap`); empty where no rows are stored.
    pub access_method: String,
    /// Whether its rows belong to the backup: it stores rows, and no filter excludes them.
    pub rows_wanted: bool,
    /// The extension that it is a configuration table of, if it is one. Its definition comes with the extension.
    pub extension: Option<String>,
    /// For a configuration table of an extension: the `WHERE …` that selects the rows which belong to the user.
    pub condition: Option<String>,
    /// How its names are written in SQL.
    pub spelling: Spelling,
    /// Pages of [`RANGE_BYTES`]; `None` where the table must be read as a whole.
    pub range_pages: Option<u64>,
}

impl Table {
    /// Its rows, for SQL.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            name: &self.name,
            columns: &self.columns,
            condition: self.condition.as_deref(),
            spelling: self.spelling,
        }
    }

    /// The statement that reads all its rows, or those in a range of pages, as COPY text.
    pub fn copy_out_sql(&self, pages: Option<PageRange>) -> String {
        self.rows().copy_out_sql(pages)
    }

    /// The statement that loads its rows.
    pub fn copy_in_sql(&self) -> String {
        self.rows().copy_in_sql()
    }

    /// The pieces in which to read it: `[None]` for the whole table in one; otherwise ranges that begin at fixed
    /// multiples of [`RANGE_BYTES`], of which the last has no end, so that no page is left out.
    pub fn ranges(&self) -> Vec<Option<PageRange>> {
        let Some(step) = self.range_pages.filter(|step| *step > 0 && self.pages > *step) else {
            return vec![None];
        };
        let starts: Vec<u64> = (0..self.pages).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect();
        let ends = starts.iter().skip(1).map(|end| Some(*end)).chain([None]);
        starts.iter().zip(ends).map(|(&first, end)| Some(PageRange { first, end })).collect()
    }
}
