//! The journal: an append-only, hash-chained log of every operation and its outcome, in files of the machine that ran it, with
//! sealed copies in the repository (docs/format.md, section 18).
//!
//! Invariant: what [`Journal`] has recorded is durable when the call returns, and no byte of a file is ever written twice: what a
//! crash left of an entry stays where it is, and the next entry says so. Several processes append to one chain; they take turns by
//! a lock that the system gives back when a process dies.
//!
//! Deliberately absent: secrets. Who records an operation leaves them out.

mod append;
mod copies;
mod directory;
mod error;
mod history;
mod tail;
mod verify;

use jiff::Timestamp;
use model::{Actor, RunEnd, RunStart};
use repository::{JournalEvent, JournalHead, Repository};

pub(crate) use directory::FileStamp;
pub use directory::JournalDirectory;
pub use error::JournalError;
pub use history::{History, HistoryRun, history};
pub use verify::{Finding, FindingKind, JournalReport, JournalSummary};

/// A file that has so many bytes is closed; the next entry begins another one.
pub const FILE_BYTES: u64 = 1 << 20;
/// Entries that are copied into the repository at the latest when so many have come, whatever they say.
pub const COPY_ENTRIES: u64 = 32;

/// The journal of one machine and one repository.
pub struct Journal<'a> {
    /// Where its files are.
    pub directory: &'a JournalDirectory,
    /// The repository that it is about; it has the key and the copies.
    pub repository: &'a Repository,
    /// Who writes.
    pub actor: &'a Actor,
    /// The time now.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// Fills a buffer with random bytes.
    pub random: &'a dyn Fn(&mut [u8]),
    /// Size in bytes from which on a file is closed: [`FILE_BYTES`], but for tests.
    pub file_bytes: u64,
}

impl std::fmt::Debug for Journal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({} of {:?})", self.directory.path().display(), self.repository)
    }
}

/// What recording came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The number of the entry.
    pub sequence: u64,
    /// Whether it is time to copy entries into the repository: a file was closed, or many have come.
    pub copy_is_due: bool,
    /// Whether an entry before it was changed by somebody.
    pub is_damaged: bool,
}

/// The last entry of the journal of `repository` in `directory`; nothing when there is none.
///
/// # Errors
/// When the files cannot be read.
pub fn head(
    directory: &JournalDirectory,
    repository: &Repository,
) -> Result<Option<JournalHead>, JournalError> {
    Ok(tail::newest(directory.files()?, repository)?.map(|tail| tail.head))
}

impl Journal<'_> {
    /// Records that a run starts. The number of the entry is what the run is called.
    ///
    /// # Errors
    /// When the entry is not durable. Then the run is better not begun.
    pub fn start(&self, start: RunStart) -> Result<Recorded, JournalError> {
        self.append(JournalEvent::Started(start))
    }

    /// Records how the run that started with entry `run` ended.
    ///
    /// # Errors
    /// When the entry is not durable.
    pub fn end(&self, run: u64, end: RunEnd) -> Result<Recorded, JournalError> {
        self.append(JournalEvent::Ended { run, end })
    }

    /// Records something without duration: an alert, what the schedule did or left undone.
    ///
    /// # Errors
    /// When the entry is not durable.
    pub fn note(&self, what: RunStart) -> Result<Recorded, JournalError> {
        self.append(JournalEvent::Noted(what))
    }
}
