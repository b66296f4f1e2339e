//! Why a data directory could not be filled.

use std::io;
use std::path::PathBuf;

use model::BackupId;

/// Why a data directory could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A system call failed.
    #[error("{path} could not be {action}", path = path.display())]
    Io {
        /// What was tried: `created`, `written`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A server runs on the directory.
    #[error("a server runs on {path} (process {pid})", path = path.display())]
    ServerRuns {
        /// The directory.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// The directory holds what is left of the restore of another backup.
    #[error("{path} holds a restore of {backup} that was interrupted", path = path.display())]
    OtherRestore {
        /// The directory.
        path: PathBuf,
        /// The backup.
        backup: BackupId,
    },
    /// The directory holds something.
    #[error("{path} is not empty", path = path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// What is there is no data directory whose files could be used.
    #[error("{path} is not empty and not a data directory", path = path.display())]
    NoDataDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A name cannot be one in a data directory.
    #[error("{name:?} cannot be the name of a file in a data directory")]
    Name {
        /// The name.
        name: String,
    },
    /// No tablespace of the backup is named so.
    #[error("the backup has no tablespace {name:?}; it has {known}")]
    NoTablespace {
        /// The OID or location that was given.
        name: String,
        /// Those that it has.
        known: String,
    },
    /// Two places of a restore are the same or lie in each other.
    #[error("{path} cannot hold a tablespace: the restore already uses {other}", path = path.display(), other = other.display())]
    Overlap {
        /// The tablespace.
        path: PathBuf,
        /// The other directory.
        other: PathBuf,
    },
}
