//! Why the journal could not be written or read.

use std::io;
use std::path::PathBuf;

use repository::{FormatError, JournalId};

/// An entry that was not recorded, or a journal that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than the owner can reach the files.
    #[error("{} is open to other users (mode {mode:04o})", path.display())]
    Loose {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process holds the lock for longer than an entry takes.
    #[error("another process holds {} and does not let go", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The entry cannot be formed.
    #[error("the entry cannot be written")]
    Entry(#[source] FormatError),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// The journal does not go on where its copies in the repository end.
    #[error(
        "the repository has entry {sequence} of journal {journal}, and the journal itself has another one or none"
    )]
    Differs {
        /// The journal.
        journal: JournalId,
        /// The last entry in the repository.
        sequence: u64,
    },
    /// Other processes were faster again and again.
    #[error("other processes copied entries each time it was tried")]
    Raced,
}
