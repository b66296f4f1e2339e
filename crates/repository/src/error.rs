//! What can go wrong in a repository, and the problems that a check finds.

use std::fmt;

use model::{BackupId, SegmentMismatch, WalName, WalSegmentName};
use storage::StoreError;

/// How an object or a record differs from what belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// It is not there.
    Missing,
    /// It is shorter or longer than it was written.
    Truncated,
    /// Its bytes are not those that were written.
    Changed,
    /// It is a whole object of this repository, but not the one that belongs here.
    Swapped,
    /// It belongs to another repository.
    Foreign,
    /// It was sealed under a key that this repository does not have.
    WrongKey,
    /// It says that it is of a version that this program does not know.
    NewerVersion,
    /// It can be opened, but contradicts another object.
    Inconsistent,
    /// The store could not read it.
    Unreadable,
}

impl ProblemKind {
    /// The kind as a word for messages and codes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Truncated => "truncated",
            Self::Changed => "changed",
            Self::Swapped => "swapped",
            Self::Foreign => "foreign",
            Self::WrongKey => "wrong key",
            Self::NewerVersion => "newer version",
            Self::Inconsistent => "inconsistent",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {message}")]
pub struct Problem {
    /// What it is about: the key of an object, or a stream of a backup.
    pub object: String,
    /// In which way it is wrong.
    pub kind: ProblemKind,
    /// A sentence for people, without the object.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(object: impl Into<String>, kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { object: object.into(), kind, message: message.into() }
    }
}

/// An operation on an open repository that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something in the repository is not what was written there.
    #[error(transparent)]
    Damaged(#[from] Problem),
    /// There is no such backup.
    #[error("there is no backup {id}")]
    NoSuchBackup {
        /// The id that was asked for.
        id: BackupId,
    },
    /// The backup has no such stream.
    #[error("{id} has no stream {stream:?}")]
    NoSuchStream {
        /// The backup.
        id: BackupId,
        /// The name that was asked for.
        stream: String,
    },
    /// A pack of an earlier backup went away while this backup relied on it.
    #[error("{key} went away while the backup was being written")]
    PackVanished {
        /// The key of the pack.
        key: String,
    },
    /// Somebody took a backup that was being written for abandoned.
    #[error("{key} went away while the backup was being written, so packs of it may be gone")]
    IntentVanished {
        /// The key of its intent.
        key: String,
    },
    /// A prune is at work, which may not see what is to be held.
    #[error("a prune is at work ({key})")]
    PruneRunning {
        /// The key of its intent.
        key: String,
    },
    /// Somebody else has taken a right that was ours.
    #[error("{to} has taken over: {right}")]
    LeaseLost {
        /// The right, in words.
        right: String,
        /// Who has it now.
        to: String,
    },
    /// A stream or one of its parts was opened but never finished, so that the backup cannot be committed.
    #[error("stream {stream:?} is not finished")]
    Unfinished {
        /// The stream.
        stream: String,
    },
    /// A stream or a part was opened twice.
    #[error("{what} was opened before")]
    OpenedTwice {
        /// The stream or part.
        what: String,
    },
    /// A chunk or an object is larger than the format allows.
    #[error("{what} has {bytes} bytes, more than the {limit} bytes that are allowed")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Data could not be put into the form in which it is stored.
    #[error("cannot seal {what}")]
    Seal {
        /// What was being sealed.
        what: String,
        /// Why not.
        #[source]
        source: format::FormatError,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {message}")]
    Random {
        /// What it says.
        message: String,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Other WAL is archived under the same name: one of the two is not what it says, or two clusters share an archive.
    #[error("{key} is already archived with other bytes")]
    WalDiffers {
        /// The key of what is there.
        key: String,
    },
    /// WAL is shorter or longer than WAL of this name is.
    #[error("{name} has {found} bytes, not {expected}")]
    WalLength {
        /// Its name.
        name: WalName,
        /// Its length in bytes.
        found: u64,
        /// The length that it should have; for a piece, the greatest.
        expected: u64,
    },
    /// A segment is not the one that its name says.
    #[error("{name} is not the segment of that name")]
    WalMisnamed {
        /// Its name.
        name: WalName,
        /// What is wrong.
        #[source]
        source: SegmentMismatch,
    },
    /// The pieces of a segment are all that there is of it.
    #[error("{segment} is not archived as a whole, so its pieces are still needed")]
    WalUnfinished {
        /// The segment.
        segment: WalSegmentName,
    },
    /// WAL that was to be archived could not be read.
    #[error("the WAL that was to be archived could not be read")]
    Source(#[source] std::io::Error),
    /// What was read could not be written to where it was wanted.
    #[error("what was read from the repository could not be written")]
    Output(#[source] std::io::Error),
    /// The caller asked to stop.
    #[error("the check was stopped")]
    Cancelled,
    /// The writer was dropped before it was committed.
    #[error("the backup was abandoned before it was complete")]
    Abandoned,
    /// Another part of the same backup failed before; its error says why.
    #[error("the backup was stopped by an earlier error")]
    Stopped,
}

impl Error {
    /// Whether this error only repeats that another one happened. Of several errors of one backup, show one that is none.
    pub fn is_consequence(&self) -> bool {
        matches!(self, Self::Stopped)
    }
}
