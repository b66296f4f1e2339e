//! The archive that `pg_dump --format=custom` writes: reading its table of contents, proving that it is whole, and
//! writing parts of it again.
//!
//! Invariants: an archive is never taken for whole by its table of contents alone. [`Walker`] follows every block to its
//! end mark and every byte to the end of the stream, and says which object's data is missing. What is read and written again
//! unchanged is the same bytes. Memory is bounded by the table of contents, never by the data.
//!
//! The layout is that of PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c` and `pg_backup_custom.c`. Known are the versions
//! 1.14 (`pg_dump` 13, 14, 15), 1.15 (16) and 1.16 (17, 18); anything else is refused. Deliberately absent: running `pg_dump` or
//! `pg_restore`, other formats than custom, decompression.

mod cursor;
mod rewrite;
mod text;
mod toc;
mod walk;

pub use rewrite::{ExtraTable, copy, extend};
pub use text::Text;
pub use toc::{Compression, DataState, DumpId, Header, Section, Toc, TocEntry, TocReader};
pub use walk::{ArchiveSink, Walker};

#[cfg(test)]
mod tests;

/// Why an archive was refused or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The first bytes are not those of an archive.
    #[error("this is not an archive of pg_dump in custom format")]
    NotAnArchive,
    /// The version of the archive's format is none of those that are known.
    #[error("the archive has format version {major}.{minor}, and only 1.14 to 1.16 are known")]
    Version {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// The bytes contradict the format.
    #[error("the archive is damaged at byte {offset}: {problem}")]
    Malformed {
        /// What does not fit.
        problem: &'static str,
        /// Where, in bytes from the start of the archive.
        offset: u64,
    },
    /// The archive ends too early.
    #[error("the archive is cut off at byte {offset}, within {place}")]
    CutOff {
        /// What was being read.
        place: String,
        /// Length of what there is, in bytes.
        offset: u64,
    },
    /// The archive ends cleanly, but the data of an object never came.
    #[error("the archive holds no data for {object}")]
    MissingData {
        /// The first object whose data is missing.
        object: String,
    },
    /// A data block does not belong where it is.
    #[error("the archive holds the data of entry {found} where {expected} should be")]
    UnexpectedBlock {
        /// The object whose data, or the end which, should be here.
        expected: String,
        /// Dump id in the block.
        found: DumpId,
    },
    /// An earlier piece of this archive was refused already.
    #[error("the archive was refused before its end")]
    Refused,
    /// Rows can be added to an archive only if it is not compressed.
    #[error("the archive is compressed; rows can be added to one that is not")]
    Compressed,
    /// A table whose rows should be added is not in the table of contents.
    #[error("the archive does not define table {table}")]
    UnknownTable {
        /// The table.
        table: String,
    },
    /// The archive could not be read.
    #[error("the archive could not be read")]
    Read(#[source] std::io::Error),
    /// What is made of the archive could not be written.
    #[error("the archive could not be passed on")]
    Write(#[source] std::io::Error),
    /// The rows of a table could not be read.
    #[error("the rows of table {table} could not be read")]
    Rows {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
